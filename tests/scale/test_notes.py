"""Rows of notes, whatever is wrong with some of them."""

import dataclasses
import pickle
import threading

import pytest
import spacy
from canary import CANARY, leaks_of
from events_util import make_events_nlp
from joint_util import make_joint_nlp
from relations_util import TEXTS as RELATION_TEXTS
from relations_util import make_relations_nlp, tag
from spacy.tokens import Span
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.scale import notes
from spacy_epee.scale.notes import COLUMNS, Note, annotate_alone, annotate_notes, check_pipeline, chunks


def as_notes(texts):
    return [Note(str(number), text) for number, text in enumerate(texts)]


@pytest.fixture(scope="module")
def nlp(backbone):
    return check_pipeline(make_nlp(backbone))


def with_entities(nlp):
    """The pipeline with a component before ours that finds entities."""
    spacy.Language.component("test_tag", func=tag)
    nlp.add_pipe("test_tag", first=True)
    return nlp


def test_rows_are_in_the_order_of_the_notes(nlp):
    texts = make_texts(30)
    rows = annotate_notes(nlp, as_notes(texts), "v1", batch_size=4)
    assert [row["id"] for row in rows] == [str(number) for number in range(30)]
    assert [list(row) for row in rows] == [list(COLUMNS)] * 30 and {row["version"] for row in rows} == {"v1"}
    for row, text in zip(rows, texts):
        assert row["answers"]["cats"] == pytest.approx(nlp(text).cats, abs=1e-5)


def test_rows_are_answered_by_length(backbone):
    nlp, lengths = make_nlp(backbone), []
    spacy.Language.component("test_lengths", func=lambda doc: lengths.append(len(doc.text)) or doc)
    nlp.add_pipe("test_lengths", first=True)
    annotate_notes(check_pipeline(nlp), as_notes(make_texts(20)))
    assert len(lengths) == 20 and lengths == sorted(lengths)


def test_rows_of_empty_notes_have_no_reason(nlp):
    for row in annotate_notes(nlp, as_notes(["", "  \n"])):
        assert row["layer"] == 0.0 and row["reason"] == "" and row["error"] is None and row["answers"]["labels"] == []


def test_rows_of_notes_that_are_too_long_or_not_there_say_so(nlp, monkeypatch):
    monkeypatch.setattr(nlp, "max_length", 20)
    found = annotate_notes(nlp, [Note("1", "x" * 21), Note("2", None, "line 3: not JSON"), Note("3", "Fever.")])
    assert found[0]["error"] == "it has 21 characters, more than `nlp.max_length` allows (20)"
    assert found[1]["error"] == "line 3: not JSON" and found[2]["error"] is None
    assert all(row["uncertain"] and row["answers"] is None and row["layer"] is None for row in found[:2])


def test_rows_have_no_words_that_are_values_of_attributes(backbone):
    def cue(doc):
        values = {"Duration": (doc[1:3].text, [[1, 3]]), "Negated": (True, []), "Kind": ("start", [])}
        attributes = {name: {"value": value, "score": 1.0, "spans": spans} for name, (value, spans) in values.items()}
        doc._.events = [{"trigger": [0, 1], "label": "Harm", "score": 1.0, "arguments": [], "attributes": attributes}]
        return doc

    nlp = make_events_nlp(backbone)
    spacy.Language.component("test_cue", func=cue)
    nlp.add_pipe("test_cue")
    [row] = annotate_notes(check_pipeline(nlp), [Note("1", f"Rash {CANARY} days.")])
    [event] = row["answers"]["events"]
    assert CANARY not in str(row) and event["attributes"] == {
        "Duration": {"value": None, "score": 1.0, "spans": [[5, 10 + len(CANARY)]]},
        "Negated": {"value": True, "score": 1.0, "spans": []},
        "Kind": {"value": "start", "score": 1.0, "spans": []},
    }


def test_rows_of_relations_and_events_count_characters(backbone):
    nlp = check_pipeline(with_entities(make_joint_nlp(backbone, steps=30)))
    texts = list(RELATION_TEXTS) * 2
    rows = annotate_notes(nlp, as_notes(texts))
    relations = events = 0
    for text, row in zip(texts, rows):
        doc = nlp(text)
        assert set(row["answers"]) == {"cats", "labels", "relations", "events"} and row["error"] is None
        for entry, relation in zip(row["answers"]["relations"], doc._.relations, strict=True):
            for end in ("head", "child"):
                start, stop = entry[end]
                assert text[start:stop] == doc[slice(*relation[end])].text
            relations += 1
        for entry, event in zip(row["answers"]["events"], doc._.events, strict=True):
            assert text[slice(*entry["trigger"])] == doc[slice(*event["trigger"])].text
            for one, other in zip(entry["arguments"], event["arguments"], strict=True):
                assert text[slice(*one["span"])] == doc[slice(*other["span"])].text
            events += 1
        exits = row["exits"]["epee"]
        assert set(exits) == {"kind", "relations", "events"}
        assert row["layer"] == pytest.approx(max(task["layer"] for task in exits.values()), abs=1e-5)
        assert set(row["reason"].split(", ")) - {""} == {u["reason"] for task in exits.values() for u in task["units"]}
    assert relations and events


def test_rows_have_the_answers_of_our_components_alone(backbone):
    nlp = make_nlp(backbone)
    nlp.add_pipe("test_other_cats", last=True)
    nlp.add_pipe("sentencizer", first=True)
    [row] = annotate_notes(check_pipeline(nlp), as_notes(["Fever."]))
    assert set(row["answers"]["cats"]) == {"ACUTE", "STABLE", "HISTORY"} and set(row["exits"]) == {"epee_textcat"}


@spacy.Language.component("test_other_cats")
def add_cats(doc):
    doc.cats["OTHER"] = 1.0
    return doc


class Fails:
    """A component that fails at some notes, in some way."""

    def __init__(self, way):
        self.way = way

    def __call__(self, doc):
        if "BAD" in doc.text:
            raise KeyError(doc.text)
        return doc

    def pipe(self, docs, batch_size=3):
        docs = list(docs)
        if self.way == "raises":
            yield from map(self, docs)
            return
        for begin in range(0, len(docs), batch_size):
            batch = docs[begin : begin + batch_size]
            try:
                yield from [self(doc) for doc in batch]
            except KeyError as error:
                if self.way == "handler":
                    self.error_handler("fails", self, batch, error)

    def set_error_handler(self, handler):
        self.error_handler = handler

    def get_error_handler(self):
        return self.error_handler


@spacy.Language.factory("test_fails", default_config={"way": "raises"})
def make_fails(nlp, name, way):
    return Fails(way)


TEXTS = [*SENTENCES, f"BAD {CANARY}", *SENTENCES, f"{CANARY} is BAD and long, long, long, long, long."]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("way", ["raises", "handler", "drops"])
def test_rows_of_notes_that_another_component_cannot_take_say_so(way, first, backbone):
    nlp = make_nlp(backbone)
    nlp.add_pipe("test_fails", before=0 if first else None, config={"way": way})
    rows = []
    found, error = leaks_of(lambda: rows.extend(annotate_alone(check_pipeline(nlp), as_notes(TEXTS))))
    assert not found and error is None
    said = {"raises": "a component: KeyError", "handler": "fails: KeyError", "drops": "a component left it out"}[way]
    assert {number: row["error"] for number, row in enumerate(rows) if row["error"]} == {12: said, 25: said}
    assert CANARY not in str(rows)


def test_rows_of_notes_that_our_component_cannot_take_say_why(backbone):
    nlp = check_pipeline(with_entities(make_relations_nlp(backbone)))
    task = nlp.get_pipe("epee_relations").task
    task.candidates = dataclasses.replace(task.candidates, max_pairs=4)
    rows = annotate_notes(nlp, as_notes(RELATION_TEXTS))
    failed = [row for row in rows if row["error"]]
    assert failed and len(failed) < len(rows)
    assert all(row["error"].startswith("epee_relations: ") and "pairs" in row["error"] for row in failed)


def test_rows_of_what_cannot_be_written_say_so(backbone):
    nlp = check_pipeline(make_nlp(backbone))
    nlp.add_pipe("test_odd_exits", last=True)
    rows = annotate_notes(nlp, as_notes(["Fever.", f"ODD {CANARY}"]))
    assert rows[0]["error"] is None
    assert rows[1]["error"] == "the answers cannot be written (TypeError)" and CANARY not in str(rows)


@spacy.Language.component("test_odd_exits")
def odd_exits(doc):
    if "ODD" in doc.text:
        doc._.exits["epee_textcat"]["textcat"]["more"] = Span(doc, 0, 1)
    return doc


def test_words_of_notes_are_not_kept(backbone):
    nlp = check_pipeline(make_nlp(backbone))
    annotate_alone(nlp, as_notes(SENTENCES))
    strings, lexemes = len(nlp.vocab.strings), len([*nlp.vocab])
    annotate_alone(nlp, as_notes([f"word{number} {CANARY}{number}" for number in range(50)]))
    assert (len(nlp.vocab.strings), len([*nlp.vocab])) == (strings, lexemes) and CANARY + "7" not in nlp.vocab.strings


def test_threads_may_share_a_pipeline(nlp):
    texts = make_texts(24, seed=5)
    expected, found = annotate_notes(nlp, as_notes(texts)), []
    threads = [threading.Thread(target=lambda: found.append(annotate_notes(nlp, as_notes(texts)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [expected] * 4


def test_chunks_are_bounded_by_notes_and_characters(monkeypatch):
    monkeypatch.setattr(notes, "CHUNK_NOTES", 5)
    monkeypatch.setattr(notes, "CHUNK_CHARACTERS", 100)
    given = as_notes(["x" * (number * 7 % 60) for number in range(50)])
    found = list(chunks(given))
    assert [note for chunk in found for note in chunk] == given
    assert all(len(chunk) <= 5 and sum(len(note.text) for note in chunk[:-1]) < 100 for chunk in found)
    behind = len(found[0]) + len(found[1])
    assert list(chunks(given[behind:])) == found[2:]


def test_pipelines_can_be_sent_to_processes_that_are_not_forked(nlp):
    other = pickle.loads(pickle.dumps(nlp))
    notes = as_notes(SENTENCES)
    assert annotate_notes(other, notes) == annotate_notes(nlp, notes)


def test_pipelines_of_images_are_refused(tmp_path):
    from images_util import make_image_backbone, make_image_nlp

    pytest.importorskip("PIL")
    with pytest.raises(ValueError, match="reads something else than text"):
        check_pipeline(make_image_nlp(make_image_backbone(tmp_path / "vit")))
