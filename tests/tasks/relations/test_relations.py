"""Relations from end to end, on a tiny backbone."""

import json
import pickle
import warnings
from functools import lru_cache

import numpy
import pytest
import spacy
import torch
from relations_util import TEXTS, make_example, make_relations_nlp, tag
from spacy.tokens import Doc, DocBin
from transformers import AutoModel

from spacy_epee.data.readers import EntityReader
from spacy_epee.engine.replay import simulate
from spacy_epee.exits import rules
from spacy_epee.model import get_exit_layers, get_heads, get_stepper, get_windows
from spacy_epee.tasks.relations.candidates import EntityPairs
from spacy_epee.tasks.relations.docs import Relation

LONG = " ".join([*TEXTS] * 4)
NOTES = [TEXTS[0], "", TEXTS[3], LONG, TEXTS[1], TEXTS[4], TEXTS[2], TEXTS[5], "Codeine, codeine.", TEXTS[0] + " " + TEXTS[1]]
RULES = [
    rules.Entropy(0.75),
    rules.Confidence(0.5),
    rules.Margin(0.2),
    rules.Energy(0.1),
    rules.Patience(1),
    rules.FlexiblePatience(0.2, 1),
    rules.ConfidentPatience(0.9, 2),
    rules.EntropyPatience(0.6, 1),
    rules.Voting(2.0),
    rules.Learned(0.5),
    rules.FixedDepth(2),
    rules.FromLayer(2, rules.EntropyPatience(0.5, 1)),
    rules.FromLayer(2, rules.FlexiblePatience(0.3, 1)),
    rules.NothingFound(0.6),
    rules.AnyOf({"empty": rules.NothingFound(0.6), "twice": rules.Patience(2)}),
    rules.SettledStructure(0.6, [1, 3], [[0, 0, 0, -1, -1, 0, 0.5, 0]] * 2, [[0, 1, -1, 0, -1, 0, 2, 1]] * 2, []),
]


@pytest.fixture(scope="module", params=["exclusive", "any-number"])
def nlp(request, backbone):
    return make_relations_nlp(backbone, exclusive=request.param == "exclusive", head={"learned_exit": True})


@pytest.fixture(scope="module")
def one(backbone):
    return make_relations_nlp(backbone)


def docs_of(nlp, notes=NOTES):
    return [tag(nlp.make_doc(note)) for note in notes]


def test_relations_notes_of_these_tests_have_several_windows(nlp):
    pipe = nlp.get_pipe("epee_relations")
    items = pipe.make_instances(docs_of(nlp))
    assert items.counts.max() > 3 and len(set(items.unit_docs.tolist())) < items.n_units


@pytest.mark.parametrize("rule", [*RULES, None], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("size", [7, 32])
def test_relations_batched_equals_one_by_one(nlp, rule, size):
    pipe = nlp.get_pipe("epee_relations")
    alone = [pipe.answer([doc], rule) for doc in docs_of(nlp)]
    logits = numpy.concatenate([answers.logits for answers in alone])
    layers = numpy.concatenate([answers.layers for answers in alone])
    docs, found = docs_of(nlp), []
    for start in range(0, len(docs), size):
        found.append(pipe.answer(docs[start : start + size], rule))
    assert numpy.concatenate([answers.layers for answers in found]).tolist() == layers.tolist()
    numpy.testing.assert_allclose(numpy.concatenate([a.logits for a in found]), logits, rtol=1e-4, atol=1e-4)
    assert sum((a.reasons for a in found), []) == sum((a.reasons for a in alone), [])


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_relations_simulation_equals_the_loop(nlp, rule, reduce, monkeypatch):
    pipe = nlp.get_pipe("epee_relations")
    monkeypatch.setattr(pipe.task, "reduce", reduce)
    docs = docs_of(nlp)
    (stored,) = pipe.exit_logits(docs)
    live = pipe.answer(docs, rule)
    found = simulate(
        stored.logits,
        rule,
        exit_layers=get_exit_layers(pipe.model),
        reading=pipe.task.reading(0.5),
        doubt=1 / (1 + numpy.exp(-stored.doubt)),
        counts=stored.items.counts,
    )
    assert found.layers.tolist() == live.layers.tolist()
    assert numpy.allclose(found.logits, live.logits, atol=1e-4)


def test_relations_rules_of_these_tests_leave_early_and_late(nlp):
    pipe = nlp.get_pipe("epee_relations")
    taken = [set(pipe.answer(docs_of(nlp), rule).layers.tolist()) for rule in RULES]
    assert sum(len(layers) > 1 for layers in taken) >= len(RULES) - 3


def test_relations_a_window_leaves_only_when_all_its_pairs_are_settled(one):
    pipe = one.get_pipe("epee_relations")
    (stored,) = pipe.exit_logits(docs_of(one))
    live = pipe.answer(docs_of(one), rules.Entropy(0.75))
    shares = torch.softmax(torch.as_tensor(stored.logits), dim=-1).numpy()
    entropy = -(shares * numpy.log(shares)).sum(-1) / numpy.log(shares.shape[-1])
    for unit in range(stored.items.n_units):
        settled = [(row[stored.items.units == unit] < 0.75).all() for row in entropy]
        assert live.layers[unit] == (settled.index(True) + 1 if True in settled else 4)


# What the classifiers see


@pytest.mark.parametrize("between", [True, False])
def test_relations_without_a_hidden_layer_see_the_means_of_the_entities(backbone, between):
    """The tutorial's pattern, worked out by Hugging Face's own model."""
    head = {"hidden": 0, "attributes": False, "between": between, "standardize": False}
    nlp = make_relations_nlp(backbone, head=head, window=120)
    pipe = nlp.get_pipe("epee_relations")
    doc = tag(nlp.make_doc(TEXTS[2]))
    items = pipe.make_instances([doc])
    model = AutoModel.from_pretrained(backbone).eval()
    with torch.no_grad():
        states = model(input_ids=torch.as_tensor(items.windows.ids[0])[None]).last_hidden_state[0]
    expected = []
    for row in range(len(items)):
        spans = [items.mentions[items.heads[row]], items.mentions[items.children[row]]]
        parts = [states[first:stop].mean(dim=0) for _, first, stop in spans]
        if between:
            _, first, stop = items.between[row]
            parts.append(states[first:stop].mean(dim=0) if stop > first else torch.zeros(states.shape[1]))
        expected.append(get_heads(pipe.model)[0].classifiers[-1](torch.cat(parts)).tolist())
    numpy.testing.assert_allclose(pipe.answer([doc], None).logits, expected, rtol=1e-4, atol=1e-4)


# No cost where there is nothing to relate


def test_relations_windows_without_a_pair_never_enter(one, monkeypatch):
    pipe = one.get_pipe("epee_relations")
    docs = [tag(one.make_doc(" ".join(["Nothing to report today."] * 20) + " " + TEXTS[0]))]
    stepper = get_stepper(pipe.model)
    embedded, embed = [], stepper.embed
    monkeypatch.setattr(stepper, "embed", lambda ids, mask: embedded.append(len(ids)) or embed(ids, mask))
    pipe.answer(docs, None)
    assert len(get_windows(pipe.model, docs)) > 2 and embedded == [1]


def test_relations_documents_without_entities_cost_nothing(one, monkeypatch):
    pipe = one.get_pipe("epee_relations")
    stepper = get_stepper(pipe.model)
    monkeypatch.setattr(stepper, "embed", None)
    monkeypatch.setattr(stepper, "step", None)
    (doc,) = one.pipe([one.make_doc("No fever. " * 50)])
    assert doc._.relations == []
    assert doc._.exits["epee_relations"]["relations"] == {"layer": 0.0, "depth": 4, "uncertain": False, "units": []}


@pytest.mark.parametrize("text", ["", " \n ", "\x00\x07", "Codeine.", "日本語", "Codeine codeine codeine"])
def test_relations_of_nothing_are_none(one, text):
    assert one(tag(one.make_doc(text)))._.relations == []


# On the Doc


def plain_values(nlp):
    nlp.get_pipe("epee_relations").exit = rules.EntropyPatience(0.6, 1)
    return [doc._.relations for doc in nlp.pipe(docs_of(nlp))]


def test_relations_are_plain_values_of_pairs_that_may_be(nlp):
    found = plain_values(nlp)
    assert any(found)
    for relations, doc in zip(found, docs_of(nlp)):
        labels = {(ent.start, ent.end): ent.label_ for ent in doc.ents}
        for relation in relations:
            assert set(relation) == {"head", "child", "label", "score"}
            assert labels[tuple(relation["head"])] == "Drug" and labels[tuple(relation["child"])] == "Problem"
            assert relation["label"] in ("CAUSES", "TREATS") and 0 < relation["score"] <= 1
            assert type(relation["score"]) is float and type(relation["head"][0]) is int


def test_relations_survive_bytes_and_docbin(nlp):
    plain_values(nlp)
    docs = list(nlp.pipe(docs_of(nlp)))
    for doc in docs:
        again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
        assert again._.relations == doc._.relations
        assert [relation.head.text for relation in Relation.of(again)] == [relation.head.text for relation in Relation.of(doc)]
    packed = DocBin(docs=docs, store_user_data=True).to_bytes()
    for doc, again in zip(docs, DocBin().from_bytes(packed).get_docs(nlp.vocab)):
        assert [(r.head.text, r.child.text, r.label) for r in Relation.of(again)] == [
            (r.head.text, r.child.text, r.label) for r in Relation.of(doc)
        ]


def test_relations_in_two_processes(nlp):
    expected = plain_values(nlp)
    docs = list(nlp.pipe(docs_of(nlp), n_process=2, batch_size=4))
    assert [[r["label"] for r in doc._.relations] for doc in docs] == [[r["label"] for r in found] for found in expected]
    assert [[(r["head"], r["child"]) for r in doc._.relations] for doc in docs] == [
        [(r["head"], r["child"]) for r in found] for found in expected
    ]


def test_relations_of_other_components_stay(one):
    doc = tag(one.make_doc(TEXTS[0]))
    doc._.relations = [{"head": [0, 1], "child": [3, 4], "label": "OTHER", "score": 1.0}]
    once = list(one(doc)._.relations)
    assert once[0]["label"] == "OTHER"
    assert one(doc)._.relations == once


def test_relations_symmetric_ask_once_for_each_pair(backbone):
    nlp = make_relations_nlp(backbone, candidates={"labels": None, "symmetric": True})
    pipe = nlp.get_pipe("epee_relations")
    (doc,) = docs_of(nlp, TEXTS[:1])
    assert len(pipe.make_instances([doc])) == 6
    eg = make_example(nlp, TEXTS[0])
    targets, _ = pipe.task.targets([eg], pipe.labels, pipe.make_instances([eg.predicted]))
    for relation in eg.reference._.relations:
        relation["head"], relation["child"] = relation["child"], relation["head"]
    turned, _ = pipe.task.targets([eg], pipe.labels, pipe.make_instances([eg.predicted]))
    assert (targets == turned).all() and targets[:, 1:].sum() == 2


# Saving


@pytest.mark.parametrize("way", ["disk", "bytes", "pickle"])
def test_relations_pipelines_are_the_same_when_loaded(nlp, tmp_path, way):
    expected = plain_values(nlp)
    if way == "disk":
        nlp.to_disk(tmp_path)
        again = spacy.load(tmp_path)
    elif way == "bytes":
        again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    else:
        again = pickle.loads(pickle.dumps(nlp))
    assert [doc._.relations for doc in again.pipe(docs_of(again))] == expected


def test_relations_saved_with_other_labels_are_refused(backbone, tmp_path):
    nlp = make_relations_nlp(backbone)
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match="exclusive labels"):
        spacy.load(tmp_path, config={"components.epee_relations.exclusive": False})


# Learning


def test_relations_are_learned(backbone):
    nlp = make_relations_nlp(backbone, spread=False, exit={"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.05})
    examples = [make_example(nlp, text) for text in TEXTS]
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.002
    losses = [nlp.update(examples, sgd=optimizer)["epee_relations"] for _ in range(80)]
    assert losses[-1] < losses[0] / 4
    scores = nlp.evaluate(examples)
    assert scores["rel_micro_f"] == scores["rel_full"] == 1
    assert 1 <= scores["exit_layer"] <= 4


def test_relations_update_in_parts_equals_at_once(backbone):
    grads = []
    for most in (4096, 120):
        head = {"dropout": 0.0}
        still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        trunk = {"max_wordpieces": most, "mixed_precision": False, "transformer_config": still}
        nlp = make_relations_nlp(backbone, head=head, trunk=trunk, window=24)
        pipe = nlp.get_pipe("epee_relations")
        loss = pipe.update([make_example(nlp, text) for text in TEXTS])["epee_relations"]
        grads.append((loss, get_heads(pipe.model)[0].classifiers[1].weight.grad.clone()))
    assert grads[0][0] == pytest.approx(grads[1][0], rel=1e-4)
    assert torch.allclose(grads[0][1], grads[1][1], rtol=1e-3, atol=1e-5)


def test_relations_update_without_a_pair_does_nothing(one):
    assert one.update([make_example(one, TEXTS[3])], sgd=None) == {"epee_relations": 0.0}


# Bad input


def test_relations_without_entities_warn_once(backbone):
    nlp = make_relations_nlp(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(9):
            nlp("Aspirin caused a rash.")
    with pytest.warns(UserWarning, match="candidates.spans_key"):
        nlp("Aspirin caused a rash.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(nlp.pipe(["Aspirin caused a rash."] * 20))


def test_relations_one_document_without_entities_is_no_reason_to_warn(backbone):
    nlp = make_relations_nlp(backbone)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp("Nothing.")
        nlp(tag(nlp.make_doc(TEXTS[0])))
        list(nlp.pipe(["Nothing."] * 20))


def test_relations_that_are_no_candidates_are_counted(backbone):
    with pytest.warns(UserWarning, match="3 of 8 annotated relations.*model.trunk.window"):
        make_relations_nlp(backbone, candidates={"max_distance": 2})


def test_relations_unknown_labels_are_refused_but_in_updates_taken_for_those_of_others(one):
    eg = make_example(one, TEXTS[0])
    eg.reference._.relations[0]["label"] = "NEW"
    pipe = one.get_pipe("epee_relations")
    with pytest.raises(ValueError, match="unknown relations.*initialize.components") as error:
        pipe.slot().targets([eg], pipe.make_instances([eg.predicted]))
    assert "NEW" not in str(error.value)
    with pytest.warns(UserWarning, match="does not know"):
        one.update([eg])


def test_relations_of_several_exclusive_labels_the_first_is_learned(one):
    eg = make_example(one, TEXTS[0])
    first = eg.reference._.relations[0]
    eg.reference._.relations = [*eg.reference._.relations, {**first, "label": "TREATS"}]
    pipe = one.get_pipe("epee_relations")
    one.update([eg])
    targets, _ = pipe.task.targets([eg], pipe.labels, pipe.make_instances([eg.predicted]))
    assert set(targets.sum(axis=1)) == {1.0} and targets[:, 1:].sum(axis=0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("symmetric", [False, True])
def test_relations_with_several_labels_are_counted_before_training_with_the_place_of_the_first(backbone, tmp_path, symmetric):
    ents = [{"id": "T1", "start": 0, "end": 7, "label": "Drug"}, {"id": "T2", "start": 8, "end": 12, "label": "Problem"}]
    ends = ("T1", "T2"), ("T2", "T1") if symmetric else ("T1", "T2")
    both = [{"head": head, "child": child, "label": label} for (head, child), label in zip(ends, "AB")]
    rows = [{"text": "SECRETS rash", "ents": ents, "relations": relations} for relations in (both[:1], both, both)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for suffix in ("jsonl", "spacy"):
        if suffix == "spacy":
            docs = [eg.reference for eg in EntityReader(tmp_path / "notes.jsonl")(spacy.blank("en"))]
            DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "notes.spacy")
        nlp = spacy.blank("en")
        settings = {"model": {"trunk": {"name": str(backbone)}}, "candidates": {"symmetric": symmetric}}
        nlp.add_pipe("epee_relations", config=settings)
        with pytest.warns(UserWarning, match="^2 pairs of entities in 2 documents have several relations") as caught:
            nlp.initialize(lambda: EntityReader(tmp_path / f"notes.{suffix}")(nlp))
        named = next(str(warning.message) for warning in caught if "several relations" in str(warning.message))
        assert ("notes.jsonl, line 2" if suffix == "jsonl" else "notes.spacy, document 2") in named
        assert "SECRET" not in named and "exclusive = false" in named and ("candidates.symmetric" in named) == symmetric


def test_relations_several_labels_where_any_number_is_right(backbone):
    nlp = make_relations_nlp(backbone, exclusive=False)
    eg = make_example(nlp, TEXTS[0])
    first = eg.reference._.relations[0]
    eg.reference._.relations = [*eg.reference._.relations, {**first, "label": "TREATS"}]
    pipe = nlp.get_pipe("epee_relations")
    targets, label_mask = pipe.task.targets([eg], pipe.labels, pipe.make_instances([eg.predicted]))
    assert targets.sum(axis=1).max() == 2 and label_mask.all()


def test_relations_without_any_label_are_refused(backbone):
    with pytest.raises(ValueError, match="E143"):
        make_relations_nlp(backbone, texts=TEXTS[3:5])


def test_relations_entities_only_in_the_annotation_are_misses(one):
    eg = make_example(one, TEXTS[0])
    eg.predicted.set_ents([])
    scores = one.get_pipe("epee_relations").score([eg])
    assert scores["rel_micro_f"] == 0 and scores["rel_f_per_type"]["CAUSES"]["r"] == 0


def test_relations_two_components_with_the_same_labels_are_refused(backbone):
    nlp = spacy.blank("en")
    for name in ("first", "second"):
        nlp.add_pipe("epee_relations", name=name, config={"model": {"trunk": {"name": str(backbone)}}})
    examples = [make_example(nlp, text) for text in TEXTS]
    with pytest.raises(ValueError, match="doc._.relations"):
        nlp.initialize(lambda: examples)


def test_relations_in_one_sentence_are_trained_and_found(backbone):
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    candidates = {"labels": [["Drug", "Problem"]], "same_sentence": True}
    nlp.add_pipe("epee_relations", config={"model": {"trunk": {"name": str(backbone)}}, "candidates": candidates})
    examples = [make_example(nlp, text) for text in TEXTS]
    nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=nlp.create_optimizer(), annotates=["sentencizer"])
    asked = nlp.get_pipe("epee_relations").make_instances([nlp.get_pipe("sentencizer")(tag(nlp.make_doc(TEXTS[1])))])
    assert len(asked) == 2
    with pytest.raises(ValueError, match="candidates.same_sentence"):
        nlp.get_pipe("epee_relations").update([make_example(nlp, TEXTS[1])])


def test_relations_in_two_stages(backbone):
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    nlp = make_relations_nlp(backbone, head={"dropout": 0.0}, trunk={"transformer_config": still})
    pipe, examples = nlp.get_pipe("epee_relations"), [make_example(nlp, text) for text in TEXTS]
    heads, optimizer = get_heads(pipe.model)[0], nlp.resume_training()

    def weights():
        return {name: value.clone() for name, value in heads.state_dict().items()}

    before = weights()
    pipe.stage = "trunk"
    nlp.update(examples, sgd=optimizer)
    changed = {name for name, value in weights().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("layers.3.") for name in changed)
    assert not any(name.startswith(("layers.0.", "classifiers.0.")) for name in changed)
    pipe.stage, before = "exits", weights()
    full = pipe.answer(docs_of(nlp), None).logits
    nlp.update(examples, sgd=optimizer)
    numpy.testing.assert_array_equal(pipe.answer(docs_of(nlp), None).logits, full)
    assert not torch.equal(weights()["layers.0.head.weight"], before["layers.0.head.weight"])


def test_relations_labels_cannot_be_added_later(one):
    with pytest.raises(ValueError, match="E922"):
        one.get_pipe("epee_relations").add_label("NEW")


def test_relations_learn_the_labels_of_entities_anew_when_initialized_again(backbone):
    nlp = make_relations_nlp(backbone)
    eg = make_example(nlp, TEXTS[0])
    for doc in (eg.predicted, eg.reference):
        doc.set_ents([spacy.tokens.Span(doc, ent.start, ent.end, label=f"NEW_{ent.label_}") for ent in doc.ents])
    nlp.get_pipe("epee_relations").initialize(lambda: [eg])
    assert nlp.get_pipe("epee_relations").cfg["types"] == ["NEW_Drug", "NEW_Problem"]
    assert nlp.update([make_example(nlp, TEXTS[0])])["epee_relations"] > 0


def test_relations_standardize_without_predicted_entities(backbone):
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_relations", config={"model": {"trunk": {"name": str(backbone)}}})
    examples = [make_example(nlp, text) for text in TEXTS]
    for eg in examples:
        eg.predicted.set_ents([])
    with pytest.warns(UserWarning, match="8 of 8 annotated relations"):
        nlp.initialize(lambda: examples)
    assert (get_heads(nlp.get_pipe("epee_relations").model)[0].standardize.scale != 1).all()


def test_relations_threshold_is_what_the_config_says(backbone, tmp_path):
    nlp = make_relations_nlp(backbone, exclusive=False)
    nlp.get_pipe("epee_relations").cfg["threshold"] = 0.7
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("epee_relations").cfg["threshold"] == pytest.approx(0.7)
    other = spacy.load(tmp_path, config={"components.epee_relations.threshold": 0.9})
    assert other.get_pipe("epee_relations").cfg["threshold"] == 0.9


def test_relations_of_a_place_with_two_labels_are_given_once(backbone):
    nlp = make_relations_nlp(backbone)
    nlp.get_pipe("epee_relations").task.candidates = EntityPairs("all")
    doc = tag(nlp.make_doc(TEXTS[0]))
    with torch.no_grad():
        get_heads(nlp.get_pipe("epee_relations").model)[0].classifiers[-1].bias[1] += 5
    doc.spans["all"] = [*doc.ents, *(spacy.tokens.Span(doc, ent.start, ent.end, label="Any") for ent in doc.ents)]
    found = nlp(doc)._.relations
    places = [(*relation["head"], *relation["child"]) for relation in found]
    assert found and len(places) == len(set(places))


def test_relations_heads_of_another_task_are_refused(backbone):
    with pytest.raises(ValueError, match="model.head"):
        nlp = spacy.blank("en")
        model = {"trunk": {"name": str(backbone)}, "head": {"@architectures": "spacy-epee.PooledHead.v1"}}
        nlp.add_pipe("epee_relations", config={"model": model})
        examples = [make_example(nlp, text) for text in TEXTS]
        nlp.initialize(lambda: examples)


@lru_cache(maxsize=None)
def settings_that_are_wrong():
    return [
        ({"reduce": "median"}, "reduce"),
        ({"label_weights": {"NO": 1.0}}, "label_weights"),
        ({"label_weights": {"CAUSES": -1.0}}, "label_weights"),
        ({"head": {"hidden": -1}}, "model.head.hidden"),
        ({"head": {"hidden": 0}}, "model.head.attributes"),
    ]


@pytest.mark.parametrize("settings,named", settings_that_are_wrong(), ids=str)
def test_relations_refuse_bad_settings(backbone, settings, named):
    with pytest.raises(ValueError, match=named):
        make_relations_nlp(backbone, **settings)


def test_relations_entities_are_hidden_in_training_only(backbone, monkeypatch):
    nlp = make_relations_nlp(backbone, hide_entities=1.0)
    pipe = nlp.get_pipe("epee_relations")
    mask = get_windows(pipe.model, [nlp.make_doc("rash")]).mask
    seen = []
    forward = pipe.model._func
    monkeypatch.setattr(pipe.model, "_func", lambda model, X, is_train: seen.append(X) or forward(model, X, is_train))
    nlp.update([make_example(nlp, TEXTS[0])])
    ((items,),) = seen
    for window, start, stop in items.mentions:
        assert (items.windows.ids[window][start:stop] == mask).all()
    inside = sum(stop - start for _, start, stop in items.mentions.tolist())
    assert sum((ids == mask).sum() for ids in items.windows.ids) == inside
    answers = pipe.answer(docs_of(nlp), pipe.exit)
    assert not any((ids == mask).any() for ids in answers.items.windows.ids)


def test_relations_entities_are_not_hidden_unless_asked(one):
    pipe = one.get_pipe("epee_relations")
    items = pipe.make_instances(docs_of(one))
    before = [ids.copy() for ids in items.windows.ids]
    pipe.task.add_gold([], items)
    assert all((ids == old).all() for ids, old in zip(items.windows.ids, before))


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_relations_a_share_of_hidden_entities_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="hide_entities"):
        spacy.blank("en").add_pipe("epee_relations", config={"hide_entities": share})


def test_relations_hiding_needs_a_mask(backbones):
    with pytest.raises(ValueError, match="mask"):
        nlp = make_relations_nlp(backbones("gpt2"), hide_entities=0.5, spread=False)
        nlp.update([make_example(nlp, TEXTS[0])])
