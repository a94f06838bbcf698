"""Formats of annotated text, read and written by the command."""

import json
import subprocess
import sys
import tracemalloc
import warnings

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_epee.cli import epee
from spacy_epee.data.formats.registry import get_format, guess_format
from spacy_epee.data.formats.tokenizer import Tokenizer
from spacy_epee.data.readers import EntityReader
from spacy_epee.doc_attributes import annotation, soft_labels
from spacy_epee.tasks.relations.docs import Relation

TEXT = "Aspirin caused a rash.\nStop aspirin; SECRETNAME is well."
ENTS = [("T1", 0, 7, "Drug"), ("T2", 17, 21, "Problem"), ("T3", 28, 35, "Drug")]
NLP = spacy.blank("en")

BRAT = """T1\tDrug 0 7\tAspirin
T2\tProblem 17 21\trash
T3\tDrug 28 35\taspirin
R1\tCAUSES Arg1:T1 Arg2:T2
A1\tNegated T2
E1\tProblem:T2 Cause:T1
#1\tAnnotatorNotes T1\tSECRETNAME
"""
PUBTATOR = """1|t|Aspirin caused a rash.
1|a|Stop aspirin; SECRETNAME is well.
1\t0\t7\tAspirin\tDrug\tD001
1\t17\t21\trash\tProblem\tD002
1\t28\t35\taspirin\tDrug\tD001
1\tCAUSES\tD001\tD002

2|t|Nothing here.
"""
BIOC = """<?xml version="1.0" encoding="UTF-8"?>
<collection><source>s</source><date>d</date><key>k</key><document><id>1</id>
<passage><infon key="type">title</infon><offset>0</offset><text>Aspirin caused a rash.</text>
<annotation id="T1"><infon key="type">Drug</infon><infon key="MESH">D001</infon>
<location offset="0" length="7"/><text>Aspirin</text></annotation>
<annotation id="T2"><infon key="type">Problem</infon><infon key="MESH">D002</infon>
<location offset="17" length="4"/><text>rash</text></annotation>
</passage><passage><infon key="type">abstract</infon><offset>23</offset><text>Stop aspirin; SECRETNAME is well.</text>
<annotation id="T3"><infon key="type">Drug</infon><infon key="MESH">D001</infon>
<location offset="28" length="7"/><text>aspirin</text></annotation>
</passage>%s</document></collection>
"""
OF_CONCEPTS = (
    '<relation id="R0"><infon key="relation">CAUSES</infon><infon key="Drug">D001</infon>'
    '<infon key="Problem">D002</infon></relation>'
)
OF_MENTIONS = (
    '<relation id="R0"><infon key="type">CAUSES</infon><node refid="T1" role="cause"/><node refid="T2" role="effect"/></relation>'
)


def write(folder, form):
    """A document in a format; the name of the file or folder."""
    if form == "brat":
        (folder / "in").mkdir()
        (folder / "in" / "note.ann").write_text(BRAT)
        (folder / "in" / "note.txt").write_text(TEXT, encoding="utf-8", newline="\n")
        return folder / "in"
    if form == "jsonl":
        ents = [{"id": name, "start": start, "end": end, "label": label} for name, start, end, label in ENTS]
        row = {"text": TEXT, "ents": ents, "relations": [{"head": "T1", "child": "T2", "label": "CAUSES"}]}
        (folder / "in.jsonl").write_text(json.dumps(row) + "\n")
        return folder / "in.jsonl"
    name = {"pubtator": "in.pubtator", "bioc": "in.xml", "bioc-mentions": "in.xml"}[form]
    (folder / name).write_text({"pubtator": PUBTATOR, "bioc": BIOC % OF_CONCEPTS, "bioc-mentions": BIOC % OF_MENTIONS}[form])
    return folder / name


def run(*args):
    return CliRunner().invoke(epee, ["convert", *map(str, args)])


@pytest.mark.parametrize("suffix", [".jsonl", ".spacy"])
@pytest.mark.parametrize("form", ["brat", "jsonl", "pubtator", "bioc", "bioc-mentions"])
def test_convert_keeps_text_entities_and_relations(tmp_path, form, suffix):
    target = tmp_path / "out" / f"notes{suffix}"
    found = run(write(tmp_path, form), target)
    assert found.exit_code == 0, found.output
    first = next(iter(EntityReader(target)(NLP))).reference
    # BioC's offsets leave room between passages, but do not say for what.
    assert first.text == (TEXT.replace("\n", " ") if form.startswith("bioc") else TEXT)
    assert [(ent.start_char, ent.end_char, ent.label_) for ent in first.ents] == [ent[1:] for ent in ENTS]
    expected = [("Aspirin", "rash", "CAUSES")]
    if form in ("pubtator", "bioc"):  # of concepts: every mention
        expected.append(("aspirin", "rash", "CAUSES"))
    assert [(r.head.text, r.child.text, r.label) for r in Relation.of(first)] == expected


@pytest.mark.parametrize("form", ["brat", "jsonl", "pubtator", "bioc"])
def test_convert_guesses_the_format(tmp_path, form):
    assert guess_format(write(tmp_path, form)) == form


def test_convert_keeps_documents_without_relations(tmp_path):
    assert [row["text"] for _, row in get_format("pubtator").read(write(tmp_path, "pubtator"))] == [TEXT, "Nothing here."]


def test_convert_puts_entities_of_several_parts_together(tmp_path):
    source = write(tmp_path, "brat")
    (source / "note.ann").write_text("T1\tDrug 0 7;17 21\tAspirin rash\n")
    ((_, row),) = get_format("brat").read(source)
    assert [(ent["start"], ent["end"]) for ent in row["ents"]] == [(0, 21)]


@pytest.mark.parametrize(
    "form,old,new,place",
    [
        ("brat", "T2\tProblem 17 21", "T2\tProblem 17", "line 2"),
        ("brat", "T2\tProblem 17 21\trash", "T2 Problem 17 21 SECRETNAME", "line 2"),
        ("brat", "Arg1:T1 Arg2:T2", "Arg1:T1", "line 4"),
        ("brat", "Arg1:T1 Arg2:T2", "Arg1:T1 Arg2:T9", "line 4"),
        ("brat", "Problem 17 21", "Problem 17 210", "note.ann, line 2, T2"),
        ("pubtator", "1\t17\t21\trash\tProblem\tD002", "1\tx\t21\tSECRETNAME\tProblem\tD002", "line 4"),
        ("pubtator", "1|t|Aspirin", "1|x|SECRETNAME", "line 1"),
        ("pubtator", "\tCAUSES\tD001\tD002", "\tSECRETNAME", "line 6"),
        ("bioc", "</collection>", "</SECRETNAME>", "line 11: not XML"),
        ("bioc", '<location offset="17" length="4"/>', "", "document 1"),
        ("jsonl", '"label": "Problem"', '"lab": "Problem"', "line 1, entity 2"),
        ("jsonl", '{"text"', '{"text', "line 1"),
    ],
)
def test_convert_names_the_place_and_shows_no_text(tmp_path, form, old, new, place):
    source = write(tmp_path, form)
    file = source / "note.ann" if form == "brat" else source
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    found = run(source, tmp_path / "out.jsonl")
    assert found.exit_code == 1 and not (tmp_path / "out.jsonl").exists()
    output = " ".join(found.output.split())
    assert place in output and "SECRETNAME" not in output and "rash" not in output


def test_convert_reads_no_other_file_for_an_xml_file(tmp_path):
    (tmp_path / "secret.txt").write_text("SECRETNAME")
    source = write(tmp_path, "bioc")
    entity = f'<!DOCTYPE collection [<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">]>'
    head, rest = source.read_text().split("\n", 1)
    source.write_text(head + entity + rest.replace("caused", "&x;"))
    try:
        rows = list(get_format("bioc").read(source))
    except ValueError:
        return
    assert "SECRETNAME" not in rows[0][1]["text"].replace("; SECRETNAME is", "")


def rows_of(form, path):
    return [row for _, row in get_format(form).read(path)]


def test_convert_pubtator_without_blank_lines(tmp_path):
    path = tmp_path / "in.pubtator"
    path.write_text(PUBTATOR.replace("\n\n", "\n"))
    assert [(row["id"], row["text"], len(row["ents"])) for row in rows_of("pubtator", path)] == [
        ("1", TEXT, 3),
        ("2", "Nothing here.", 0),
    ]


def test_convert_pubtator_mentions_without_a_concept(tmp_path):
    path = tmp_path / "in.pubtator"
    path.write_text(PUBTATOR.replace("Problem\tD002", "Problem"))
    with pytest.warns(UserWarning, match="Relations of concepts that have no mention.* relations: 1,"):
        row = rows_of("pubtator", path)[0]
    assert len(row["ents"]) == 3 and row["relations"] == []


@pytest.mark.parametrize("mark", "|,;")
def test_convert_mentions_of_several_concepts(tmp_path, mark):
    path = tmp_path / "in.pubtator"
    path.write_text(PUBTATOR.replace("rash\tProblem\tD002", f"rash\tProblem\tD009{mark}D002"))
    assert len(rows_of("pubtator", path)[0]["relations"]) == 2


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\x0c"])
def test_convert_lines_end_at_line_ends_alone(tmp_path, mark):
    text = f"Aspirin{mark}caused a rash."
    (tmp_path / "note.txt").write_text(text, encoding="utf-8")
    (tmp_path / "note.ann").write_text(f"T1\tDrug 0 9\tAspirin{mark}c\n", encoding="utf-8")
    (tmp_path / "in.pubtator").write_text(f"1|t|{text}\n1\t0\t7\tAspirin\tDrug\tD1\n", encoding="utf-8")
    assert rows_of("brat", tmp_path)[0]["text"] == rows_of("pubtator", tmp_path / "in.pubtator")[0]["text"] == text


def test_convert_bioc_passages_in_any_order(tmp_path):
    path = write(tmp_path, "bioc")
    text = path.read_text()
    begin, middle, end = text.index("<passage>"), text.index("<passage>", text.index("<passage>") + 1), text.index("<relation")
    path.write_text(text[:begin] + text[middle:end] + text[begin:middle] + text[end:])
    assert rows_of("bioc", path)[0]["text"] == TEXT.replace("\n", " ")


def test_convert_bioc_numbers_that_begin_anew(tmp_path):
    path = write(tmp_path, "bioc")
    path.write_text(path.read_text().replace('annotation id="T3"', 'annotation id="T1"'))
    row = rows_of("bioc", path)[0]
    assert len({ent["id"] for ent in row["ents"]}) == 3 and len(row["relations"]) == 2


def test_convert_refuses_other_encodings(tmp_path):
    source = write(tmp_path, "brat")
    (source / "note.txt").write_bytes("Käse".encode("latin-1"))
    with pytest.raises(ValueError, match="note.txt, line 1: not UTF-8"):
        rows_of("brat", source)


def test_convert_refuses_to_overwrite(tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")
    assert run(write(tmp_path, "jsonl"), tmp_path / "out.jsonl").exit_code == 1
    assert (tmp_path / "out.jsonl").read_text() == "precious"


@pytest.mark.parametrize(
    "args,named",
    [
        (("in.jsonl", "out.csv"), ".spacy"),
        (("missing.jsonl", "out.jsonl"), "missing.jsonl"),
        (("in.jsonl", "out.jsonl", "--format", "csv"), "--format"),
        (("in.jsonl", "out.jsonl", "--align", "cut"), "--align"),
    ],
)
def test_convert_refuses_bad_arguments(tmp_path, args, named):
    write(tmp_path, "jsonl")
    paths = [tmp_path / arg if "." in arg else arg for arg in args]
    found = run(*paths)
    assert found.exit_code == 1 and named in " ".join(found.output.split()).replace(" ", "")[:2000] + found.output


def test_convert_of_nothing_says_so_and_writes_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "text.jsonl").write_text('{"text": "Fever."}\n{"text": "Rash.", "mentions": []}\n')
    for name, said in (("folder", "known format"), ("empty.jsonl", "no documents"), ("text.jsonl", "None of the 2 documents")):
        for target in (["out.jsonl"], ["out.spacy"], ["out", "--to", "brat"]):
            found = run(tmp_path / name, tmp_path / target[0], *target[1:])
            assert found.exit_code == 1 and said in " ".join(found.output.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl", "folder", "text.jsonl"]


@pytest.mark.parametrize(
    "form,name", [("bioc", "Train.BioC.XML"), ("pubtator", "Train.PubTator"), ("pubtator", "Train.PubTator.TXT")]
)
@pytest.mark.parametrize("folder", [False, True])
def test_convert_reads_names_in_capital_letters_and_folders(tmp_path, form, name, folder):
    (tmp_path / "in").mkdir()
    write(tmp_path, form).rename(tmp_path / "in" / name)
    found = run(tmp_path / "in" / ("" if folder else name), tmp_path / "out.jsonl")
    assert found.exit_code == 0 and "3 entities" in found.output


def test_convert_reads_all_files_of_a_folder(tmp_path):
    (tmp_path / "in.jsonl").mkdir()
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / "in.jsonl" / name).write_text(json.dumps({"id": name, "text": TEXT, "ents": [], "cats": "A"}) + "\n")
    assert run(tmp_path / "in.jsonl", tmp_path / "out.jsonl").exit_code == 0
    assert [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").open()] == ["a.jsonl", "b.jsonl"]


def test_convert_refuses_a_folder_of_several_formats(tmp_path):
    source = write(tmp_path, "brat")
    (source / "more.jsonl").write_text("{}")
    found = run(source, tmp_path / "out.jsonl")
    assert found.exit_code == 1 and "jsonl and brat" in " ".join(found.output.split())
    assert run(source, tmp_path / "out.jsonl", "--format", "brat").exit_code == 0


@pytest.mark.parametrize("target", [["out.jsonl"], ["out.spacy"], ["out", "--to", "brat"]])
def test_convert_leaves_nothing_where_a_row_is_bad(tmp_path, target):
    source = write(tmp_path, "jsonl")
    source.write_text(source.read_text() * 3 + '{"text": ""')
    found = run(source, tmp_path / target[0], *target[1:])
    assert found.exit_code == 1 and "line 4" in " ".join(found.output.split())
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("form", ["jsonl", "pubtator", "bioc", "brat"])
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_convert_names_the_file_of_another_encoding(tmp_path, form, encoding):
    if form == "bioc" and encoding == "latin-1":
        return  # XML says what it is in
    source = write(tmp_path, form)
    file = source / "note.txt" if form == "brat" else source
    file.write_bytes(file.read_text().replace("caused", "caus\xe9").replace("\\u00e9", "\xe9").encode(encoding))
    found = run(source, tmp_path / "out.jsonl", "--format", form)
    if form == "bioc":
        assert found.exit_code == 1 or "3 entities" in found.output
    else:
        assert found.exit_code == 1 and f"{file.name}, line 1: not UTF-8" in " ".join(found.output.split())


def test_convert_with_a_language_that_there_is_not(tmp_path):
    found = run(write(tmp_path, "jsonl"), tmp_path / "out.jsonl", "--lang", "qq")
    assert found.exit_code == 1 and "spaCy has no language 'qq'" in " ".join(found.output.split())


@pytest.mark.parametrize("lang", ["en", "de", "xx"])
def test_convert_uses_the_tokenizer_of_the_language(lang):
    text = "Don't give z.B. 5mg/kg (aspirin), e.g. now!"
    assert [token.text for token in Tokenizer(lang).make_doc(text)] == [token.text for token in spacy.blank(lang)(text)]


def test_convert_takes_texts_longer_than_pipelines_do(tmp_path):
    row = {"text": "fever " * 170_000, "ents": [{"id": 1, "start": 0, "end": 5, "label": "A"}]}
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    assert run(tmp_path / "in.jsonl", tmp_path / "out.jsonl").exit_code == 0


def test_convert_holds_one_row_at_a_time(tmp_path):
    row = {"text": "Fever", "ents": [{"id": 1, "start": 0, "end": 5, "label": "A"}], "more": "x" * 200_000}
    (tmp_path / "in.jsonl").write_text((json.dumps(row) + "\n") * 100)
    tracemalloc.start()
    assert run(tmp_path / "in.jsonl", tmp_path / "out.jsonl").exit_code == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000 < (tmp_path / "out.jsonl").stat().st_size


def test_convert_imports_nothing_that_runs_a_model(tmp_path):
    source = write(tmp_path, "jsonl")
    code = (
        "import sys; from spacy.cli._util import registry, get_command, app; registry.cli.get_all();"
        f"get_command(app)(['epee', 'convert', {str(source)!r}, {str(tmp_path / 'o.jsonl')!r}], standalone_mode=False);"
        "print([name for name in ('spacy_transformers', 'transformers', 'spacy_epee.component.pipe') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("[]") and (tmp_path / "o.jsonl").exists()


SEVERAL = """1|t|Liver or kidney damage by aspirin.
1\t0\t22\tLiver or kidney damage\tProblem\tD1
1\t9\t22\tkidney damage\tProblem\tD2
1\t26\t33\taspirin\tDrug\tC1
1\tCAUSES\tC1\tD1
1\tCAUSES\tC1\tD2
"""


@pytest.mark.parametrize("more,exclusive", [("", "true"), ("1\tWORSENS\tD2\tC1\n", "false")])
def test_convert_keeps_entities_that_overlap_and_says_what_they_want(tmp_path, more, exclusive):
    (tmp_path / "in.PubTator").write_text(SEVERAL + more)
    found = run(tmp_path / "in.PubTator", tmp_path / "out.jsonl")
    output = " ".join(found.output.split())
    assert found.exit_code == 0 and "3 entities" in output
    overrides = "--vars.spans_key entities --components.epee_relations.candidates.symmetric true "
    assert overrides + f"--components.epee_relations.exclusive {exclusive}" in output
    again = run(tmp_path / "out.jsonl", tmp_path / "out.spacy")
    assert again.exit_code == 1 and "--spans-key" in again.output and not (tmp_path / "out.spacy").exists()
    again = run(tmp_path / "out.jsonl", tmp_path / "out.spacy", "--spans-key", "problems")
    assert again.exit_code == 0 and overrides.replace("entities", "problems") in " ".join(again.output.split())


def test_convert_says_that_usual_settings_do(tmp_path):
    output = " ".join(run(write(tmp_path, "jsonl"), tmp_path / "out.jsonl").output.split())
    assert "spans_key = null (no entities share tokens); candidates.symmetric = false" in output and "exclusive = true" in output
    (tmp_path / "notes.jsonl").write_text('{"text": "Fever.", "ents": []}\n')
    assert "Settings" not in run(tmp_path / "notes.jsonl", tmp_path / "none.jsonl").output


def test_convert_keeps_what_is_not_annotated_apart_from_what_is_not_there(tmp_path):
    rows = [{"text": "Fever.", "ents": [], "relations": []}, {"text": "Rash.", "ents": [], "events": []}]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(tmp_path / "notes.jsonl", tmp_path / "notes.spacy").exit_code == 0
    docs = list(DocBin().from_disk(tmp_path / "notes.spacy").get_docs(spacy.blank("en").vocab))
    known = [[annotation(doc, name) is not None for name in ("relations", "events")] for doc in docs]
    assert known == [[True, False], [False, True]]


WHOLE = {
    "text": TEXT,
    "ents": [
        {"id": "T1", "start": 0, "end": 7, "label": "Drug", "kb_id": "D001", "flags": {"Negated": True}},
        {"id": "T2", "start": 17, "end": 35, "label": "Problem", "parts": [{"start": 17, "end": 21}, {"start": 28, "end": 35}]},
    ],
    "relations": [{"head": "T1", "child": "T2", "label": "CAUSES"}],
    "events": [{"trigger": {"ent": "T2"}, "label": "E", "arguments": [{"role": "Theme", "ent": "T1", "number": 2}]}],
    "symmetric": True,
    "equivalent": [["T1", "T2"]],
    "cats": {"A": 1},
    "teacher": {"A": 0.9, "B": 0.1},
    "SECRETNAME": "a note",
}


@pytest.mark.parametrize(
    "words, lost",
    [
        (
            ["out.spacy"],
            [
                "attributes of entities: 1",
                "parts of spans: 1",
                "numbers of roles: 1",
                "sets of entities that are the same: 1",
            ],
        ),
        (
            ["out", "--to", "brat"],
            ["labels of documents: 1", "soft labels of documents: 1", "have no direction: 1", "ids of concepts of entities: 1"],
        ),
        (["out.jsonl"], []),
    ],
)
def test_convert_counts_what_the_target_has_no_place_for(tmp_path, words, lost):
    (tmp_path / "in.jsonl").write_text(json.dumps(WHOLE) + "\n")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert run(tmp_path / "in.jsonl", tmp_path / words[0], *words[1:]).exit_code == 0
    message = " ".join(str(warning.message) for warning in said)
    assert all(what in message for what in lost) and "SECRETNAME" not in message
    assert message.count("the first in") == (len(lost) + 1 if lost else 0)
    assert ("other fields: 1, the first in" in message) == bool(lost)


def test_convert_keeps_what_teachers_say_in_spacy_files(tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(WHOLE) + "\n" + json.dumps({**WHOLE, "teacher": None}) + "\n")
    assert run(tmp_path / "in.jsonl", tmp_path / "out.spacy").exit_code == 0
    assert [soft_labels(eg.reference) for eg in EntityReader(tmp_path / "out.spacy")(NLP)] == [{"A": 0.9, "B": 0.1}, {}]
