"""The features of spans and links, see `exits.features`."""

from typing import Tuple

import numpy
from scipy.special import expit

from ...exits.features import FEATURES, MOST, bounded, keys_of, log_sum, odds_against
from ...exits.scaling import pivot
from ...inputs.ranges import firsts
from .instances import OUT, log_softmax
from .structure import Structure


def span_values(structure: Structure) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """Look at the tags of units. Where there is no trigger, only at those of triggers.

    structure (Structure): The spans.
    RETURNS (Tuple[ndarray, ndarray]): The features (U, F), and a number for the tags (U,) int64.
    """
    values, keys = numpy.zeros((len(structure), len(FEATURES))), numpy.ones(len(structure), dtype="int64")
    closed = ~structure.open
    if closed.any():
        values[closed, 1:] = _values_of_nothing(structure, closed)
    if not closed.all():
        values[~closed, 1:], keys[~closed] = _tag_values(structure, ~closed)
        values[:, 0] = numpy.log1p(numpy.bincount(structure.places[structure.nodes[:, 0]], minlength=len(structure)))
    return values, keys


def _values_of_nothing(structure: Structure, units: numpy.ndarray) -> numpy.ndarray:
    """The features of units without a trigger, but for the number of spans. Most of what is looked at is such."""
    counts = structure.counts[units]
    values = numpy.empty((len(counts), len(FEATURES) - 1))
    values[:] = MOST, 0.0, -MOST, -MOST, 0.0
    values[:, -1] = numpy.log(counts)
    if structure.asked.find_triggers and structure.n_triggers:
        logs = structure.trigger_logs[:, :, OUT]  # the best of each
        if len(counts) < len(structure):
            logs = logs[numpy.repeat(units, structure.counts)]
        values[:, 2] = bounded(numpy.maximum.reduceat(odds_against(logs).max(axis=1), firsts(counts)))
        values[:, 3] = log_sum((-numpy.expm1(logs)).sum(axis=1), counts)
    return values


def _tag_values(structure: Structure, units: numpy.ndarray) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """The features of units with a trigger, but for the number of spans, and a number for their tags."""
    counts, begin = structure.counts[units], 0 if structure.asked.find_triggers else structure.n_triggers
    size = numpy.log(counts)
    if begin >= structure.tags.shape[1]:  # all spans are given
        nothing = [numpy.full(len(counts), value) for value in (MOST, 0.0, -MOST, -MOST)]
        return numpy.column_stack((*nothing, size)), numpy.ones(len(counts), dtype="int64")
    rows = numpy.flatnonzero(numpy.repeat(units, structure.counts))
    starts = firsts(counts)
    logits, tags = structure.scaled[rows, begin:], structure.tags[rows, begin:]
    logs = log_softmax(logits)
    ordered = numpy.sort(logs, axis=2)
    inside = tags != OUT
    margins = numpy.where(inside, ordered[:, :, 2] - ordered[:, :, 1], MOST)
    missed = numpy.where(inside, -MOST, odds_against(logs[:, :, OUT]))
    entropy = numpy.where(_beside(inside, starts), -(numpy.exp(logs) * logs).sum(axis=2), 0.0) / numpy.log(3)
    wrong = -numpy.expm1(ordered[:, :, 2])
    columns = (
        bounded(numpy.minimum.reduceat(margins.min(axis=1), starts)),
        numpy.maximum.reduceat(entropy.max(axis=1), starts),
        bounded(numpy.maximum.reduceat(missed.max(axis=1), starts)),
        log_sum(wrong.sum(axis=1), counts),
        size,
    )
    return numpy.column_stack(columns), keys_of(tags, counts)


def _beside(inside: numpy.ndarray, starts: numpy.ndarray) -> numpy.ndarray:
    """Which tokens are in a span or next to one of the same unit, (N', L') bool."""
    new = numpy.zeros(len(inside), dtype=bool)
    new[starts] = True
    beside = inside.copy()
    beside[1:] |= inside[:-1] & ~new[1:, None]
    beside[:-1] |= inside[1:] & ~new[1:, None]
    return beside


def link_values(structure: Structure) -> numpy.ndarray:
    """Look at links.

    structure (Structure): The spans, which are linked by this.
    RETURNS (ndarray): The features, (U, G).
    """
    values = numpy.tile((MOST, -MOST), (len(structure), 1))
    _, pairs, logits, possible = structure.links
    if len(pairs):
        away = numpy.abs(logits - structure.of_links(pivot(structure.threshold)))
        linked, counts = numpy.unique(structure.places[pairs[:, 0]], return_counts=True)  # pairs come by window
        margins = numpy.where(possible, away, MOST).min(axis=1)
        wrong = numpy.where(possible, expit(-away), 0.0).sum(axis=1)
        values[linked] = numpy.column_stack((bounded(numpy.minimum.reduceat(margins, firsts(counts))), log_sum(wrong, counts)))
    return values
