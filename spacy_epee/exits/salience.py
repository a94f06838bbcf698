"""How much it counts at each exit that a document is about what is asked, by documents that were not trained on."""

import numpy

from .stacking import FEWEST, stack


def fit_salience(
    logits: numpy.ndarray, salience: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, *, exclusive: bool
) -> numpy.ndarray:
    """Fit what is added to the logits of each exit, by stacking them with the salience of their items (Wolpert 1992), as
    `fit_mix` does with words: a factor for the exit, and for each label what is added always and for each number of the
    salience. Those of the salience over the factor are kept. What is added always is then such that as many labels are given as
    before, for the likelihood would have it that hardly any is; thresholds of labels do the rest. In training nothing of it would
    be found, as the exits know its documents.

    logits (ndarray): The logits of the exits, without salience, (E, N, K).
    salience (ndarray): The salience of the items, (N, F).
    targets (ndarray): 1 for the labels that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    exclusive (bool): One label of K is true, the first if nothing is, or any number.
    RETURNS (ndarray): The weights, those of what is added always first, (E, 1 + F, K); zeros where nothing is known.
    """
    known = label_mask > 0
    rows = known.any(axis=1)
    numbers = numpy.column_stack((numpy.ones(int(rows.sum())), salience[rows].astype("float64")))
    if not rows.any():
        return numpy.zeros((len(logits), numbers.shape[1], logits.shape[2]))
    true, known = (targets[rows] > 0).astype("float64"), known[rows]
    return numpy.array([_fit(exit[rows].astype("float64"), numbers, true, known, exclusive) for exit in logits])


def _fit(
    states: numpy.ndarray, numbers: numpy.ndarray, true: numpy.ndarray, known: numpy.ndarray, exclusive: bool
) -> numpy.ndarray:
    """The weights of one exit, (1 + F, K)."""
    shape = numbers.shape[1], states.shape[1]
    first = numpy.concatenate(([1.0], numpy.zeros(shape[0] * shape[1])))

    def join(values: numpy.ndarray) -> numpy.ndarray:
        return values[0] * states + numbers @ values[1:].reshape(shape)

    def back(wrong: numpy.ndarray) -> numpy.ndarray:
        return numpy.concatenate(([(wrong * states).sum()], (numbers.T @ wrong).reshape(-1)))

    own, *others = stack(first, [FEWEST] + [None] * (len(first) - 1), join, back, true, known, exclusive)
    weights = numpy.array(others).reshape(shape) / own
    mixed = states + numbers[:, 1:] @ weights[1:]
    if exclusive:
        before, after = (logits[:, 1:].max(axis=1) - logits[:, 0] for logits in (states, mixed))
        weights[0] = [0.0, *[_level(before, after)] * (shape[1] - 1)]
    else:
        weights[0] = [_level(before, after) for before, after in zip(states.T, mixed.T)]
    return weights


def _level(before: numpy.ndarray, after: numpy.ndarray) -> float:
    """What is added to numbers, (N,), so that as many are above 0 as of others."""
    ordered = numpy.sort(after)[::-1]
    edges = numpy.concatenate((ordered[:1] + 1, ordered)) + numpy.concatenate((ordered, ordered[-1:] - 1))
    return float(-edges[int((before > 0).sum())] / 2)
