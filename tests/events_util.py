"""Documents with events, and pipelines for them."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy
import spacy
from spacy.training import Example
from thinc.api import Adam
from util import train_once

from spacy_epee.engine.replay import simulate
from spacy_epee.model import get_exit_layers
from spacy_epee.tasks.events.docs import install_extensions

TEXTS = (
    "She got a severe rash from aspirin 100 mg daily.",
    "No rash on warfarin. His headache was caused by codeine within hours.",
    "Started metformin for diabetes; lisinopril 5 mg was stopped because of a dry cough.",
    "Nothing to report today.",
    "Codeine.",
    "The constipation came from verapamil, which was stopped. A 60 year old man got hives from penicillin.",
)
# By text: trigger, label, arguments (role, text, place of the parent or of the event), and attributes.
Annotated = Tuple[str, str, List[Tuple[Any, ...]], Dict[str, Any]]
EVENTS: Dict[str, List[Annotated]] = {
    TEXTS[0]: [("from", "Harm", [("Effect", "severe rash"), ("Drug", "aspirin 100 mg"), ("Dose", "100 mg", 1)], {})],
    TEXTS[1]: [
        ("on", "Harm", [("Effect", "rash"), ("Drug", "warfarin")], {"Negated": True}),
        ("caused", "Harm", [("Effect", "headache"), ("Drug", "codeine")], {}),
    ],
    TEXTS[2]: [
        ("Started", "Change", [("Drug", "metformin")], {"Kind": "start"}),
        (
            "stopped",
            "Change",
            [("Drug", "lisinopril 5 mg"), ("Dose", "5 mg", 0), ("Reason", "because of", "event 2")],
            {"Kind": "stop"},
        ),
        ("because of", "Harm", [("Effect", "dry cough"), ("Drug", "lisinopril 5 mg")], {}),
    ],
    TEXTS[5]: [
        ("came", "Harm", [("Effect", "constipation"), ("Drug", "verapamil")], {}),
        ("got", "Harm", [("Effect", "hives"), ("Drug", "penicillin"), ("Subject", "60 year old man")], {}),
    ],
}


def place(doc, text: str) -> List[int]:
    """The tokens of a text in a Doc."""
    start = doc.text.index(text)
    span = doc.char_span(start, start + len(text))
    return [span.start, span.end]


def make_example(nlp, text: str) -> Example:
    """Make an example whose reference has events."""
    install_extensions()
    doc = nlp.make_doc(text)
    events = []
    for trigger, label, arguments, attributes in EVENTS.get(text, []):
        found = []
        for role, part, *more in arguments:
            parent = more[0] if more and isinstance(more[0], int) else None
            event = int(more[0].split()[1]) if more and parent is None else None
            found.append({"role": role, "span": place(doc, part), "score": 1.0, "parent": parent, "event": event})
        given = {name: {"value": value, "score": 1.0, "spans": []} for name, value in attributes.items()}
        events.append({"trigger": place(doc, trigger), "label": label, "score": 1.0, "arguments": found, "attributes": given})
    doc._.events = events
    return Example(nlp.make_doc(text), doc)


def replay(pipe, stored, rule):
    """What a rule does with what all exits say about a batch."""
    return simulate(
        stored.logits,
        rule,
        exit_layers=get_exit_layers(pipe.model),
        reading=pipe.task.reading(0.5),
        doubt=1 / (1 + numpy.exp(-stored.doubt)),
        counts=stored.items.counts,
        asked=stored.items,
        links=stored.links,
    )


def make_events_nlp(
    backbone,
    texts: Sequence[str] = TEXTS,
    *,
    exit: Optional[Dict[str, Any]] = None,
    window: int = 64,
    head: Optional[Dict[str, Any]] = None,
    trunk: Optional[Dict[str, Any]] = None,
    seed: int = 0,
    steps: int = 0,
    **config: Any,
):
    """Make a pipeline of one component and train it for some steps: 40 leave it half sure, after 110 it knows the texts."""
    spacy.util.fix_random_seed(seed)
    nlp = spacy.blank("en")
    settings = {
        "model": {
            "trunk": {"name": str(backbone), "window": window, "overlap": 8, **(trunk or {})},
            "head": {"hidden": 16, **(head or {})},
            "exit_layers": None,
        },
        "exit": exit,
        **config,
    }
    nlp.add_pipe("epee_events", config=settings)
    examples = [make_example(nlp, text) for text in texts]
    nlp.initialize(lambda: examples)

    def train() -> None:
        optimizer = Adam(0.002)
        for _ in range(steps):
            nlp.update(examples, sgd=optimizer)

    if steps:
        train_once(nlp, (texts, window, head, trunk, seed, steps, config), train)
    return nlp
