"""A linear model of the words beside the exits of a pipeline."""

from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy
from spacy.language import Language

from ..benchmark.front.simple import TfIdf
from ..benchmark.front.texts import label_texts, to_logits
from ..benchmark.turns import seconds_in_turns
from ..benchmark.workspace import Unavailable
from ..component.pipe import EarlyExitTransformer
from ..engine.replay import Replay
from ..evaluation.spread import spread
from ..tuning.tuner import Tuner
from .data import read_data

NAME = "TF-IDF, logistic regression"


def learn_linear(nlp: Language, component: EarlyExitTransformer, path: Path, cats: Optional[str]) -> TfIdf:
    """Train a linear model of words and pairs of words.

    nlp (Language): The pipeline.
    component (EarlyExitTransformer): The component, of which it has the labels.
    path (Path): The documents to learn from.
    cats (Optional[str]): The field with the labels, in a JSONL file.
    RETURNS (TfIdf): The model.
    RAISES ValueError: The component is for something else than labels of texts, or nothing can be learned.
    """
    task = next(iter(component.slots.values())).task
    if len(component.slots) > 1 or task.reads != "text" or not task.reads_cats:
        raise ValueError(f"--train is for labels of documents, and the component '{component.name}' is for something else")
    examples, _ = read_data(nlp, component, path, cats)
    found = label_texts({"train": examples}, component.labels, task.exclusive)["train"]
    if found.truths[:, : len(component.labels)].any(axis=0).sum() < (2 if task.exclusive else 1):
        raise ValueError(f"The documents of --train have too few of the labels of '{component.name}' to learn them")
    model = TfIdf()
    try:
        model.fit(found)
    except Unavailable as error:
        raise ValueError(f"Nothing can be learned from the documents of --train: {error}") from error
    return model


def add_linear(tuning: Tuner, model: TfIdf, sizes: Sequence[int], timed: int, rounds: int) -> Dict[str, Any]:
    """Add what a linear model scores to the report of a search, by the same figure.

    tuning (Tuner): The search.
    model (TfIdf): The model.
    sizes (Sequence[int]): Batch sizes to time at; none does not time.
    timed (int): How many documents to time on.
    rounds (int): How often.
    RETURNS (Dict[str, Any]): The row, which is "linear" in the report.
    """
    stored = tuning.stored
    texts = [eg.reference.text for eg in stored.examples]
    probabilities = model.read(model.run(texts, 32))[:, : len(stored.labels)]
    # The only exit of a search of its own, so that the score is the one of all other rows.
    logits = to_logits(probabilities)[stored.docs].astype("float32")
    own = Replay(logits[None], exit_layers=stored.layers[-1:], reading=tuning.component.reading(stored.name)).run(None)
    full = tuning.replay.run(None)
    score = tuning.score(own)
    differs = numpy.zeros(stored.n_docs, dtype=bool)
    differs[stored.docs] = (own.decision != full.decision).any(axis=1)
    row: Dict[str, Any] = {"name": NAME, "rule": None, "score": score, "drop": tuning.trials.full.score - score}
    row["spread"] = spread(lambda docs: tuning.score(own, docs) - tuning.score(full, docs), stored.n_docs)
    row.update(disagreement=float(differs.mean()), layers=0.0, wordpiece_layers=0.0, speedup=None)
    some = texts[:: max(len(texts) // timed, 1)][:timed]
    for size in sizes:
        seconds = seconds_in_turns({NAME: model}, some, size, rounds)[NAME]
        row.setdefault("ms", {})[str(size)] = 1000 * float(numpy.median(seconds)) / len(some)
        row.setdefault("on_time_front", {})[str(size)] = False
    tuning.report["linear"] = row
    return row
