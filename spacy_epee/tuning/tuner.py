"""From what a user asks for to an exit rule in the pipeline."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy
from spacy.language import Language
from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from ..engine.replay import Replay, ReplayResult
from ..evaluation.compare import times_fewer
from ..evaluation.spread import spread
from ..evaluation.stored_outputs import StoredOutputs
from ..evaluation.timing import milliseconds, prepare
from ..exits.rules.base import ExitRule, complete
from ..exits.rules.depth import FixedDepth
from ..tasks.figures import check_figure
from ..tasks.slot import answers_by
from ..threads import cached_property
from .annotation import check_annotation, check_component, check_losses
from .careful import CarefulChooser
from .fitting import fit_mix, fit_salience, fit_temperatures, fit_thresholds
from .gate import fit_gate
from .noted import noted, promised
from .search import Candidate, Candidates, first_half, require_documents, search, try_setting
from .seconds import find_faster, note_times
from .uncertain import find_uncertain_threshold
from .unknown import find_unknown_threshold

SHOWN = 8
"""The most settings of the Pareto front that are shown and timed."""

KINDS = 5
"""The most rules that are timed beside the chosen one as they lose no more."""

FIXED = "fixed depth, chosen here"
"""What the best fixed depth on the documents is called."""


@dataclass(frozen=True)
class TuningGoal:
    """What a user asks for: one of three, or nothing, to see what there is.

    max_drop (Optional[float]): By how many points the score may fall, of 100.
    min_speedup (Optional[float]): How many times fewer layers are to be run, by wordpieces.
    max_disagreement (Optional[float]): The share of documents whose answer may differ from that of the full depth.
    confidence (float): How surely that is to hold for documents like these.
    """

    max_drop: Optional[float] = None
    min_speedup: Optional[float] = None
    max_disagreement: Optional[float] = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        given = [name for name in ("max_drop", "min_speedup", "max_disagreement") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"Give one of {', '.join('--' + name.replace('_', '-') for name in given)}, not several.")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise ValueError(f"--max-drop is {self.max_drop}; give points from 0 to 100, and begin with 0.")
        if self.min_speedup is not None and not self.min_speedup >= 1:
            raise ValueError(f"--min-speedup is {self.min_speedup}; give a number from 1 on, such as 2.")
        if self.max_disagreement is not None and not 0 < self.max_disagreement <= 1:
            raise ValueError(f"--max-disagreement is {self.max_disagreement}; give a share above 0 and up to 1, such as 0.01.")
        if not 0 < self.confidence < 1:
            raise ValueError(f"--confidence is {self.confidence}; give a share above 0 and below 1, such as 0.95.")

    @property
    def empty(self) -> bool:
        """RETURNS (bool): Whether nothing is asked for."""
        return self.max_drop is None and self.min_speedup is None and self.max_disagreement is None


class Tuner:
    """The search for a rule of a task.

    stored (StoredOutputs): What all exits say about the documents.
    replay (Replay): The same as evidence, by the temperatures if there are any.
    trials (Candidates): What all settings do.
    report (Dict[str, Any]): What was found, as plain values. Scores are shares of 1, and layers are those of wordpieces unless
        named otherwise.
    rule (Optional[ExitRule]): The chosen rule; None for the full depth. That of the component until one is chosen.
    """

    def __init__(
        self,
        nlp: Language,
        component: EarlyExitTransformer,
        examples: Sequence[Example],
        task: Optional[str] = None,
        *,
        wish: TuningGoal = TuningGoal(),
        calibrate: Optional[bool] = None,
        thresholds: Optional[bool] = None,
        gate_recall: Optional[float] = None,
        missing_labels: bool = False,
        steps: int = 16,
        seed: int = 0,
        progress: bool = False,
        fewest: int = 0,
        figure: Optional[str] = None,
    ):
        """Try all rules. The component gets temperatures, and thresholds of labels, and keeps its rule until `choose`.

        nlp (Language): The pipeline.
        component (EarlyExitTransformer): The component.
        examples (Sequence[Example]): Annotated documents that were not trained on.
        task (Optional[str]): The task; None if there is only one.
        wish (TuningGoal): What is asked for.
        calibrate (Optional[bool]): Whether to fit temperatures; None does so if they help on documents that they were not fitted
            to, and False leaves those that are there.
        thresholds (Optional[bool]): Whether to fit a threshold for each label, where labels do not exclude each other; None and
            False as for `calibrate`.
        gate_recall (Optional[float]): The share of triggers, or relations, that the gate may not lose; None keeps it as it is.
        missing_labels (bool): Whether labels may be absent from the documents.
        steps (int): How many values of each threshold are tried.
        seed (int): The seed of the split into halves.
        progress (bool): Whether to show a progress bar.
        fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 counts all.
        figure (Optional[str]): What the score is, one of the task's `figures`; None for the main figure of its scorer.
        RAISES ValueError: No such figure, no exits, no annotation, labels without an example, no score that could be lost, or too
            few documents for the promise.
        """
        check_component(component, task)
        check_figure(component.slot(task), figure)
        if wish.max_disagreement is not None:
            require_documents(len(examples), wish.max_disagreement, wish.confidence)
        self.nlp, self.component, self.wish, self.progress = nlp, component, wish, progress
        self.steps, self.seed, self.figure, self._thresholds = steps, seed, figure, thresholds
        self.examples = list(examples)
        self.stored = StoredOutputs(component, prepare(nlp, component, self.examples), task, fewest, nlp)
        self.name = self.stored.name
        self.rule = component.exits[self.name]
        check_annotation(self.stored, missing_labels)
        if wish.max_drop is not None:
            check_losses(self.stored, figure)
        # What is promised is tested on the other half, so that nothing may be fitted to it.
        half = first_half(self.stored.n_docs, seed) if wish.max_disagreement is not None else None
        self.report: Dict[str, Any] = {
            "component": component.name,
            "task": self.name,
            "documents": self.stored.n_docs,
            "unit": self.stored.scoring.unit,
            "depth": self.stored.layers[-1],
            "score_desc": self.stored.describe(figure),
            "left_out": self.stored.scoring.left_out,
            "absent": self.stored.scoring.absent,
            "mix": fit_mix(component, self.stored, calibrate, half, seed),
            "salience": fit_salience(component, self.stored, calibrate, half, seed),
            "thresholds": fit_thresholds(component, self.stored, thresholds, half, seed),
            "calibration": fit_temperatures(component, self.stored, calibrate, half, seed),
            "gate": fit_gate(self.stored, gate_recall, wish.confidence, half),
        }
        # Thresholds of labels that suit the rule are fitted once it is chosen, unless that would change what is promised.
        self.refit = figure is not None and thresholds is not False and half is None and bool(self.stored.slot.thresholded)
        self._replay()
        self._first = (self.stored.cfg.get("label_thresholds"), self.report["thresholds"], self.replay, self.score)
        self.trials: Candidates = search(
            self.replay,
            self.score,
            docs=self.stored.docs,
            n_docs=self.stored.n_docs,
            wordpieces=self.stored.wordpieces,
            steps=steps,
            seed=seed,
            progress=progress,
        )
        front = self.trials.front()
        places = numpy.unique(numpy.linspace(0, len(front) - 1, SHOWN).round().astype(int))
        self.safe: List[Tuple[Optional[ExitRule], Optional[Dict[str, Any]]]] = []
        self.shown: List[Candidate] = [front[place] for place in places]
        self.report.update(settings=len(self.trials.trials), front_settings=len(front))
        self.report.update(full=self.row(self.trials.full), fixed={**self.row(self.trials.fixed_depth()), "name": FIXED})
        self.report.update(front=[self.row(trial) for trial in self.shown], curves=self.trials.curves())

    def _replay(self) -> None:
        """Work out what all exits say, by the thresholds that there are, and what scores it."""
        self.replay: Replay = self.stored.replay()
        if self.wish.max_disagreement is not None:  # then what counts is whether answers are others
            self.replay.judge = None
        self.score = self.stored.scorer(self.replay, self.figure, self.refit)

    def row(self, trial: Candidate) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What a setting does, and half the 95 % interval of its drop."""
        full = self.trials.full
        speedup = times_fewer(full.wordpiece_layers, trial.wordpiece_layers)
        simulation, base = self.replay.run(trial.rule), self.replay.run(None)
        width = spread(lambda docs: self.score(simulation, docs) - self.score(base, docs), self.stored.n_docs)
        return {**trial.row(), "speedup": speedup, "drop": full.score - trial.score, "spread": width}

    def choose(self) -> Optional[ExitRule]:
        """Choose by the wish, and set the rule on the component.

        RETURNS (Optional[ExitRule]): The rule; None for the full depth.
        RAISES ValueError: Nothing is asked for, or it cannot be had.
        """
        wish, trials, self.safe = self.wish, self.trials, []
        self.reset_thresholds()
        if wish.max_disagreement is not None:
            chosen, certificate = trials.certified(wish.max_disagreement, wish.confidence)
            self.report["promise"] = promised(certificate, wish.max_disagreement, wish.confidence)
        elif wish.max_drop is not None:
            chosen = self._careful(wish.max_drop / 100)
        else:
            chosen = trials.pick(min_speedup=wish.min_speedup)
        if self.refit:
            chosen = self._suit(chosen)
        self._take(chosen)
        self.report["wish"] = {name: value for name, value in vars(wish).items() if value is not None}
        if wish.max_disagreement is None:
            self.report["wish"].pop("confidence")
        deepest = self.report.get("held_out", {}).get("deepest", self.stored.layers[-1])
        fixed = FixedDepth(deepest)
        if deepest < self.stored.layers[-1] and chosen.rule != fixed:  # loses no more, and looks at nothing on the way
            trial = self.try_setting("fixed depth", fixed)
            # It has no threshold that was made on any documents.
            drop = self.trials.full.score - trial.score
            self._allow(trial, {**self.report["held_out"], "limit": -1.0, "drop": drop, "changed": 0.0, "worst": 0.0})
        return chosen.rule

    def reset_thresholds(self) -> None:
        """Give labels the thresholds again that they had before a rule was chosen."""
        thresholds, report, replay, score = self._first
        if self.replay is not replay:
            self.component.set_label_thresholds(thresholds, self.name)
            self.report["thresholds"], self.replay, self.score = report, replay, score

    def _suit(self, chosen: Candidate) -> Candidate:
        """Fit thresholds of labels to what a rule answers, and say what it does by them."""
        said = self.replay.run(chosen.rule).logits
        self.report["thresholds"] = fit_thresholds(self.component, self.stored, self._thresholds, None, self.seed, said)
        self._replay()
        rows = [pair for pair in zip(self.shown, self.report["front"]) if pair[0].rule != chosen.rule]  # as it was before
        self.shown, self.report["front"] = ([pair[place] for pair in rows] for place in (0, 1))
        return self.try_setting(chosen.name, chosen.rule)

    def _allow(self, trial: Candidate, held_out: Optional[Dict[str, Any]]) -> None:
        """Have a rule timed that may be taken if it is faster, with what it does where it was not made."""
        self.safe.append((trial.rule, held_out))
        if all(trial.rule != one.rule for one in self.shown):
            self._show(trial)

    def _take(self, chosen: Candidate) -> None:
        """Set a rule on the component, and show it."""
        self.rule = chosen.rule
        self.component.set_exit(chosen.rule, self.name)
        self.report["chosen"] = self.row(chosen)
        self._show(chosen)

    def _show(self, trial: Candidate) -> None:
        """Have a setting among those that are shown and timed."""
        if all(trial is not one for one in self.shown):
            row = dict(self.report["full"]) if trial is self.trials.full else self.row(trial)
            rows = [*zip(self.shown, self.report["front"]), (trial, row)]  # what is noted of the others, as their time, stays
            rows.sort(key=lambda pair: pair[0].wordpiece_layers)
            self.shown, self.report["front"] = ([pair[place] for pair in rows] for place in (0, 1))

    @cached_property
    def chooser(self) -> CarefulChooser:
        """RETURNS (CarefulChooser): The search by what may be lost on documents that a choice was not made on."""
        return CarefulChooser(
            self.replay, self.score, self.stored.doc_losses(), **self._documents, steps=self.steps, seed=self.seed
        )

    @property
    def _documents(self) -> Dict[str, Any]:
        """Whose the units are, and what they cost."""
        return {"docs": self.stored.docs, "n_docs": self.stored.n_docs, "wordpieces": self.stored.wordpieces}

    def _careful(self, max_drop: float) -> Candidate:
        """Choose by what may be lost."""
        choice = self.chooser.choose(max_drop)
        found = [choice, *(self.chooser.by_kind(max_drop, choice.deepest) if self._by_seconds else ())]
        tried = [(one, self.try_setting(one.name, one.rule)) for one in found]
        tried.sort(key=lambda pair: pair[1].wordpiece_layers)
        for one, trial in tried[: 1 + KINDS]:
            self._allow(trial, {name: value for name, value in vars(one).items() if name not in ("rule", "name")})
        self.report["held_out"] = self.safe[0][1]
        return tried[0][1]

    def try_setting(self, name: str, rule: Optional[ExitRule]) -> Candidate:
        """RETURNS (Candidate): What a rule does.

        name (str): What it is called.
        rule (Optional[ExitRule]): The rule; None for the full depth.
        """
        if rule is None:
            return self.trials.full
        return try_setting(self.replay, self.score, name, rule, **self._documents)

    def simulation(self) -> ReplayResult:
        """RETURNS (ReplayResult): What the rule does, the chosen one or else that of the component."""
        return self.replay.run(self.rule)

    def flag(self, coverage: float) -> float:
        """Find and set the entropy above which answers are uncertain that no rule has found settled.

        coverage (float): The share of documents that are to be kept without a flag.
        RETURNS (float): The threshold.
        """
        uncertain = self.report["uncertain"] = find_uncertain_threshold(self.stored, self.simulation(), self.rule, coverage)
        self.component.slots[self.name].cfg["uncertain"] = uncertain["threshold"]
        return uncertain["threshold"]

    def leave_unknown(self, precision: float) -> float:
        """Find and set the probability below which documents are given none of exclusive labels, in the config, too.

        precision (float): The share of labels given that is to be right on these documents.
        RETURNS (float): The threshold.
        """
        unknown = self.report["unknown"] = find_unknown_threshold(self.stored, self.simulation(), precision)
        self._block()["unknown_threshold"] = unknown["threshold"]
        _count_again(self)
        return unknown["threshold"]

    def _block(self) -> Dict[str, Any]:
        """The settings of the task in the pipeline's config."""
        slot, config = self.component.slots[self.name], self.nlp.get_pipe_config(self.component.name)
        return config if slot.alone else config["tasks"][self.name]

    def time(self, batch_sizes: Sequence[int] = (1, 32), documents: int = 100, rounds: int = 3) -> None:
        """Time the whole pipeline with the settings shown and at full depth, in turns, and note milliseconds a document. Where
        windows leave, and not documents, looking at what they say can take longer than it saves: of rules that lose no more the
        fastest is taken, and none that is slower than the full depth at any of the batch sizes.

        batch_sizes (Sequence[int]): The batch sizes.
        documents (int): How many documents, evenly from all of them.
        rounds (int): How often each is timed.
        """
        step = max(len(self.examples) // max(documents, 1), 1)
        some = self.examples[::step][: max(documents, 1)]
        contestants = [None, self.trials.fixed_depth().rule, *(trial.rule for trial in self.shown)]
        rules = [{**self.component.exits, self.name: rule} for rule in contestants]
        self.report["timed_documents"] = len(some)
        rows = [self.report["full"], self.report["fixed"], *self.report["front"]]
        for size in batch_sizes:
            note_times(rows, size, milliseconds(self.nlp, some, self.component, rules, size, rounds, self.progress))
        if "chosen" not in self.report:
            return
        if self._by_seconds and self.rule is not None and self.report["full"].get("ms"):
            self._take_fastest()
        mine = [row for row, trial in zip(self.report["front"], self.shown) if trial.rule == self.rule]
        self.report["chosen"] = mine[0] if mine else self.report["chosen"]

    @property
    def _by_seconds(self) -> bool:
        """Whether looks cost so much that layers do not say which rule is the fastest."""
        return self.stored.task.unit == "window"

    def _take_fastest(self) -> None:
        """Of the rules that lose no more than the chosen one take the fastest, and none that takes more seconds than the full
        depth."""
        safe = [rule for rule, _ in self.safe]
        slower, place = find_faster(self.report, [trial.rule for trial in self.shown], self.rule, safe)
        if slower is not None:
            self.report["slower"] = slower
        taken = self.trials.full if place is None else self.shown[place]
        if taken.rule == self.rule:
            return
        self._take(taken)
        if taken.rule is None:  # then nothing was made on any documents
            self.report.pop("held_out", None)
        held_out = next((found for rule, found in self.safe if rule == taken.rule), None)
        if held_out is not None:
            self.report["held_out"] = held_out

    def write(self) -> None:
        """Put the rule into the pipeline's config, so that it is there to be seen once the pipeline is saved, and what it does on
        the documents beside it."""
        block, slot = self._block(), self.component.slots[self.name]
        block["exit"] = None if self.rule is None else complete(self.rule).to_config()
        slot.note_configured()
        slot.cfg["tuned"] = noted(self.report, answers_by(slot))


def _count_again(tuning: Tuner) -> None:
    """Count other answers than those of the full depth anew, in all rows: documents may be given none by now."""
    tuning._replay()
    rows = [(tuning.report["fixed"], tuning.trials.fixed_depth().rule)]
    rows += [(row, trial.rule) for row, trial in zip(tuning.report["front"], tuning.shown)]
    rows += [(tuning.report["chosen"], tuning.rule)] if "chosen" in tuning.report else []
    for row, rule in rows:
        row["disagreement"] = tuning.try_setting(row["name"], rule).disagreement
