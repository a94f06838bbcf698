"""Reading annotated images, and training on them from end to end."""

import json
from pathlib import Path

import pytest
import spacy
from images_util import make_image_backbone, make_pixels
from PIL import Image
from spacy.cli.train import train
from typer.testing import CliRunner

from spacy_epee.cli import epee
from spacy_epee.data.image_reader import ImageReader

CONFIGS = Path(__file__).parent.parent.parent / "configs"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "images").mkdir()
    rows = []
    for i, pixels in enumerate(make_pixels(8)):
        Image.fromarray((pixels * 255).astype("uint8")).save(tmp_path / "images" / f"{i}.png")
        rows.append({"image": f"images/{i}.png", "cats": {"bright": i % 2, "dark": 1 - i % 2}})
    rows[0]["text"] = "A dark film."
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "data.jsonl"


def test_image_reader_gives_images_labels_and_reports(data, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path.parent)  # paths start at the file
    examples = list(ImageReader(data)(spacy.blank("en")))
    assert [eg.reference.cats["bright"] for eg in examples] == [0.0, 1.0] * 4
    assert [eg.predicted.text for eg in examples[:2]] == ["A dark film.", ""]
    for i, eg in enumerate(examples):
        assert eg.predicted._.image == eg.reference._.image == str(tmp_path / "images" / f"{i}.png")
        assert not eg.predicted.cats
    assert len(list(ImageReader(data, limit=3)(spacy.blank("en")))) == 3


@pytest.mark.parametrize(
    "row,problem",
    [
        ({"cats": {"bright": 1}}, "'image' is missing"),
        ({"image": "images/Secretname.png", "cats": {"bright": 1}}, "'image' names no file"),
        ({"image": "images", "cats": {"bright": 1}}, "'image' names no file"),
        ({"image": 3, "cats": {"bright": 1}}, "'image' names no file"),
        ({"image": "images/1.png"}, "'cats' is missing"),
        ({"image": "images/1.png", "cats": {"bright": 1}, "text": 3}, "'text' is not a string"),
    ],
)
def test_image_reader_names_file_and_line(data, row, problem):
    with data.open("a") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=f"data.jsonl, line 9: .*{problem}") as error:
        list(ImageReader(data)(spacy.blank("en")))
    assert "Secretname" not in str(error.value)


def test_image_reader_trains_and_evaluates(data, tmp_path):
    overrides = {
        "paths.train": str(data),
        "paths.dev": str(data),
        "paths.backbone": str(make_image_backbone(tmp_path / "vit")),
        "components.epee_imagecat.exit.patience": 1,
        "training.max_steps": 4,
        "training.eval_frequency": 2,
        "training.optimizer.learn_rate.warmup_steps": 1,
    }
    train(CONFIGS / "imagecat.cfg", tmp_path / "out", overrides=overrides)
    options = ["--batch-sizes", "1,4", "--rounds", "1", "--output", str(tmp_path / "figures.json")]
    found = CliRunner().invoke(epee, ["evaluate", str(tmp_path / "out" / "model-best"), str(data), *options])
    assert found.exit_code == 0, found.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["documents"] == 8 and sum(figures["exits"]["histogram"]) == 8
    assert figures["full"]["layers"] == figures["depth"] == 3
