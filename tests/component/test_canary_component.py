"""No part of a note is in what components log, warn of and raise, whatever is wrong with a Doc or its annotation."""

import copy
import logging
from dataclasses import replace
from functools import partial

import pytest
from canary import CANARY, NUMBER, leaks_of
from events_util import TEXTS as EVENT_TEXTS
from events_util import make_events_nlp
from events_util import make_example as make_event_example
from relations_util import TEXTS as RELATION_TEXTS
from relations_util import make_example as make_relation_example
from relations_util import make_relations_nlp
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam
from util import SENTENCES, make_nlp

from spacy_epee.doc_attributes import annotate

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 2}
LABELS = ("ACUTE", "STABLE", "HISTORY")
JUNK = [CANARY, f"{CANARY} " * 20, NUMBER, -NUMBER, None, True, 0.5, {CANARY: CANARY}, [CANARY], [[CANARY]], [NUMBER, NUMBER], []]
RELATION = {"head": [0, 1], "child": [3, 4], "label": "CAUSES", "score": 1.0}
EVENT = {
    "trigger": [5, 6],
    "label": "Harm",
    "score": 1.0,
    "arguments": [{"role": "Effect", "span": [3, 5], "score": 1.0, "parent": None, "event": None}],
    "attributes": {"Negated": {"value": True, "score": 1.0, "spans": [[0, 1]]}},
}


def spoilt(value):
    """All copies of a value in which one thing is another, missing, or called by a part of the note."""
    yield from JUNK
    if isinstance(value, dict):
        for key in value:
            yield {name: part for name, part in value.items() if name != key}
            yield {(CANARY if name == key else name): part for name, part in value.items()}
            for part in spoilt(value[key]):
                yield {**value, key: part}
    elif isinstance(value, list):
        for place in range(len(value)):
            for part in spoilt(value[place]):
                yield [*value[:place], part, *value[place + 1 :]]


def with_canary(make, nlp, text):
    """An example whose text has the canary at its end."""
    eg = make(nlp, text)
    docs = []
    for doc in (eg.predicted, eg.reference):
        words, spaces = [token.text for token in doc] + [CANARY], [bool(token.whitespace_) for token in doc] + [False]
        spaces[-2] = True
        longer = Doc(nlp.vocab, words=words, spaces=spaces)
        longer.set_ents([Span(longer, ent.start, ent.end, label=ent.label_) for ent in doc.ents])
        longer.cats = dict(doc.cats)
        for name in ("relations", "events"):
            if doc.user_data.get(("._.", name, None, None)):
                annotate(longer, name, doc.user_data["._.", name, None, None])
        docs.append(longer)
    return Example(*docs)


def make_cats_example(nlp, text):
    doc = nlp.make_doc(text)
    doc.cats = {label: float(label == LABELS[len(text) % 3]) for label in LABELS}
    return Example(nlp.make_doc(text), doc)


HARD = pytest.mark.hard
TASKS = {
    "textcat": (SENTENCES[:3], make_cats_example, partial(make_nlp, labels=LABELS, exit=RULE), "cats", {"ACUTE": 0.0}),
    "relations": (RELATION_TEXTS[:3], make_relation_example, partial(make_relations_nlp, exit=RULE), "relations", [RELATION]),
    "events": (EVENT_TEXTS[:3], make_event_example, partial(make_events_nlp, exit=RULE), "events", [EVENT]),
}


@pytest.fixture(scope="module")
def pipelines(backbone):
    return {kind: task[2](backbone) for kind, task in TASKS.items()}


def set_annotation(doc, name, value):
    if name == "cats":
        doc.cats = value
    else:
        annotate(doc, name, value)


def uses(nlp, examples, name):
    """What is done with annotated documents. Each is given copies."""
    pipe = nlp.get_pipe(nlp.pipe_names[0])

    def copies():
        return [copy.copy(eg) for eg in examples]

    yield "update", lambda: pipe.update(copies(), sgd=Adam(0.0))
    yield "evaluate", lambda: nlp.evaluate(copies())
    yield "initialize", lambda: copy.deepcopy(nlp).initialize(lambda: copies())
    if name != "cats":

        def answer():
            docs = [eg.reference.copy() for eg in examples]
            for doc, eg in zip(docs, examples):
                doc.user_data = dict(eg.reference.user_data)
            list(nlp.pipe(docs))

        yield "pipe", answer


@pytest.mark.parametrize("kind", ["textcat", pytest.param("relations", marks=HARD), pytest.param("events", marks=HARD)])
def test_components_are_silent_about_broken_annotation(kind, pipelines):
    texts, make, _, name, good = TASKS[kind]
    nlp = pipelines[kind]
    values = [value for value in spoilt(good) if name != "cats" or isinstance(value, dict)]  # as spaCy itself expects
    found = set()
    failed = 0
    for number, value in enumerate(values[:: 1 if kind == "textcat" else 3]):
        examples = [with_canary(make, nlp, text) for text in texts]
        try:
            set_annotation(examples[0].reference, name, value)
        except (TypeError, ValueError):
            continue  # spaCy takes no such `doc.cats`
        for what, use in uses(nlp, examples, name):
            if what == "initialize" and number % 4:
                continue
            leaks, error = leaks_of(use)
            failed += error is not None
            found |= {(what, leak, type(error).__name__, repr(value)[:80]) for leak in leaks}
    assert not found, "\n".join(map(str, sorted(found)))
    assert failed > 5


def log_error(name, proc, docs, error):
    logging.getLogger("spacy").error("%s failed on %d documents: %s", name, len(docs), error, exc_info=error)


@pytest.mark.parametrize("handled", [False, True])
@pytest.mark.parametrize("kind", TASKS)
def test_components_are_silent_about_documents_that_they_cannot_answer(kind, handled, pipelines, monkeypatch):
    texts, make, _, name, good = TASKS[kind]
    nlp = copy.deepcopy(pipelines[kind])
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    if handled:
        nlp.set_error_handler(log_error)
    task = pipe.task
    if kind == "relations":
        task.candidates = replace(task.candidates, max_pairs=1)

    def docs():
        found = [with_canary(make, nlp, text).reference for text in texts]
        for doc in found:
            with doc.retokenize() as retokenizer:
                retokenizer.merge(doc[len(doc) - 2 :])
        found[0].user_data["._.", "exits", None, None] = CANARY
        return [*found, nlp.make_doc(f"{CANARY} " * 200)]

    def answer():
        for doc in docs():
            nlp(doc)

    found = [leaks_of(use) for use in (answer, lambda: list(nlp.pipe(docs())), lambda: list(pipe.pipe([CANARY, NUMBER, None])))]
    assert [leaks for leaks, _ in found] == [[], [], []]
    assert [error is None for _, error in found] == [handled] * 3


@pytest.mark.parametrize("kind", TASKS)
def test_components_are_silent_about_unknown_labels_and_other_texts(kind, pipelines):
    texts, make, _, name, good = TASKS[kind]
    nlp = pipelines[kind]
    strange = {"cats": {CANARY: 1.0}, "relations": [{**RELATION, "label": CANARY}], "events": [{**EVENT, "label": CANARY}]}[name]
    for value in (strange, good):
        examples = [with_canary(make, nlp, text) for text in texts]
        set_annotation(examples[0].reference, name, value)
        if value is good:  # annotation of another text
            examples = [Example(nlp.make_doc(f"{CANARY} {CANARY}"), eg.reference) for eg in examples]
        for what, use in uses(nlp, examples, name):
            if what == "evaluate" and value is good:
                continue  # spaCy's scorer of tokens shows both texts (E949)
            leaks, error = leaks_of(use)
            assert not leaks, (what, value is good)
            if what == "update" and value is strange:
                assert error is None  # a warning is among what is looked through
