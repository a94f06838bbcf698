"""What a task asks about a batch."""

from dataclasses import dataclass, field
from typing import List, Optional

import numpy

from ..threads import cached_property
from .ranges import firsts, ranges
from .windows import Windows


@dataclass
class Lexical:
    """What the words of items say by themselves, before the first layer.

    logits (ndarray): The logits, (N, K) float32.
    known (ndarray): Whether there is any word to go by, (N,) bool.
    """

    logits: numpy.ndarray
    known: numpy.ndarray

    def select(self, items: numpy.ndarray) -> "Lexical":
        """RETURNS (Lexical): That of some of the items."""
        return Lexical(self.logits[items], self.known[items])


@dataclass
class Instances:
    """The rows of logits that a task wants, and the units in which they leave.

    A unit is what exits together: a Doc with all its windows, or a window. An item is what gets a row of logits: a Doc, or
    a pair of entities.

    windows (Windows): The windows of the batch, W of them.
    window_units (ndarray): The unit of each window, or -1 if nothing is asked about it: such a window is not run, (W,).
    unit_docs (ndarray): The Doc that each unit is of, (U,).
    units (ndarray): The unit of each item, in rising order, (N,).
    """

    windows: Windows
    window_units: numpy.ndarray
    unit_docs: numpy.ndarray
    units: numpy.ndarray

    wanted = None
    """Which units to run, (U,) bool; None for all. Not a field: training sets it."""

    settled = None
    """Which items are answered before the first layer, (N,) bool; None for none. Not a field: see `settle`."""

    chances = None
    """How likely there is anything to find in each item, by words alone, (N,); None if nobody asks. Not a field: see `settle`."""

    salience_weights: Optional[numpy.ndarray] = field(default=None, kw_only=True)
    """What these count at each exit, (E, 1 + F, K) float32, see `tasks.salience`; None for nothing."""

    lexical: Optional[Lexical] = field(default=None, kw_only=True)
    """What the words of the items say; None if the classifiers do not ask."""

    def __len__(self) -> int:
        return len(self.units)

    def settle(self, items: numpy.ndarray, chances: Optional[numpy.ndarray] = None) -> None:
        """Have items climb no more. Units without any other do not climb either.

        items (ndarray): Which items are answered before the first layer, (N,) bool.
        chances (Optional[ndarray]): How likely there is anything to find in each item, for rules that ask, (N,).
        """
        self.settled, self.chances = items if items.any() else None, chances
        for name in ("counts", "live", "one_each", "_firsts", "_climbing"):
            vars(self).pop(name, None)

    @property
    def salience(self) -> Optional[numpy.ndarray]:
        """RETURNS (Optional[ndarray]): How much the Doc is about what is asked, in numbers for each item, (N, F); None if that is
        not looked at."""
        return None

    @property
    def n_units(self) -> int:
        """RETURNS (int): The number of units, U."""
        return len(self.unit_docs)

    @cached_property
    def lengths(self) -> numpy.ndarray:
        """RETURNS (ndarray): Wordpieces to run per unit, special ones and overlaps included, (U,)."""
        asked = self.window_units >= 0
        lengths = numpy.bincount(self.window_units[asked], self.windows.lengths[asked], minlength=self.n_units)
        return lengths.astype("int64")

    @cached_property
    def counts(self) -> numpy.ndarray:
        """RETURNS (ndarray): Items per unit, those that are settled left out, (U,)."""
        return numpy.bincount(self.units if self.settled is None else self.units[self._climbing], minlength=self.n_units)

    @cached_property
    def live(self) -> numpy.ndarray:
        """RETURNS (ndarray): The units that there is something to run for, in order."""
        live = (self.lengths > 0) & (self.counts > 0)
        return numpy.flatnonzero(live if self.wanted is None else live & self.wanted)

    @cached_property
    def window_counts(self) -> numpy.ndarray:
        """RETURNS (ndarray): Windows per unit, (U,)."""
        return numpy.bincount(self.window_units[self.window_units >= 0], minlength=self.n_units)

    def of_units(self, units: numpy.ndarray) -> numpy.ndarray:
        """Find the items of some units.

        units (ndarray): The units, in order.
        RETURNS (ndarray): Their items, in order, without those that are settled.
        """
        if self.one_each:
            return units
        items = ranges(self._firsts[units], self.counts[units])
        return items if self.settled is None else self._climbing[items]

    @cached_property
    def _climbing(self) -> numpy.ndarray:
        """The items that are not settled, in order."""
        return numpy.flatnonzero(~self.settled)  # type: ignore[operator]  # there are some

    @cached_property
    def _firsts(self) -> numpy.ndarray:
        """The first item of each unit, (U,)."""
        return firsts(self.counts)

    def windows_of(self, units: numpy.ndarray) -> numpy.ndarray:
        """Find the windows of some units.

        units (ndarray): The units.
        RETURNS (ndarray): Which of the windows are theirs, (W,) bool.
        """
        wanted = numpy.zeros(self.n_units + 1, dtype=bool)  # the last one is that of windows without a unit, -1
        wanted[units] = True
        return wanted[self.window_units]

    @cached_property
    def one_each(self) -> bool:
        """RETURNS (bool): Whether the items are the units."""
        return len(self.units) == self.n_units and bool((self.counts == 1).all())

    def by_doc(self) -> List[List[int]]:
        """RETURNS (List[List[int]]): The units of each Doc."""
        units: List[List[int]] = [[] for _ in range(self.windows.n_docs)]
        for unit, doc in enumerate(self.unit_docs.tolist()):
            units[doc].append(unit)
        return units


def whole_docs(windows: Windows) -> Instances:
    """One item a Doc, and the Doc the unit, over all its windows.

    windows (Windows): The windows.
    RETURNS (Instances): The items.
    """
    docs = numpy.arange(windows.n_docs)
    return Instances(windows=windows, window_units=windows.docs, unit_docs=docs, units=docs)
