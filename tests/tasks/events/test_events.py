"""Events from end to end, on a tiny backbone."""

import json
import pickle

import numpy
import pytest
import spacy
import torch
from events_util import EVENTS, TEXTS, make_events_nlp, make_example, place, replay
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam

from spacy_epee.exits import rules
from spacy_epee.model import get_exit_layers, get_heads
from spacy_epee.tasks.events.builder import EventsTask
from spacy_epee.tasks.events.docs import Event

LONG = " ".join([*TEXTS] * 3)
NOTES = [TEXTS[0], "", TEXTS[3], LONG, TEXTS[1], TEXTS[4], "\n\t ", TEXTS[2], TEXTS[5], TEXTS[0] + " " + TEXTS[1]]
RULES = [
    rules.Entropy(0.75),
    rules.Confidence(0.6),
    rules.Margin(0.2),
    rules.Energy(0.1),
    rules.Patience(1),
    rules.FlexiblePatience(0.15, 1, "JSKD"),
    rules.ConfidentPatience(0.9, 2),
    rules.EntropyPatience(0.5, 1),
    rules.Voting(2.0),
    rules.Learned(0.2),
    rules.FixedDepth(2),
    rules.FromLayer(2, rules.EntropyPatience(0.5, 1)),
    rules.FromLayer(2, rules.FlexiblePatience(0.3, 1)),
    rules.NothingFound(0.6),
    rules.AnyOf({"empty": rules.NothingFound(0.6), "twice": rules.Patience(2)}),
    rules.SettledStructure(
        0.6, [1, 3], [[0, 0, 0, -1, -1, 0, 0.5, 0]] * 2, [[0, 1, -1, 0, -1, 0, 2, 2]] * 2, [[0.5, 1.0, -0.2, 0.0]] * 2
    ),
]


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_events_nlp(backbone, head={"learned_exit": True}, steps=40)


@pytest.fixture(scope="module")
def trained(backbone):
    rule = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.05, "patience": 2}
    return make_events_nlp(backbone, exit=rule, steps=110)


def docs_of(nlp, notes=NOTES):
    return [nlp.make_doc(note) for note in notes]


def plain(graph):
    """What a graph says, and how sure it is."""
    if graph is None:
        return None
    return graph.nodes.tolist(), graph.links.tolist(), [round(float(score), 3) for score in (*graph.scores, *graph.link_scores)]


def said(answers):
    """What each Doc's windows say, by the tokens of the Doc."""
    items = answers.items
    found = []
    for units in items.by_doc():
        windows = []
        for unit in units:
            graph = None if answers.graphs is None else answers.graphs[unit]
            first = numpy.searchsorted(items.units, unit)
            nodes = [] if graph is None else (graph.nodes - [unit, first, first, 0]).tolist()
            scores = [] if graph is None else numpy.concatenate((graph.scores, graph.link_scores))
            links = [] if graph is None else graph.links.tolist()
            windows.append((int(answers.layers[unit]), answers.reasons[unit], nodes, links, numpy.round(scores, 3).tolist()))
        found.append(windows)
    return found


def test_events_notes_of_these_tests_have_several_windows_triggers_and_links(nlp):
    answers = nlp.get_pipe("epee_events").answer(docs_of(nlp), None)
    assert max(len(units) for units in answers.items.by_doc()) > 2
    graphs = [graph for graph in answers.graphs if graph is not None]
    assert sum(len(graph.links) > 0 for graph in graphs) > 2
    assert any(not len(graph.nodes) for graph in graphs)


@pytest.mark.parametrize("rule", [*RULES, None], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("size", [2, 7, 32])
def test_events_batched_equals_one_by_one(nlp, rule, size):
    pipe = nlp.get_pipe("epee_events")
    alone = [windows for doc in docs_of(nlp) for windows in said(pipe.answer([doc], rule))]
    docs, found = docs_of(nlp), []
    for start in range(0, len(docs), size):
        found += said(pipe.answer(docs[start : start + size], rule))
    for ours, theirs in zip(found, alone):
        assert [window[:4] for window in ours] == [window[:4] for window in theirs]
        for one, other in zip(ours, theirs):
            assert numpy.allclose(one[4], other[4], atol=0.002)


@pytest.mark.parametrize("reduce", ["max", "mean", 0.8])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_events_simulation_equals_the_loop(nlp, rule, reduce, monkeypatch):
    pipe = nlp.get_pipe("epee_events")
    monkeypatch.setattr(pipe.task, "reduce", reduce)
    docs = docs_of(nlp)
    (stored,) = pipe.exit_logits(docs)
    live = pipe.answer(docs, rule)
    found = replay(pipe, stored, rule)
    assert found.layers.tolist() == live.layers.tolist()
    assert [plain(graph) for graph in found.graphs] == [plain(graph) for graph in live.graphs]


def test_events_rules_of_these_tests_leave_early_and_late(nlp):
    pipe = nlp.get_pipe("epee_events")
    taken = {type(rule).__name__: set(pipe.answer(docs_of(nlp), rule).layers.tolist()) for rule in RULES}
    assert sum(len(layers) > 1 for layers in taken.values()) >= 2 / 3 * len(RULES), taken


def test_events_a_window_without_a_trigger_links_nothing(nlp, monkeypatch):
    pipe = nlp.get_pipe("epee_events")
    heads = get_heads(pipe.model)[0]
    asked = []
    real = type(heads)._link
    monkeypatch.setattr(type(heads), "_link", lambda self, *args: asked.append(args[-2]) or real(self, *args))
    with torch.no_grad():
        kept = [classifier.bias.clone() for classifier in heads.classifiers]
        n = 3 * len(pipe.labels)
        for classifier in heads.classifiers:
            classifier.bias[:n:3] += 100
    pipe.answer(docs_of(nlp), rules.EntropyPatience(0.5, 2))
    with torch.no_grad():
        for classifier, bias in zip(heads.classifiers, kept):
            classifier.bias.copy_(bias)
    assert not asked
    pipe.answer(docs_of(nlp), rules.EntropyPatience(0.5, 2))
    assert asked


@pytest.mark.parametrize("rule", [None, rules.FixedDepth(2)], ids=str)
def test_events_links_are_looked_at_once_for_each_window_that_leaves(nlp, rule, monkeypatch):
    pipe = nlp.get_pipe("epee_events")
    heads = get_heads(pipe.model)[0]
    asked, link = [], heads._link

    def counted(*args):
        asked.extend(map(tuple, numpy.hstack(args[-2:]).tolist()))
        return link(*args)

    monkeypatch.setattr(heads, "_link", counted)
    answers = pipe.answer(docs_of(nlp), rule)
    linked = {pair[0] for pair in asked}
    assert linked and linked <= {unit for unit, graph in enumerate(answers.graphs) if graph is not None and len(graph.nodes)}
    assert len(asked) == len(set(asked))  # all leave at one exit


@pytest.mark.parametrize("rule", [rules.Entropy(1e-9), rules.EntropyPatience(1e-9, None)], ids=str)
def test_events_are_linked_only_where_the_tags_are_settled(nlp, rule, monkeypatch):
    pipe = nlp.get_pipe("epee_events")
    heads = get_heads(pipe.model)[0]
    seen = []
    link = heads._link
    monkeypatch.setattr(heads, "_link", lambda exit, *rest: seen.append(exit) or link(exit, *rest))
    pipe.answer(docs_of(nlp), rule)
    assert set(seen) == {len(get_exit_layers(pipe.model)) - 1}


def test_events_are_learned(trained):
    scores = trained.evaluate([make_example(trained, text) for text in TEXTS])
    assert scores["ev_trigger_f"] == 1.0 and scores["ev_main_f"] > 0.9 and scores["ev_attr_f"] == 1.0
    assert 1 <= scores["exit_layer"] <= 4 and scores["ev_full"] > 0.9


def test_events_on_the_doc_are_plain_values(trained):
    doc = trained(TEXTS[2])
    stopped = next(event for event in doc._.events if doc[slice(*event["trigger"])].text == "stopped")
    assert stopped["label"] == "Change" and stopped["attributes"]["Kind"]["value"] == "stop"
    arguments = {argument["role"]: argument for argument in stopped["arguments"]}
    assert doc[slice(*arguments["Drug"]["span"])].text == "lisinopril 5 mg"
    parent = stopped["arguments"][arguments["Dose"]["parent"]]
    assert parent["role"] == "Drug" and arguments["Dose"]["event"] is None
    nested = doc._.events[arguments["Reason"]["event"]]
    assert nested["label"] == "Harm" and nested["trigger"] == arguments["Reason"]["span"]
    for value in (stopped["score"], arguments["Drug"]["score"]):
        assert type(value) is float and 0 <= value <= 1


def test_events_are_in_order_and_their_triggers_a_span_group(trained):
    doc = trained(TEXTS[2])
    assert [event["trigger"] for event in doc._.events] == sorted(event["trigger"] for event in doc._.events)
    group = doc.spans["events"]
    assert [[span.start, span.end] for span in group] == [event["trigger"] for event in doc._.events]
    assert [span.label_ for span in group] == [event["label"] for event in doc._.events]
    assert numpy.allclose(group.attrs["scores"], [event["score"] for event in doc._.events])


def test_events_without_an_event_are_an_empty_list(trained):
    for text in ("", " ", TEXTS[3]):
        doc = trained(text)
        assert doc._.events == [] and len(doc.spans["events"]) == 0
    assert trained("")._.exits["epee_events"]["events"]["units"] == []


def test_events_survive_bytes_docbin_and_pickle(trained):
    doc = trained(TEXTS[2])
    events = doc._.events
    assert Doc(trained.vocab).from_bytes(doc.to_bytes())._.events == events
    stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(stored).get_docs(trained.vocab)
    assert json.dumps(again._.events) == json.dumps(events)  # DocBin makes tuples of lists
    assert [span.text for span in again.spans["events"]] == [span.text for span in doc.spans["events"]]
    assert pickle.loads(pickle.dumps(doc))._.events == events


def test_events_survive_disk(trained, tmp_path):
    trained.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again(TEXTS[2])._.events == trained(TEXTS[2])._.events
    assert again.get_pipe("epee_events").labels == trained.get_pipe("epee_events").labels


def test_events_two_processes_equal_one(trained):
    notes = [note for note in NOTES if note != LONG]
    one, two = (
        [[(event["trigger"], len(event["arguments"])) for event in doc._.events] for doc in trained.pipe(notes, **settings)]
        for settings in ({}, {"n_process": 2, "batch_size": 3})
    )
    assert [[(list(trigger), count) for trigger, count in events] for events in two] == one


def test_events_across_windows_are_found_once(trained):
    text = "Nothing to report today. " * 6 + TEXTS[1] + " Nothing to report today." * 6
    doc = trained(text)
    assert len(doc._.exits["epee_events"]["events"]["units"]) > 1
    triggers = [(tuple(event["trigger"]), event["label"]) for event in doc._.events]
    assert len(triggers) == len(set(triggers))


def test_events_view(trained):
    doc = trained(TEXTS[0])
    (event,) = Event.of(doc)
    assert event.trigger.text == "from" and {argument.role for argument in event.arguments} == {"Drug", "Dose", "Effect"}


def test_events_of_other_components_stay(trained):
    doc = trained.make_doc(TEXTS[1])
    other = {"trigger": [0, 1], "label": "Other", "score": 1.0, "arguments": [], "attributes": {}}
    old = {"trigger": [1, 2], "label": "Harm", "score": 1.0, "arguments": [], "attributes": {}}
    doc._.events = [old, other]
    trained.get_pipe("epee_events")(doc)
    assert doc._.events[0] == other and [1, 2] not in [event["trigger"] for event in doc._.events]


@pytest.fixture(scope="module")
def given(backbone):
    """A pipeline whose arguments are entities."""

    def tag(doc):
        names = {"Effect": "Problem", "Drug": "Drug", "Dose": "Drug", "Subject": "Person"}
        spans = []
        for _, _, arguments, _ in EVENTS.get(doc.text, []):
            for role, text, *more in arguments:
                if role in names:
                    start, end = place(doc, text)
                    spans.append(Span(doc, start, end, label=names[role]))
        doc.spans["ents"] = spans
        return doc

    nlp = spacy.blank("en")
    nlp.add_pipe(
        "epee_events",
        config={
            "model": {"trunk": {"name": str(backbone), "window": 64, "overlap": 8}, "head": {"hidden": 16}},
            "exit": None,
            "arguments": "entities",
            "spans_key": "ents",
        },
    )
    examples = [make_example(nlp, text) for text in TEXTS]
    for eg in examples:
        tag(eg.reference)
        tag(eg.predicted)
    spacy.util.fix_random_seed(0)
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.002)
    for _ in range(80):
        nlp.update(examples, sgd=optimizer)
    return nlp, tag


def test_events_arguments_are_given_entities(given):
    nlp, tag = given
    doc = nlp(tag(nlp.make_doc(TEXTS[1])))
    entities = {(span.start, span.end) for span in doc.spans["ents"]}
    arguments = [argument for event in doc._.events for argument in event["arguments"]]
    assert arguments and all(tuple(argument["span"]) in entities for argument in arguments)
    bare = nlp(TEXTS[1])
    assert bare._.events and not any(event["arguments"] for event in bare._.events)


def test_events_arguments_are_no_entities_that_are_left_out(given, monkeypatch):
    nlp, tag = given
    Span.set_extension("ruled_out_here", getter=lambda span: span.label_ == "Problem", force=True)
    monkeypatch.setattr(nlp.get_pipe("epee_events").task.entities, "leave_out", ["ruled_out_here"])
    doc = tag(nlp.make_doc(TEXTS[1]))
    (left_out, *_) = [(span.start, span.end) for span in doc.spans["ents"] if span.label_ == "Problem"]
    arguments = [tuple(argument["span"]) for event in nlp(doc)._.events for argument in event["arguments"]]
    assert arguments and left_out not in arguments
    Span.remove_extension("ruled_out_here")


def test_events_that_are_found_in_the_text_leave_out_none():
    with pytest.raises(ValueError, match="`leave_out` is for entities that are given"):
        EventsTask(None, None, leave_out=["negex"])
    assert EventsTask(None, None, "entities", leave_out=["negex"]).task.entities.leave_out == ["negex"]


def test_events_triggers_can_be_given(trained, tmp_path):
    trained.to_disk(tmp_path)
    nlp = spacy.load(tmp_path, config={"components.epee_events.triggers_key": "gold"})
    doc = nlp.make_doc(TEXTS[1])
    doc.spans["gold"] = [Span(doc, *place(doc, "caused"), label="Harm")]
    doc = nlp(doc)
    (event,) = doc._.events
    assert doc[slice(*event["trigger"])].text == "caused" and event["score"] == 1.0 and event["arguments"]
    assert nlp(TEXTS[1])._.events == []


def test_events_too_many_pairs_are_cut_with_a_warning(backbone):
    with pytest.warns(UserWarning, match="max_pairs"):
        nlp = make_events_nlp(backbone, max_pairs=2, steps=2)
    assert len(nlp(LONG)._.exits["epee_events"]["events"]["units"])


@pytest.mark.parametrize(
    "settings,words",
    [
        ({"arguments": "some"}, "arguments"),
        ({"reduce": "median"}, "reduce"),
        ({"reduce": 1.5}, "reduce"),
        ({"max_pairs": 0}, "max_pairs"),
        ({"label_weights": {"Harm": -1}}, "label_weights"),
    ],
)
def test_events_settings_that_mean_nothing_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        spacy.blank("en").add_pipe("epee_events", config=settings)


def test_events_unknown_role_is_refused(trained):
    eg = make_example(trained, TEXTS[0])
    eg.reference._.events[0]["arguments"][0]["role"] = "Culprit"
    with pytest.raises(ValueError, match="an unknown role.*'Dose'") as error:
        trained.update([eg])
    assert "Culprit" not in str(error.value)


def test_events_unknown_label_is_refused_but_in_updates_taken_for_that_of_another(trained):
    eg = make_example(trained, TEXTS[0])
    eg.reference._.events[0]["label"] = "Miracle"
    pipe = trained.get_pipe("epee_events")
    with pytest.raises(ValueError, match="an unknown event.*'Harm'") as error:
        pipe.slot().targets([eg], pipe.make_instances([eg.predicted]))
    assert "Miracle" not in str(error.value)
    with pytest.warns(UserWarning, match="does not know"):
        pipe.update([eg])


def test_events_without_any_event_in_the_data_are_refused(backbone):
    with pytest.raises(ValueError, match="E143"):
        make_events_nlp(backbone, texts=TEXTS[3:5])


def test_events_that_can_be_learned_raise_no_warning(backbone, recwarn):
    make_events_nlp(backbone)
    assert not [warning for warning in recwarn if "cannot find" in str(warning.message)]


def test_events_links_across_windows_are_counted(backbone):
    with pytest.warns(UserWarning, match="not in one window"):
        make_events_nlp(backbone, window=20)


def test_events_of_which_one_is_annotated_twice_raise_no_warning(backbone, recwarn):
    nlp = spacy.blank("en")
    eg = make_example(nlp, TEXTS[0])
    eg.reference._.events[0]["arguments"].append(dict(eg.reference._.events[0]["arguments"][0]))
    nlp.add_pipe("epee_events", config={"model": {"trunk": {"name": str(backbone)}, "head": {"hidden": 8}}})
    nlp.initialize(lambda: [eg])
    assert not [warning for warning in recwarn if "cannot find" in str(warning.message)]


def test_events_spans_of_a_kind_that_overlap_are_counted(backbone):
    nlp = spacy.blank("en")
    eg = make_example(nlp, TEXTS[0])
    more = {"role": "Drug", "span": [6, 7], "score": 1.0, "parent": None, "event": None}
    eg.reference._.events[0]["arguments"].append(more)
    nlp.add_pipe("epee_events", config={"model": {"trunk": {"name": str(backbone)}, "head": {"hidden": 8}}})
    with pytest.warns(UserWarning, match="1 spans that overlap"):
        nlp.initialize(lambda: [eg])


def test_events_arguments_that_are_no_entity_are_counted(backbone):
    nlp = spacy.blank("en")
    settings = {"model": {"trunk": {"name": str(backbone)}, "head": {"hidden": 8}}, "arguments": "entities"}
    nlp.add_pipe("epee_events", config=settings)
    with pytest.warns(UserWarning, match="none of the given entities"):
        nlp.initialize(lambda: [make_example(nlp, text) for text in TEXTS])


def test_events_of_documents_with_other_tokens_are_learned(backbone):
    nlp = make_events_nlp(backbone)
    reference = make_example(nlp, TEXTS[0]).reference
    predicted = Doc(nlp.vocab, words=list(reference.text), spaces=[False] * len(reference.text))  # a token a character
    pipe = nlp.get_pipe("epee_events")
    eg = Example(predicted, reference)
    items = pipe.make_instances([predicted])
    targets, _ = pipe.task.targets([eg], pipe.labels, items)
    tags = targets.reshape(len(items), -1, 3).argmax(axis=2)
    drug = pipe.task.schema(pipe.cfg).numbers["role", "Drug"]
    found = predicted[int(items.tokens[tags[:, drug] > 0].min()) : int(items.tokens[tags[:, drug] > 0].max()) + 1]
    assert found.text == "aspirin 100 mg"


def test_events_warn_once_a_batch_of_too_many_pairs(backbone, recwarn):
    nlp = make_events_nlp(backbone, max_pairs=1)
    nlp.update([make_example(nlp, text) for text in TEXTS])
    assert len([one for one in recwarn if "max_pairs" in str(one.message)]) == 1


def test_events_with_given_triggers_are_initialized_on_documents_without_any(backbone):
    nlp = make_events_nlp(backbone, triggers_key="triggers")
    assert nlp(TEXTS[0])._.events == []
