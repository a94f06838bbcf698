"""Documents with entities and relations."""

import json

import pytest
import spacy
from relations_util import TEXTS, make_example
from spacy.tokens import DocBin

from spacy_epee.data.docs import copy_entities
from spacy_epee.data.readers import EntityReader
from spacy_epee.tasks.relations.docs import Relation

NLP = spacy.blank("en")
TEXT = "Aspirin-induced rash in SECRETNAME."
ENTS = [{"id": "T1", "start": 0, "end": 7, "label": "Drug"}, {"id": "T2", "start": 16, "end": 20, "label": "Problem"}]
ROW = {"text": TEXT, "ents": ENTS, "relations": [{"head": "T1", "child": "T2", "label": "CAUSES"}]}


def read(tmp_path, row=ROW, **settings):
    path = tmp_path / "notes.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return list(EntityReader(path, **settings)(NLP))


def test_entity_reader_puts_entities_on_both_documents(tmp_path):
    (eg,) = read(tmp_path)
    for doc in (eg.reference, eg.predicted):
        assert [(ent.text, ent.label_) for ent in doc.ents] == [("Aspirin", "Drug"), ("rash", "Problem")]
    (relation,) = Relation.of(eg.reference)
    assert (relation.head.text, relation.child.text, relation.label, relation.score) == ("Aspirin", "rash", "CAUSES", 1.0)
    assert eg.predicted._.relations == []


def test_entity_reader_leaves_entities_to_the_pipeline(tmp_path):
    (eg,) = read(tmp_path, gold_entities=False)
    assert len(eg.reference.ents) == 2 and not eg.predicted.ents


def test_entity_reader_keeps_overlapping_entities_in_a_group(tmp_path):
    ents = [*ENTS, {"id": "T3", "start": 0, "end": 20, "label": "Problem"}]
    relations = [{"head": "T1", "child": "T3", "label": "CAUSES"}]
    (eg,) = read(tmp_path, {**ROW, "ents": ents, "relations": relations}, spans_key="all")
    assert [span.text for span in eg.predicted.spans["all"]] == ["Aspirin", "rash", "Aspirin-induced rash"]
    (relation,) = Relation.of(eg.reference)
    assert relation.child.text == "Aspirin-induced rash"


def test_entity_reader_expands_to_whole_tokens(tmp_path):
    ents = [ENTS[0], {"id": "T2", "start": 16, "end": 18, "label": "Problem"}]
    (eg,) = read(tmp_path, {**ROW, "ents": ents})
    assert eg.reference.ents[1].text == "rash"


@pytest.mark.parametrize("value", ["true", 1, 0.0, []])
def test_entity_reader_refuses_what_does_not_say_whether_relations_have_a_direction(tmp_path, value):
    with pytest.raises(ValueError, match="line 1: the field 'symmetric' is neither true nor false"):
        read(tmp_path, {**ROW, "symmetric": value})


def changed(**fields):
    return {**ROW, **fields}


@pytest.mark.parametrize(
    "row,settings,message",
    [
        (changed(ents=[ENTS[0], {**ENTS[1], "end": 18}]), {"align": "strict"}, "entity 2.*align"),
        (changed(ents=[ENTS[0], {**ENTS[1], "end": 999}]), {}, "entity 2.*not in the text"),
        (changed(ents=[ENTS[0], {**ENTS[1], "start": 20}]), {}, "entity 2.*not in the text"),
        (changed(ents=[ENTS[0], {"id": "T2", "start": 3, "end": 4}]), {}, "entity 2.*'label' is missing"),
        (changed(ents=[*ENTS, {"id": "T3", "start": 0, "end": 20, "label": "Problem"}]), {}, "spans_key"),
        (changed(ents={"T1": 3}), {}, "'ents' is not a list"),
        (changed(ents=[ENTS[0], {**ENTS[1], "start": "SECRETNAME"}]), {}, "entity 2.*whole number"),
        (changed(ents=[ENTS[0], {**ENTS[1], "label": "SECRETNAME " * 20}]), {}, "entity 2.*'label' is no string"),
        (changed(ents=[ENTS[0], {**ENTS[1], "label": ""}]), {}, "entity 2.*'label' is no string"),
        (changed(ents=[ENTS[0], {**ENTS[1], "label": None}]), {}, "entity 2.*'label' is no string"),
        (changed(ents=[ENTS[0], {**ENTS[1], "id": "T1"}]), {}, "entity 2.*same id"),
        (changed(ents=[ENTS[0], {**ENTS[1], "id": ["T2"]}]), {}, "entity 2.*'id'"),
        (changed(relations=[{"head": ["T1"], "child": "T2", "label": "X"}]), {}, "relation 1: its head is no entity"),
        (changed(relations=[{"head": "T1", "child": "T2", "label": ""}]), {}, "relation 1: the field 'label' is no string"),
        (changed(relations=[{"head": "T1", "child": "T9", "label": "X"}]), {}, "relation 1: its child is no entity"),
        (changed(relations=[{"head": "T1", "child": "T1", "label": "X"}]), {}, "relation 1: .*are the same characters"),
        (changed(relations=[{"head": "T1", "child": "T2"}]), {}, "relation 1: the field 'label' is missing"),
    ],
)
def test_entity_reader_names_the_place_and_shows_no_text(tmp_path, row, settings, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, row, **settings)
    assert "notes.jsonl" in str(error.value) and "line 1" in str(error.value)
    assert "SECRETNAME" not in str(error.value) and "rash" not in str(error.value)


def test_entity_reader_leaves_relations_inside_a_token_out_and_says_so(tmp_path):
    ents = [{"id": "T1", "start": 16, "end": 18, "label": "Drug"}, {"id": "T2", "start": 18, "end": 20, "label": "Drug"}]
    with pytest.warns(UserWarning, match="1 relations of 1 documents were left out, the first in .*line 1: head and child"):
        (eg,) = read(tmp_path, {**ROW, "ents": ents})
    assert eg.reference._.relations == []


def test_entity_reader_takes_the_first_label_of_entities_on_the_same_tokens_and_says_so_once(tmp_path):
    places = {"T1": (0, 7), "T2": (16, 18), "T3": (18, 20), "T4": (16, 20)}
    ents = [{"id": name, "start": start, "end": end, "label": "A"} for name, (start, end) in places.items()]
    given = [("T1", "T2", "X"), ("T1", "T3", "Y"), ("T1", "T4", "X"), ("T1", "T2", "Z"), ("T4", "T1", "Y")]
    row = {**ROW, "ents": ents, "relations": [{"head": head, "child": child, "label": label} for head, child, label in given]}
    with pytest.warns(UserWarning, match="1 relations of 1 documents .*other entities on the same tokens"):
        (eg,) = read(tmp_path, row, spans_key="entities")
    assert [relation.label for relation in Relation.of(eg.reference)] == ["X", "Z", "Y"]
    with pytest.warns(UserWarning, match="2 relations of 1 documents"):
        (eg,) = read(tmp_path, {**row, "symmetric": True}, spans_key="entities")
    assert [relation.label for relation in Relation.of(eg.reference)] == ["X", "Z"]


def test_entity_reader_reads_docbins(tmp_path):
    examples = [make_example(NLP, text) for text in TEXTS]
    DocBin(docs=[eg.reference for eg in examples], store_user_data=True).to_disk(tmp_path / "notes.spacy")
    found = list(EntityReader(tmp_path / "notes.spacy")(NLP))
    assert [len(eg.predicted.ents) for eg in found] == [len(eg.reference.ents) for eg in examples]
    for before, after in zip(examples, found):
        assert [r.label for r in Relation.of(after.reference)] == [r.label for r in Relation.of(before.reference)]


@pytest.mark.parametrize(
    "relation,named",
    [
        ({"head": [0, 1], "child": [3, 400], "label": "A"}, "its child, tokens 3 to 400"),
        ({"head": [1, 1], "child": [3, 4], "label": "A"}, "its head, tokens 1 to 1"),
        ({"head": [0, 1], "child": [0, 1], "label": "A"}, "same tokens"),
        ({"head": [0, 1], "label": "A"}, "'child' is missing"),
    ],
)
def test_entity_reader_refuses_relations_of_docbins_that_are_not_in_the_text(tmp_path, relation, named):
    doc = make_example(NLP, TEXTS[0]).reference
    doc._.relations = [*doc._.relations, relation]
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "notes.spacy")
    with pytest.raises(ValueError, match=f"notes.spacy, document 1, relation 3.*{named}"):
        list(EntityReader(tmp_path / "notes.spacy")(NLP))


def test_entity_reader_keeps_sentence_boundaries(tmp_path):
    doc = make_example(NLP, TEXTS[1]).reference
    for token in doc:
        token.is_sent_start = token.i in (0, 5)
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "notes.spacy")
    (eg,) = EntityReader(tmp_path / "notes.spacy")(NLP)
    assert [sentence.start for sentence in eg.predicted.sents] == [0, 5]


@pytest.mark.parametrize("name", ["missing.jsonl", "missing.spacy"])
def test_entity_reader_names_missing_files(tmp_path, name):
    with pytest.raises(ValueError, match=name):
        list(EntityReader(tmp_path / name)(NLP))


def test_entity_reader_refuses_unknown_alignment(tmp_path):
    with pytest.raises(ValueError, match="expand"):
        read(tmp_path, align="contract")


def test_copy_entities_to_another_vocabulary():
    source = make_example(NLP, TEXTS[0]).reference
    source.spans["all"] = list(source.ents)
    target = spacy.blank("en").make_doc(TEXTS[0])
    copy_entities(source, target)
    assert [(span.start, span.end, span.label_) for span in target.ents] == [(s.start, s.end, s.label_) for s in source.ents]
    assert [span.label_ for span in target.spans["all"]] == [span.label_ for span in source.ents]


def test_entity_reader_refuses_fields_that_share_a_label(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text(json.dumps({"text": "Fever.", "kind": "yes", "urgent": "yes"}) + "\n")
    with pytest.raises(ValueError, match="'kind' and 'urgent' share 1 labels"):
        list(EntityReader(path, cats=["kind", "urgent"])(spacy.blank("en")))
