"""A component with several tasks, and what it learns from."""

import events_util
import relations_util
import spacy
from relations_util import tag
from spacy.training import Example
from thinc.api import Adam
from util import train_once

from spacy_epee.exits import rules
from spacy_epee.tasks.events.docs import install_extensions

TEXTS = (*relations_util.TEXTS[:4], *events_util.TEXTS[:3])
RULES = {"kind": rules.Entropy(0.55), "relations": rules.EntropyPatience(0.7, 1), "events": rules.Patience(1)}


def block(rule):
    return None if rule is None else rule.to_config()


def make_example(nlp, text, known=("kind", "relations", "events")):
    """Make an example that is annotated for some tasks."""
    install_extensions()
    doc = tag(nlp.make_doc(text))
    if "kind" in known:
        doc.cats = {"drug": float(len(doc.ents) > 0), "none": float(not doc.ents)}
    if "relations" in known:
        doc._.relations = relations_util.make_example(nlp, text).reference._.relations
    if "events" in known:
        doc._.events = events_util.make_example(nlp, text).reference._.events
    return Example(tag(nlp.make_doc(text)), doc)


def make_joint_nlp(
    backbone,
    names=("kind", "relations", "events"),
    exits=RULES,
    steps=0,
    known=None,
    more=None,
    trunk=None,
    lexical=0,
    gate=0,
    **settings,
):
    """Make a pipeline of one component with some tasks."""
    spacy.util.fix_random_seed(0)
    tasks = {
        "kind": {"@misc": "spacy-epee.TextCatTask.v1", "scorer": {"@scorers": "spacy.textcat_scorer.v2"}},
        "relations": {
            "@misc": "spacy-epee.RelationsTask.v1",
            "candidates": {"@misc": "spacy-epee.EntityPairs.v1", "labels": [["Drug", "Problem"]]},
            "scorer": {"@scorers": "spacy-epee.relations_scorer.v1"},
        },
        "events": {"@misc": "spacy-epee.EventsTask.v1", "scorer": {"@scorers": "spacy-epee.events_scorer.v1"}},
    }
    heads = {
        "kind": {"@architectures": "spacy-epee.PooledHead.v1", "lexical": lexical},
        "relations": {"@architectures": "spacy-epee.PairHead.v1", "hidden": 16, "gate": gate},
        "events": {"@architectures": "spacy-epee.EventHead.v1", "hidden": 16, "gate": gate},
    }
    nlp = spacy.blank("en")
    config = {
        "model": {
            "trunk": {"name": str(backbone), "window": 48, "overlap": 8, **(trunk or {})},
            "heads": {name: heads[name] for name in names},
        },
        "tasks": {name: {**tasks[name], "exit": block(exits.get(name)), **((more or {}).get(name) or {})} for name in names},
        **settings,
    }
    nlp.add_pipe("epee", config=config)
    examples = [make_example(nlp, text) for text in TEXTS]
    nlp.initialize(lambda: examples)

    def train():
        optimizer = Adam(0.002)
        for _ in range(steps):
            nlp.update([make_example(nlp, text, known or names) for text in TEXTS], sgd=optimizer)

    if steps:
        train_once(nlp, (names, steps, known, more, trunk, lexical, settings), train)
    return nlp
