"""Thresholds of labels, or of roles and attributes, fitted to what is stored."""

from typing import Any, Dict, Optional, Tuple

import numpy
from scipy.special import expit

from ..exits.label_thresholds import FEWEST, can_fit, f_scores, fit_label_thresholds, held_out_score, macro_f
from ..threads import cached_property
from .stored_outputs import StoredOutputs


class ThresholdFitter:
    """What thresholds are fitted to."""

    def __init__(self, stored: StoredOutputs, said: Optional[numpy.ndarray] = None):
        """
        stored (StoredOutputs): What all exits say.
        said (Optional[ndarray]): The logits that thresholds are fitted to, (N, K); None for those of the full depth, as always of
            links.
        """
        self.stored, self.said, self.slot, self.cfg = stored, said, stored.slot, stored.cfg

    @property
    def possible(self) -> bool:
        """RETURNS (bool): Whether labels can have thresholds of their own, as they do not exclude each other, or links."""
        return bool(self.slot.thresholded)

    @cached_property
    def _parts(self) -> Tuple[numpy.ndarray, ...]:
        """Logits, what is true, where that is known, and the documents. Links are laid out where they are asked for."""
        stored = self.stored
        if stored.task.has_links:
            return stored.task.threshold_rows(stored.examples, stored.items, stored.outputs.links[-1])
        said = stored.logits[-1] if self.said is None else self.said
        return said, stored.targets, stored.label_mask, stored.items_docs

    def _rows(self, docs: Optional[numpy.ndarray]) -> Tuple[numpy.ndarray, ...]:
        """The same of some documents."""
        some = slice(None) if docs is None else docs[self._parts[-1]]
        return tuple(part[some] for part in self._parts)

    def fit(self, docs: Optional[numpy.ndarray] = None) -> Dict[str, float]:
        """Fit a threshold for each label.

        docs (Optional[ndarray]): Which documents to fit them to, (D,) bool; None for all.
        RETURNS (Dict[str, float]): The thresholds by label.
        RAISES ValueError: Labels exclude each other, or there are too few documents for any of them.
        """
        if not self.possible:
            raise ValueError(
                f"Labels of the task '{self.stored.name}' have no thresholds of their own: they exclude each other, or "
                "nothing is linked. Leave thresholds out with `--no-thresholds`."
            )
        logits, true, known, _ = self._rows(docs)
        if not can_fit(true, known):
            raise ValueError(
                f"None of the labels of the task '{self.stored.name}' is true {FEWEST} times and false {FEWEST} times in these "
                "documents, too few to fit thresholds to. Give more documents, or leave thresholds out with `--no-thresholds`."
            )
        thresholds = fit_label_thresholds(logits, true, known, threshold=self.cfg["threshold"])
        return dict(zip(self.slot.thresholded, thresholds.tolist()))

    def fit_helpful(self, docs: Optional[numpy.ndarray] = None, seed: int = 0) -> Dict[str, float]:
        """Fit those thresholds that raise the score on documents that they were not fitted to, see `held_out_score`. The score of
        labels is macro F, that of roles, and that of attributes, micro F.

        docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
        seed (int): The seed of the first split.
        RETURNS (Dict[str, float]): The thresholds of the labels where they help.
        """
        if not self.possible:
            return {}
        logits, true, known, owners = self._rows(docs)
        setting, known, true = self.cfg["threshold"], known > 0, (true > 0) & (known > 0)
        links = self.stored.task.has_links
        parts = self.stored.task.threshold_parts(self.cfg) if links else [numpy.ones(logits.shape[1], dtype=bool)]

        def scores(given: numpy.ndarray) -> numpy.ndarray:
            return numpy.array([self._score((given & known)[:, part], true[:, part], links) for part in parts])

        own = held_out_score(logits, true, known, setting, owners, self.stored.n_docs, scores, seed)
        if own is None:
            return {}
        helpful = (own > scores(expit(logits) >= setting)) @ numpy.array(parts)
        if not helpful.any():
            return {}
        return {name: value for (name, value), helps in zip(self.fit(docs).items(), helpful) if helps}

    @staticmethod
    def _score(given: numpy.ndarray, true: numpy.ndarray, micro: bool) -> float:
        """Micro or macro F of what is given and what is true, (N, T) bool."""
        if micro:
            given, true = given.reshape(-1, 1), true.reshape(-1, 1)
        return float(f_scores(given, true).mean()) if given.shape[1] else 0.0

    def macro_f(self, thresholds: Any) -> float:
        """RETURNS (float): Macro F at thresholds, (T,) or one for all, of items or links."""
        logits, true, known, _ = self._rows(None)
        return macro_f(logits, true, known, thresholds)
