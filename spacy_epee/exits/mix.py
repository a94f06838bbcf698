"""How much words count beside each exit, by documents that were not trained on."""

import numpy

from .stacking import FEWEST, stack


def fit_mix(
    logits: numpy.ndarray,
    words: numpy.ndarray,
    targets: numpy.ndarray,
    label_mask: numpy.ndarray,
    before: numpy.ndarray,
    *,
    exclusive: bool,
) -> numpy.ndarray:
    """Fit how many times the logits of the words are added to those of each exit, by stacking both (Wolpert 1992): a factor for
    the states, one for the words and what is added to each label, which together give the truth the largest likelihood (the
    maximum a posteriori). The words' factor over that of the states is kept: temperatures and thresholds of labels do the rest.
    Without a factor for the states, exits that have seen few documents of a label talk the words out of what they know.

    logits (ndarray): The logits of the exits behind layers, without the words, (E, N, K).
    words (ndarray): The logits of the words, (N, K).
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    before (ndarray): The factors so far, (E,).
    exclusive (bool): One label of K is true, or any number.
    RETURNS (ndarray): The factors, (E,); those so far where nothing is known.
    """
    known = label_mask > 0
    rows = known.any(axis=1)
    if not rows.any():
        return numpy.array(before)
    true, known, said = (targets[rows] > 0).astype("float64"), known[rows], words[rows].astype("float64")
    return numpy.array(
        [_fit(exit[rows].astype("float64"), said, true, known, start, exclusive) for exit, start in zip(logits, before)]
    )


def _fit(
    states: numpy.ndarray, words: numpy.ndarray, true: numpy.ndarray, known: numpy.ndarray, start: float, exclusive: bool
) -> float:
    """The factor of one exit."""
    first = numpy.zeros(2 + states.shape[1])
    first[:2] = 1.0, start

    def join(numbers: numpy.ndarray) -> numpy.ndarray:
        return numbers[0] * states + numbers[1] * words + numbers[2:]

    def back(wrong: numpy.ndarray) -> numpy.ndarray:
        return numpy.concatenate(([(wrong * states).sum(), (wrong * words).sum()], wrong.sum(axis=0)))

    own, theirs = stack(first, [FEWEST, 0.0] + [None] * states.shape[1], join, back, true, known, exclusive)[:2]
    return float(theirs / own)
