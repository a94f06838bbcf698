"""Exports of annotation tools."""

import json

import pytest
import spacy
from typer.testing import CliRunner

from spacy_epee.cli import epee
from spacy_epee.data.docs import annotate_doc
from spacy_epee.data.formats.registry import get_format, guess_format
from spacy_epee.data.readers import EntityReader, JsonlReader

NLP = spacy.blank("en")
TEXT = "Aspirin caused a rash."


def write(path, *objects):
    whole = path.suffix == ".json"
    path.write_text(json.dumps(objects, indent=1) if whole else "".join(json.dumps(row) + "\n" for row in objects))
    return path


def read(path, form):
    assert guess_format(path) == form
    rows = [row for _, row in get_format(form).read(path)]
    for row in rows:
        annotate_doc(NLP, row, "row", spans_key="all")
    return rows


def spans(row):
    return [(row["text"][ent["start"] : ent["end"]], ent["label"]) for ent in row["ents"]]


def links(row):
    texts = {ent["id"]: row["text"][ent["start"] : ent["end"]] for ent in row["ents"]}
    return [(texts[entry["head"]], entry["label"], texts[entry["child"]]) for entry in row["relations"]]


def run(*args):
    found = CliRunner().invoke(epee, ["convert", *map(str, args)])
    return found.exit_code, " ".join(found.output.split())


DRUG = {"start": 0, "end": 7, "token_start": 0, "token_end": 0, "label": "DRUG"}
PROBLEM = {"start": 17, "end": 21, "token_start": 3, "token_end": 3, "label": "PROBLEM"}
TOKENS = [
    {"text": TEXT[a:b], "start": a, "end": b, "id": i} for i, (a, b) in enumerate([(0, 7), (8, 14), (15, 16), (17, 21), (21, 22)])
]


def prodigy(number=1, text=TEXT, answer="accept", **more):
    return {"text": text, "_input_hash": number, "_task_hash": number, "answer": answer, **more}


def test_prodigy_spans_and_relations(tmp_path):
    relations = [
        {"head": 0, "child": 3, "head_span": DRUG, "child_span": PROBLEM, "label": "CAUSES"},
        {"head": 3, "child": 0, "label": "CAUSED_BY"},  # tokens alone
        {"head": 1, "child": 3, "head_span": {"start": 8, "end": 14, "label": None}, "child_span": PROBLEM, "label": "OF"},
    ]
    path = write(tmp_path / "a.jsonl", prodigy(spans=[DRUG, PROBLEM], tokens=TOKENS, relations=relations))
    with pytest.warns(UserWarning, match="1 spans had no label and got 'SPAN'"):
        (row,) = read(path, "prodigy")
    assert spans(row) == [("Aspirin", "DRUG"), ("rash", "PROBLEM"), ("caused", "SPAN")]
    assert links(row) == [("Aspirin", "CAUSES", "rash"), ("rash", "CAUSED_BY", "Aspirin"), ("caused", "OF", "rash")]


def test_prodigy_answers_that_were_not_accepted_are_counted(tmp_path):
    answers = [prodigy(n, answer=answer, spans=[DRUG]) for n, answer in enumerate(["accept", "reject", "ignore", "ignore"])]
    with pytest.warns(UserWarning, match="1 rejected answers were left out.*|2 ignored answers were left out") as said:
        assert len(read(write(tmp_path / "a.jsonl", *answers), "prodigy")) == 1
    assert "1 rejected" in str(said[0].message) and "2 ignored" in str(said[0].message)


def test_prodigy_labels_of_one_text_are_put_together(tmp_path):
    yes, no = prodigy(label="A"), prodigy(label="B", answer="reject")
    (row,) = read(write(tmp_path / "a.jsonl", yes, no), "prodigy")
    assert row["cats"] == {"A": 1.0, "B": 0.0} and "ents" not in row
    with pytest.warns(UserWarning, match="1 labels were answered in two ways"):
        (row,) = read(write(tmp_path / "a.jsonl", yes, {**yes, "answer": "reject"}), "prodigy")
    assert row["cats"] == {"A": 0.0}


@pytest.mark.parametrize("shown", [{"spans": []}, {"spans": [{"start": 17, "end": 21, "text": "rash", "pattern": 12}]}])
def test_prodigy_labels_of_texts_whose_patterns_are_shown(tmp_path, shown):
    asked = {"label": "A", "_view_id": "classification", "meta": {"score": 0.5}, **shown}
    (yes, no) = read(write(tmp_path / "a.jsonl", prodigy(**asked), prodigy(2, "Fever.", "reject", **asked)), "prodigy")
    assert yes["cats"] == {"A": 1.0} and no["cats"] == {"A": 0.0} and "ents" not in yes


@pytest.mark.parametrize("more", [{"spans": [DRUG]}, {"spans": [], "_view_id": "ner_manual"}])
def test_prodigy_a_label_beside_entities_is_no_answer(tmp_path, more):
    (row,) = read(write(tmp_path / "a.jsonl", prodigy(label="ward 3", **more)), "prodigy")
    assert "cats" not in row and len(row["ents"]) == len(more["spans"])


def test_tools_that_have_no_id_leave_it_empty(tmp_path):
    (row,) = read(write(tmp_path / "a.jsonl", prodigy(id=None, spans=[DRUG])), "prodigy")
    assert row["id"] == "1"
    (row,) = read(write(tmp_path / "b.jsonl", {"id": None, "text": TEXT, "label": [[0, 7, "DRUG"]]}), "doccano")
    assert row["id"] == ""
    assert run(tmp_path / "b.jsonl", tmp_path / "out", "--to", "brat")[0] == 0 and (tmp_path / "out" / "1.ann").exists()


def test_prodigy_choices(tmp_path):
    options = [{"id": "A", "text": "a"}, {"id": 2, "text": "b"}]
    chosen, rejected = prodigy(options=options, accept=["A"]), prodigy(2, "Other", "reject", options=options, accept=[])
    with pytest.warns(UserWarning, match="1 rejected"):
        (row,) = read(write(tmp_path / "a.jsonl", chosen, rejected), "prodigy")
    assert row["cats"] == {"A": 1.0, "2": 0.0}


def test_prodigy_of_two_annotations_of_a_text_the_last_one_holds(tmp_path):
    path = write(tmp_path / "a.jsonl", prodigy(spans=[DRUG]), prodigy(spans=[PROBLEM]))
    with pytest.warns(UserWarning, match="1 texts were annotated again, and the last annotation holds"):
        (row,) = read(path, "prodigy")
    assert spans(row) == [("rash", "PROBLEM")]


def test_prodigy_spans_of_yes_or_no_questions_are_put_together(tmp_path):
    answers = [prodigy(spans=[span], _is_binary=True) for span in (DRUG, PROBLEM, DRUG)]
    (row,) = read(write(tmp_path / "a.jsonl", *answers), "prodigy")
    assert spans(row) == [("Aspirin", "DRUG"), ("rash", "PROBLEM")] and len({ent["id"] for ent in row["ents"]}) == 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_doccano_entities_and_relations(tmp_path, name):
    ents = [
        {"id": 11, "label": "DRUG", "start_offset": 0, "end_offset": 7},
        {"id": 12, "label": "PROBLEM", "start_offset": 17, "end_offset": 21},
    ]
    relations = [{"id": 1, "from_id": 11, "to_id": 12, "type": "CAUSES"}]
    document = {"id": 7, "text": TEXT, "entities": ents, "relations": relations, "Comments": []}
    (row,) = read(write(tmp_path / name, document), "doccano")
    assert row["id"] == "7" and spans(row) == [("Aspirin", "DRUG"), ("rash", "PROBLEM")]
    assert links(row) == [("Aspirin", "CAUSES", "rash")]


@pytest.mark.parametrize("text", ["text", "data"])
@pytest.mark.parametrize("label", ["label", "labels", "entities"])
def test_doccano_spans_as_triples(tmp_path, text, label):
    (row,) = read(write(tmp_path / "a.jsonl", {"id": 1, text: TEXT, label: [[0, 7, "DRUG"]]}), "doccano")
    assert spans(row) == [("Aspirin", "DRUG")] and "relations" not in row and "cats" not in row


def test_doccano_labels_of_documents(tmp_path):
    path = write(tmp_path / "a.jsonl", {"id": 1, "text": TEXT, "label": ["A", "B"]}, {"id": 2, "text": TEXT, "label": []})
    assert [row["cats"] for row in read(path, "doccano")] == [["A", "B"], []]
    intent = {"id": 1, "text": TEXT, "cats": ["A"], "entities": [[0, 7, "DRUG"]]}
    (row,) = read(write(tmp_path / "a.jsonl", intent), "doccano")
    assert row["cats"] == ["A"] and spans(row) == [("Aspirin", "DRUG")]


def test_doccano_offsets_of_utf16_are_understood(tmp_path):
    path = write(tmp_path / "a.jsonl", {"text": f"\U0001f600 {TEXT}", "label": [[3, 10, "DRUG"], [20, 24, "PROBLEM"]]})
    with pytest.warns(UserWarning, match="1 documents have offsets that count UTF-16 units"):
        (row,) = read(path, "doccano")
    assert spans(row) == [("Aspirin", "DRUG"), ("rash", "PROBLEM")]


def test_doccano_files_of_several_annotators_have_each_document_once(tmp_path):
    mine, theirs = {"id": 1, "text": TEXT, "label": [[0, 7, "DRUG"]]}, {"id": 1, "text": TEXT, "label": [[17, 21, "PROBLEM"]]}
    for name, own in (("amy", mine), ("bob", theirs), ("eve", {**mine, "label": []})):
        write(tmp_path / f"{name}.jsonl", own, {"id": 2, "text": TEXT, "label": []}, {"text": TEXT, "label": [[0, 7, "DRUG"]]})
    with pytest.warns(UserWarning, match="4 annotations were left out for another one of the same document"):
        rows = read(tmp_path, "doccano")
    assert [row["id"] for row in rows] == ["1", "2", "", "", ""] and spans(rows[0]) == [("rash", "PROBLEM")]


def test_doccano_numbers_for_labels_are_refused(tmp_path):
    path = write(
        tmp_path / "a.jsonl", {"text": TEXT, "entities": [], "annotations": [{"label": 3, "start_offset": 0, "end_offset": 7}]}
    )
    with pytest.raises(ValueError, match="a.jsonl, line 1.*its labels are numbers"):
        list(get_format("doccano").read(path))


def region(name, start, end, label, text=None, **more):
    value = {"start": start, "end": end, "labels": [label], **({} if text is None else {"text": text})}
    return {"id": name, "from_name": "label", "to_name": "text", "type": "labels", "value": value, **more}


def arrow(head, child, label="CAUSES", direction="right"):
    labels = {} if label is None else {"labels": [label]}
    return {"from_id": head, "to_id": child, "type": "relation", "direction": direction, **labels}


def task(*results, number=1, data=None, **annotation):
    done = {"id": 1, "result": list(results), "was_cancelled": False, "ground_truth": False, **annotation}
    return {"id": number, "data": data or {"text": TEXT}, "annotations": [done], "predictions": [], "drafts": []}


ASPIRIN, RASH = region("a", 0, 7, "DRUG", "Aspirin"), region("b", 17, 21, "PROBLEM", "rash")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    "direction,expected",
    [
        ("right", [("Aspirin", "CAUSES", "rash")]),
        ("left", [("rash", "CAUSES", "Aspirin")]),
        ("bi", [("Aspirin", "CAUSES", "rash"), ("rash", "CAUSES", "Aspirin")]),
    ],
)
def test_label_studio_entities_and_relations(tmp_path, name, direction, expected):
    (row,) = read(write(tmp_path / name, task(ASPIRIN, arrow("a", "b", direction=direction), RASH)), "label-studio")
    assert spans(row) == [("Aspirin", "DRUG"), ("rash", "PROBLEM")] and links(row) == expected


def test_label_studio_single_tasks_and_annotations_from_storage(tmp_path):
    whole = task(ASPIRIN)
    (tmp_path / "1.json").write_text(json.dumps(whole, indent=2))
    (tmp_path / "2.json").write_text(
        json.dumps({**whole["annotations"][0], "result": [RASH], "task": {"id": 2, "data": whole["data"]}})
    )
    assert [spans(row) for row in read(tmp_path, "label-studio")] == [[("Aspirin", "DRUG")], [("rash", "PROBLEM")]]


def test_label_studio_choices(tmp_path):
    def choice(name, *chosen):
        return {"id": name, "from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(chosen)}}

    (row,) = read(write(tmp_path / "a.json", task(choice("kind", "A"), choice("haste", "high", "now"))), "label-studio")
    assert row["cats"] == ["A", "high", "now"] and row["kind"] == ["A"] and row["haste"] == ["high", "now"]


def test_label_studio_choices_of_two_questions_that_are_called_the_same_are_counted(tmp_path):
    def choice(name, chosen):
        return {"id": name, "from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [chosen]}}

    tasks = [task(choice("fever", "Yes"), choice("rash", "No")), task(choice("fever", "No"), choice("rash", "No"), number=2)]
    with pytest.warns(UserWarning, match="1 choices are called as those of another question.*--cats QUESTION"):
        rows = read(write(tmp_path / "a.json", *tasks), "label-studio")
    assert [row["fever"] for row in rows] == [["Yes"], ["No"]]


@pytest.mark.parametrize("address", ["https://hospital.org/a.txt", "s3://notes/1/a.txt", "/data/local-files/?d=a.txt\n"])
def test_label_studio_addresses_are_no_texts(tmp_path, address):
    kind = {"id": "k", "from_name": "kind", "to_name": "text", "type": "choices", "value": {"choices": ["A"]}}
    with pytest.raises(ValueError, match="object 1: its text is the address of a file") as caught:
        read(write(tmp_path / "a.json", task(kind, data={"text": address})), "label-studio")
    assert "a.txt" not in str(caught.value)


def test_label_studio_what_is_skipped_rejected_or_not_annotated_is_counted(tmp_path):
    tasks = [task(ASPIRIN), task(RASH, was_cancelled=True, number=2), task(RASH, reviews=[{"accepted": False}], number=3)]
    tasks += [
        {"id": 4, "data": {"text": TEXT}, "annotations": []},
        task(ASPIRIN, {"type": "rating", "value": {"rating": 3}}, number=5),
    ]
    with pytest.warns(UserWarning) as said:
        assert [row["id"] for row in read(write(tmp_path / "a.json", *tasks), "label-studio")] == ["1", "5"]
    (message,) = {str(warning.message) for warning in said}
    for part in (
        "1 annotations were skipped",
        "1 annotations were rejected",
        "3 tasks have no annotation",
        "1 results were left out",
    ):
        assert part in message


@pytest.mark.parametrize(
    "marks,expected",
    [
        (({}, {}), "rash"),
        (({"ground_truth": True}, {}), "Aspirin"),
        (({"updated_at": "2024-02-01T00:00:00Z"}, {"updated_at": "2024-01-01T00:00:00Z"}), "Aspirin"),
        (({}, {"was_cancelled": True}), "Aspirin"),
    ],
)
def test_label_studio_of_several_annotations_the_true_or_the_last_one_holds(tmp_path, marks, expected):
    annotations = [{"result": [result], **mark} for result, mark in zip((ASPIRIN, RASH), marks)]
    path = write(tmp_path / "a.json", {"id": 1, "data": {"text": TEXT}, "annotations": annotations})
    with pytest.warns(UserWarning, match="1 annotations were"):
        (row,) = read(path, "label-studio")
    assert spans(row)[0][0] == expected


def test_label_studio_offsets_in_other_units_are_understood(tmp_path):
    text = "\U0001f600 Aspirin"
    path = write(tmp_path / "a.json", task(region("a", 3, 10, "DRUG", "Aspirin"), data={"text": text}))
    with pytest.warns(UserWarning, match="1 documents have offsets that count UTF-16 units"):
        (row,) = read(path, "label-studio")
    assert spans(row) == [("Aspirin", "DRUG")]


def test_label_studio_texts_that_are_not_there_are_refused(tmp_path):
    path = write(tmp_path / "a.json", task(region("a", 0, 7, "DRUG", "Secretname")))
    with pytest.raises(ValueError, match="a.json, object 1, span 1") as error:
        list(get_format("label-studio").read(path))
    assert "Secretname" not in str(error.value)


def test_label_studio_the_text_is_the_field_that_its_spans_fit(tmp_path):
    (row,) = read(write(tmp_path / "a.json", task(ASPIRIN, data={"source": "ward 3", "note": TEXT})), "label-studio")
    assert row["text"] == TEXT
    with pytest.raises(ValueError, match="object 1: it is not clear which field of its data is the text"):
        list(get_format("label-studio").read(write(tmp_path / "a.json", task(data={"source": "ward 3", "note": TEXT}))))


def test_label_studio_minimal_json(tmp_path):
    label = [{"start": 0, "end": 7, "text": "Aspirin", "labels": ["DRUG"]}]
    about = {"annotator": 1, "annotation_id": 3, "created_at": "", "updated_at": "", "lead_time": 2.5}
    path = write(
        tmp_path / "a.json", {"text": TEXT, "id": 1, "label": label, "kind": "A", "haste": {"choices": ["x", "y"]}, **about}
    )
    (row,) = read(path, "label-studio")
    assert spans(row) == [("Aspirin", "DRUG")] and row["cats"] == ["x", "y"] and row["kind"] == "A" and "lead_time" not in row


@pytest.mark.parametrize("suffix", [".jsonl", ".spacy"])
def test_convert_keeps_labels_of_documents(tmp_path, suffix):
    path = write(tmp_path / "a.jsonl", {"text": TEXT, "label": ["A"]}, {"text": "Fever.", "label": ["B"]})
    code, output = run(path, tmp_path / f"out{suffix}")
    assert code == 0 and "2 labels" in output
    reader = JsonlReader if suffix == ".jsonl" else EntityReader
    found = [eg.reference.cats for eg in reader(tmp_path / f"out{suffix}")(NLP)]
    assert found == [{"A": 1.0, "B": 0.0}, {"A": 0.0, "B": 1.0}]
