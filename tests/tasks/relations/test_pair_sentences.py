"""Relations where sentences leave by themselves."""

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from relations_util import TEXTS, make_example, make_relations_nlp, tag
from spacy.tokens import Doc, Span
from util import make_tokenizer
from windows_util import blank

from spacy_epee.engine.replay import simulate
from spacy_epee.exits import rules
from spacy_epee.inputs.windows import Windower
from spacy_epee.model import get_exit_layers
from spacy_epee.tasks.relations.candidates import EntityPairs
from spacy_epee.tasks.relations.instances import find_pairs

LONG = " ".join([*TEXTS] * 2)
NOTES = [TEXTS[0], "", LONG, TEXTS[4], TEXTS[3] + " " + TEXTS[1]]


@st.composite
def annotated(draw):
    length = draw(st.integers(1, 40))
    words = draw(st.lists(st.sampled_from(["fever", ".", "with", "gastroenterology"]), min_size=length, max_size=length))
    starts = draw(st.sets(st.integers(1, 40), max_size=8))
    doc = Doc(blank().vocab, words=words, sent_starts=[i == 0 or i in starts for i in range(length)])
    places = draw(st.lists(st.tuples(st.integers(0, length - 1), st.integers(1, 6)), max_size=6, unique=True))
    doc.spans["all"] = [Span(doc, start, min(start + size, length), label="A") for start, size in places]
    return doc


@given(annotated(), st.integers(0, 8))
@settings(max_examples=80)
def test_pairs_are_those_of_entities_that_are_whole_in_one_sentence(doc, context):
    windows = Windower(make_tokenizer(), 500, 4, context=context)([doc])
    items = find_pairs([doc], windows, EntityPairs("all"), {})
    numbers = numpy.cumsum([bool(token.is_sent_start) for token in doc])
    whole = {(span.start, span.end) for span in doc.spans["all"] if numbers[span.start] == numbers[span.end - 1]}
    expected = {(*one, *other) for one in whole for other in whole if one != other and numbers[one[0]] == numbers[other[0]]}
    found = {(*head, *child) for head, child in zip(items.head_tokens.tolist(), items.child_tokens.tolist())}
    assert found == expected and len(items) == len(expected)
    for window, first, stop in items.mentions.tolist():
        shift = windows.starts[window] - windows.n_prefix
        assert windows.cores[window, 0] <= first + shift < stop + shift <= windows.cores[window, 1]
    offsets = windows.offsets[0]
    for row, mention in enumerate(items.heads):
        window, first, _ = items.mentions[mention]
        assert offsets[first + windows.starts[window] - windows.n_prefix, 0] == doc[items.head_tokens[row, 0]].idx


@pytest.fixture(scope="module")
def nlp(backbone, tmp_path_factory):
    path = tmp_path_factory.mktemp("relations") / "model"
    nlp = make_relations_nlp(backbone)
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(path)
    trunk = "components.epee_relations.model.trunk"
    return spacy.load(path, config={f"{trunk}.unit": "sentence", f"{trunk}.context": 6})


def docs_of(nlp, notes=NOTES):
    return [nlp.get_pipe("sentencizer")(tag(nlp.make_doc(note))) for note in notes]


@pytest.mark.parametrize("rule", [rules.Entropy(0.75), rules.EntropyPatience(0.6, 1), None], ids=lambda rule: type(rule).__name__)
def test_sentences_in_batches_are_related_as_one_by_one_and_as_in_a_replay(nlp, rule):
    pipe, docs = nlp.get_pipe("epee_relations"), docs_of(nlp)
    live = pipe.answer(docs, rule)
    alone = [pipe.answer([doc], rule) for doc in docs]
    assert live.layers.tolist() == [layer for answers in alone for layer in answers.layers.tolist()]
    numpy.testing.assert_allclose(live.logits, numpy.concatenate([answers.logits for answers in alone]), rtol=1e-4, atol=1e-4)
    if rule is not None:
        assert len(set(live.layers.tolist())) > 1
        (stored,) = pipe.exit_logits(docs)
        reading, counts = pipe.task.reading(0.5), stored.items.counts
        found = simulate(stored.logits, rule, exit_layers=get_exit_layers(pipe.model), reading=reading, counts=counts)
        assert found.layers.tolist() == live.layers.tolist() and numpy.allclose(found.logits, live.logits, atol=1e-4)


def test_sentences_without_a_pair_do_not_climb(nlp):
    pipe = nlp.get_pipe("epee_relations")
    [doc] = docs_of(nlp, [" ".join([TEXTS[3]] * 50 + [TEXTS[0]])])
    items = pipe.make_instances([doc])
    assert len(items.windows) == 51 and items.n_units == len(items.live) == 1


def test_relations_across_sentences_are_counted(backbone):
    example = make_example(spacy.blank("en"), TEXTS[1])  # "No rash on warfarin. The headache was eased by ..."
    places = {ent.text: [ent.start, ent.end] for ent in example.reference.ents}
    example.reference._.relations.append(
        {"head": places["warfarin"], "child": places["headache"], "label": "CAUSES", "score": 1.0}
    )
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    trunk = {"name": str(backbone), "unit": "sentence"}
    nlp.add_pipe("epee_relations", config={"model": {"trunk": trunk, "head": {"hidden": 8}}})
    with pytest.warns(UserWarning, match="1 of 2 annotated relations .* not in one sentence.*`model.trunk.unit` to 'window'"):
        nlp.initialize(lambda: [example])
