"""Labelled texts, and how right answers to them are."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy
from scipy.special import logit
from sklearn.metrics import f1_score
from spacy.training import Example

from ...exits.label_thresholds import fit_label_thresholds, held_out_score

HALF = 0.5
"""The threshold of labels that have none of their own."""


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and their labels.

    texts (List[str]): The texts, N of them.
    truths (ndarray): Which labels are true, (N, K) bool.
    labels (List[str]): The labels. Those that are annotated and not known come last: no answer has them.
    exclusive (bool): Whether one of them is true of each text.
    """

    texts: List[str]
    truths: numpy.ndarray
    labels: List[str]
    exclusive: bool

    def __len__(self) -> int:
        return len(self.texts)


def label_texts(examples: Mapping[str, Sequence[Example]], known: Sequence[str], exclusive: bool) -> Dict[str, LabelledTexts]:
    """Put the labels of several splits into one order.

    examples (Mapping[str, Sequence[Example]]): Annotated documents of each split.
    known (Sequence[str]): The labels that a component knows.
    exclusive (bool): Whether one of them is true.
    RETURNS (Dict[str, LabelledTexts]): The same.
    """
    annotated = {label for part in examples.values() for eg in part for label, value in eg.reference.cats.items() if value > 0}
    labels = [*known, *sorted(annotated.difference(known))]
    found = {}
    for name, part in examples.items():
        truths = [[eg.reference.cats.get(label, 0) > 0 for label in labels] for eg in part]
        found[name] = LabelledTexts([eg.reference.text for eg in part], numpy.array(truths, dtype=bool), labels, exclusive)
    return found


def fit_thresholds(data: LabelledTexts, probabilities: numpy.ndarray) -> Optional[numpy.ndarray]:
    """Fit a threshold to each label, as `tune` does.

    data (LabelledTexts): The texts, of dev.
    probabilities (ndarray): What is said of them, (N, K).
    RETURNS (Optional[ndarray]): The thresholds, (K,). None for exclusive labels.
    """
    if data.exclusive:
        return None
    found = numpy.ones(len(data.labels))  # labels that nobody knows are never given
    found[: probabilities.shape[1]] = fit_label_thresholds(*_known(data, probabilities))
    return found


def macro_f(data: LabelledTexts, probabilities: numpy.ndarray, thresholds: Optional[numpy.ndarray] = None) -> float:
    """Score answers.

    data (LabelledTexts): The texts.
    probabilities (ndarray): What is said of them, (N, K).
    thresholds (Optional[ndarray]): Of labels that are not exclusive, (K,); None for 0.5.
    RETURNS (float): The mean of the F of all labels, in points.
    """
    return _mean_f(data, decide(data, probabilities, thresholds))


def _mean_f(data: LabelledTexts, answers: numpy.ndarray) -> float:
    """RETURNS (float): The mean of the F of all labels of answers, (N, K) bool, in points."""
    return 100 * float(f1_score(data.truths.astype(int), answers.astype(int), average="macro", zero_division=0))


def decide(data: LabelledTexts, probabilities: numpy.ndarray, thresholds: Optional[numpy.ndarray] = None) -> numpy.ndarray:
    """RETURNS (ndarray): The labels that are given, (N, K) bool."""
    said = _widened(data, probabilities)
    if not data.exclusive:
        return said >= (HALF if thresholds is None else thresholds)
    answers = numpy.zeros_like(data.truths)
    answers[numpy.arange(len(said)), said.argmax(axis=1)] = True
    return answers


def choose_thresholds(data: LabelledTexts, probabilities: numpy.ndarray, seed: int = 0) -> Optional[numpy.ndarray]:
    """Choose between 0.5 for all labels and a threshold for each, by what they are worth on documents that they were not fitted
    to: with rare labels the latter can be worse.

    data (LabelledTexts): The texts, of dev.
    probabilities (ndarray): What is said of them, (N, K).
    seed (int): The seed of the first split into halves.
    RETURNS (Optional[ndarray]): The thresholds, (K,). None for 0.5, and for exclusive labels.
    """
    if data.exclusive:
        return None
    n_docs = len(data)

    def score(given: numpy.ndarray) -> float:
        return _mean_f(data, _widened(data, given))

    own = held_out_score(*_known(data, probabilities), HALF, numpy.arange(n_docs), n_docs, score, seed)
    helps = own is not None and own > macro_f(data, probabilities)
    return fit_thresholds(data, probabilities) if helps else None


def score_both(dev: LabelledTexts, of_dev: numpy.ndarray, test: LabelledTexts, of_test: numpy.ndarray) -> Dict[str, Any]:
    """Score answers to test with thresholds chosen on dev.

    dev (LabelledTexts): The texts of dev.
    of_dev (ndarray): What is said of them.
    test (LabelledTexts): The texts of test.
    of_test (ndarray): What is said of them.
    RETURNS (Dict[str, Any]): The "score" in points, and that on "dev". Of labels that are not exclusive "score_half" with the
        threshold 0.5 for all, "score_fitted" with one for each, and in "thresholds" which of them the score is with.
    """
    thresholds = choose_thresholds(dev, of_dev)
    found: Dict[str, Any] = {"score": macro_f(test, of_test, thresholds), "dev": macro_f(dev, of_dev, thresholds)}
    if not dev.exclusive:
        fitted = fit_thresholds(dev, of_dev)
        found.update(score_half=macro_f(test, of_test), score_fitted=macro_f(test, of_test, fitted))
        found["thresholds"] = "half" if thresholds is None else "fitted"
    return found


def evenly(data: LabelledTexts, count: int) -> List[str]:
    """RETURNS (List[str]): So many of the texts, evenly from short to long ones, in the order that they are in."""
    order = numpy.argsort([len(text) for text in data.texts], kind="stable")
    chosen = numpy.unique(numpy.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [data.texts[place] for place in sorted(order[chosen])]


def _known(data: LabelledTexts, probabilities: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """The logits of the labels that somebody knows, whether they are true, and that this is known."""
    truths = data.truths[:, : probabilities.shape[1]]
    return to_logits(probabilities), truths, numpy.ones_like(truths)


def to_logits(probabilities: numpy.ndarray) -> numpy.ndarray:
    """RETURNS (ndarray): The logits of probabilities, none of which is infinite."""
    return logit(numpy.clip(probabilities.astype("float64"), 1e-6, 1 - 1e-6))


def _widened(data: LabelledTexts, probabilities: numpy.ndarray) -> numpy.ndarray:
    """Probabilities or answers of all labels: those that nobody knows have none."""
    missing = len(data.labels) - probabilities.shape[1]
    return numpy.pad(probabilities, ((0, 0), (0, missing))) if missing else probabilities
