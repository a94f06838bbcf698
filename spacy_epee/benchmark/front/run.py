"""Measuring a front: who takes part, how right they are, and how long a document takes."""

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy
from spacy.training import Example
from spacy.util import load_model, make_tempdir

from ...exits.rules.base import ExitRule
from ...model import get_trunk_shim
from ...settings import split_list
from ..networks import pooled_heads
from ..run import describe_machine
from ..targets import OnnxInt8, OpenVinoInt8, SpacyTransformers, Torch
from ..turns import Answering, seconds_in_turns
from ..workspace import Target, Unavailable, Workspace
from .ours import Measured, WithRule, describe
from .simple import Linear, StaticEmbeddings, TfIdf
from .spacy_textcat import SpacyTextcat, Training
from .texts import evenly, label_texts, score_both
from .verdict import OURS, judge

SIMPLE: Dict[str, Callable[[], Linear]] = {
    "tfidf": TfIdf,
    "tfidf-chars": lambda: TfIdf(characters=True),
    "wordllama": StaticEmbeddings,
}
SPACY = {"spacy-ensemble": False, "spacy-bow": True}
CUT: Dict[str, Callable[[Workspace], Target]] = {
    "cut-torch": Torch,
    "cut-onnx-int8": OnnxInt8,
    "cut-openvino-int8": OpenVinoInt8,
}
CONTESTANTS = (*SIMPLE, *SPACY, "fixed", *CUT, "spacy-transformers", OURS, "ours-int8")
"""Who may take part, in the order in which they are shown."""

CALIBRATION = 100
"""On how many training documents a runtime finds out the size of what it rounds."""

BATCH = 32
"""How many texts are answered together where only answers count."""

WARM_UP = 8
"""On how many documents it is tried how long the others will take, and whether a network says what it should."""

SAME = 0.02
"""How far a probability may be from another that is the same but for rounding."""


@dataclass
class Plan:
    """How a front is measured.

    contestants (Sequence[str]): Who takes part, of `CONTESTANTS`.
    batch_sizes (Sequence[int]): Batch sizes to time at.
    rounds (int): How often each is timed, in turns.
    timed (int): The most documents to time on, of test, evenly from short to long.
    seconds (float): About how long timing may take: if it would be more, fewer documents are timed, but not under the largest
        batch size, and then fewer rounds.
    steps (int): How many values of each threshold are tried on dev.
    training (Training): How long spaCy's own classifiers are trained.
    tell (Callable[[str], Any]): Told what is done.
    """

    contestants: Sequence[str] = CONTESTANTS
    batch_sizes: Sequence[int] = (1, 32)
    rounds: int = 3
    timed: int = 100
    seconds: float = 180.0
    steps: int = 16
    training: Training = field(default_factory=Training)
    tell: Callable[[str], Any] = lambda text: None


def choose_contestants(names: Optional[str]) -> List[str]:
    """RETURNS (List[str]): Who takes part, from their names with commas between them; None for all.
    RAISES ValueError: There is no such contestant."""
    asked = list(CONTESTANTS) if names is None else split_list("--contestants", names)
    unknown = [name for name in asked if name not in CONTESTANTS]
    if unknown:
        raise ValueError(f"--contestants has '{unknown[0]}'; give some of {', '.join(CONTESTANTS)}, with commas between them")
    return [name for name in CONTESTANTS if name in asked]


class Front:
    """The contestants on a corpus.

    rows (List[Dict[str, Any]]): What was measured of each.
    skipped (Dict[str, str]): Who could not take part, and why.
    """

    def __init__(self, pipelines: Sequence[Measured], examples: Mapping[str, Sequence[Example]], plan: Plan, folder: Path):
        """
        pipelines (Sequence[Measured]): Pipelines of ours with the same labels.
        examples (Mapping[str, Sequence[Example]]): The documents of "train", "dev" and "test".
        plan (Plan): How to measure.
        folder (Path): Where to write.
        """
        self.pipelines, self.examples, self.plan, self.folder = list(pipelines), examples, plan, folder
        first = self.pipelines[0]
        labels = list(first.component.labels)
        for other in self.pipelines[1:]:
            if list(other.component.labels) != labels:
                raise ValueError(
                    f"The pipelines '{first.title}' and '{other.title}' have other labels, so that they do not compare"
                )
        self.labels, self.exclusive = labels, first.exclusive
        self.texts = label_texts(examples, labels, first.exclusive)
        self.rows: List[Dict[str, Any]] = []
        self.skipped: Dict[str, str] = {}
        self.timed: Dict[str, Answering] = {}

    def add(
        self,
        name: str,
        kind: str,
        title: str,
        answering: Answering,
        figures: Dict[str, Any],
        note: str = "",
        group: Optional[str] = None,
    ) -> None:
        """Add a row whose answers are known."""
        self.rows.append({"name": name, "kind": kind, "group": group or title, "title": title, "note": note, **figures, "ms": {}})
        self.timed[name] = answering

    def measure(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): All that was found, as plain values.
        RAISES ValueError: Nobody can take part.
        """
        for name, make in SIMPLE.items():
            self._try(name, partial(self._add_simple, name, make))
        for name, bag in SPACY.items():
            self._try(name, partial(self._add_spacy, name, bag))
        for pipeline in self.pipelines:
            self.plan.tell(f"{pipeline.title}: dev and test at full depth, and rules on dev")
            pipeline.measure(self.examples, self.texts, self.plan.steps)
        best, cut = self._add_fixed(), self._best_cut()
        for name, kind in CUT.items():
            self._try(name, partial(self._add_cut, name, kind, *cut))
        for pipeline in self._plainest():
            self._try("spacy-transformers", partial(self._add_standard, pipeline))
        for pipeline in self.pipelines:
            self._try(OURS, partial(self._add_ours, pipeline, OURS))
            self._try("ours-int8", partial(self._add_int8, pipeline))
        if not self.rows:
            raise ValueError("None of the contestants can take part: " + "; ".join(self.skipped.values()))
        documents, rounds = self._time()
        fixed = f"{best[0].title}@{best[1]}"
        chosen = [row for row in self.rows if row["kind"] != "fixed" or row["name"] == fixed]
        return {
            "documents": {name: len(part) for name, part in self.texts.items()},
            "labels": len(self.labels),
            "exclusive": self.exclusive,
            "timed_documents": documents,
            "rounds": rounds,
            "fixed_depth": {"title": best[0].title, "layer": best[1], "name": fixed},
            "cut": {"title": cut[0].title, "layer": cut[1]},
            "rows": self.rows,
            "skipped": self.skipped,
            "verdict": {str(size): judge(self.rows, str(size)) for size in self.plan.batch_sizes},
            "verdict_chosen": {str(size): judge(chosen, str(size)) for size in self.plan.batch_sizes},
            "machine": describe_machine(),
        }

    def _try(self, name: str, add: Callable[[], None]) -> None:
        """Let a contestant take part, if it is asked for and can. What libraries say of an error may hold text."""
        if name not in self.plan.contestants:
            return
        self.plan.tell(name)
        try:
            add()
        except Unavailable as error:
            self.skipped[name] = str(error)
        except Exception as error:
            self.skipped[name] = f"it cannot run this model or these documents ({type(error).__name__})"

    def _answers(self, answering: Answering) -> Dict[str, Any]:
        """The figures of what is said of dev and test."""
        dev, test = (answering.read(answering.run(self.texts[name].texts, BATCH)) for name in ("dev", "test"))
        return score_both(self.texts["dev"], dev, self.texts["test"], test)

    def _add_simple(self, name: str, make: Callable[[], Linear]) -> None:
        model = make()
        model.fit(self.texts["train"])
        self.add(name, "simple", model.title, model, self._answers(model), model.note)

    def _add_spacy(self, name: str, bag: bool) -> None:
        model = SpacyTextcat(bag, self.examples, self.labels, self.exclusive, self.plan.training)
        model.fit()
        self.add(name, "spacy", model.title, model, self._answers(model), model.note)

    def _add_fixed(self) -> Tuple[Measured, int]:
        """Add every fixed depth, if these are asked for. RETURNS (Tuple[Measured, int]): The pipeline and the layer with the best
        score on dev, of pipelines without an exit before the first layer, if there are any. That exit itself has no layer."""
        scored: List[Tuple[float, int, Measured]] = []
        for pipeline in self._plain():
            for layer, rule in pipeline.fixed():
                figures = pipeline.score(rule)
                if layer > 0:
                    scored.append((figures["dev"], layer, pipeline))
                if "fixed" in self.plan.contestants:
                    own = WithRule(pipeline.nlp, pipeline.component, rule)
                    self.add(
                        f"{pipeline.title}@{layer}",
                        "fixed",
                        f"{pipeline.title}, depth {layer}",
                        own,
                        figures,
                        group=f"{pipeline.title}, depths",
                    )
        return best_depth(scored)

    def _plain(self) -> List[Measured]:
        """The pipelines without an exit before the first layer; all if each has one."""
        return [own for own in self.pipelines if own.layers[0] > 0] or self.pipelines

    def _best_cut(self) -> Tuple[Measured, int]:
        """RETURNS (Tuple[Measured, int]): The pipeline and the layer that are best on dev by their states alone, as who takes an
        encoder without exits would find."""
        pipelines = self._plain()
        return best_depth([(score, layer, own) for own in pipelines for layer, score in own.scores_alone().items()])

    def _add_cut(self, name: str, kind: Callable[[Workspace], Target], pipeline: Measured, layer: int) -> None:
        texts = self.texts["train"]
        place = Workspace(str(pipeline.path), pipeline.component, self._folder("cut"), layer, evenly(texts, CALIBRATION))
        self._check_cut(place, pipeline, layer)
        target = kind(place)
        target.prepare()
        target.load()
        figures = {**self._answers(target), "layers": layer, "layers_saved": 1 - layer / pipeline.layers[-1]}
        self.add(name, "cut", f"cut at its best layer, {target.title}", target, figures, f"{pipeline.title}, layer {layer}")

    def _check_cut(self, place: Workspace, pipeline: Measured, layer: int) -> None:
        """RAISES Unavailable: A network cut at a layer does not say what the exit there says, of the states alone."""
        texts = evenly(self.texts["test"], WARM_UP)
        whole = WithRule(pipeline.nlp, pipeline.component, self._fixed_rule(pipeline, layer))
        cut = Torch(place)
        cut.prepare()
        cut.load()
        with pipeline.without_words():
            expected = whole.read(whole.run(texts, 1))
        if numpy.abs(cut.read(cut.run(texts, 1)) - expected).max() > SAME:
            raise Unavailable(f"the exit after layer {layer} of {pipeline.title} is given more than the states of the encoder")

    @staticmethod
    def _fixed_rule(pipeline: Measured, layer: int) -> Optional[ExitRule]:
        return dict(pipeline.fixed())[layer]

    def _add_standard(self, pipeline: Measured) -> None:
        place = Workspace(str(pipeline.path), pipeline.component, self._folder(f"standard-{pipeline.backbone}"))
        target = SpacyTransformers(place)
        target.prepare()
        target.load()
        figures = {**pipeline.score(None), "layers": pipeline.layers[-1], "layers_saved": 0.0}
        note = f"its time, with the score of {pipeline.title} at full depth"
        name = f"spacy-transformers {pipeline.backbone}"
        self.add(name, "standard", f"spacy-transformers, {pipeline.backbone}", target, figures, note)

    def _plainest(self) -> List[Measured]:
        """Of each backbone the pipeline with the fewest exits."""
        found: Dict[str, Measured] = {}
        for pipeline in sorted(self.pipelines, key=lambda own: len(own.layers)):
            found.setdefault(pipeline.backbone, pipeline)
        return list(found.values())

    def _add_ours(self, pipeline: Measured, kind: str) -> None:
        chosen = pipeline.chosen()
        if not chosen:
            raise Unavailable(f"{pipeline.title} has no exits")
        for wishes, rule in chosen:
            own = WithRule(pipeline.nlp, pipeline.component, rule)
            figures = {**pipeline.score(rule), "rule": describe(rule)}
            title = f"ours, {pipeline.title}: {', '.join(wishes)}"
            self.add(f"{kind} {pipeline.title}: {wishes[0]}", OURS, title, own, figures, group=f"ours, {pipeline.title}")

    def _add_int8(self, pipeline: Measured) -> None:
        if pipeline.tuner is None:
            raise Unavailable(f"{pipeline.title} has no exits")
        folder = self._folder(f"int8-{len(self.rows)}")
        nlp = load_model(pipeline.path)
        docs = [eg.reference for eg in self.examples["train"]]
        try:
            get_trunk_shim(nlp.get_pipe(pipeline.component.name).model).export("onnx", "int8", docs)  # type: ignore[attr-defined]
        except ValueError as error:
            raise Unavailable(str(error)) from error
        nlp.to_disk(folder)
        exported = Measured(f"{pipeline.title}, int8", pipeline.backbone, folder, pipeline.component.name)
        exported.measure(self.examples, self.texts, self.plan.steps)
        self._add_ours(exported, "ours-int8")

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _time(self) -> Tuple[int, int]:
        """Time all, in turns. RETURNS (Tuple[int, int]): On how many documents, and how often."""
        largest = max(self.plan.batch_sizes)
        some = evenly(self.texts["test"], WARM_UP)
        began = time.perf_counter()
        for contestant in self.timed.values():
            contestant.run(some, 1)
        once = (time.perf_counter() - began) / len(some) * len(self.plan.batch_sizes)  # one document, one round
        count, rounds = fit_time(once, self.plan, largest)
        texts = evenly(self.texts["test"], count)
        for size in self.plan.batch_sizes:
            self.plan.tell(f"timing {len(self.timed)} contestants on {len(texts)} documents, batch {size}")
            seconds = seconds_in_turns(self.timed, texts, size, rounds)
            for row in self.rows:
                row["ms"][str(size)] = float(1000 * numpy.median(seconds[row["name"]]) / len(texts))
        return len(texts), rounds


def best_depth(scored: Sequence[Tuple[float, int, Measured]]) -> Tuple[Measured, int]:
    """RETURNS (Tuple[Measured, int]): The pipeline and the layer with the best score; of equals the lowest layer, and the last
    pipeline."""
    _, layer, pipeline = max(reversed(scored), key=lambda own: (own[0], -own[1]))
    return pipeline, layer


def fit_time(once: float, plan: Plan, fewest: int) -> Tuple[int, int]:
    """Fit timing into its time: first with fewer documents, then with fewer rounds.

    once (float): The seconds of a round for a document.
    plan (Plan): How to measure.
    fewest (int): The fewest documents.
    RETURNS (Tuple[int, int]): How many documents, and how many rounds behind the one that warms up; one at the least.
    """
    count = min(plan.timed, max(int(plan.seconds / once / (plan.rounds + 1)), fewest))
    return count, max(1, min(plan.rounds, int(plan.seconds / once / count + 1e-9) - 1))


def measure_front(pipelines: Sequence[Measured], examples: Mapping[str, Sequence[Example]], plan: Plan) -> Dict[str, Any]:
    """Measure a front.

    pipelines (Sequence[Measured]): Pipelines of ours with the same labels, for text classification alone.
    examples (Mapping[str, Sequence[Example]]): The documents of "train", "dev" and "test". Everything is chosen on dev.
    plan (Plan): How to measure.
    RETURNS (Dict[str, Any]): The "rows": of each contestant its "name", "kind" ("simple", "spacy", "fixed", "cut", "standard" or
        "ours"), "title", the "group" that it is shown with, "note", "score" on test and on "dev" in points, milliseconds a
        document ("ms") by batch size, and where there are layers the mean of those that run and the share that is saved. Beside
        them who was "skipped" and why, and for each batch size a "verdict", see `judge`, and
        "verdict_chosen", the same with the fixed depth that is best on dev and no other.
    RAISES ValueError: A component is for something else, labels differ, or nobody can take part.
    """
    for pipeline in pipelines:
        pooled_heads(pipeline.component)
    with make_tempdir() as folder:
        return Front(pipelines, examples, plan, Path(folder)).measure()
