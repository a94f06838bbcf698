"""Counts of now against counts of then: how large a difference is, and whether it may be luck.

A difference counts if it is both: large enough to matter, so that a million notes do not alarm about nothing, and surer than luck
would have it, of all that are tested at once, so that fifty do not either.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List

import numpy
from scipy.stats import chi2_contingency, false_discovery_control, fisher_exact
from scipy.stats.contingency import expected_freq

from ..errors import raise_alone
from ..tasks.saved import BINS, NOTHING
from .counts import Place, TaskCounts, by_depth, count_row
from .rows import read_rows

FEWEST = 50
"""The fewest documents that anything is said about."""

EXPECTED = 5
"""How many documents a column of counts must lead one to expect, for the chi-squared test to hold."""


@dataclass
class Change:
    """A difference.

    what (str): What was counted.
    before (str): What it was in the reference.
    now (str): What it is.
    effect (float): How large the difference is: Cohen's h, and what it is called for more than two kinds; from 0 to pi.
    p (float): How likely luck makes one like it, corrected for all that are tested.
    drifted (bool): Whether it counts.
    """

    what: str
    before: str
    now: str
    effect: float
    p: float
    drifted: bool = False


@dataclass
class Watched:
    """What was read.

    counts (Dict[Tuple[str, str], TaskCounts]): The counts of each task.
    rows (int): How many rows there were.
    others (int): How many of them another version of the pipeline wrote.
    """

    counts: Dict[Place, TaskCounts]
    rows: int = 0
    others: int = 0


def watch(path: Path, references: Dict[Place, TaskCounts], version: str) -> Watched:
    """Count rows.

    path (Path): What `annotate` has written.
    references (Dict[Tuple[str, str], TaskCounts]): The counts that they will be compared with.
    version (str): The version of the pipeline that has these.
    RETURNS (Watched): The counts.
    RAISES ValueError: They cannot be read, or are of another pipeline.
    """
    found = Watched({place: TaskCounts(counts.labels) for place, counts in references.items()})
    for where, row in read_rows(path):
        found.rows += 1
        found.others += row["version"] != version
        try:
            count_row(row, found.counts)
        except ValueError as error:
            told = str(error)
            raise_alone(ValueError(f"{where}: {told}" if told.startswith("it ") else f"{where}: not what `annotate` writes"))
        except (TypeError, KeyError, AttributeError, OverflowError):
            raise_alone(ValueError(f"{where}: not what `annotate` writes"))
    return found


def compare_counts(
    before: Dict[Place, TaskCounts], now: Dict[Place, TaskCounts], alpha: float = 0.01, effect: float = 0.2
) -> List[Change]:
    """Find what has changed.

    before (Dict[Tuple[str, str], TaskCounts]): The reference.
    now (Dict[Tuple[str, str], TaskCounts]): The same tasks now.
    alpha (float): The highest `p` of a difference that counts.
    effect (float): The least size of it. 0.2 is called small, 0.5 medium and 0.8 large (Cohen).
    RETURNS (List[Change]): All that is counted.
    RAISES ValueError: There are too few documents to say anything.
    """
    few = min(counts.documents for counts in (*before.values(), *now.values()))
    if few < FEWEST:
        raise ValueError(
            f"There are {few} answered documents, in the reference or now; nothing can be said of fewer than {FEWEST}."
        )
    changes: List[Change] = []
    for place, then in before.items():
        changes += _changes(f"{'.'.join(place)}: " if len(before) > 1 else "", then, now[place])
    for change, p in zip(changes, false_discovery_control([change.p for change in changes])):
        change.p = float(p)
        change.drifted = change.p <= alpha and change.effect >= effect
    return changes


def _changes(prefix: str, then: TaskCounts, now: TaskCounts) -> List[Change]:
    """RETURNS (List[Change]): What is counted of a task."""
    layers = sorted({*then.layers, *now.layers}, key=by_depth)
    depth = [[counts.layers.get(layer, 0) for layer in layers] for counts in (then, now)]
    changes = [
        _change("exit layer", _mean_layer(then), _mean_layer(now), *depth),
        _change("entropy", _mean_entropy(then), _mean_entropy(now), then.entropy, now.entropy),
        _share("uncertain", then, now, then.uncertain, now.uncertain),
        _share("no answer", then, now, then.failed, now.failed, failed=True),
    ]
    changes += [_share(f"label {label}", then, now, then.given[label], now.given[label]) for label in then.labels]
    for change in changes:
        change.what = prefix + change.what
    return changes


def _share(what: str, then: TaskCounts, now: TaskCounts, part: int, part_now: int, failed: bool = False) -> Change:
    """RETURNS (Change): That of a share of the documents."""
    sizes = [counts.documents + counts.failed * failed for counts in (then, now)]
    before, after = (f"{100 * share / size:.2f} %" for share, size in zip((part, part_now), sizes))
    return _change(what, before, after, [part, sizes[0] - part], [part_now, sizes[1] - part_now])


def _change(what: str, before: str, now: str, then_counts: List[int], now_counts: List[int]) -> Change:
    table = pool(numpy.array([then_counts, now_counts], dtype="float64"))
    return Change(what, before, now, distance(table), p_value(table))


def pool(table: numpy.ndarray) -> numpy.ndarray:
    """Add up neighbouring columns until each leads one to expect enough. Two columns stay.

    table (ndarray): Counts, (2, n).
    RETURNS (ndarray): Counts, (2, m).
    """
    table = table[:, table.any(axis=0)]
    while table.shape[1] > 2:
        expected = expected_freq(table).min(axis=0)
        least = int(expected.argmin())
        if expected[least] >= EXPECTED:
            break
        sides = [side for side in (least - 1, least + 1) if 0 <= side < len(expected)]
        other = min(sides, key=lambda side: expected[side])
        table[:, other] += table[:, least]
        table = numpy.delete(table, least, axis=1)
    return table


def p_value(table: numpy.ndarray) -> float:
    """RETURNS (float): How likely luck makes two rows of counts as different as these."""
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    test = fisher_exact if table.shape[1] == 2 and expected_freq(table).min() < EXPECTED else chi2_contingency
    return float(test(table.astype(int)).pvalue)


def distance(table: numpy.ndarray) -> float:
    """RETURNS (float): How far two rows of counts are from each other, however many there are: twice the angle between the roots
    of their shares. With two columns that is Cohen's h."""
    sums = table.sum(axis=1, keepdims=True)
    if not sums.all():
        return 0.0
    same = float(numpy.sqrt(table[0] / sums[0] * table[1] / sums[1]).sum())
    return 2 * math.acos(min(same, 1.0))


def _mean_layer(counts: TaskCounts) -> str:
    known = {int(layer): count for layer, count in counts.layers.items() if layer != NOTHING}
    return _mean([*known], [*known.values()])


def _mean_entropy(counts: TaskCounts) -> str:
    return _mean([(place + 0.5) / BINS for place in range(BINS)], counts.entropy)


def _mean(values: List[Any], counts: List[int]) -> str:
    return f"{numpy.average(values, weights=counts):.2f}" if sum(counts) else "-"
