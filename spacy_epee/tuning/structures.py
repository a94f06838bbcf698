"""Fitting what `SettledStructure` weighs: how likely the answer of an exit is that of the last one, or no worse."""

from typing import Dict, List, Tuple

import numpy
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ..engine.replay import Replay
from ..exits.rules.structure import weigh, with_odds, with_same

NAME = "settled structure"
"""What the rule is called in tables, with where it looks."""

Weights = Dict[str, List[List[float]]]


def fit_structures(replay: Replay, units: numpy.ndarray) -> Dict[str, Tuple[List[int], Weights]]:
    """Fit weights on some units, for several choices of layers to look at: a look costs time, wherever nothing leaves.

    replay (Replay): What all exits say.
    units (ndarray): Which of its units to fit to, (U,) bool.
    RETURNS (Dict[str, Tuple[List[int], Weights]]): The layers and the weights, by what the rule is called; nothing where answers
        are no structures.
    """
    layers = [layer for layer in replay.layers[:-1].tolist() if layer > 0]
    if not layers or replay.evidence[-1].features is None or replay.counts is None:
        return {}
    chosen = {tuple(layers): f"{NAME}, all exits"}
    chosen.setdefault(tuple(layers[::2]), f"{NAME}, every second exit")
    for layer in layers[: len(layers) // 2 + 1]:
        chosen.setdefault((layer,), f"{NAME}, layer {layer}")
    return {name: (list(own), _fit(replay, units, own)) for own, name in chosen.items() if own}


def _fit(replay: Replay, units: numpy.ndarray, layers: Tuple[int, ...]) -> Weights:
    """Fit weights for looks at some layers."""
    weights: Weights = {"nothing": [], "found": [], "links": []}
    worse = replay.worse(units)
    before = numpy.zeros(replay.n_units, dtype="int64")
    for layer in layers:
        exit = replay.layers.tolist().index(layer)
        features = replay.views[exit].evidence.features  # of what rules look at, without what the gate has settled
        inputs, right = with_same(features, before, features.chance is not None), ~worse[exit]
        before = features.keys
        for name, some in (("nothing", ~features.found & units), ("found", features.found & units)):
            weights[name].append(_regress(inputs[some], right[some]))
        if features.links is not None:
            some = features.found & units
            odds = weigh(weights["found"][-1], inputs[some])
            weights["links"].append(_regress(with_odds(odds, features.all_links[some]), right[some]))
    return weights


def _regress(inputs: numpy.ndarray, right: numpy.ndarray) -> List[float]:
    """Fit a logistic regression. Where all are right, or none, it says so by how many there are.

    inputs (ndarray): What is weighed, (N, F).
    right (ndarray): What is to be told, (N,) bool.
    RETURNS (List[float]): The weights and the bias, to four digits.
    """
    if right.all() or not right.any():
        odds = numpy.log((right.sum() + 0.5) / ((~right).sum() + 0.5))
        return [0.0] * inputs.shape[1] + [_short(odds)]
    scaler = StandardScaler().fit(inputs)
    fitted = LogisticRegression(max_iter=1000).fit(scaler.transform(inputs), right)
    weights = fitted.coef_[0] / scaler.scale_
    bias = fitted.intercept_[0] - weights @ scaler.mean_
    return [_short(value) for value in (*weights, bias)]


def _short(value: float) -> float:
    return float(f"{value:.4g}")
