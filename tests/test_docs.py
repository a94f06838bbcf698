"""What the documentation shows works: blocks of code are run or read, links lead somewhere, settings have a text."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import catalogue
import numpy
import pytest
import spacy
import torch
import yaml
from docs_util import (
    BESIDE,
    NAMES,
    OURS,
    ROOT,
    blocks,
    commands,
    compare_with_defaults,
    load_hooks,
    options_of,
    prepare,
    prose,
    read_ini,
    read_page,
    run_blocks,
    run_text,
    section,
)
from spacy.cli._util import app
from spacy.language import Language
from spacy.training import Example
from transformers import AutoModel, LongformerConfig, LongformerModel
from typer.testing import CliRunner
from util import make_tokenizer

from spacy_epee.cli import COMMANDS, epee
from spacy_epee.data.formats.registry import format_names
from spacy_epee.evaluation.compare import compare
from spacy_epee.report.build import make_report
from spacy_epee.trunk.verification import make_stepper

GITHUB = "https://github.com/spacy-epee/spacy_epee/blob/main/"
PRINTED = {
    "docs/bulk.md": ["17 \\['", "18 None None the scan is blank"],
    "README.md": ["'cardiology'", "'reason'"],
    "docs/get-started.md": ["'cardiology'", "'reason'"],
    "docs/textcat.md": ["cardiology|psychiatry|surgery"],
    "docs/relations.md": ["Aspirin (CAUSES|TREATS) rash"],
    "docs/events.md": ["Harm from", "Effect severe rash"],
    "docs/images.md": ["'bright'"],
    "docs/embedding.md": ["^\\['(cardiology|psychiatry|surgery)'\\] \\S+ (True|False) None\n", "psychiatry|cardiology"],
    "docs/long-notes.md": ["^\\d{4} \\S+ 1$"],
    "docs/offline.md": ["'cardiology'"],
    "docs/several-tasks.md": ["kind \\S+ of 4", "events \\S+ of 4"],
    "docs/rules.md": ["True|False"],
    "docs/runtimes.md": ["'cardiology'", "\\[\\d.\\d, \\d.\\d\\]"],
    "docs/extending.md": [
        "ConfidentTwice\\(confidence=0.6, times=2\\)",
        "[1-9]\\d* settings, the first ConfidentTwice",
        "1.0 at exit [1-4]",
        "\\['low', 'high'\\]",
        "torch.float64 \\{'cardiology'",
        "0\\.?\\d? \\['0\\.5'",
    ],
}
"""What the blocks of a page print, as regular expressions."""


def check_rules(found):
    assert list(spacy.load("faster").get_pipe("epee_textcat").exit.rules) == ["settled", "late"]
    assert len(found["report"]) == 4 and spacy.load("calibrated").get_pipe("epee_textcat").cfg["temperatures"]


def check_picture(found):
    assert found["svg"].startswith("<svg")


def check_own_task(found):
    """A task of another package is compared, tuned and reported like ours; documents of several windows are one unit."""
    nlp, examples = found["urgent"], found["examples"]
    pipe = nlp.get_pipe("epee")
    long = nlp.make_doc(" ".join([*found["NOTES"]] * 40))
    alone, together = (pipe.all_exits([*docs, long]) for docs in ((), [eg.predicted for eg in examples]))
    assert len(pipe.make_instances([long]).windows) > 1
    assert numpy.allclose(next(alone)["urgency"].logits[:, 0], next(together)["urgency"].logits[:, -1], atol=1e-4)
    assert compare(nlp, examples, pipe, [1], 1)["full"]["score"] == 1.0
    tuner = found["Tuner"](nlp, pipe, examples)
    assert tuner.report["score_desc"] == "micro F" and tuner.trials.full.score == 1.0
    shown = make_report(tuner, examples=2)["examples"]
    assert sorted(row["answer"] for row in shown) == ["high", "low"]
    nlp.get_pipe("epee").set_exit(None)
    bare = [eg.predicted.copy() for eg in examples]
    assert [doc._.urgency for doc in nlp.pipe(bare)] == ["low", "high"] and nlp("")._.urgency is None


def check_own_format(found):
    """The format of the page reads, writes, and reads again what it wrote."""
    Path("notes.csv").write_text('kind;note\ncardiology;"Chest pain;\nECG normal."\n', encoding="utf-8", newline="\n")
    rows = []
    for words in (
        ["notes.csv", "a.jsonl", "--set", "delimiter=;"],
        ["a.jsonl", "tables", "--to", "table"],
        ["tables", "b.jsonl"],
    ):
        result = CliRunner().invoke(epee, ["convert", *words])
        assert result.exit_code == 0, result.output
        if words[1].endswith(".jsonl"):
            rows.append(json.loads(Path(words[1]).read_text(encoding="utf-8")))
    assert rows == 2 * [{"id": "notes-1", "text": "Chest pain;\nECG normal.", "cats": "cardiology"}]


def check_own(found):
    check_own_task(found)
    check_own_format(found)


def check_roberta(found):
    """A Longformer is a RoBERTa in windows that none of its wordpieces sees farther than."""
    settings = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "pad_token_id": 1}
    config = LongformerConfig(**settings, intermediate_size=64, attention_window=32, max_position_embeddings=130)
    torch.manual_seed(0)
    longformer = LongformerModel(config).eval()
    longformer.save_pretrained("longformer")
    make_tokenizer("roberta", "bytes").save_pretrained("longformer")
    found["as_roberta"]("longformer", "roberta")
    ids, mask = torch.randint(5, 60, (3, 17)), torch.ones(3, 17, dtype=torch.long)
    ids[1, 9:], mask[1, 9:] = 1, 0
    states = [model(ids, mask).last_hidden_state[mask.bool()] for model in (longformer, AutoModel.from_pretrained("roberta"))]
    assert torch.allclose(*states, atol=1e-5)
    with pytest.raises(ValueError, match="The model family 'longformer' cannot exit early"):
        make_stepper(longformer)
    assert make_stepper(AutoModel.from_pretrained("roberta")).depth == 3


def check_saved(found):
    found["save_backbone"]("backbones/minilm-l6", "saved")
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": "saved"}}})
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("x"), {"cats": {"A": 1.0, "B": 0.0}})])


MADE = {
    "docs/choosing-a-backbone.md": check_roberta,
    "docs/offline.md": check_saved,
    "docs/extending.md": check_own,
    "docs/rules.md": check_rules,
    "docs/relations.md": check_picture,
    "docs/events.md": check_picture,
}
"""What the blocks of a page make."""

SHOWN = [block for name in NAMES for block in blocks(name, "ini") if "factory = " in block.code]


@pytest.fixture(scope="module")
def prepared(backbone, tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("shown"), backbone)


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(catalogue, "REGISTRY", dict(catalogue.REGISTRY))  # what a page registers goes with it


@pytest.mark.parametrize("name", [name for name in NAMES if blocks(name) and name != BESIDE])
def test_docs_blocks_run(name, folder, capfd):
    found = run_blocks(name)
    printed = capfd.readouterr().out
    assert all(re.search(pattern, printed) for pattern in PRINTED.get(name, []))
    if name in MADE:
        MADE[name](found)


def test_docs_that_print_are_known():
    assert {name for name in NAMES if any("print(" in block.code for block in blocks(name, "python"))} == {*PRINTED}


def test_docs_have_a_block_of_every_kind():
    languages = {block.language for name in NAMES for block in blocks(name)}
    assert languages == {"python", "ini", "json", "toml", "text", "bash"}


@pytest.mark.parametrize("name", NAMES)
def test_docs_have_no_code_outside_of_blocks(name):
    assert not re.search(r"\n\n(    |\t)\S", prose(name)) and "```" not in prose(name)


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.where)
def test_docs_settings_are_the_defaults(block):
    [(factory, shown)] = read_ini(block.code)["components"].items()
    assert spacy.blank("en").has_factory(factory)
    compare_with_defaults(shown, Language.get_factory_meta(factory).default_config, factory)


def test_docs_show_the_settings_of_all_components():
    assert {read_ini(block.code)["components"].popitem()[0] for block in SHOWN} == {
        "epee",
        "epee_textcat",
        "epee_textcat_multilabel",
        "epee_relations",
        "epee_events",
        "epee_imagecat",
    }


def test_docs_data_are_read(folder):
    from spacy_epee.tasks.events.docs import Event
    from spacy_epee.tasks.relations.docs import Relation

    found = {}
    for block in blocks("docs/data-formats.md", "json"):
        if '"ents"' in block.code:
            Path("one.jsonl").write_text(" ".join(block.code.split()) + "\n", encoding="utf-8")
            [eg] = spacy.registry.readers.get("spacy-epee.EntityReader.v1")("one.jsonl")(spacy.blank("en"))
            found["relations" if "relations" in block.code else "events"] = eg.reference
    assert [(r.head.text, r.label, r.child.text) for r in Relation.of(found["relations"])] == [("Aspirin", "CAUSES", "rash")]
    harm, stop = Event.of(found["events"])
    said = [(argument.role, argument.span.text, argument.parent) for argument in harm.arguments]
    assert said == [("Treatment", "Codeine", None), ("Dose", "30 mg", 0), ("Effect", "rash", None)]
    assert harm.attributes["Severity"]["value"] == "mild" and stop.arguments[0].event == 0


@pytest.mark.parametrize("name", NAMES)
def test_docs_inline_commands_exist(name):
    for line in re.findall(r"`python -m spacy epee ([^`]+)`", prose(name)):
        command, *words = line.split()
        if command != "...":
            assert {word for word in words if word.startswith("-")} <= {*options_of(OURS.get_command(None, command))}


@pytest.mark.parametrize(
    "command,name,title",
    [
        ("evaluate", "docs/rules.md", "Compare a rule with the full depth"),
        ("tune", "docs/rules.md", "Choosing where to stop"),
        ("report", "docs/rules.md", "Report"),
        ("export", "docs/runtimes.md", "Export"),
        ("benchmark", "docs/runtimes.md", "Compare with other libraries"),
        ("convert", "docs/data-formats.md", "Convert"),
        ("annotate", "docs/bulk.md", "One machine"),
        ("serve", "docs/service.md", "A budget of time"),
        ("monitor", "docs/monitoring.md", "What is compared"),
    ],
)
def test_docs_options_exist(command, name, title):
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section(name, title)))
    assert shown and shown <= {*options_of(OURS.get_command(None, command))}


def test_docs_name_the_contestants():
    from spacy_epee.benchmark.targets import CONTESTANTS

    table = read_page("docs/runtimes.md").split("| `--contestants` | |")[1].split("\n\n")[0]
    shown = [name for row in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    assert shown == list(CONTESTANTS)


def test_docs_name_the_formats():
    rows = section("docs/data-formats.md", "Convert").split("| `--format` |")[1].split("\n\n")[0].splitlines()[2:]
    assert sorted(row.split("|")[2].strip(" `") for row in rows) == format_names()


def test_docs_name_the_rules():
    from spacy_epee.exits import rules

    known = {kind.registered for kind in vars(rules).values() if isinstance(kind, type) and getattr(kind, "registered", "")}
    assert known == set(re.findall(r"`(spacy-epee\.\w+\.v1)`", section("docs/rules.md", "All rules")))


def test_docs_quote_no_error_that_there_is_not():
    with pytest.raises(AssertionError, match="no error or warning"):
        run_text("The component '…' has too many heads.", {})


@pytest.mark.parametrize("name", sorted({path for name in NAMES for path in re.findall(r"configs/\w+\.cfg", read_page(name))}))
def test_docs_configs_exist(name):
    assert (ROOT / name).exists()


def anchors(text):
    """The ids of titles, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def generated():
    hooks = load_hooks()
    return {"settings.md": hooks.settings_page(), "commands.md": hooks.commands_page()}


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md"])
def test_docs_links_lead_somewhere(name, generated):
    page = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        if link.startswith(GITHUB):
            assert (ROOT / link.removeprefix(GITHUB)).exists(), link
        elif not link.startswith("https://"):
            path, _, anchor = link.partition("#")
            target = page if not path else page.parent / path
            text = generated.get(path) or (target.read_text(encoding="utf-8") if target.suffix == ".md" else target.read_bytes())
            assert not anchor or anchor in anchors(text), link


def test_docs_pages_are_in_the_navigation():
    def leaves(part):
        return (
            [part]
            if isinstance(part, str)
            else [leaf for own in (part.values() if isinstance(part, dict) else part) for leaf in leaves(own)]
        )

    nav = leaves(yaml.safe_load(read_page("mkdocs.yml"))["nav"])
    assert sorted(nav) == sorted([*(path.name for path in (ROOT / "docs").glob("*.md")), "settings.md", "commands.md"])


def test_docs_every_setting_has_a_text():
    hooks = load_hooks()
    empty = []
    for _, entry in hooks.registered():
        text, rows = hooks.settings_of(entry)
        empty += [entry.name] if not text else []
        empty += [f"{entry.name}: {name}" for name, _, _, about in rows if not about]
    assert empty == []


def test_docs_settings_without_a_text_are_found(monkeypatch):
    hooks = load_hooks()
    monkeypatch.setattr(hooks, "borrowed", lambda function, text: {})
    entry = next(entry for _, entry in hooks.registered() if entry.name == "spacy-epee.EventsTask.v1")
    assert [row[0] for row in hooks.settings_of(entry)[1] if not row[3]][:2] == ["exit", "scorer"]


def test_docs_every_option_has_a_text(generated):
    page = generated["commands.md"]
    assert re.findall(r"^## `python -m spacy epee (\w+)`$", page, flags=re.MULTILINE) == list(COMMANDS)
    for name in COMMANDS:
        command = OURS.get_command(None, name)
        assert command.help and all(getattr(parameter, "help", None) for parameter in command.params)
        assert all(f"`{option}`" in page for option in options_of(command) if option.startswith("--"))


def test_docs_picture_of_savings_has_the_figures_of_its_table():
    spec = importlib.util.spec_from_file_location("draw_savings", ROOT / "scripts" / "draw_savings.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    shown = re.findall(r">(\d+\.\d\dx)<", (ROOT / "docs" / "images" / "savings.svg").read_text(encoding="utf-8"))
    rows = script.read_table(read_page("docs/results.md"))
    assert len(rows) == 8
    assert sorted(shown) == sorted(row[column] for row in rows for column in script.FASTER)


@pytest.mark.slow
def test_docs_site_builds_and_asks_no_other_machine(tmp_path):
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"], cwd=ROOT, check=True)
    for page in (tmp_path / "site").glob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.search(r'<(script|img|iframe)[^>]+src="https?:', html)
        assert not re.search(r'<link[^>]+rel="(stylesheet|preconnect)"[^>]+href="https?:', html)


@pytest.mark.slow
def test_docs_first_commands_work(folder):
    shutil.rmtree("training")
    shutil.rmtree("tuned")
    made = [words[3:] for block in blocks("docs/get-started.md", "bash") for words in commands(block.code) if "spacy" in words]
    for words in made:
        short = ["--training.optimizer.learn_rate.total_steps", "4", "--training.eval_frequency", "2"]
        assert CliRunner().invoke(app, words + short * (words[0] == "train")).exit_code == 0, words
    assert len(made) == 3 and spacy.load("tuned")("Palpitations since the weekend.").cats
