"""What all exits say about annotated documents, from one run of the full depth: to try rules on, and to fit temperatures to."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy
from scipy.special import expit
from spacy.language import Language
from spacy.training import Example

from ..engine.replay import Replay, Score
from ..exits.calibration import calibration_report, confidences_and_hits, fit_temperatures, reliability
from ..model import get_exit_layers
from ..tasks.events.replay_score import event_score
from ..tasks.relations.replay_score import pair_score
from ..tasks.textcat.replay_score import label_score
from .sample import labels_in
from .scoring import Scoring, describe_main

if TYPE_CHECKING:
    from ..component.pipe import EarlyExitTransformer

BATCH = 64
"""How many documents run together. Events are linked within their batch, so that theirs has all documents."""


class StoredOutputs:
    """What all exits say about the units of some documents. Those that never run, as an empty document, are not among them.

    logits (ndarray): The logits of their items, (E, N, K).
    layers (List[int]): The layer of each exit.
    docs (ndarray): The document of each unit, (U,).
    wordpieces (ndarray): The wordpieces of each unit, (U,).
    truths (ndarray): 1 for the logits that are true, (N, K).
    given (ndarray): 0 where nothing is known, (N, K).
    items_docs (ndarray): The document of each item, (N,).
    places (Optional[ndarray]): Of pairs the document, and the tokens of head and child, (N, 5).
    unknown (Unknown): What is annotated and no answer can be.
    """

    def __init__(
        self,
        component: "EarlyExitTransformer",
        examples: Sequence[Example],
        task: Optional[str] = None,
        fewest: int = 0,
        nlp: Optional[Language] = None,
    ):
        """
        component (EarlyExitTransformer): The component.
        examples (Sequence[Example]): The documents, as they come to the component.
        task (Optional[str]): The task; None if there is only one.
        fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 counts all.
        nlp (Optional[Language]): The pipeline, to know the labels of its other components.
        """
        self.component = component
        self.examples = list(examples)
        self.slot = component.slot(task)
        self.name, self.task, self.labels = self.slot.name, self.slot.task, self.slot.labels
        self.scoring = Scoring(component, self.examples, self.name, fewest, nlp)
        self.unknown = self.scoring.unknown
        self.layers = get_exit_layers(component.model)
        size = max(len(self.examples), 1) if self.task.name == "events" else BATCH
        batches = [self.examples[start : start + size] for start in range(0, len(self.examples), size)]
        logits, doubt, counts, docs, wordpieces, truths, given, places = ([] for _ in range(8))
        found = component.exit_logits([eg.predicted for eg in self.examples], size, self.name)
        for number, (batch, self.outputs) in enumerate(zip(batches, found)):
            items = self.outputs.items
            rows = items.of_units(items.live)
            logits.append(self.outputs.logits[:, rows])
            if self.outputs.doubt.shape[1]:
                doubt.append(expit(self.outputs.doubt[:, rows]))
            counts.append(items.counts[items.live])
            docs.append(items.unit_docs[items.live] + number * size)
            wordpieces.append(items.lengths[items.live])
            if self.task.name == "relations":
                tokens = numpy.hstack((items.head_tokens, items.child_tokens))[rows]
                places.append(numpy.column_stack((items.docs[rows] + number * size, tokens)))
            for part, whole in zip(self.task.targets(batch, self.labels, items, strict=False), (truths, given)):
                whole.append(part[rows])
        if not batches:
            raise ValueError("There are no documents.")
        self.logits = numpy.concatenate(logits, axis=1)
        self.doubt = numpy.concatenate(doubt, axis=1) if doubt else None
        self.counts = numpy.concatenate(counts)
        self.docs = numpy.concatenate(docs)
        self.wordpieces = numpy.concatenate(wordpieces)
        self.truths, self.given = numpy.concatenate(truths), numpy.concatenate(given)
        self.places = numpy.concatenate(places) if places else None
        self.items_docs = numpy.repeat(self.docs, self.counts)

    @property
    def n_docs(self) -> int:
        """RETURNS (int): The number of documents."""
        return len(self.examples)

    def label_docs(self) -> Dict[str, numpy.ndarray]:
        """RETURNS (Dict[str, ndarray]): In which documents each label is annotated, (D,) bool; of events, those of triggers."""
        found = {label: numpy.zeros(self.n_docs, dtype=bool) for label in self.labels}
        for doc, eg in enumerate(self.examples):
            for label in labels_in(self.task, eg.reference) & set(found):
                found[label][doc] = True
        return found

    def replay(self, reading: Any = None) -> Replay:
        """Work out the evidence.

        reading (Any): How the logits are to be read; None for as the component does, temperatures included.
        RETURNS (Replay): What rules can be run on.
        """
        several = self.task.unit == "window"
        structure = self.task.name == "events"
        return Replay(
            self.logits,
            exit_layers=self.layers,
            reading=self.component.reading(self.name) if reading is None else reading,
            doubt=self.doubt,
            counts=self.counts if several else None,
            asked=self.outputs.items if structure else None,
            units=self.outputs.items.live if structure else None,
            links=self.outputs.links if structure else None,
        )

    def scorer(self, replay: Replay) -> Score:
        """Make what scores the answers that a rule gives, by the main figure of the task's scorer.

        replay (Replay): Where rules are run.
        RETURNS (Callable[[ReplayResult], float]): The figure of a simulation.
        """
        if self.task.name == "relations":
            return pair_score(self)
        return event_score(self, replay) if self.task.name == "events" else label_score(self)

    def describe(self) -> str:
        """RETURNS (str): What that figure is."""
        return self.scoring.describe_counted(describe_main(self.component, self.name))

    def fit(self, docs: Optional[numpy.ndarray] = None) -> List[float]:
        """Fit temperatures.

        docs (Optional[ndarray]): Which documents to fit them to, (D,) bool; None for all.
        RETURNS (List[float]): A temperature for each exit.
        RAISES ValueError: Nothing is annotated.
        """
        rows = numpy.ones(len(self.truths), dtype=bool) if docs is None else docs[self.items_docs]
        if not self.given[rows].any():
            raise ValueError(
                f"Nothing is annotated for the task '{self.name}' in these documents, so there is nothing to calibrate by. Give "
                "annotated documents, or leave calibration out with `--no-calibrate`."
            )
        threshold = self.slot.cfg["threshold"]
        found = fit_temperatures(self.logits[:, rows], self.truths[rows], self.given[rows], threshold=threshold, **self._kind())
        return [float(f"{temperature:.6g}") for temperature in found]

    def helps(self, docs: Optional[numpy.ndarray] = None, seed: int = 0) -> bool:
        """Whether temperatures make documents more likely that they were not fitted to: each of two halves is tried with those of
        the other one.

        docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
        seed (int): The seed of the split.
        RETURNS (bool): Whether the mean negative log-likelihood over the exits falls.
        """
        one = numpy.random.default_rng(seed).permutation(self.n_docs) % 2 == 0
        wanted = numpy.ones(self.n_docs, dtype=bool) if docs is None else docs
        gain = 0.0
        for fitted, tried in ((one & wanted, ~one & wanted), (~one & wanted, one & wanted)):
            if not self.given[fitted[self.items_docs]].any() or not self.given[tried[self.items_docs]].any():
                return False
            figures = self.calibration(self.fit(fitted), tried)
            gain += sum(exit["nll"][0] - exit["nll"][1] for exit in figures)
        return gain > 0

    def calibration(self, temperatures: Sequence[float], docs: Optional[numpy.ndarray] = None) -> List[Dict[str, Any]]:
        """Say what temperatures do.

        temperatures (Sequence[float]): A temperature for each exit.
        docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
        RETURNS (List[Dict[str, Any]]): See `exits.calibration.calibration_report`.
        """
        rows = numpy.ones(len(self.truths), dtype=bool) if docs is None else docs[self.items_docs]
        reduce = self.task.reading(0.5).reduce
        return calibration_report(
            self.logits[:, rows],
            self.truths[rows],
            self.given[rows],
            temperatures,
            threshold=self.slot.cfg["threshold"],
            reduce=reduce if reduce in ("mean", "max") else "max",
            **self._kind(),
        )

    def reliability(self, temperatures: Sequence[float], bins: int = 10) -> List[List[Tuple[float, float, int]]]:
        """RETURNS (List[List[Tuple[float, float, int]]]): The calibration curve of each exit."""
        threshold = self.slot.cfg["threshold"]
        curves = []
        for logits, temperature in zip(self.logits, temperatures):
            found = confidences_and_hits(logits, self.truths, self.given, temperature, threshold=threshold, **self._kind())
            curves.append(reliability(*found, bins))
        return curves

    def _kind(self) -> Dict[str, Any]:
        return {"exclusive": self.task.exclusive, "group": self.task.group}
