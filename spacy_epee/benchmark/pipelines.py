"""Our own pipelines as targets of a benchmark."""

from pathlib import Path
from typing import Any, List, Optional, Sequence

import numpy
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from ..component.pipe import EarlyExitTransformer
from ..evaluation.timing import answer_all_of
from ..model import get_runner, get_trunk_shim
from ..trunk.base import TORCH
from ..trunk.looks import look_at_once
from .workspace import Target, Unavailable, Workspace


def answer_texts(nlp: Language, texts: Sequence[str], size: int) -> List[Doc]:
    """RETURNS (List[Doc]): What a pipeline makes of texts in batches of this size; 1 calls it on each."""
    return [nlp(text) for text in texts] if size == 1 else answer_all_of(nlp, texts, size)


class Pipeline(Target):
    """A spaCy pipeline with nothing but the tokenizer and what classifies."""

    nlp: Language

    def run(self, texts: Sequence[str], size: int) -> Any:
        return answer_texts(self.nlp, texts, size)

    def read(self, found: Any) -> numpy.ndarray:
        labels = self.place.component.labels
        return numpy.array([[doc.cats[label] for label in labels] for doc in found], dtype="float32")


class Exits(Pipeline):
    """A pipeline of ours.

    full (bool): Whether the full depth is run, whatever the rule.
    runtime (Optional[str]): What its trunk runs in; None for what its settings say.
    precision (str): The precision of that.
    alone (bool): Whether each document is run alone, as PABEE and DeeBERT are: there are no batches that documents could leave.
    """

    def __init__(
        self,
        place: Workspace,
        title: str,
        twin: str = "",
        full: bool = False,
        runtime: Optional[str] = None,
        precision: str = "fp32",
        alone: bool = False,
    ):
        super().__init__(place)
        self.title, self.twin = title, twin
        self.full, self.runtime, self.precision, self.alone = full, runtime, precision, alone

    @property
    def _exported(self) -> Optional[Path]:
        """Where the pipeline is exported to. None if it is run as it is."""
        if self.runtime in (None, TORCH):
            return None
        return self.place.folder / f"pipeline-{self.runtime}-{self.precision}"

    def prepare(self) -> None:
        component, path = self.place.component, self._exported
        if not self.full and component.exit is None:
            raise Unavailable(f"the component '{component.name}' has no exit rule; `tune` finds one")
        if path is None:
            return
        if self.place.plan.device.type != "cpu":
            raise Unavailable("it is run on the CPU alone; leave out --gpu-id to compare with it")
        if not path.exists():
            nlp = spacy.load(self.place.model)
            docs = [nlp.make_doc(text) for text in self.place.calibration]
            try:
                get_trunk_shim(nlp.get_pipe(component.name).model).export(self.runtime, self.precision, docs)  # type: ignore
            except ValueError as error:
                raise Unavailable(str(error)) from error
            nlp.to_disk(path)

    def load(self) -> None:
        name = self.place.component.name
        trunk = {} if self.runtime is None else {"runtime": self.runtime}
        if self.runtime == TORCH:
            trunk["precision"] = self.precision
        settings = {f"components.{name}.model.trunk.{setting}": value for setting, value in trunk.items()}
        self.nlp = spacy.load(self._exported or self.place.model, enable=[name], config=settings)
        rule = None if self.full else self.place.component.exit
        component: EarlyExitTransformer = self.nlp.get_pipe(name)  # type: ignore[assignment]
        component.set_exit(rule)
        look_at_once(get_runner(component.model))

    def run(self, texts: Sequence[str], size: int) -> Any:
        return super().run(texts, 1 if self.alone else size)

    def layers(self, found: Any) -> Optional[numpy.ndarray]:
        if self.full:
            return None
        entries = [next(iter(doc._.exits[self.place.component.name].values())) for doc in found]
        return numpy.array([entry["layer"] for entry in entries])
