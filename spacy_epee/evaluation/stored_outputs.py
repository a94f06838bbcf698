"""What all exits say about annotated documents, from one run of the full depth: to try rules on, and to fit temperatures to."""

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy
from scipy.special import expit
from spacy.language import Language
from spacy.training import Example

from ..engine.replay import Replay, Score
from ..exits.calibration import calibration_report, confidences_and_hits, fit_temperatures, item_losses, reliability
from ..exits.label_thresholds import one_half
from ..exits.scaling import Threshold
from ..inputs.instances import Instances
from ..tasks.figures import check_figure
from ..tasks.gate import find_chances, gate_threshold, nothing_of
from ..tasks.salience import weights_of_salience
from .scoring import Scoring, describe_main

if TYPE_CHECKING:
    from ..component.pipe import EarlyExitTransformer

BATCH = 64
"""How many documents run together; all of them for a task with links, which are known within a batch."""


class StoredOutputs:
    """What all exits say about the units of some documents. Those that never run, as an empty document, are not among them.

    logits (ndarray): The logits of their items, (E, N, K).
    layers (List[int]): The layer of each exit, 0 for that before the first one.
    blind (Optional[ndarray]): Of which units nothing is known there, (U,) bool; None without such an exit.
    mix (ndarray): How many times what words say is in the logits of each exit behind a layer, (E - 1,) if they are.
    salience (ndarray): How much documents are about each item, in numbers, (N, F).
    salience_weights (ndarray): By what these are in the logits, (E, 1 + F, K).
    chances (Optional[ndarray]): How likely there is anything to find in each item, by words alone, (N,); None without a gate.
    docs (ndarray): The document of each unit, (U,).
    wordpieces (ndarray): The wordpieces of each unit, (U,).
    targets (ndarray): 1 for the logits that are true, (N, K).
    label_mask (ndarray): 0 where nothing is known, (N, K).
    items_docs (ndarray): The document of each item, (N,).
    owners (ndarray): The unit of each item, (N,).
    places (Optional[ndarray]): The document of each item and where it is there, if the task says so, (N, 1 + columns).
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
        self.layers = self.slot.exit_layers(component.model)
        size = max(len(self.examples), 1) if self.task.has_links else BATCH
        batches = [self.examples[start : start + size] for start in range(0, len(self.examples), size)]
        logits, doubt, counts, docs, wordpieces, places, place_items, blind, chances = ([] for _ in range(9))
        targets: List[numpy.ndarray] = []
        label_mask: List[numpy.ndarray] = []
        salience: List[numpy.ndarray] = []
        outputs = component.exit_logits([eg.predicted for eg in self.examples], size, self.name)
        for number, (batch, self.outputs) in enumerate(zip(batches, outputs)):
            items = self.outputs.items
            rows = items.of_units(items.live)
            logits.append(self.outputs.logits[:, rows])
            if self.outputs.doubt.shape[1]:
                doubt.append(expit(self.outputs.doubt[:, rows]))
            if items.lexical is not None:
                blind.append(~items.lexical.known[items.live])
            salience.append(numpy.zeros((len(rows), 0)) if items.salience is None else items.salience[rows])
            own_chances = find_chances(self.slot, component.model, [eg.predicted for eg in batch], items)
            if own_chances is not None:
                chances.append(own_chances[rows])
            counts.append(items.counts[items.live])
            docs.append(items.unit_docs[items.live] + number * size)
            wordpieces.append(items.lengths[items.live])
            item_places = self.task.item_places(items)
            if item_places is not None:
                where, who = item_places
                kept = numpy.full(len(items), -1)
                kept[rows] = numpy.arange(len(rows)) + sum(map(len, targets))
                places.append(numpy.column_stack((items.unit_docs[items.units[who]] + number * size, where))[kept[who] >= 0])
                place_items.append(kept[who[kept[who] >= 0]])
            for part, whole in zip(self.task.targets(batch, self.labels, items, strict=False), (targets, label_mask)):
                whole.append(part[rows])
        if not batches:
            raise ValueError("There are no documents.")
        self.logits = numpy.concatenate(logits, axis=1)
        self.doubt = numpy.concatenate(doubt, axis=1) if doubt else None
        self.blind = numpy.concatenate(blind) if blind else None
        self.chances = numpy.concatenate(chances) if chances else None
        self.mix = self.slot.mix(component.model)
        self.salience, self.salience_weights = numpy.concatenate(salience), weights_of_salience(self.slot, component.model)
        self.counts = numpy.concatenate(counts)
        self.docs = numpy.concatenate(docs)
        self.wordpieces = numpy.concatenate(wordpieces)
        self.targets, self.label_mask = numpy.concatenate(targets), numpy.concatenate(label_mask)
        self.places = numpy.concatenate(places) if places else None
        self.place_items = numpy.concatenate(place_items) if places else numpy.zeros(0, dtype=int)
        self.items_docs = numpy.repeat(self.docs, self.counts)
        self.owners = numpy.repeat(numpy.arange(len(self.docs)), self.counts)

    @property
    def n_docs(self) -> int:
        """RETURNS (int): The number of documents."""
        return len(self.examples)

    @property
    def items(self) -> Instances:
        """RETURNS (Instances): What was asked: all if the task has links, otherwise about the last batch."""
        return self.outputs.items

    @property
    def cfg(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is saved of the task."""
        return self.slot.cfg

    @property
    def all_labels(self) -> List[str]:
        """RETURNS (List[str]): The labels of the task, and those that are annotated and not known."""
        return [*self.labels, *self.unknown.labels]

    @property
    def counted(self) -> List[str]:
        """RETURNS (List[str]): Those that count in a mean over labels."""
        return self.scoring.counted

    def label_docs(self) -> Dict[str, numpy.ndarray]:
        """RETURNS (Dict[str, ndarray]): In which documents each label is annotated, (D,) bool; of events, those of triggers."""
        labelled = {label: numpy.zeros(self.n_docs, dtype=bool) for label in self.labels}
        for doc, eg in enumerate(self.examples):
            for label in self.task.true_labels(eg.reference) & set(labelled):
                labelled[label][doc] = True
        return labelled

    def replay(self, reading: Any = None) -> Replay:
        """Work out the evidence.

        reading (Any): How the logits are to be read; None for as the component does, temperatures included.
        RETURNS (Replay): What rules can be run on.
        """
        several = self.task.unit == "window"
        gate = gate_threshold(self.slot)
        settled = None if self.chances is None or not gate else numpy.asarray(self.chances < gate)
        return Replay(
            self.logits,
            exit_layers=self.layers,
            reading=self.component.reading(self.name) if reading is None else reading,
            doubt=self.doubt,
            counts=self.counts if several else None,
            asked=self.items if self.task.has_links else None,
            units=self.items.live if self.task.has_links else None,
            links=self.outputs.links if self.task.has_links else None,
            blind=self.blind,
            settled=settled,
            nothing=None if settled is None else nothing_of(self.slot),
            chances=self.chances,
            judge=self.task.judge(self),
        )

    def scorer(self, replay: Replay, figure: Optional[str] = None, refit: bool = False) -> Score:
        """Make what scores the answers that a rule gives.

        replay (Replay): Where rules are run.
        figure (Optional[str]): One of the task's `figures`; None for the main one of its scorer.
        refit (bool): Whether labels may get other thresholds for what the rule answers.
        RETURNS (Callable[[ReplayResult], float]): The figure of a simulation.
        RAISES ValueError: The task has no such figure.
        """
        check_figure(self.slot, figure)
        return self.task.replay_score(self, replay) if figure is None else self.task.figure_score(self, figure, refit)

    @property
    def thresholds(self) -> Threshold:
        """RETURNS (Threshold): From which probability on labels are given."""
        return self.slot.thresholds

    def describe(self, figure: Optional[str] = None) -> str:
        """RETURNS (str): What that figure is."""
        return self.scoring.describe_counted(figure or describe_main(self.component, self.name))

    def fit(self, docs: Optional[numpy.ndarray] = None) -> List[float]:
        """Fit temperatures.

        docs (Optional[ndarray]): Which documents to fit them to, (D,) bool; None for all.
        RETURNS (List[float]): A temperature for each exit.
        RAISES ValueError: Nothing is annotated.
        """
        targets, label_mask = self.annotation(docs)
        if not label_mask.any():
            raise ValueError(
                f"Nothing is annotated for the task '{self.name}' in these documents, so there is nothing to calibrate by. Give "
                "annotated documents, or leave calibration out with `--no-calibrate`."
            )
        settings = {"threshold": self.slot.thresholds, **self._kind()}
        temperatures = fit_temperatures(self.logits[:, self.rows(docs)], targets, label_mask, **settings)
        return [float(f"{temperature:.6g}") for temperature in temperatures]

    def set_mix(self, mix: numpy.ndarray) -> None:
        """Have words count so much, in what is stored alone.

        mix (ndarray): A factor for each exit behind a layer, (E - 1,).
        """
        self.logits[1:] += (mix - self.mix)[:, None, None] * self.logits[:1]
        self.mix = mix

    def set_salience(self, weights: numpy.ndarray) -> None:
        """Have salience count so much, in what is stored alone.

        weights (ndarray): What is added to logits, see `tasks.salience.set_salience`, (E, 1 + F, K).
        """
        more = weights - self.salience_weights
        self.logits += more[:, :1] + self.salience @ more[:, 1:]
        self.salience_weights = weights

    def helps(self, docs: Optional[numpy.ndarray] = None, seed: int = 0) -> bool:
        """Whether temperatures make documents more likely that they were not fitted to: each of two halves is tried with those of
        the other one.

        docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
        seed (int): The seed of the split.
        RETURNS (bool): Whether the mean negative log-likelihood over the exits falls.
        """
        gain = 0.0
        for fitted, tried in self.halves(docs, seed):
            if not self.annotation(fitted)[1].any() or not self.annotation(tried)[1].any():
                return False
            figures = self.calibration(self.fit(fitted), tried)
            gain += sum(exit["nll"][0] - exit["nll"][1] for exit in figures)
        return gain > 0

    def rows(self, docs: Optional[numpy.ndarray]) -> Any:
        """RETURNS (Union[slice, ndarray]): Which rows of logits are those of some documents, (D,) bool; None for all."""
        return slice(None) if docs is None else docs[self.items_docs]

    def annotation(self, docs: Optional[numpy.ndarray]) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """What the annotation of some documents says, and where it does."""
        return self.targets[self.rows(docs)], self.label_mask[self.rows(docs)]

    def halves(self, docs: Optional[numpy.ndarray], seed: int) -> List[Tuple[numpy.ndarray, numpy.ndarray]]:
        """Two halves of some documents, each to fit to and to try on."""
        one = one_half(self.n_docs, seed)
        wanted = numpy.ones(self.n_docs, dtype=bool) if docs is None else docs
        return [(one & wanted, ~one & wanted), (~one & wanted, one & wanted)]

    def calibration(self, temperatures: Sequence[float], docs: Optional[numpy.ndarray] = None) -> List[Dict[str, Any]]:
        """Say what temperatures do.

        temperatures (Sequence[float]): A temperature for each exit.
        docs (Optional[ndarray]): Which documents to look at, (D,) bool; None for all.
        RETURNS (List[Dict[str, Any]]): See `exits.calibration.calibration_report`.
        """
        return calibration_report(
            self.logits[:, self.rows(docs)],
            *self.annotation(docs),
            temperatures,
            threshold=self.slot.thresholds,
            reduce="mean" if self.task.reading(0.5).reduce == "mean" else "max",
            **self._kind(),
        )

    def doc_losses(self) -> numpy.ndarray:
        """RETURNS (ndarray): The negative log-likelihood of what is annotated on each document at each exit, by the temperatures
        if there are any, (E, D)."""
        temperatures = self.cfg.get("temperatures") or [1.0] * len(self.layers)
        settings = {"threshold": self.slot.thresholds, **self._kind()}
        items = item_losses(self.logits, self.targets, self.label_mask, temperatures, **settings)
        return numpy.array([numpy.bincount(self.items_docs, exit, minlength=self.n_docs) for exit in items])

    def reliability(self, temperatures: Sequence[float], bins: int = 10) -> List[List[Tuple[float, float, int]]]:
        """RETURNS (List[List[Tuple[float, float, int]]]): The calibration curve of each exit."""
        settings, curves = {"threshold": self.slot.thresholds, **self._kind()}, []
        for logits, temperature in zip(self.logits, temperatures):
            figures = confidences_and_hits(logits, self.targets, self.label_mask, temperature, **settings)
            curves.append(reliability(*figures, bins))
        return curves

    def _kind(self) -> Dict[str, Any]:
        return {"exclusive": self.task.exclusive, "group": self.task.group}
