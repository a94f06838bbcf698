"""What is worked out of a document grows with it and no faster: four times the text takes about four times the memory, and the
windows are not all gone through for each entity. The whole way is measured in hard/test_growth_curves.py."""

import tracemalloc

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example
from util import make_tokenizer
from windows_util import get_windower

from spacy_epee.inputs.windows import Windower
from spacy_epee.tasks.events.docs import install_extensions
from spacy_epee.tasks.events.instances import TokenInstances, find_tokens
from spacy_epee.tasks.events.schema import EventSchema
from spacy_epee.tasks.events.task import Events
from spacy_epee.tasks.relations.candidates import EntityPairs
from spacy_epee.tasks.relations.instances import find_pairs

NLP = spacy.blank("en")
PLAIN = {
    "tagged": [["role", "Drug"]],
    "entities": ["Problem"],
    "outputs": [["role", "Drug", None], ["role", "Effect", None]],
    "allowed": [[["event", "Harm"], ["role", "Drug"], 0], [["event", "Harm"], ["entity", "Problem"], 1]],
}
CFG = {"labels": ["Harm"], "schema": PLAIN}


def make_doc(size: int) -> Doc:
    install_extensions()
    words = ["fever", "with", "rash", "mg"] * (size // 4)
    doc = Doc(NLP.vocab, words=words, sent_starts=[i % 8 == 0 for i in range(len(words))])
    places = range(0, size - 4, 8)
    doc.spans["all"] = [Span(doc, i, i + 1, label="Problem") for i in places]
    doc.spans["triggers"] = [Span(doc, i + 2, i + 3, label="Harm") for i in places]
    doc._.events = [
        {
            "trigger": [i + 2, i + 3],
            "label": "Harm",
            "score": 1.0,
            "arguments": [{"role": "Effect", "span": [i, i + 1], "score": 1.0, "parent": None, "event": None}],
            "attributes": {},
        }
        for i in places
    ]
    return doc


def make_task() -> Events:
    return Events(arguments="entities", spans_key="all", triggers_key="triggers", max_pairs=500, label_weights={}, reduce="mean")


def work(what, doc, windows):
    schema = EventSchema.from_plain(CFG["labels"], PLAIN)
    if what == "windows":
        get_windower()([doc])
    elif what == "align":
        windows.align([doc], [0])
    elif what == "tokens":
        find_tokens([doc], windows, schema, 500)
    elif what == "pairs":
        assert len(find_pairs([doc], windows, EntityPairs("all", max_pairs=10**9), {})) > len(doc) / 8
    else:
        assert len(make_task().make_instances([doc], windows, CFG).given) > len(doc) / 8


@pytest.mark.hard
@pytest.mark.parametrize("what", ["windows", "align", "tokens", "pairs", "events"])
def test_memory_grows_with_the_document(what):
    peaks = []
    for size in (8_000, 32_000):
        doc = make_doc(size)
        windows = get_windower(size=64, overlap=8)([doc])
        tracemalloc.start()
        try:
            work(what, doc, windows)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 5.5 * peaks[0]


@pytest.mark.parametrize("what", ["tokens", "pairs", "events"])
def test_memory_grows_with_the_sentences(what):
    windower, peaks = Windower(make_tokenizer(), 64, 8, context=8), []
    for size in (2_000, 8_000):
        doc = make_doc(size)
        doc.spans["all"] = [Span(doc, span.start + i, span.end + i, label="Problem") for span in doc.spans["all"] for i in (0, 2)]
        tracemalloc.start()
        try:
            windows = windower([doc])
            work(what, doc, windows)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert len(windows) == size // 8
    assert peaks[1] < 5.5 * peaks[0]


def test_windows_are_not_gone_through_for_each_entity(monkeypatch):
    asked = []
    holds = TokenInstances.holds
    monkeypatch.setattr(TokenInstances, "holds", lambda *args: asked.append(args) or holds(*args))
    doc = make_doc(8_000)
    windows = get_windower()([doc])
    task, examples = make_task(), [Example(doc, make_doc(8_000))]
    items = task.make_instances([doc], windows, CFG)
    task.add_gold(examples, items)
    task.targets(examples, CFG["labels"], items)
    task.check_data(examples, items, "events")
    assert len(items.gold) > 1_000 and len(items.gold_links) > 900 and len(windows) > 500
    assert len(asked) < 20 * len(doc.spans["all"])
