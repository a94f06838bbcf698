"""Events where sentences leave by themselves."""

import numpy
import pytest
import spacy
from events_util import TEXTS, make_events_nlp, make_example, place, replay
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example
from test_event_items import SCHEMA
from util import make_tokenizer, make_words
from windows_util import blank

from spacy_epee.evaluation.compare import compare
from spacy_epee.exits import rules
from spacy_epee.inputs.windows import UnreadableDocs, Windower
from spacy_epee.tasks.events.instances import find_tokens
from spacy_epee.tuning.tuner import Tuner

LONG = " ".join([*TEXTS] * 2)
NOTES = [TEXTS[0], "", LONG, TEXTS[4], "\n\t ", TEXTS[3] + " " + TEXTS[1]]
TRUNK = "components.epee_events.model.trunk"


@pytest.fixture(scope="module")
def saved(backbone, tmp_path_factory):
    """A pipeline that was trained on windows and half knows its texts, with what finds sentences."""
    path = tmp_path_factory.mktemp("events") / "model"
    nlp = make_events_nlp(backbone, head={"learned_exit": True}, steps=40)
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(path)
    return path


def load(path, context, **more):
    config = {f"{TRUNK}.unit": "sentence", f"{TRUNK}.context": context}
    return spacy.load(path, config={**config, **{f"{TRUNK}.{name}": value for name, value in more.items()}})


@pytest.fixture(scope="module")
def nlp(saved):
    return load(saved, 6)


def docs_of(nlp, notes=NOTES):
    return [nlp.get_pipe("sentencizer")(nlp.make_doc(note)) for note in notes]


def plain(graph):
    return None if graph is None else (graph.nodes.tolist(), graph.links.tolist(), numpy.round(graph.scores, 3).tolist())


def said(answers):
    """What each Doc's sentences say, by the tokens of the Doc."""
    items, found = answers.items, []
    for units in items.by_doc():
        for unit in units:
            graph, first = answers.graphs[unit], numpy.searchsorted(items.units, unit)
            nodes = [] if graph is None else (graph.nodes - [unit, first, first, 0]).tolist()
            links = [] if graph is None else graph.links.tolist()
            found.append((int(answers.layers[unit]), answers.reasons[unit], nodes, links))
    return found


words = st.lists(st.sampled_from([*make_words()[:40], "penicillinum" * 4, ".", "\n", "\u200b"]), min_size=1, max_size=50)


@given(words, st.sets(st.integers(1, 50), max_size=10), st.integers(0, 8), st.sampled_from([24, 200]))
@settings(max_examples=60)
def test_each_token_is_asked_about_in_its_sentence_alone(words, starts, context, size):
    docs = [Doc(blank().vocab, words=words, sent_starts=[i == 0 or i in starts for i in range(len(words))])] * 2
    windows = Windower(make_tokenizer(), size, 6, context=context)(docs)
    items = find_tokens(docs, windows, SCHEMA, 10)
    wanted = [token.i for token in docs[0] if not token.is_space and token.text != "\u200b"]
    sentences = numpy.cumsum([bool(token.is_sent_start) for token in docs[0]])
    for index in range(2):
        of_doc = items.unit_docs[items.units] == index
        assert items.tokens[items.own & of_doc].tolist() == wanted
        if size == 200:
            assert items.tokens[of_doc].tolist() == wanted
    shift = windows.starts[items.units] - windows.n_prefix
    assert (items.first + shift >= windows.cores[items.units, 0]).all() and (items.first < items.stop).all()
    assert (items.stop + shift <= windows.cores[items.units, 1]).all()
    for unit in range(items.n_units):
        assert len(set(sentences[items.tokens[items.units == unit]])) <= 1


def test_every_sentence_is_a_unit_and_leaves_by_itself(nlp):
    pipe = nlp.get_pipe("epee_events")
    [doc] = docs_of(nlp, [LONG])
    answers = pipe.answer([doc], rules.Entropy(0.75))
    assert answers.items.n_units == len([*doc.sents]) > 10 and len(set(answers.layers.tolist())) > 1
    assert [units["layer"] for units in nlp(LONG)._.exits["epee_events"]["events"]["units"]]


@pytest.mark.parametrize("rule", [rules.Entropy(0.75), rules.EntropyPatience(0.5, 1), None], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("settings", [{"context": 0}, {"context": 6}, {"context": 30, "window": 20}], ids=str)
def test_sentences_in_batches_are_answered_as_one_by_one_and_as_in_a_replay(nlp, saved, settings, rule):
    pipe = load(saved, **settings).get_pipe("epee_events")
    docs = docs_of(nlp)
    alone = [window for doc in docs if len(doc.text.strip()) for window in said(pipe.answer([doc], rule))]
    live = pipe.answer(docs, rule)
    assert said(live) == alone
    if rule is not None:
        (stored,) = pipe.exit_logits(docs)
        found = replay(pipe, stored, rule)
        assert found.layers.tolist() == live.layers.tolist()
        assert [plain(graph) for graph in found.graphs] == [plain(graph) for graph in live.graphs]


def test_a_sentence_alone_is_answered_as_its_window_was(saved):
    sentences = ["She got a severe rash from aspirin 100 mg daily.", *TEXTS[2:5]]
    found = [
        [doc._.events for doc in nlp.pipe(sentences)] for nlp in (spacy.load(saved), load(saved, 0), load(saved, 50, window=60))
    ]
    assert found[0] == found[1] == found[2] and any(found[0])


def test_context_is_read_and_never_answered(saved):
    few, many = load(saved, 0), load(saved, 40)
    docs = docs_of(few, [LONG])
    one, other = (pipe.get_pipe("epee_events").exit_logits(docs) for pipe in (few, many))
    (one,), (other,) = one, other
    assert (one.items.tokens == other.items.tokens).all() and one.items.lengths.sum() < other.items.lengths.sum()
    assert not numpy.allclose(one.logits, other.logits, atol=0.01)


def test_settings_of_sentences_are_saved(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again.config["components"]["epee_events"]["model"]["trunk"]["unit"] == "sentence"
    assert again(LONG)._.events == nlp(LONG)._.events
    assert again.get_pipe("epee_events").model.get_ref("trunk").shims[0].windower.context == 6


def test_a_document_without_sentences_is_refused_alone(saved):
    nlp = load(saved, 6)
    pipe = nlp.get_pipe("epee_events")
    failed = []
    pipe.set_error_handler(lambda name, proc, docs, error: failed.extend((doc, error) for doc in docs))
    docs = [*docs_of(nlp, [TEXTS[0]]), nlp.make_doc(TEXTS[1]), nlp.make_doc("Codeine"), nlp.make_doc("")]
    answered = [*pipe.pipe(docs)]
    [(doc, error)] = failed
    assert doc is docs[1] and len(answered) == 3 and answered[0]._.events
    assert isinstance(error, UnreadableDocs) and "sentencizer" in str(error) and "warfarin" not in str(error)


def test_training_needs_sentences_on_the_predicted_documents(saved):
    nlp = load(saved, 6)
    examples = [make_example(nlp, text) for text in TEXTS]
    for eg in examples:
        nlp.get_pipe("sentencizer")(eg.reference)
    with pytest.raises(UnreadableDocs, match="training.annotating_components"):
        nlp.update(examples)
    before = nlp.get_pipe("epee_events").wordpieces
    losses = nlp.update(examples, sgd=nlp.resume_training(), annotates=["sentencizer"])
    assert losses["epee_events"] > 0 and nlp.get_pipe("epee_events").wordpieces > before


def initialize(backbone, examples):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    trunk = {"name": str(backbone), "unit": "sentence", "context": 4}
    nlp.add_pipe("epee_events", config={"model": {"trunk": trunk, "head": {"hidden": 8}}})
    nlp.initialize(lambda: examples)
    return nlp


def test_what_crosses_sentences_is_counted(backbone):
    nlp = spacy.blank("en")
    across = make_example(nlp, TEXTS[1])  # "No rash on warfarin. His headache was caused by codeine within hours."
    across.reference._.events[0]["arguments"][0]["span"] = place(across.reference, "warfarin. His")
    across.reference._.events[0]["arguments"][1]["span"] = place(across.reference, "codeine")
    with pytest.warns(UserWarning) as warned:
        initialize(backbone, [across, make_example(nlp, TEXTS[0])])
    told = [str(warning.message) for warning in warned if "cannot find" in str(warning.message)]
    assert any("cannot find 1 spans: no sentence has all of one" in text for text in told)
    assert any("cannot find 2 links: their ends are not in one sentence" in text for text in told)


def test_what_crosses_no_sentence_raises_no_warning_and_parts_of_spans_are_not_tagged(backbone, recwarn):
    nlp = spacy.blank("en")
    nlp = initialize(backbone, [make_example(nlp, text) for text in TEXTS])
    assert not [warning for warning in recwarn if "cannot find" in str(warning.message)]
    pipe = nlp.get_pipe("epee_events")
    across = make_example(nlp, TEXTS[1])
    across.reference._.events[1]["trigger"] = place(across.reference, "warfarin. His")
    docs = docs_of(nlp, [TEXTS[1]])
    items = pipe.make_instances(docs)
    targets, _ = pipe.task.targets([Example(docs[0], across.reference)], pipe.labels, items)
    tagged = {items.tokens[row] for row in numpy.flatnonzero(1 - targets[:, 0])}
    assert tagged == {place(across.reference, "on")[0]}


@pytest.mark.parametrize("unit", ["window", "sentence"])
def test_reports_call_what_leaves_by_its_name(saved, unit):
    nlp = spacy.load(saved, config={f"{TRUNK}.unit": unit})
    examples = [make_example(nlp, text) for text in TEXTS]
    pipe = nlp.get_pipe("epee_events")
    assert compare(nlp, examples, pipe, batch_sizes=[], rounds=0)["unit"] == unit
    assert Tuner(nlp, pipe, examples, steps=2).report["unit"] == unit
