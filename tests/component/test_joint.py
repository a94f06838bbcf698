"""Several tasks over one trunk."""

import json

import numpy
import pytest
import spacy
from joint_util import RULES, TEXTS, make_example, make_joint_nlp
from relations_util import tag
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_epee.exits import rules
from spacy_epee.model import get_heads, get_stepper
from spacy_epee.tasks.events.docs import Event
from spacy_epee.tasks.relations.docs import Relation

LONG = " ".join([*TEXTS] * 3)
NOTES = [TEXTS[0], "", TEXTS[3], LONG, TEXTS[1], "Codeine.", TEXTS[5], TEXTS[2], " \n"]


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_joint_nlp(backbone, steps=30)


@pytest.fixture
def pipe(nlp):
    pipe = nlp.get_pipe("epee")
    yield pipe
    pipe.joint = "all"
    for task, slot in pipe.slots.items():
        pipe.set_exit(RULES[task], task)
        slot.priority = 0


def docs_of(nlp, notes=NOTES):
    return [tag(nlp.make_doc(note)) for note in notes]


def said(answers):
    """What each unit says, by Doc and task."""
    found = [{} for _ in range(answers["kind"].items.windows.n_docs)]
    for task, own in answers.items():
        items = own.items
        for entry, units in zip(found, items.by_doc()):
            entry[task] = []
            for unit in units:
                graph = None if own.graphs is None else own.graphs[unit]
                nodes = None if graph is None else (graph.nodes - graph.nodes[:1]).tolist()
                probabilities = numpy.round(own.probabilities[items.of_units(numpy.array([unit]))], 3).tolist()
                entry[task].append((int(own.layers[unit]), own.reasons[unit], probabilities, nodes))
    return found


def all_said(nlp, pipe, size, notes=NOTES):
    docs, found = docs_of(nlp, notes), []
    for start in range(0, len(docs), size):
        found += said(pipe.predict(docs[start : start + size]))
    return found


def close(one, other):
    """Compare, probabilities up to rounding."""
    for ours, theirs in zip(one, other, strict=True):
        assert ours.keys() == theirs.keys()
        for task in ours:
            assert [unit[:2] + unit[3:] for unit in ours[task]] == [unit[:2] + unit[3:] for unit in theirs[task]]
            for a, b in zip(ours[task], theirs[task]):
                numpy.testing.assert_allclose(a[2], b[2], atol=0.002)


def test_joint_notes_of_these_tests_leave_at_different_layers(nlp, pipe):
    answers = pipe.predict(docs_of(nlp))
    assert len(set(numpy.concatenate([own.layers for own in answers.values()]).tolist()) - {0}) > 2
    assert any(len({unit[0] for units in found.values() for unit in units}) > 2 for found in said(answers))


@pytest.mark.parametrize("joint", ["all", "any"])
@pytest.mark.parametrize("size", [2, 7, 32])
def test_joint_batched_equals_one_by_one(nlp, pipe, size, joint):
    pipe.joint = joint
    close(all_said(nlp, pipe, size), all_said(nlp, pipe, 1))


@pytest.mark.parametrize("task", RULES)
def test_joint_a_settled_task_keeps_the_answer_it_has_alone(nlp, pipe, task):
    joint = pipe.predict(docs_of(nlp))[task]
    alone = pipe.answer(docs_of(nlp), pipe.exits[task], task)
    assert joint.layers.tolist() == alone.layers.tolist() and joint.reasons == alone.reasons
    numpy.testing.assert_allclose(joint.probabilities, alone.probabilities, atol=1e-4)


def test_joint_windows_run_no_further_than_the_last_task_that_needs_them(nlp, pipe, monkeypatch):
    steps = []
    stepper = pipe.model.get_ref("trunk").shims[0].stepper
    step = stepper.step
    monkeypatch.setattr(stepper, "step", lambda state: steps.append(len(state.hidden)) or step(state))
    answers = pipe.predict(docs_of(nlp))
    windows = answers["kind"].items.windows
    deepest = numpy.zeros(len(windows), dtype=int)
    for own in answers.values():
        asked = own.items.window_units >= 0
        deepest[asked] = numpy.maximum(deepest[asked], own.layers[own.items.window_units[asked]])
    # A Doc's windows leave together, as its kind is asked of all of them, or when the last of them is settled.
    assert sum(steps) == deepest.sum()


def test_joint_any_leaves_with_the_first_task_that_is_settled(nlp, pipe):
    pipe.joint = "any"
    pipe.set_exit(rules.FixedDepth(2), "relations")
    pipe.set_exit(None, "kind")
    pipe.set_exit(None, "events")
    (found,) = said(pipe.predict(docs_of(nlp, [TEXTS[0]])))
    assert {task: [unit[:2] for unit in units] for task, units in found.items()} == {
        "kind": [(2, "joint")],
        "relations": [(2, rules.FixedDepth.reason)],
        "events": [(2, "joint")],
    }
    pipe.slots["kind"].cfg["uncertain"] = 0.0
    [doc] = nlp.pipe(docs_of(nlp, [TEXTS[0]]))
    assert doc._.exits["epee"]["kind"]["uncertain"] and not doc._.exits["epee"]["events"]["uncertain"]
    del pipe.slots["kind"].cfg["uncertain"]


def test_joint_a_task_of_lower_priority_answers_when_the_others_are_settled(nlp, pipe):
    pipe.slots["kind"].priority = 1
    pipe.set_exit(rules.FixedDepth(1), "relations")
    pipe.set_exit(rules.FixedDepth(2), "kind")
    pipe.set_exit(None, "events")
    (found,) = said(pipe.predict(docs_of(nlp, [TEXTS[0]])))
    assert [unit[:1] for task in ("kind", "relations", "events") for unit in found[task]] == [(2,), (1,), (2,)]
    assert found["events"][0][1] == "joint"


@pytest.mark.parametrize("size", [1, 2])
def test_joint_a_task_that_is_asked_nothing_decides_nothing(nlp, pipe, size):
    """A text without pairs is not held, nor let go, by the task of relations; one with pairs is."""
    pipe.slots["relations"].priority = 1
    pipe.set_exit(rules.FixedDepth(1), "relations")
    pipe.set_exit(rules.FixedDepth(3), "kind")
    pipe.set_exit(rules.FixedDepth(2), "events")
    without, pairs = all_said(nlp, pipe, size, [TEXTS[3], TEXTS[0]])
    assert [unit[0] for unit in without["kind"]] == [3] and [unit[0] for unit in without["events"]] == [2]
    assert not any(unit[0] for unit in without["relations"])
    assert {unit[0] for units in pairs.values() for unit in units} == {1}


@pytest.mark.parametrize("size", [2, 9])
@pytest.mark.parametrize("joint", ["all", "any"])
@pytest.mark.parametrize("first", RULES)
def test_joint_priorities_are_the_same_in_batches(nlp, pipe, size, joint, first):
    pipe.slots[first].priority, pipe.joint = 1, joint
    close(all_said(nlp, pipe, size), all_said(nlp, pipe, 1))


def test_joint_without_rules_equals_each_alone_at_full_depth(nlp, pipe):
    pipe.exit = None
    joint = pipe.predict(docs_of(nlp))
    for task, own in joint.items():
        assert set(own.layers.tolist()) <= {0, own.depth}
        numpy.testing.assert_allclose(own.logits, pipe.answer(docs_of(nlp), None, task).logits, atol=1e-4)


def test_joint_writes_all_of_it(nlp):
    doc = nlp(tag(nlp.make_doc(TEXTS[0])))
    assert set(doc.cats) == {"drug", "none"} and set(doc._.exits["epee"]) == set(RULES)
    assert isinstance(doc._.relations, list) and isinstance(doc._.events, list)
    other = list(DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab))[0]
    for name in ("exits", "relations", "events"):  # lists come back as tuples
        assert json.dumps(getattr(other._, name)) == json.dumps(getattr(doc._, name))


@pytest.mark.parametrize("way", ["disk", "bytes"])
def test_joint_pipelines_are_the_same_when_loaded(nlp, pipe, tmp_path, way):
    pipe.set_exit(rules.Entropy(0.3), "kind")
    if way == "disk":
        nlp.to_disk(tmp_path)
        loaded = spacy.load(tmp_path)
    else:
        loaded = spacy.util.load_model_from_config(nlp.config, auto_fill=True)
        loaded.from_bytes(nlp.to_bytes())
    other = loaded.get_pipe("epee")
    assert other.exits == pipe.exits and other.label_data == pipe.label_data
    close(said(other.predict(docs_of(loaded))), said(pipe.predict(docs_of(nlp))))


def test_joint_rules_can_be_set_when_loading(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components.epee.tasks.kind.exit.entropy": 0.4})
    assert loaded.get_pipe("epee").exits["kind"] == rules.Entropy(0.4)


def test_joint_in_two_processes(nlp):
    def rounded(doc):  # a process of its own has another number of threads, which sum up in another order
        return json.loads(json.dumps(doc._.exits), parse_float=lambda number: round(float(number), 4))

    one, two = ([rounded(doc) for doc in nlp.pipe(docs_of(nlp), batch_size=3, n_process=n)] for n in (1, 2))
    assert one == two


def test_joint_scores_each_task_under_its_name(nlp):
    scores = nlp.evaluate([make_example(nlp, text) for text in TEXTS])
    assert {"kind_cats_score", "kind_cats_full", "relations_rel_micro_f", "events_ev_f", "events_exit_layer"} <= set(scores)
    mains = [scores[name] for name in ("kind_cats_score", "relations_rel_micro_f", "events_ev_f")]
    assert scores["joint_score"] == pytest.approx(numpy.mean(mains))
    assert 1 <= scores["exit_layer"] <= 4


@pytest.mark.parametrize("known", RULES)
def test_joint_scores_leave_out_what_is_not_annotated(nlp, known):
    every = [make_example(nlp, text) for text in TEXTS]
    some = [*every, *(make_example(nlp, text, (known,)) for text in TEXTS)]
    one, other = nlp.evaluate(every), nlp.evaluate(some)
    names = {"kind": "kind_cats_score", "relations": "relations_rel_micro_f", "events": "events_ev_trigger_f"}
    for task in names.keys() - {known}:
        assert one[names[task]] == other[names[task]]


def test_joint_score_is_the_mean_of_what_is_known(nlp):
    scores = nlp.evaluate([make_example(nlp, text, ("kind",)) for text in TEXTS])
    assert scores["events_ev_f"] is None and scores["joint_score"] == scores["kind_cats_score"]


def heads_of(nlp):
    names = list(nlp.get_pipe("epee").slots)
    return {
        name: {key: value.clone() for key, value in heads.state_dict().items()}
        for name, heads in zip(names, get_heads(nlp.get_pipe("epee").model))
    }


@pytest.mark.parametrize("known", RULES)
def test_joint_missing_annotation_teaches_a_task_nothing(backbone, known):
    nlp = make_joint_nlp(backbone)
    optimizer = nlp.create_optimizer()
    for _ in range(3):  # the optimizer has moments, which must not go on moving what a batch says nothing about
        nlp.update([make_example(nlp, text) for text in TEXTS], sgd=optimizer)
    before = heads_of(nlp)
    nlp.update([make_example(nlp, text, (known,)) for text in TEXTS], sgd=optimizer)
    for name, values in heads_of(nlp).items():
        same = all((values[key] == before[name][key]).all() for key in values)
        assert same == (name != known)


def test_joint_annotation_may_come_from_different_documents(backbone):
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    nlp = make_joint_nlp(backbone, trunk={"transformer_config": still, "mixed_precision": False})
    pipe = nlp.get_pipe("epee")
    modules = [get_stepper(pipe.model).model, *get_heads(pipe.model)]
    for heads in modules[1:]:
        heads.dropout.p = 0.0
    texts = [text for text in TEXTS if "rash" in text]

    def gradients(groups):
        for group in groups:
            nlp.update([make_example(nlp, text, known) for text, known in group], sgd=False)
        parameters = [parameter for module in modules for parameter in module.parameters()]
        found = [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters]
        for module in modules:
            module.zero_grad()
        return found

    mixed = [(text, (known,)) for text in texts for known in ("kind", "events")]
    apart = [[pair for pair in mixed if pair[1] == (known,)] for known in ("kind", "events")]
    one, other = gradients([mixed]), gradients(apart)
    assert sum(grad is not None for grad in one) > 50
    for ours, theirs in zip(one, other, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            numpy.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_joint_learns_all_tasks(backbone):
    nlp = make_joint_nlp(backbone, exits={}, steps=120)
    scores = nlp.evaluate([make_example(nlp, text) for text in TEXTS])
    assert scores["kind_cats_score"] > 0.9 and scores["relations_rel_micro_f"] > 0.8 and scores["events_ev_f"] > 0.6


def test_joint_a_weight_of_0_teaches_nothing(backbone):
    nlp = make_joint_nlp(backbone, more={"events": {"weight": 0.0}})
    before = heads_of(nlp)["events"]
    nlp.update([make_example(nlp, text) for text in TEXTS], sgd=nlp.create_optimizer())
    after = heads_of(nlp)["events"]
    assert all((after[key] == before[key]).all() for key in before)


def test_joint_reading_a_document_does_not_make_it_annotated(backbone):
    nlp = make_joint_nlp(backbone)
    eg = make_example(nlp, TEXTS[0], ("kind",))
    nlp.evaluate([eg])
    Relation.of(eg.reference)
    Event.of(eg.reference)
    before = heads_of(nlp)["events"]
    nlp.update([eg], sgd=nlp.create_optimizer())
    assert all((value == before[key]).all() for key, value in heads_of(nlp)["events"].items())


def test_joint_training_runs_what_is_annotated_alone(backbone, monkeypatch):
    nlp = make_joint_nlp(backbone, ("kind", "relations"))
    pipe = nlp.get_pipe("epee")
    text = TEXTS[0] + " " + " ".join(["Nothing to report today."] * 40)
    stepper, rows = get_stepper(pipe.model), []
    step = stepper.step
    monkeypatch.setattr(stepper, "step", lambda state: rows.append(len(state.hidden)) or step(state))
    doc = make_example(nlp, TEXTS[0], ("relations",)).reference
    reference = tag(nlp.make_doc(text))
    reference._.relations = doc._.relations
    nlp.update([Example(tag(nlp.make_doc(text)), reference)])
    assert rows and set(rows) == {1}  # the window with the pairs, and not the others, which only the kind asks about


# Bad input


def test_joint_tasks_and_heads_must_have_the_same_names(backbone):
    config = {
        "model": {"heads": {"one": {"@architectures": "spacy-epee.PooledHead.v1"}}},
        "tasks": {"two": {"@misc": "spacy-epee.TextCatTask.v1", "exit": None, "scorer": None}},
    }
    with pytest.raises(ValueError, match="tasks \\['two'\\].*classifiers for \\['one'\\]"):
        spacy.blank("en").add_pipe("epee", config=config)


def test_joint_without_tasks_can_be_configured_and_not_trained(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("epee")
    nlp.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    with pytest.raises(ValueError, match="components.epee.tasks.*components.epee.model.heads"):
        nlp.initialize(lambda: [make_example(nlp, text) for text in TEXTS])


def test_joint_classifiers_of_another_task_are_refused(backbone):
    nlp = spacy.blank("en")
    config = {
        "model": {"trunk": {"name": str(backbone)}, "heads": {"events": {"@architectures": "spacy-epee.PairHead.v1"}}},
        "tasks": {"events": {"@misc": "spacy-epee.EventsTask.v1", "exit": None, "scorer": None}},
    }
    nlp.add_pipe("epee", config=config)
    with pytest.raises(ValueError, match="model.heads.events.*'pairs'"):
        nlp.initialize(lambda: [make_example(nlp, text) for text in TEXTS])


def test_joint_a_task_without_data_is_named(backbone):
    nlp = spacy.blank("en")
    config = {
        "model": {
            "trunk": {"name": str(backbone)},
            "heads": {
                "kind": {"@architectures": "spacy-epee.PooledHead.v1"},
                "events": {"@architectures": "spacy-epee.EventHead.v1"},
            },
        },
        "tasks": {
            "kind": {"@misc": "spacy-epee.TextCatTask.v1", "exit": None, "scorer": None},
            "events": {"@misc": "spacy-epee.EventsTask.v1", "exit": None, "scorer": None},
        },
    }
    nlp.add_pipe("epee", config=config)
    with pytest.raises(ValueError, match="epee.events"):
        nlp.initialize(lambda: [make_example(nlp, text, ("kind",)) for text in TEXTS])


def two_kinds(backbone, labels):
    nlp = spacy.blank("en")
    head = {"@architectures": "spacy-epee.PooledHead.v1"}
    task = {"@misc": "spacy-epee.TextCatTask.v1", "exit": None, "scorer": {"@scorers": "spacy.textcat_scorer.v2"}}
    config = {
        "model": {"trunk": {"name": str(backbone)}, "heads": {"one": head, "two": head}},
        "tasks": {"one": task, "two": task},
    }
    pipe = nlp.add_pipe("epee", config=config)
    examples = []
    for text in TEXTS:
        doc = nlp.make_doc(text)
        drug, long = "codeine" in text.lower(), len(doc) > 9
        doc.cats = {"drug": float(drug), "none": float(not drug), "long": float(long), "short": float(not long)}
        examples.append(Example(nlp.make_doc(text), doc))
    pipe.initialize(lambda: examples, nlp=nlp, labels=labels)
    return nlp, examples


def test_joint_two_tasks_with_the_same_labels_are_refused(backbone):
    with pytest.raises(ValueError, match="'one' and 'two'.*initialize.components.epee.labels"):
        two_kinds(backbone, None)


def test_joint_two_classifications_of_documents(backbone):
    nlp, examples = two_kinds(backbone, {"one": ["drug", "none"], "two": ["long", "short"]})
    optimizer = Adam(0.002)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    doc = nlp(examples[0].reference.text)
    assert doc.cats["drug"] + doc.cats["none"] == pytest.approx(1) and doc.cats["long"] + doc.cats["short"] == pytest.approx(1)
    scores = nlp.evaluate(examples)
    assert scores["one_cats_score"] > 0.9 and scores["two_cats_score"] > 0.9


def test_joint_labels_must_be_given_by_task(backbone):
    with pytest.raises(ValueError, match="by task"):
        two_kinds(backbone, ["drug", "none"])


def test_joint_one_task_must_be_named(nlp, pipe):
    with pytest.raises(ValueError, match="name one of them"):
        pipe.answer(docs_of(nlp), None)


def test_joint_two_tasks_of_relations_are_refused():
    head = {"@architectures": "spacy-epee.PairHead.v1"}
    candidates = {"@misc": "spacy-epee.EntityPairs.v1"}
    task = {"@misc": "spacy-epee.RelationsTask.v1", "candidates": candidates, "exit": None, "scorer": None}
    with pytest.raises(ValueError, match="'one' and 'two'.*one task"):
        config = {"model": {"heads": {"one": head, "two": head}}, "tasks": {"one": task, "two": task}}
        spacy.blank("en").add_pipe("epee", config=config)


def test_joint_a_block_that_makes_no_task_is_refused():
    head = {"@architectures": "spacy-epee.PooledHead.v1"}
    config = {"model": {"heads": {"kind": head}}, "tasks": {"kind": {"exclusive": True}}}
    with pytest.raises(ValueError, match="components.epee.tasks.kind"):
        spacy.blank("en").add_pipe("epee", config=config)


def test_joint_only_all_and_any(pipe):
    with pytest.raises(ValueError, match="'all' or 'any'"):
        pipe.joint = "some"


def test_joint_what_is_set_on_the_pipeline_is_saved(nlp, pipe, tmp_path):
    pipe.joint = "any"
    pipe.slots["events"].cfg["threshold"] = 0.7
    nlp.to_disk(tmp_path)
    pipe.slots["events"].cfg["threshold"] = 0.5
    other = spacy.load(tmp_path).get_pipe("epee")
    assert other.joint == "any" and other.slots["events"].cfg["threshold"] == pytest.approx(0.7)
    assert spacy.load(tmp_path, config={"components.epee.joint": "any"}).get_pipe("epee").joint == "any"


def test_joint_positive_label_of_a_task(backbone):
    nlp, examples = two_kinds(backbone, {"one": ["drug", "none"], "two": ["long", "short"]})
    other = spacy.blank("en")
    settings = {key: value for key, value in nlp.get_pipe_config("epee").items() if key != "factory"}
    pipe = other.add_pipe("epee", config=settings)
    labels = {"one": ["drug", "none"], "two": ["long", "short"]}
    pipe.initialize(lambda: examples, nlp=other, labels=labels, positive_label={"one": "drug"})
    assert pipe.slots["one"].cfg["positive_label"] == "drug" and "positive_label" not in pipe.slots["two"].cfg


def test_joint_two_classifications_may_be_annotated_in_different_documents(backbone):
    nlp, examples = two_kinds(backbone, {"one": ["drug", "none"], "two": ["long", "short"]})
    for eg in examples[::2]:
        eg.reference.cats = {label: value for label, value in eg.reference.cats.items() if label in ("long", "short")}
    losses = nlp.update(examples)
    assert losses["epee"] > 0 and nlp.evaluate(examples)["one_cats_score"] is not None


def test_joint_classifications_may_be_initialized_by_different_documents(backbone):
    nlp, examples = two_kinds(backbone, {"one": ["drug", "none"], "two": ["long", "short"]})
    for eg in examples[::2]:
        eg.reference.cats = {label: value for label, value in eg.reference.cats.items() if label in ("long", "short")}
    other = spacy.blank("en")
    pipe = other.add_pipe("epee", config={name: own for name, own in nlp.get_pipe_config("epee").items() if name != "factory"})
    pipe.initialize(lambda: examples, nlp=other, labels={"one": ["drug", "none"], "two": ["long", "short"]})
    assert pipe.labels == ("drug", "none", "long", "short")
    assert pipe.label_data == {"one": ["drug", "none"], "two": ["long", "short"]}
