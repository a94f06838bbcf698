"""The script that writes PneumoniaMNIST as PNG files, on tiny invented arrays."""

import json
from pathlib import Path

import numpy
import pytest
import spacy
from PIL import Image
from spacy.util import import_file

from spacy_epee.data.image_reader import ImageReader

script = import_file("convert_pneumonia", Path(__file__).parents[2] / "scripts" / "convert_pneumonia.py")


def save(path, **labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for i, (split, values) in enumerate(labels.items()):
        arrays[f"{split}_labels"] = numpy.array(values, dtype="uint8")[:, None]
        grays = numpy.array([10 * i + 100 * value for value in values], dtype="uint8")
        arrays[f"{split}_images"] = numpy.zeros((len(values), 28, 28), dtype="uint8") + grays[:, None, None]
    numpy.savez(path, **arrays)


@pytest.mark.parametrize("together", [True, False])
def test_convert_pneumonia_writes_images_and_rows(tmp_path, together):
    source = tmp_path / "source"
    if together:
        save(source / "normalised" / "pneumoniamnist.npz", train=[1, 1, 0, 0, 0], val=[0, 1], test=[1])
    else:  # the official training set is in two parts; dev and test are in the first
        save(source / "pneumoniamnist.npz", train=[1, 0, 1], val=[0, 1], test=[1])
        save(source / "pneumoniamnist_balanced.npz", train=[0, 1, 0, 0], val=[1], test=[0, 0])
    script.main(source, tmp_path / "out")
    for split, normal, sick in (("train", 3, 2), ("dev", 1, 1), ("test", 0, 1)):
        examples = list(ImageReader(tmp_path / "out" / f"{split}.jsonl")(spacy.blank("en")))
        assert [sum(eg.reference.cats[label] for eg in examples) for label in ("normal", "pneumonia")] == [normal, sick]
        for eg in examples:
            pixels = numpy.asarray(Image.open(eg.predicted._.image))
            assert pixels.shape == (28, 28) and (pixels >= 100).all() == bool(eg.reference.cats["pneumonia"])


def test_convert_pneumonia_mixes_the_classes(tmp_path):
    save(tmp_path / "normalised" / "pneumoniamnist.npz", train=[1] * 30 + [0] * 30, val=[0], test=[0])
    script.main(tmp_path, tmp_path / "out")
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert 5 < sum(json.loads(line)["cats"]["pneumonia"] for line in lines[:30]) < 25


def test_convert_pneumonia_says_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main(tmp_path, tmp_path / "out")
    assert "project assets" in capsys.readouterr().out
