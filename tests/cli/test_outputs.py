"""Places to write to are looked at before anything is run."""

import json

import pytest
from spacy.tokens import DocBin
from typer.testing import CliRunner
from util import make_examples, make_nlp

from spacy_epee.cli import epee
from spacy_epee.cli.outputs import write_figures

LABELS = ["ACUTE", "STABLE", "HISTORY"]


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    nlp = make_nlp(backbone, LABELS, exit={"@misc": "spacy-epee.FixedDepth.v1", "layer": 2})
    nlp.to_disk(folder / "model")
    DocBin(docs=[eg.reference for eg in make_examples(nlp, LABELS)]).to_disk(folder / "dev.spacy")
    (folder / "file").write_text("kept")
    return folder


COMMANDS = {
    "evaluate": ["--output"],
    "benchmark": ["--output"],
    "tune": ["--output"],
}
PLACES = [("{folder}", "folder"), ("{folder}/file/figures.json", "is a file, not a folder")]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place,problem", PLACES)
def test_figures_that_cannot_be_written_are_refused_at_once(command, place, problem, folder, monkeypatch):
    monkeypatch.setattr(f"spacy_epee.cli.{command}.load_model", None)  # nothing may be loaded
    arguments = [command, folder / "model", folder / "dev.spacy", "--output", place.format(folder=folder)]
    found = CliRunner().invoke(epee, [str(part) for part in arguments])
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit), found.output
    expected = "exists already" if (command, problem) == ("tune", "folder") else problem
    assert expected in " ".join(found.output.split()) and (folder / "file").read_text() == "kept"


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "{model}", "{dev}", "--output", "{dev}"],
        ["evaluate", "{model}", "{dev}", "--output", "{folder}/model/../dev.spacy"],
        ["evaluate", "{model}", "{dev}", "--output", "{folder}/link"],
        ["benchmark", "{model}", "{model}/other", "--front", "--train", "{dev}", "--dev", "{dev}", "--output", "{dev}"],
        ["monitor", "{dev}", "--reference", "{model}", "--output", "{dev}"],
        ["monitor", "{folder}", "--reference", "{model}", "--output", "{dev}"],
        ["compress", "{model}", "{dev}", "{folder}/new", "--output", "{dev}"],
        ["compress", "{model}", "{dev}", "{folder}/new", "--output", "{folder}/a.png", "--picture", "{folder}/a.png"],
        ["teach", "{model}", "{folder}/train.spacy", "{dev}", "--dev", "{dev}"],
        ["teach", "{model}", "{folder}/train.spacy", "{dev}", "--linear-data", "{dev}"],
    ],
    ids=" ".join,
)
def test_what_is_read_is_not_written_over(arguments, folder):
    places = {"folder": folder, "model": folder / "model", "dev": folder / "dev.spacy"}
    before = places["dev"].read_bytes()
    if not (folder / "link").exists():
        (folder / "link").symlink_to(places["dev"])
    found = CliRunner().invoke(epee, [part.format(**places) for part in arguments])
    assert found.exit_code != 0 and isinstance(found.exception, SystemExit), found.output
    assert "this command reads or writes already" in " ".join(found.output.split())
    assert places["dev"].read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["tune", "{model}", "{dev}", "--max-drop", "0", "--output-model", "{folder}/file/new"],
        ["tune", "{model}", "{dev}", "--max-drop", "0", "--output-model", "{folder}/new", "--output", "{folder}/new"],
        ["export", "{model}", "{folder}/file/new"],
        ["report", "{model}", "{dev}", "{folder}/file/new"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_folders_that_cannot_be_written_are_refused_at_once(arguments, folder, monkeypatch):
    monkeypatch.setattr(f"spacy_epee.cli.{arguments[0]}.load_model", None)
    places = {"folder": folder, "model": folder / "model", "dev": folder / "dev.spacy"}
    found = CliRunner().invoke(epee, [part.format(**places) for part in arguments])
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit), found.output
    assert "give" in found.output and not (folder / "new").exists()


def test_figures_are_written_whole_or_not_at_all(tmp_path):
    from wasabi import Printer

    (tmp_path / "figures.json").write_text("{}")
    with pytest.raises(TypeError):
        write_figures(tmp_path / "figures.json", {"x": object()}, Printer(no_print=True))
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert (tmp_path / "figures.json").read_text() == "{}"
    write_figures(tmp_path / "deep" / "figures.json", {"x": None}, Printer(no_print=True))
    assert json.loads((tmp_path / "deep" / "figures.json").read_text()) == {"x": None}
