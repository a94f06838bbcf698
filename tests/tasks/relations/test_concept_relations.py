"""Relations between concepts: all mentions of a concept are one."""

from dataclasses import replace

import numpy
import pytest
import spacy
import torch
from spacy.tokens import DocBin, Span
from spacy.training import Example
from thinc.api import Adam

from spacy_epee.data.docs import annotate_doc, copy_entities
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.inference.predict import cut_windows
from spacy_epee.inputs.concepts import concept_ids
from spacy_epee.tasks.relations import instances
from spacy_epee.tasks.relations.candidates import EntityPairs
from spacy_epee.tasks.relations.concepts import concept_relations
from spacy_epee.tasks.relations.docs import Relation, install_extensions
from spacy_epee.tasks.relations.head import pool
from spacy_epee.tasks.relations.scorer import score_relations

install_extensions()
BLANK = spacy.blank("en")
CONCEPTS = {"aspirin": "C1", "asa": "C1", "ibuprofen": "C2", "rash": "D1", "eruption": "D1", "hives": "D2", "headache": "D3"}
TEXTS = (
    "Aspirin caused a rash. The eruption went when ASA was stopped.",
    "Ibuprofen for a headache. No rash.",
    "Hives came with aspirin, and the headache stayed.",
)
GOLD = {TEXTS[0]: [("C1", "D1", "CAUSES")], TEXTS[1]: [("C2", "D3", "TREATS")], TEXTS[2]: [("C1", "D2", "CAUSES")]}


def tag(doc, ids=True):
    known = [token for token in doc if token.lower_ in CONCEPTS]
    doc.set_ents([Span(doc, t.i, t.i + 1, "Any", kb_id=CONCEPTS[t.lower_] if ids else "") for t in known])
    return doc


def make_example(nlp, text):
    """Relations of concepts as those of all pairs of their mentions, as the converter makes them."""
    reference = tag(nlp.make_doc(text))
    reference._.relations = [
        {"head": [head.start, head.end], "child": [child.start, child.end], "label": label, "score": 1.0}
        for one, other, label in GOLD.get(text, [])
        for head in reference.ents
        for child in reference.ents
        if one in concept_ids(head.kb_id_) and other in concept_ids(child.kb_id_)
    ]
    return Example(tag(nlp.make_doc(text)), reference)


@pytest.fixture(scope="module")
def nlp(backbone):
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    trunk = {"name": str(backbone), "window": 48, "overlap": 8}
    settings = {"model": {"trunk": trunk, "head": {"hidden": 16}, "exit_layers": None}, "candidates": {"level": "concept"}}
    nlp.add_pipe("epee_relations", config=settings)
    examples = [make_example(nlp, text) for text in TEXTS]
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.003)
    for _ in range(150):
        nlp.update(examples, sgd=optimizer)
    return nlp


@pytest.fixture
def pipe(nlp):
    return nlp.get_pipe("epee_relations")


@pytest.mark.parametrize(
    "name,ids",
    [
        ("D1", ["D1"]),
        ("D1|D2", ["D1", "D2"]),
        ("*D1 ; D2,D1", ["D1", "D2"]),
        ("c|SUB|A|1|G", ["c|SUB|A|1|G"]),
        ("NIL", []),
        ("", []),
    ],
)
def test_ids_of_several_concepts_are_taken_apart(name, ids):
    assert concept_ids(name) == ids


def test_relations_of_mentions_are_those_of_their_concepts_once():
    found = concept_relations(make_example(BLANK, TEXTS[0]).reference, None, False)
    assert found == {(("C1", "D1"), "CAUSES")}


def test_a_mention_of_several_concepts_leaves_those_to_their_own_mentions():
    doc = BLANK.make_doc("Aspirin caused hives and a rash")
    doc.set_ents([Span(doc, start, start + 1, "Any", kb_id=ids) for start, ids in ((0, "C1"), (2, "D2|D1"), (5, "D1"))])
    doc._.relations = [{"head": [0, 1], "child": [2, 3], "label": "CAUSES"}]
    assert concept_relations(doc, None, False) == {(("C1", "D2"), "CAUSES")}


def test_mentions_without_an_id_are_concepts_of_their_own():
    doc = tag(BLANK.make_doc("aspirin rash aspirin rash"), ids=False)
    doc._.relations = [{"head": [0, 1], "child": [1, 2], "label": "X"}, {"head": [2, 3], "child": [1, 2], "label": "X"}]
    assert len(concept_relations(doc, None, False)) == 2


def test_the_order_of_concepts_does_not_matter_without_a_direction():
    doc = tag(BLANK.make_doc("aspirin rash asa eruption"))
    doc._.relations = [{"head": [0, 1], "child": [1, 2], "label": "X"}, {"head": [3, 4], "child": [2, 3], "label": "X"}]
    assert len(concept_relations(doc, None, True)) == 1 and len(concept_relations(doc, None, False)) == 2


def test_scores_of_concepts_count_each_once():
    gold = make_example(BLANK, TEXTS[0])
    gold.predicted._.relations = gold.reference._.relations[:1]
    assert score_relations([gold], level="concept")["rel_micro_f"] == 1.0
    assert score_relations([gold])["rel_micro_r"] == 0.25
    gold.predicted._.relations = [{"head": [0, 1], "child": [3, 4], "label": "CAUSES", "head_id": "C1", "child_id": "D9"}]
    assert score_relations([gold], level="concept")["rel_micro_f"] == 0.0


def test_mentions_of_one_concept_are_not_paired(pipe):
    items = pipe.make_instances([tag(BLANK.make_doc("aspirin asa rash eruption"))])
    assert len(items) == 8 and len(numpy.unique(items.groups)) == 2


def test_entities_and_concepts_are_found_once_and_salience_where_it_counts(nlp, pipe, monkeypatch):
    calls = []

    def counted(name, function):
        return lambda *args: (calls.append(name), function(*args))[1]

    for name in ("spans", "concepts", "codes"):
        monkeypatch.setattr(EntityPairs, name, counted(name, getattr(EntityPairs, name)))
    monkeypatch.setattr(instances, "salience_of", counted("salience", instances.salience_of))
    docs = [tag(nlp.make_doc(TEXTS[0]))]
    windows = cut_windows(pipe.model, pipe.slots, docs)
    calls.clear()
    items = pipe.task.make_instances(docs, windows, pipe.cfg)
    assert calls == ["spans", "concepts", "codes"]
    pipe.predict(docs)
    assert "salience" not in calls and items.salience.shape == (len(items), 2)
    assert calls[-1] == "salience"


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError, match="candidates.level"):
        EntityPairs(level="document")


def test_pairs_of_the_same_concepts_have_the_same_vector():
    vectors = torch.tensor([[1.0, -2.0], [0.0, -1.0], [5.0, -7.0]], requires_grad=True)
    pooled = pool(vectors, torch.tensor([0, 0, 1]))
    assert pooled.tolist() == [[1.0, -1.0], [1.0, -1.0], [5.0, -7.0]]
    pooled.sum().backward()
    assert vectors.grad.tolist() == [[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]]
    assert pool(vectors, None) is vectors


def test_each_pair_of_concepts_is_learned_once_a_window(pipe):
    eg = make_example(BLANK, TEXTS[0])
    items = pipe.make_instances([eg.predicted])
    targets, known = pipe.task.targets([eg], pipe.labels, items)
    assert known[:, 0].sum() == len(numpy.unique(items.groups)) == 2 and targets[:, 1].sum() == 4


def test_concepts_are_answered_once_with_their_ids(nlp):
    docs = [nlp(tag(nlp.make_doc(text))) for text in TEXTS]
    found = [{(one.head_id, one.child_id, one.label) for one in Relation.of(doc)} for doc in docs]
    assert found == [set(GOLD[text]) for text in TEXTS]
    assert [len(doc._.relations) for doc in docs] == [1, 1, 1]


def test_what_is_replayed_scores_as_what_is_written(nlp, pipe):
    examples = [make_example(nlp, text) for text in TEXTS]
    stored = StoredOutputs(pipe, examples)
    replay = stored.replay()
    written = nlp.evaluate(examples)["rel_micro_f"]
    assert stored.scorer(replay)(replay.run(pipe.exit)) == pytest.approx(written) and written > 0.5


@pytest.mark.parametrize("symmetric", [False, True])
def test_what_is_replayed_of_mentions_of_several_concepts_scores_as_what_is_written(symmetric, nlp, pipe, monkeypatch):
    monkeypatch.setattr(pipe.task, "candidates", replace(pipe.task.candidates, symmetric=symmetric))
    answer = pipe.exit_logits

    def find_more(*args):
        for outputs in answer(*args):
            outputs.logits[..., 1:] += 5
            yield outputs

    monkeypatch.setattr(pipe, "exit_logits", find_more)
    chance, ids = numpy.random.default_rng(0), ["C1", "C2", "D1", "D2", "C1|C2", "D1|D2", "C1|D1", "C2|D2|D1", ""]
    differ = 0
    for _ in range(30):
        examples = []
        for text in TEXTS:
            example = make_example(nlp, text)
            names = chance.choice(ids, size=len(example.reference.ents))
            for doc in (example.predicted, example.reference):
                doc.set_ents([Span(doc, e.start, e.end, "Any", kb_id=name) for e, name in zip(doc.ents, names)])
            for entry in example.reference._.relations:  # some are others
                head, child = chance.choice(len(names), size=2, replace=False)
                places = {end: [doc.ents[who].start, doc.ents[who].end] for end, who in (("head", head), ("child", child))}
                entry.update(places if chance.random() < 0.5 else {})
            examples.append(example)
        stored = StoredOutputs(pipe, examples)
        score = stored.scorer(stored.replay())
        answers = next(pipe.exit_logits([eg.predicted for eg in examples]))
        found = replace(pipe.answer([eg.predicted for eg in examples], None), logits=answers.logits[-1])
        written = pipe.score_answers(examples, found)["rel_micro_f"]
        assert score(stored.replay().run(None)) == pytest.approx(written)
        differ += 0 < written < 1
    assert differ > 5


def test_ids_come_from_rows_and_survive_files(nlp):
    ents = [
        {"id": 1, "start": 0, "end": 7, "label": "Drug", "kb_id": "C1"},
        {"id": 2, "start": 8, "end": 12, "label": "X", "kb_id": "-"},
    ]
    for key in (None, "all"):
        doc = annotate_doc(BLANK, {"text": "aspirin rash", "ents": ents}, "row", spans_key=key)
        [again] = DocBin(docs=[doc], store_user_data=True).get_docs(BLANK.vocab)
        target = BLANK.make_doc(doc.text)
        copy_entities(again, target)
        assert [span.kb_id_ for span in (target.spans[key] if key else target.ents)] == ["C1", ""]


def rows_at_one_place(*ids):
    place = {"start": 0, "end": 7, "label": "Any"}
    ents = [{"id": f"T{number}", **place, "kb_id": name} for number, name in enumerate(ids)]
    ents.append({"id": "T9", "start": 8, "end": 12, "label": "Any", "kb_id": "D1"})
    return {"text": "aspirin rash", "ents": ents, "relations": [{"head": "T0", "child": "T9", "label": "CAUSES"}]}


@pytest.mark.parametrize("key", [None, "all"])
def test_a_mention_annotated_once_for_each_concept_has_all_of_them(key):
    doc = annotate_doc(BLANK, rows_at_one_place("C1", "C2|C1", ""), "row", spans_key=key)
    mention, _ = EntityPairs(key, level="concept").spans(doc)
    assert concept_ids(mention.kb_id_) == ["C1", "C2"]
    assert concept_relations(doc, key, False) == {(("C1", "D1"), "CAUSES"), (("C2", "D1"), "CAUSES")}


def test_ids_of_concepts_may_be_numbers_and_many():
    genes = ",".join(str(number) for number in range(5000, 5040))
    doc = annotate_doc(BLANK, rows_at_one_place(672), "row")
    assert [ent.kb_id_ for ent in doc.ents] == ["672", "D1"]
    doc = annotate_doc(BLANK, rows_at_one_place(genes), "row")
    assert [ent.kb_id_ for ent in doc.ents] == [genes, "D1"]


@pytest.mark.parametrize("concept", [["C1"], 6.72, True, "SECRET\nNAME", "x" * 10_001])
def test_what_is_no_id_of_a_concept_is_refused_without_being_shown(concept):
    with pytest.raises(ValueError, match="row, entity 1: the field 'kb_id' is no id of a concept") as caught:
        annotate_doc(BLANK, rows_at_one_place(concept), "row")
    assert "SECRET" not in str(caught.value)
