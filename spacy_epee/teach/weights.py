"""How much each of several teachers counts."""

import numpy
from scipy.optimize import minimize

SMALLEST = 1e-6
"""What a probability of 0 counts as, for one mistake must not decide all."""


def likelihoods(answers: numpy.ndarray, targets: numpy.ndarray, label_mask: numpy.ndarray, exclusive: bool) -> numpy.ndarray:
    """How probable teachers find what is true.

    answers (ndarray): The probabilities of labels, (M, N, K).
    targets (ndarray): 1 for true labels, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    exclusive (bool): Whether one label of a document is true, or each by itself.
    RETURNS (ndarray): The probability of each true label, or of each known label to be what it is, (M, C).
    """
    known = label_mask > 0
    if exclusive:
        return answers[:, known & (targets > 0)].clip(SMALLEST)
    return numpy.where(targets > 0, answers, 1 - answers)[:, known].clip(SMALLEST)


def log_loss(found: numpy.ndarray, weights: numpy.ndarray) -> float:
    """RETURNS (float): The mean of -log of the probabilities of what is true (M, C), averaged by weights (M,)."""
    return float(-numpy.log(weights @ found).mean())


def fit_weights(found: numpy.ndarray) -> numpy.ndarray:
    """Find the weights that have the least log loss. There is one least: the loss is convex in them.

    found (ndarray): What `likelihoods` returned, (M, C).
    RETURNS (ndarray): The weights, none below 0, which sum to 1, (M,).
    """
    teachers = len(found)
    equal = numpy.full(teachers, 1 / teachers)
    fitted = minimize(
        lambda weights: log_loss(found, weights),
        equal,
        jac=lambda weights: -(found / (weights @ found)).mean(axis=1),
        method="SLSQP",
        bounds=[(0, 1)] * teachers,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": numpy.ones_like},
        options={"ftol": 1e-9, "maxiter": 200},
    )
    weights = numpy.where(fitted.x < 1e-4, 0, fitted.x)
    weights /= weights.sum()
    return weights if log_loss(found, weights) <= log_loss(found, equal) else equal
