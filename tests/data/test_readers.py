"""Reading JSONL."""

import gzip
import json
from functools import partial

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_epee.data.readers import EntityReader, JsonlReader


def write(path, rows):
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8").write(lines)
    return path


@pytest.mark.parametrize(
    "values,expected",
    [
        ([{"a": 1, "b": 0}, {"a": 0}], [{"a": 1.0, "b": 0.0}, {"a": 0.0}]),  # what is not named is not known
        ([["a"], ["b", "a"], []], [{"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}]),
        (["a", "b"], [{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}]),
    ],
)
def test_readers_labels(tmp_path, values, expected):
    path = write(tmp_path / "data.jsonl", [{"text": "fever", "cats": value} for value in values])
    examples = list(JsonlReader(path)(spacy.blank("en")))
    assert [eg.reference.cats for eg in examples] == expected
    assert not any(eg.predicted.cats for eg in examples)


def test_readers_field_and_limit(tmp_path):
    path = write(tmp_path / "data.jsonl", [{"text": "rash", "kind": kind} for kind in "xyz"])
    assert len(list(JsonlReader(path, cats="kind", limit=2)(spacy.blank("en")))) == 2


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_readers_compressed(tmp_path, name):
    write(tmp_path / "data.jsonl.gz", [{"text": "rash", "cats": "a"}])
    assert len(list(JsonlReader(tmp_path / name)(spacy.blank("en")))) == 1


@pytest.mark.parametrize(
    "line,problem",
    [
        ('{"text": "Secretname", ', "not JSON"),
        ('["Secretname"]', "expected an object"),
        ('{"text": "Secretname"}', "'cats' is missing"),
        ('{"cats": "a"}', "'text' is missing"),
        ('{"text": 3, "cats": "a"}', "not a string"),
        ('{"text": "fever", "cats": null}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": 3}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": {"x": "Secretname"}}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": {"x": NaN}}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": {"x": 0.4}}', "'cats' holds no labels"),  # it would count as true
        ('{"text": "fever", "cats": {" ": 1}}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": true}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": [true]}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": ""}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": [" \\t"]}', "'cats' holds no labels"),
        ('{"text": "fever", "cats": "Secretname\\u2028"}', "'cats' holds no labels"),
        ('{"text": "Secretname \\ud800", "cats": "a"}', "half of a pair"),
        ('{"Secretname \\udc00": 1, "text": "fever", "cats": "a"}', "half of a pair"),
        ('{"text": "fever", "cats": "a", "n": %s}' % ("9" * 5000), "thousands of digits"),
        ('{"text": "fever", "cats": "a", "n": %s' % ("[" * 100_000), "nested too deeply"),
        ('{"Secretname": "fever"}', "'text' is missing.$"),
        ('{"text": "fever", "cats": ["Secretname", 2]}', "'cats' holds no labels"),
        (json.dumps({"text": "fever", "cats": "Secretname " * 20}), "'cats' holds no labels"),
    ],
)
def test_readers_bad_line_is_named_without_its_text(tmp_path, line, problem):
    path = write(tmp_path / "data.jsonl", ['{"text": "fever", "cats": "a"}', "", line])
    with pytest.raises(ValueError, match=f"data.jsonl, line 3: .*{problem}") as error:
        list(JsonlReader(path)(spacy.blank("en")))
    assert "Secretname" not in str(error.value)


def labels_of(path, reader=JsonlReader, **settings):
    return [eg.reference.cats for eg in reader(path, **settings)(spacy.blank("en"))]


BOTH = pytest.mark.parametrize("reader", [JsonlReader, partial(EntityReader, cats="cats")])


@BOTH
@pytest.mark.parametrize("name", ["data.jsonl", "data.JSONL", "data.jsonl.gz"])
def test_readers_accept_a_byte_order_mark_and_any_case(tmp_path, reader, name):
    write(tmp_path / name, ['\ufeff{"text": "fever", "cats": "é"}'])
    assert labels_of(tmp_path / name, reader) == [{"é": 1.0}]


@BOTH
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_readers_name_the_line_of_another_encoding(tmp_path, reader, encoding):
    good = '{"text": "fever", "cats": "a"}\n' if encoding[:3] != "utf" else ""
    (tmp_path / "data.jsonl").write_bytes((good + '{"text": "fièvre", "cats": "é"}\n').encode(encoding))
    with pytest.raises(ValueError, match=f"data.jsonl, line {1 + bool(good)}: not UTF-8.*Convert the file to UTF-8"):
        labels_of(tmp_path / "data.jsonl", reader)


@BOTH
@pytest.mark.parametrize("keep", [0.99, 0.5, 0.01])
def test_readers_refuse_a_compressed_file_that_is_cut_off(tmp_path, reader, keep):
    write(tmp_path / "data.jsonl.gz", [{"text": f"fever {number}", "cats": "a"} for number in range(5000)])
    data = (tmp_path / "data.jsonl.gz").read_bytes()
    (tmp_path / "data.jsonl.gz").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"data.jsonl.gz, (after )?line \d+: .*(cut off|not JSON)"):
        labels_of(tmp_path / "data.jsonl.gz", reader)


@BOTH
def test_readers_refuse_a_compressed_file_that_is_none(tmp_path, reader):
    (tmp_path / "data.jsonl.gz").write_text('{"text": "fever", "cats": "a"}')
    with pytest.raises(ValueError, match="data.jsonl.gz, after line 0: the compressed file is damaged"):
        labels_of(tmp_path / "data.jsonl.gz", reader)


@BOTH
@pytest.mark.parametrize("name", ["folder", "folder.jsonl"])
def test_readers_read_all_files_of_a_folder_in_order(tmp_path, reader, name):
    folder = tmp_path / name
    (folder / "more").mkdir(parents=True)
    for file, label in (("b.jsonl", "b"), ("a.jsonl.gz", "a"), ("more/c.JSONL", "c"), (".d.jsonl", "d"), ("e.txt", "e")):
        write(folder / file, [{"text": "fever", "cats": {label: 1}}])
    assert labels_of(folder, reader) == [{"a": 1.0}, {"b": 1.0}, {"c": 1.0}]
    assert len(labels_of(folder, reader, limit=2)) == 2


@BOTH
def test_readers_refuse_a_folder_without_files(tmp_path, reader):
    with pytest.raises(ValueError, match="no files? ending in"):
        labels_of(tmp_path, reader)


@BOTH
def test_readers_name_the_line_and_the_setting_of_a_text_that_is_too_long(tmp_path, reader):
    write(tmp_path / "data.jsonl", [{"text": "fever", "cats": "a"}, {"text": "fever " * 170_000, "cats": "a"}])
    with pytest.raises(ValueError, match="data.jsonl, line 2: .*1020000 characters.*`nlp.max_length`"):
        labels_of(tmp_path / "data.jsonl", reader)


def test_readers_name_the_spacy_file_and_the_document(tmp_path):
    (tmp_path / "data.spacy").write_bytes(b"fever")
    with pytest.raises(ValueError, match="data.spacy, document 1: not what spaCy's `DocBin` writes"):
        labels_of(tmp_path / "data.spacy", EntityReader)
    nlp = spacy.blank("en")
    nlp.max_length = 2_000_000
    DocBin(docs=[nlp("fever"), nlp("fever " * 170_000)]).to_disk(tmp_path / "data.spacy")
    with pytest.raises(ValueError, match="data.spacy, document 2: the text is longer than `nlp.max_length`"):
        labels_of(tmp_path / "data.spacy", EntityReader)


@pytest.mark.parametrize("cats", [{"a": float("nan")}, {"a": 0.4}, {" ": 1.0}, {"Secretname\nhas a rash": 1.0}])
def test_readers_name_the_document_of_a_spacy_file_with_junk_for_labels(tmp_path, cats):
    docs = [spacy.blank("en")("fever") for _ in range(2)]
    docs[1].cats = cats
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    with pytest.raises(ValueError, match="data.spacy, document 2: the field 'cats' holds no labels"):
        labels_of(tmp_path / "data.spacy", EntityReader)


def test_readers_keep_documents_of_a_spacy_file_that_have_no_text(tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in ("fever", "", "rash")]
    docs[2].cats = {"a": 7.0}
    DocBin(docs=docs).to_disk(tmp_path / "data.SPACY")
    with pytest.raises(ValueError, match="data.SPACY, document 3: the field 'cats' holds no labels"):
        labels_of(tmp_path / "data.SPACY", EntityReader)
    docs[2].cats = {}
    DocBin(docs=docs).to_disk(tmp_path / "data.SPACY")
    assert [eg.reference.text for eg in EntityReader(tmp_path)(nlp)] == ["fever", "", "rash"]


def test_readers_refuse_a_file_of_another_name(tmp_path):
    (tmp_path / "data.csv").write_text("fever,a")
    with pytest.raises(ValueError, match="no file ending in .spacy or .jsonl"):
        labels_of(tmp_path / "data.csv", EntityReader)


def test_readers_take_true_and_false_for_labels_in_an_object(tmp_path):
    write(tmp_path / "data.jsonl", [{"text": "fever", "cats": {"a": True, "b": False}}])
    assert labels_of(tmp_path / "data.jsonl") == [{"a": 1.0, "b": 0.0}]


def test_readers_show_no_field_of_a_row(tmp_path):
    write(tmp_path / "data.jsonl", [{"Secretname has a rash": "fever", "cats": "a"}])
    with pytest.raises(ValueError) as error:
        labels_of(tmp_path / "data.jsonl")
    assert "Secretname" not in str(error.value) and error.value.__context__ is None


def test_readers_missing_file(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        list(JsonlReader(tmp_path / "none.jsonl")(spacy.blank("en")))
