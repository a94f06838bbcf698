"""No part of a note, and no label or key that may be one, is in what the commands that run a model print, raise and write."""

import json

import pytest
import spacy
import typer
from canary import CANARY, NUMBER, assert_silent, shows
from events_util import TEXTS as EVENT_TEXTS
from events_util import make_events_nlp
from events_util import make_example as make_event_example
from relations_util import TEXTS as RELATION_TEXTS
from relations_util import make_example as make_relation_example
from relations_util import make_relations_nlp
from spacy.tokens import DocBin
from util import SENTENCES, make_nlp

from spacy_epee.cli import epee

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2}
LABELS = ["ACUTE", "STABLE", "HISTORY"]
FAST = ("--rounds", "1", "--batch-sizes", "4")
SEARCH = ("--no-time", "--steps", "3", "--missing-labels")

FIGURES = ("--output", "{new}/figures.json")
BF16 = ("--runtime", "torch", "--precision", "bf16", "--max-drop", "100")
COMMANDS = {
    "evaluate": ["evaluate", "{model}", "{data}", *FAST, *FIGURES],
    "tune": ["tune", "{model}", "{data}", *SEARCH, *FIGURES, "--max-drop", "50", "--output-model", "{new}/m"],
    "report": ["report", "{model}", "{data}", "{new}/report", *SEARCH],
    "export": ["export", "{model}", "{new}/m", "--data", "{data}", *BF16],
    "benchmark": ["benchmark", "{model}", "{data}", "--contestants", "full,exits", *FAST, *FIGURES],
}
KINDS = ["textcat", "relations", "events"]


def run(name, **places):
    """RETURNS (Callable): A run of a command as from the shell."""
    arguments = [part.format(**places) for part in COMMANDS[name]]
    return lambda: typer.main.get_command(epee)(arguments, standalone_mode=True)


@pytest.fixture(scope="module")
def models(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {
        "textcat": make_nlp(backbone, LABELS, exit=RULE),
        "relations": make_relations_nlp(backbone, exit=RULE),
        "events": make_events_nlp(backbone, exit=RULE, steps=20),
    }
    for kind, nlp in made.items():
        nlp.to_disk(folder / kind)
    return folder


def good_rows(kind):
    """Rows in which texts, ids, and labels and keys that no pipeline knows are the canary."""
    more = {"id": f"{CANARY}-1", CANARY: CANARY, "meta": {CANARY: NUMBER}}
    if kind == "textcat":
        for number, text in enumerate(SENTENCES * 2):
            label = CANARY if number % 8 == 5 else LABELS[number % 3]
            yield {**more, "text": f"{text} {CANARY}", "cats": {**dict.fromkeys(LABELS, 0), label: 1}}
        return
    texts, make = {"relations": (RELATION_TEXTS, make_relation_example), "events": (EVENT_TEXTS, make_event_example)}[kind]
    for number, text in enumerate(texts * 2):
        strange = CANARY if number % 4 == 2 else None
        doc = make(spacy.blank("en"), text).reference
        row = {**more, "text": f"{text} {CANARY}"}

        def place(span, doc=doc):
            return {"start": doc[span[0]].idx, "end": doc[span[1] - 1].idx + len(doc[span[1] - 1])}

        if kind == "relations":
            row["ents"] = [
                {"id": str(i), "start": ent.start_char, "end": ent.end_char, "label": (not i and strange) or ent.label_}
                for i, ent in enumerate(doc.ents)
            ]
            ids = {(ent.start, ent.end): str(i) for i, ent in enumerate(doc.ents)}
            row["relations"] = [
                {"head": ids[tuple(one["head"])], "child": ids[tuple(one["child"])], "label": strange or one["label"]}
                for one in doc._.relations
            ]
        else:
            row["events"] = [
                {
                    "trigger": place(event["trigger"]),
                    "label": (i and strange) or event["label"],
                    "arguments": [
                        {"role": strange or argument["role"], **place(argument["span"])} for argument in event["arguments"]
                    ],
                    "flags": {strange or "Negated": True, "Kind": strange or "start"},
                }
                for i, event in enumerate(doc._.events)
            ]
        yield row


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def written(folder):
    """RETURNS (List[Path]): The files with the canary in them or in their names."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if shows(path.read_bytes().decode("latin-1")) or shows(path.name)], len(files)


def combinations(names):
    """RETURNS (List): Commands and tasks. What takes long of structures is among the hard tests."""
    return [
        pytest.param(name, kind, marks=[pytest.mark.hard] if kind != "textcat" and name != "evaluate" else [])
        for name in COMMANDS
        for kind in KINDS
        if name in names or kind == "textcat"
    ]


@pytest.mark.parametrize("name,kind", combinations(COMMANDS.keys() - {"benchmark"}))
def test_commands_say_and_write_nothing_of_good_data(name, kind, models, tmp_path):
    if name == "report":
        pytest.importorskip("matplotlib")
    data = write(tmp_path / "dev.jsonl", good_rows(kind))
    (tmp_path / "new").mkdir()
    before = written(models)[1]
    error = assert_silent(run(name, model=models / kind, data=data, new=tmp_path / "new"))
    assert getattr(error, "code", 0) == 0, error
    found, count = written(tmp_path / "new")
    assert not found and count
    assert written(models) == ([], before)


def test_a_report_shows_texts_where_that_is_asked_for(models, tmp_path):
    pytest.importorskip("matplotlib")
    data = write(tmp_path / "dev.jsonl", good_rows("textcat"))
    arguments = [part.format(model=models / "textcat", data=data, new=tmp_path) for part in COMMANDS["report"]]
    assert_silent(lambda: typer.main.get_command(epee)([*arguments, "--examples", "3"], standalone_mode=True))
    found, _ = written(tmp_path / "report")
    assert [path.name for path in found] == ["report.html"]


def bad_data(kind):
    """Files that cannot be read, or hold what cannot be."""
    rows = list(good_rows(kind))
    yield "not JSON", (json.dumps(rows[0]) + "\n" + f'{{"text": "{CANARY}", {CANARY}}}\n').encode()
    yield "cut", json.dumps(rows[0])[:-30].encode()
    yield "Latin-1", f'{{"text": "{CANARY} \xe8"}}'.encode("latin-1")
    yield "UTF-16", json.dumps(rows[0]).encode("utf-16")
    yield "no object", f'["{CANARY}"]\n'.encode()
    yield "text is none", (json.dumps({**rows[0], "text": {CANARY: NUMBER}}) + "\n").encode()
    yield "no text", (json.dumps({key: value for key, value in rows[0].items() if key != "text"}) + "\n").encode()
    yield "empty", b""
    yield "texts alone", (json.dumps({"text": CANARY}) + "\n").encode()
    long = f"{CANARY} " * 70_000
    yield "too long", (json.dumps({**rows[0], "text": long}) + "\n").encode()
    if kind == "textcat":
        for cats in (CANARY, [CANARY], {CANARY: 1}, {"ACUTE": CANARY}, {"ACUTE": NUMBER}, {"ACUTE": 0.5}, f"{CANARY} " * 30):
            yield f"cats {type(cats).__name__}", (json.dumps({"text": CANARY, "cats": cats}) + "\n").encode()
        yield "several", (json.dumps({"text": CANARY, "cats": {"ACUTE": 1, "STABLE": 1, CANARY: 1}}) + "\n").encode()
        return
    ent = {"id": "1", "start": 0, "end": 3, "label": "Drug"}
    event = {"trigger": {"start": 0, "end": 3}, "label": "Harm"}
    for changed in (
        {"ents": [{**ent, "end": NUMBER}]},
        {"ents": [{**ent, "start": CANARY}]},
        {"ents": [{**ent, "label": {CANARY: CANARY}}]},
        {"ents": CANARY},
        {"ents": [ent], "relations": [{"head": CANARY, "child": "1", "label": CANARY}]},
        {"ents": [ent], "relations": [{"head": "1", "child": "1", "label": CANARY}]},
        {"events": [{**event, "trigger": {"start": 0, "end": NUMBER}}]},
        {"events": [{**event, "label": [CANARY]}]},
        {"events": [{**event, "arguments": [{"role": CANARY, "start": 0, "end": NUMBER}]}]},
        {"events": [{**event, "arguments": [{"role": CANARY, "ent": CANARY}]}]},
        {"events": [{**event, "flags": {CANARY: {CANARY: 1}}}]},
    ):
        yield f"{next(iter(changed))}", (json.dumps({"text": f"Rash {CANARY} of aspirin.", **changed}) + "\n").encode()


@pytest.mark.parametrize("name,kind", combinations(COMMANDS))
def test_commands_say_nothing_of_bad_data(name, kind, models, tmp_path, monkeypatch):
    """The pipeline is loaded once, so that it knows the words of earlier data: pipelines that are saved are looked at above."""
    if name == "report":
        pytest.importorskip("matplotlib")
    if name == "benchmark" and kind != "textcat":
        pytest.skip("only classifiers take part")
    nlp, failed = spacy.load(models / kind), []
    monkeypatch.setattr(f"spacy_epee.cli.{name}.load_model", lambda path: nlp)
    for number, (what, content) in enumerate(bad_data(kind)):
        path, new = tmp_path / f"{number}.jsonl", tmp_path / f"new{number}"
        path.write_bytes(content)
        error = assert_silent(run(name, model=models / kind, data=path, new=new))
        failed += [what] if getattr(error, "code", 0) == 1 else []
        assert not [path for path in written(new)[0] if path.name != "strings.json"], what
    docs = tmp_path / "docs.spacy"
    for content in (CANARY.encode(), b"", DocBin(docs=[spacy.blank("en").make_doc(CANARY)]).to_bytes()):
        docs.write_bytes(content)
        assert_silent(run(name, model=models / kind, data=docs, new=tmp_path / "new"))
    error = assert_silent(run(name, model=models / kind, data=tmp_path / "nowhere.jsonl", new=tmp_path / "new"))
    assert error.code == 1 and len(failed) > 7
