"""Our own pipelines as targets of a benchmark."""

from pathlib import Path
from typing import Any, Optional, Sequence

import numpy
import spacy
from spacy.language import Language

from ..model import get_trunk_shim
from ..runtimes.onnx.export import Precision
from .workspace import Target, Unavailable


class Pipeline(Target):
    """A spaCy pipeline with nothing but the tokenizer and what classifies."""

    nlp: Language

    def run(self, texts: Sequence[str], size: int) -> Any:
        if size == 1:
            return [self.nlp(text) for text in texts]
        return list(self.nlp.pipe(texts, batch_size=size))

    def read(self, found: Any) -> numpy.ndarray:
        labels = self.place.component.labels
        return numpy.array([[doc.cats[label] for label in labels] for doc in found], dtype="float32")


class Exits(Pipeline):
    title = "Early exit"
    twin = "full"
    full = False
    """Whether the full depth is run, whatever the rule."""

    def prepare(self) -> None:
        if not self.full and self.place.component.exit is None:
            raise Unavailable(f"the component '{self.place.component.name}' has no exit rule; `tune` finds one")

    def load(self) -> None:
        self.nlp = self.open(self.place.component.name)
        rule = None if self.full else self.place.component.exit
        self.nlp.get_pipe(self.place.component.name).set_exit(rule)  # type: ignore[attr-defined]

    def open(self, name: str) -> Language:
        """RETURNS (Language): The pipeline, with the component of this name alone."""
        return spacy.load(self.place.model, enable=[name])

    def layers(self, found: Any) -> Optional[numpy.ndarray]:
        if self.full:
            return None
        entries = [next(iter(doc._.exits[self.place.component.name].values())) for doc in found]
        return numpy.array([entry["layer"] for entry in entries])


class FullDepth(Exits):
    title = "Full depth"
    twin = ""
    full = True


class HalfExits(Exits):
    title = "Early exit, bfloat16"
    twin = "full-bf16"
    precision = "bf16"

    def open(self, name: str) -> Language:
        trunk = {"runtime": "torch", "precision": self.precision}
        settings = {f"components.{name}.model.trunk.{setting}": value for setting, value in trunk.items()}
        return spacy.load(self.place.model, enable=[name], config=settings)


class FullHalf(HalfExits):
    title = "Full depth, bfloat16"
    twin = ""
    full = True


class Int8Exits(HalfExits):
    title = "Early exit, int8"
    twin = ""
    precision = "int8"


class SingleExits(Exits):
    """As PABEE and DeeBERT are run: each document alone, as there are no batches that documents could leave."""

    title = "Early exit, one by one"
    twin = ""

    def run(self, texts: Sequence[str], size: int) -> Any:
        return super().run(texts, 1)


class ExportedExits(Exits):
    title = "Early exit, ONNX Runtime"
    twin = "full-onnx"
    precision: Precision = "fp32"

    @property
    def _path(self) -> Path:
        return self.place.folder / f"pipeline-{self.precision}"

    def prepare(self) -> None:
        super().prepare()
        if self.place.plan.device.type != "cpu":
            raise Unavailable("it is run on the CPU alone; leave out --gpu-id to compare with it")
        if not self._path.exists():
            nlp = spacy.load(self.place.model)
            try:
                get_trunk_shim(nlp.get_pipe(self.place.component.name).model).export(self.precision)  # type: ignore
            except ValueError as error:
                raise Unavailable(str(error)) from error
            nlp.to_disk(self._path)

    def open(self, name: str) -> Language:
        return spacy.load(self._path, enable=[name], config={f"components.{name}.model.trunk.runtime": "onnx"})


class ExportedFull(ExportedExits):
    title = "Full depth, ONNX Runtime"
    twin = ""
    full = True


class ExportedExitsInt8(ExportedExits):
    title = "Early exit, ONNX Runtime, int8"
    twin = "full-onnx-int8"
    precision = "int8"


class ExportedFullInt8(ExportedExitsInt8):
    title = "Full depth, ONNX Runtime, int8"
    twin = ""
    full = True
