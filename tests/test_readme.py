"""What the README shows works."""

import re
from pathlib import Path

import pytest
import spacy
from thinc.api import Config

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BACKBONE = "backbones/minilm-l6"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_readme_ten_lines(backbone, capsys):
    code = next(block for block in blocks("python") if "import spacy" in block)
    exec(code.replace(BACKBONE, str(backbone)), {})
    printed = capsys.readouterr().out
    assert "'cardiology'" in printed and "'reason'" in printed


def test_readme_rule_is_exchanged_and_saved(backbone, tmp_path, monkeypatch):
    from util import make_nlp

    monkeypatch.chdir(tmp_path)
    Path("training/mine").mkdir(parents=True)
    make_nlp(backbone, exit={"@misc": "spacy-epee.EntropyPatience.v1", "patience": 2}).to_disk("training/mine/model-best")
    exec(next(block for block in blocks("python") if "spacy.load" in block), {"spacy": spacy})
    assert list(spacy.load("faster").get_pipe("epee_textcat").exit.rules) == ["settled", "late"]


@pytest.mark.parametrize("factory", ["epee_textcat", "epee_relations", "epee_imagecat"])
def test_readme_settings_are_the_defaults(factory):
    block = next(block for block in blocks("ini") if f'factory = "{factory}"' in block)
    shown = Config().from_str("[components]\n" + re.sub(r" +#.*", "", block))["components"][factory]
    nlp = spacy.blank("en")
    nlp.add_pipe(factory)
    defaults = nlp.config["components"][factory]

    def compare(part, whole, path):
        for key, value in part.items():
            if isinstance(value, dict):
                compare(value, whole[key], f"{path}.{key}")
            elif key not in ("name", "labels"):
                assert whole[key] == value, f"{path}.{key}"

    compare(shown, defaults, factory)


def test_readme_relations(backbone, tmp_path, monkeypatch, capsys):
    from relations_util import TEXTS, make_relations_nlp, tag

    monkeypatch.chdir(tmp_path)
    Path("training/relations").mkdir(parents=True)
    nlp = make_relations_nlp(backbone)
    nlp.to_disk("training/relations/model-best")
    found = {"doc_with_entities": tag(nlp.make_doc(" ".join(TEXTS)))}
    exec(next(block for block in blocks("python") if "Relation.of" in block), found)
    assert capsys.readouterr().out and found["svg"].startswith("<svg")


def test_readme_relations_are_read(tmp_path):
    from spacy_epee.tasks.relations import Relation
    from spacy_epee.training.readers import EntityReader

    (tmp_path / "notes.jsonl").write_text(" ".join(blocks("json")[0].split()) + "\n")
    (eg,) = EntityReader(tmp_path / "notes.jsonl")(spacy.blank("en"))
    assert [(r.head.text, r.label, r.child.text) for r in Relation.of(eg.reference)] == [("Aspirin", "CAUSES", "rash")]


def test_readme_images(tmp_path, monkeypatch, capsys):
    from images_util import make_image_backbone, make_image_nlp, make_pixels
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for folder in ("training/pneumonia", "films"):
        Path(folder).mkdir(parents=True)
    make_image_nlp(make_image_backbone(tmp_path / "vit")).to_disk("training/pneumonia/model-best")
    Image.fromarray((make_pixels(1)[0] * 255).astype("uint8")).save("films/1.png")
    exec(next(block for block in blocks("python") if "doc._.image" in block), {})
    assert "'bright'" in capsys.readouterr().out


@pytest.mark.parametrize("name", re.findall(r"configs/\w+\.cfg", README))
def test_readme_configs_exist(name):
    assert (Path(__file__).parent.parent / name).exists()


@pytest.mark.parametrize("command,others", [
    ("tune", ["--examples"]), ("report", []), ("benchmark", []), ("evaluate", []),
])
def test_readme_options_exist(command, others):
    from typer.testing import CliRunner

    from spacy_epee.cli import epee

    titles = {"benchmark": "Against other libraries", "evaluate": "Choosing an exit rule"}
    title = titles.get(command, "Choosing where to stop")
    section = README.split(f"## {title}")[1].split("\n## ")[0]
    lines = section.split("python -m spacy epee report")[1] if command == "report" else section
    known = CliRunner().invoke(epee, [command, "--help"], env={"COLUMNS": "300"}).output
    assert all(option in known for option in re.findall(r"--[a-z][a-z-]*", lines) if option not in others)


def test_readme_names_the_contestants():
    from spacy_epee.evaluation.contestants import CONTESTANTS

    table = README.split("| `--contestants` | |")[1].split("\n\n")[0]
    shown = [name for row in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    assert shown == list(CONTESTANTS)


def test_readme_calibrates(backbone, capsys):
    from util import make_examples, make_nlp

    nlp = make_nlp(backbone, ("A", "B", "C"))
    found = {"nlp": nlp, "examples": make_examples(nlp, ("A", "B", "C"))}
    exec(next(block for block in blocks("python") if "calibrate" in block), found)
    assert len(found["report"]) == 4
