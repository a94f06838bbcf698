"""No part of a note is in what readers, converters and data commands write, warn of, log and raise, whatever is wrong with it."""

import copy
import gzip
import json
import logging
import warnings

import pytest
import spacy
import typer
from canary import CANARY, NUMBER, assert_silent, leaks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin

from spacy_epee.cli import epee
from spacy_epee.data.docs import annotate_doc, install_extensions
from spacy_epee.data.formats.registry import format_names, get_format
from spacy_epee.data.image_reader import ImageReader
from spacy_epee.data.readers import EntityReader, JsonlReader, check_cats

NLP = spacy.blank("en")
TEXT = f"Fever {CANARY} and rash."

ROW = {
    "id": "1",
    "text": TEXT,
    "cats": {"A": 1, "B": 0},
    "image": "film.png",
    "ents": [{"id": "T1", "start": 0, "end": 5, "label": "Problem"}, {"id": "T2", "start": 28, "end": 32, "label": "Problem"}],
    "relations": [{"head": "T1", "child": "T2", "label": "WITH"}],
    "events": [
        {
            "trigger": {"start": 0, "end": 5},
            "label": "Sign",
            "arguments": [
                {"role": "Part", "ent": "T2", "parent": None},
                {"role": "Dose", "start": 6, "end": 9, "parent": "Part"},
            ],
            "flags": {"Negated": True, "Grade": {"value": "high", "spans": [{"start": 0, "end": 5}]}},
        }
    ],
    "equivalent": [["T1", "T2"]],
}
PRODIGY = {
    "text": TEXT,
    "_input_hash": 1,
    "spans": [{"start": 0, "end": 5, "label": "Problem", "text": "Fever"}, {"start": 28, "end": 32, "label": "Problem"}],
    "tokens": [{"text": "Fever", "start": 0, "end": 5, "id": 0}],
    "relations": [{"head": 0, "child": 0, "child_span": {"start": 28, "end": 32}, "label": "WITH"}],
    "options": [{"id": "A", "text": "a"}],
    "accept": ["A"],
    "answer": "accept",
}
DOCCANO = {
    "id": 1,
    "text": TEXT,
    "entities": [
        {"id": 1, "start_offset": 0, "end_offset": 5, "label": "P"},
        {"id": 2, "start_offset": 28, "end_offset": 32, "label": "P"},
    ],
    "relations": [{"id": 1, "from_id": 1, "to_id": 2, "type": "WITH"}],
    "cats": ["A"],
    "label": [[0, 5, "P"]],
}
LABEL_STUDIO = {
    "id": 1,
    "data": {"text": TEXT},
    "annotations": [
        {
            "result": [
                {"id": "a", "type": "labels", "value": {"start": 0, "end": 5, "text": "Fever", "labels": ["P"]}},
                {"id": "b", "type": "labels", "value": {"start": 28, "end": 32, "text": "rash", "labels": ["P"]}},
                {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right", "labels": ["WITH"]},
                {"id": "c", "type": "choices", "from_name": "kind", "value": {"choices": ["A"]}},
            ],
            "reviews": [{"accepted": True}],
        }
    ],
}
MINIMAL = {
    "id": 1,
    "text": TEXT,
    "label": [{"start": 0, "end": 5, "text": "Fever", "labels": ["P"]}],
    "annotation_id": 1,
    "lead_time": 2,
}
OBJECTS = {"jsonl": ROW, "prodigy": PRODIGY, "doccano": DOCCANO, "label-studio": LABEL_STUDIO, "minimal": MINIMAL}

BRAT = f"""T1\tProblem 0 5\tFever
T2\tProblem 28 32\trash
R1\tWITH Arg1:T1 Arg2:T2
E1\tProblem:T1 TaskSlot:T2
A1\tNegated E1
#1\tAnnotatorNotes T1\t{CANARY}
#2\tspacy_epee T1\t{{"entity": true}}
*\tEquiv T1 T2
"""
PUBTATOR = f"1|t|Fever {CANARY}\n1|a|and rash.\n1\t0\t5\tFever\tProblem\tD1\n1\t28\t32\trash\tProblem\tD2\n1\tWITH\tD1\tD2\n"
BIOC = f"""<?xml version="1.0" encoding="UTF-8"?>
<collection><source>s</source><date>d</date><key>k</key><document><id>1</id>
<passage><infon key="type">title</infon><offset>0</offset><text>{TEXT}</text>
<annotation id="T1"><infon key="type">P</infon><infon key="MESH">D1</infon>
<location offset="0" length="5"/><text>Fever</text></annotation>
<annotation id="T2"><infon key="type">P</infon><infon key="MESH">D2</infon>
<location offset="28" length="4"/><text>rash</text></annotation>
</passage><relation id="R0"><infon key="type">WITH</infon><node refid="T1" role="a"/><node refid="T2" role="b"/></relation>
</document></collection>
"""
FILES = {"brat": BRAT, "bionlp": BRAT.replace("A1", "M1"), "pubtator": PUBTATOR, "bioc": BIOC}
ENDINGS = {"brat": "note.ann", "bionlp": "note.a2", "pubtator": "note.pubtator", "bioc": "note.xml"}

JUNK = [
    CANARY,
    f"{CANARY} " * 20,
    f"{CANARY}\n",
    "",
    " ",
    {CANARY: CANARY},
    [CANARY],
    [[CANARY]],
    NUMBER,
    -NUMBER,
    1.5,
    None,
    True,
    {},
    [],
]
JUNK += [{CANARY: {CANARY: CANARY}}, [{CANARY: CANARY}], {"value": CANARY}, float("nan"), CANARY + "\ud800", [0, 5, CANARY]]


def spoilt(value):
    """All copies of a value in which one thing is missing, another, or called by a part of the note."""
    for junk in JUNK:
        yield junk
    if isinstance(value, dict):
        for key in value:
            rest = {name: part for name, part in value.items() if name != key}
            yield rest
            yield {**rest, CANARY: value[key]}
            for part in spoilt(value[key]):
                yield {**value, key: part}
        yield {**value, CANARY: CANARY}
    if isinstance(value, list):
        for place in range(len(value)):
            for part in spoilt(value[place]):
                yield [*value[:place], part, *value[place + 1 :]]


def dump(row):
    return json.dumps(row) + "\n"


def consume(reader, *args, **settings):
    return lambda: list(reader(*args, **settings)(NLP))


def each(form, path):
    return lambda: list(get_format(form).read(path))


def command(*args):
    """A run of a command as from the shell."""
    return lambda: typer.main.get_command(epee)([str(arg) for arg in args], standalone_mode=True)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "film.png").write_bytes(b"")
    return tmp_path


def test_the_canary_is_noticed_wherever_it_may_be():
    def chain():
        try:
            json.loads(CANARY)
        except ValueError:
            raise ValueError("not JSON") from None

    def hold():
        error = ValueError("something")
        error.note = {"of": CANARY}
        raise error

    assert leaks_of(chain)[0] and leaks_of(hold)[0]
    assert leaks_of(lambda: print(CANARY))[0] and leaks_of(lambda: warnings.warn(CANARY))[0]
    assert leaks_of(lambda: logging.getLogger("spacy").warning(CANARY))[0]
    assert leaks_of(lambda: (_ for _ in ()).throw(KeyError(CANARY)))[0]
    assert leaks_of(lambda: print("nothing")) == ([], None)


@pytest.mark.parametrize("reader", [JsonlReader, ImageReader, EntityReader])
def test_readers_are_silent_about_what_is_wrong_in_a_row(folder, reader):
    path, failed = folder / "notes.jsonl", 0
    more = {"cats": ["cats"], "spans_key": "all", "triggers_key": "given"} if reader is EntityReader else {}
    for row in spoilt(ROW):
        path.write_text(dump(ROW) + dump(row))
        failed += assert_silent(consume(reader, path, **more)) is not None
    assert failed > 100


@pytest.mark.parametrize("form", list(OBJECTS))
def test_converters_are_silent_about_what_is_wrong_in_an_object(folder, form):
    path, failed, reader = folder / "notes.jsonl", 0, {"minimal": "label-studio"}.get(form, form)
    for row in spoilt(OBJECTS[form]):
        path.write_text(dump(row))

        def run():
            for where, found in get_format(reader).read(path):
                check_cats(found, "cats", where)
                annotate_doc(NLP, found, where, spans_key="all")

        failed += assert_silent(run) is not None
    assert failed > 20


@pytest.mark.parametrize("form", format_names(writable=True))
def test_writers_are_silent_about_what_is_wrong_in_a_row(folder, form):
    failed = 0
    for number, row in enumerate(spoilt(ROW["equivalent"])):
        rows = [("row 1", {**ROW, "equivalent": row})]
        failed += assert_silent(lambda: get_format(form).write(rows, folder / str(number))) is not None
    assert failed > 10


@pytest.mark.parametrize("form", list(FILES))
def test_converters_are_silent_about_what_is_wrong_in_a_line(folder, form):
    content, failed = FILES[form], 0
    path = folder / ENDINGS[form]
    (folder / "note.txt").write_text(TEXT)
    changes = [line for line in content.split("\n") if line]
    parts = sorted(
        {part for line in changes for part in line.replace("<", "\t<").replace(" ", "\t").replace(":", "\t").split("\t")}
    )
    for part in filter(None, parts):
        for other in (
            CANARY,
            f"{CANARY}\t{CANARY}",
            f"<{CANARY}>",
            f"&{CANARY};",
            "",
            str(NUMBER),
            f"-{NUMBER}",
            f"{CANARY}\n{CANARY}",
            "{" + CANARY,
        ):
            path.write_text(content.replace(part, other))
            failed += assert_silent(each(form, folder)) is not None
    assert failed > 20


def damaged():
    """Files that cannot be read, as bytes."""
    note = dump(ROW)
    yield "jsonl", note[:100].encode()
    yield "jsonl", note.encode("utf-16")
    yield "jsonl", note.replace("Fever", "Fièvre").encode("latin-1").replace(b"\\u00e8", b"\xe8")
    yield "jsonl", f'{{"text": "{CANARY} \xe8"}}'.encode("latin-1")
    yield "jsonl", f'{{"text": "{CANARY}", "n": {"1" * 5000}}}'.encode()
    yield "jsonl", f'{{"text": "{CANARY}", "n": {"[" * 100000}'.encode()
    yield "jsonl", f'"{CANARY}"'.encode()
    yield "jsonl", f'{{"text": "{CANARY} \\ud800", "cats": "A"}}'.encode()
    yield "jsonl", (note + dump({**ROW, "text": f"{CANARY} " * 100_000})).encode()
    yield "jsonl.gz", gzip.compress((note * 2000).encode(), mtime=0)[:-400]
    yield "jsonl.gz", CANARY.encode()
    yield "jsonl.gz", b""
    yield "spacy", CANARY.encode()
    yield "spacy", b""
    yield "json", note[:100].encode()
    yield "json", f"[{note}, {CANARY}]".encode()
    yield "json", f'["{CANARY}"]'.encode()
    yield "xml", f"<{CANARY}>".encode()
    yield "xml", f'<?xml version="1.0"?><collection>{CANARY}'.encode()
    yield "pubtator", f"{CANARY}\xe8".encode("latin-1")
    yield "ann", f"T1\t{CANARY}\xe8".encode("latin-1")


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=[pytest.mark.hard] if number % 3 or len(part) > 10_000 else [])
        for number, (_, part) in enumerate(damaged())
    ],
)
def test_everything_is_silent_about_damaged_files(folder, number):
    ending, content = list(damaged())[number]
    path = folder / f"notes.{ending}"
    path.write_bytes(content)
    (folder / "notes.txt").write_text(TEXT)
    for function in (
        consume(JsonlReader, path),
        consume(EntityReader, path),
        consume(EntityReader, path, cats="cats"),
        consume(ImageReader, path),
        command("convert", path, folder / "out.jsonl"),
        *(command("convert", path, folder / f"out.{name}.spacy", "--format", name) for name in format_names()),
    ):
        assert_silent(function)
    assert not [file.name for file in folder.iterdir() if file.name.endswith(".part")]


def test_readers_are_silent_about_what_is_wrong_in_spacy_files(folder):
    install_extensions()
    path = folder / "notes.spacy"
    relation = {"head": [0, 1], "child": [1, 2], "label": "WITH", "score": 1.0}
    event = {"trigger": [0, 1], "label": "Sign", "arguments": [], "attributes": {"Grade": {"value": "high", "spans": [[0, 1]]}}}
    for name, good in (("relations", relation), ("events", event)):
        for value in spoilt([good]):
            if "\\ud800" in json.dumps(value):
                continue  # spaCy cannot write it
            doc = Doc(NLP.vocab, words=TEXT.split())
            doc._.set(name, copy.deepcopy(value))
            DocBin(docs=[doc], store_user_data=True).to_disk(path)
            assert_silent(consume(EntityReader, path))


ANYTHING = st.recursive(
    st.sampled_from([CANARY, NUMBER, None, True, 0.5, 3, "T1", "A", -1]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([CANARY, *ROW, "start", "end", "label"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.hard
@settings(max_examples=15)
@given(row=st.dictionaries(st.sampled_from([CANARY, *ROW, *PRODIGY, *DOCCANO, *LABEL_STUDIO]), ANYTHING, max_size=6))
def test_convert_is_silent_about_any_object(tmp_path_factory, row):
    folder = tmp_path_factory.mktemp("any")
    (folder / "notes.jsonl").write_text(dump({"text": TEXT, **row}))
    assert_silent(command("convert", folder / "notes.jsonl", folder / "out.jsonl"))
    assert_silent(command("convert", folder / "notes.jsonl", folder / "brat", "--to", "brat", "--format", "jsonl"))
