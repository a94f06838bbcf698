"""The same text classifier in our pipeline, spacy-transformers, PyTorch, ONNX Runtime and OpenVINO."""

import io
import logging
import os
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy
import spacy
import torch
from spacy.training import Example

from ..inputs.windows import Windower
from ..model import get_stepper
from ..runtimes.onnx.writing import quantize
from ..settings import split_list
from ..trunk.pretrained import longest_window
from .networks import Text, classify, exit_at, fold, pooled_heads, with_temperature
from .pipelines import Exits, Pipeline
from .workspace import Target, Unavailable, Workspace


class SpacyTransformers(Pipeline):
    title = "spacy-transformers"
    note = (
        "spacy-transformers takes the mean of tokens, without the special wordpieces, in spans of its own; the classifier was "
        "trained on ours, so that its score may differ"
    )

    def prepare(self) -> None:
        place = self.place
        classifier = fold(pooled_heads(place.component), exit_at(place.component, place.layer))
        weight, bias = with_temperature(classifier, place.plan.reading, place.plan.depth)
        exclusive = place.plan.reading.exclusive
        name = "textcat" if exclusive else "textcat_multilabel"
        nlp = spacy.blank(place.component.vocab.lang or "xx")
        # Published tokenizers know how much their model takes, and cut off what is beyond it.
        longest = longest_window(get_stepper(place.component.model).model)
        settings = {"use_fast": True, "trust_remote_code": False, "model_max_length": longest}
        nlp.add_pipe("transformer", config={"model": {"name": str(place.trunk), "tokenizer_config": settings}})
        textcat = nlp.add_pipe(name, config={"model": self._model(exclusive, place.plan.pooling)})
        labels = place.component.labels
        for label in labels:
            textcat.add_label(label)  # type: ignore[attr-defined]
        cats = {label: float(not number) for number, label in enumerate(labels)}
        nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("a"), {"cats": cats})])
        output = textcat.model.get_ref("output_layer")  # type: ignore[attr-defined]
        output.set_param("W", output.ops.asarray(weight, dtype="f"))
        output.set_param("b", output.ops.asarray(bias, dtype="f"))
        nlp.to_disk(place.folder / "spacy-transformers")

    @staticmethod
    def _model(exclusive: bool, pooling: str) -> Dict[str, Any]:
        """The block of the classifier. The vector of the first special wordpiece never reaches it."""
        listener = {
            "@architectures": "spacy-transformers.TransformerListener.v1",
            "grad_factor": 1.0,
            "pooling": {"@layers": "reduce_last.v1" if pooling == "last" else "reduce_mean.v1"},
        }
        return {
            "@architectures": "spacy.TextCatReduce.v1",
            "exclusive_classes": exclusive,
            "use_reduce_first": False,
            "use_reduce_last": pooling == "last",
            "use_reduce_max": False,
            "use_reduce_mean": pooling != "last",
            "tok2vec": listener,
        }

    def load(self) -> None:
        self.nlp = spacy.load(self.place.folder / "spacy-transformers")


class WholeNetwork(Target):
    """The full depth as one network: the tokenizer, windows sorted by length and padded, and a call for each pack of them."""

    windower: Windower
    call: Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]
    needs: Sequence[str] = ()
    """The packages that are not installed with ours, and
    extra (str): the extra that installs them."""
    extra = "onnx"

    def prepare(self) -> None:
        for name in self.needs:
            try:
                import_module(name)
            except ImportError as error:
                raise Unavailable(
                    f"it needs the package '{error.name or name}'; install it with `pip install \"spacy_epee[{self.extra}]\"`"
                ) from error
        if self.needs and self.place.plan.device.type != "cpu":
            raise Unavailable("it is run on the CPU alone; leave out --gpu-id to compare with it")
        self.write()

    def write(self) -> None:
        """Write the files that `start` reads."""
        self.place.trunk

    def load(self) -> None:
        self.windower = self.place.windower()
        self.call = self.start()

    def start(self) -> Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]:
        """RETURNS (Callable): From padded wordpieces (W, T) and their mask (W, T) to logits (W, K)."""
        raise NotImplementedError

    def run(self, texts: Sequence[str], size: int) -> Any:
        starts = range(0, len(texts), size)
        return numpy.concatenate(
            [classify(texts[start : start + size], self.windower, self.place.plan, self.call) for start in starts]
        )


class Torch(WholeNetwork):
    title = "PyTorch"

    def start(self) -> Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]:
        device = self.place.plan.device
        network = self.network()

        @torch.inference_mode()
        def call(ids: numpy.ndarray, mask: numpy.ndarray) -> numpy.ndarray:
            return network(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)).float().cpu().numpy()

        return call

    def network(self) -> Any:
        """RETURNS (Callable): The network."""
        return self.place.network()


class TorchCompiled(Torch):
    title = "PyTorch, compiled"

    def network(self) -> Any:
        return torch.compile(self.place.network(), dynamic=True)


class Onnx(WholeNetwork):
    title = "ONNX Runtime"
    needs = ("onnx", "onnxruntime")

    @property
    def path(self) -> Path:
        """RETURNS (Path): The file to run."""
        return self.place.onnx

    def write(self) -> None:
        self.path

    def start(self) -> Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(self.path), settings, providers=["CPUExecutionProvider"])
        return lambda ids, mask: session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]


class OnnxInt8(Onnx):
    title = "ONNX Runtime, int8"

    @property
    def path(self) -> Path:
        return self.place.folder / "model-int8.onnx"

    def write(self) -> None:
        quantize(self.place.onnx, self.path)


class OpenVino(WholeNetwork):
    title = "OpenVINO"
    needs: Sequence[str] = ("onnx", "openvino")
    extra = "bench"

    @property
    def path(self) -> Path:
        """RETURNS (Path): The file to run."""
        return self.place.folder / "openvino.xml"

    def network(self) -> Any:
        """RETURNS (openvino.Model): The network. `openvino.convert_model` would tell its makers over the network."""
        import openvino

        return openvino.Core().read_model(str(self.place.onnx))

    def write(self) -> None:
        import openvino

        openvino.save_model(self.network(), self.path, compress_to_fp16=False)

    def start(self) -> Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]:
        import openvino

        # float32 as the others: on CPUs with bfloat16 it would be free to compute in that.
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        request = openvino.Core().compile_model(str(self.path), "CPU", settings).create_infer_request()
        return lambda ids, mask: request.infer({"input_ids": ids, "attention_mask": mask})[0]


class OpenVinoInt8(OpenVino):
    """With weights and what they are multiplied with as int8, of which the size is found once, on the workspace's texts (NNCF,
    static)."""

    title = "OpenVINO, int8"
    needs = (*OpenVino.needs, "nncf")
    extra = "front"

    @property
    def path(self) -> Path:
        return self.place.folder / "openvino-int8.xml"

    def write(self) -> None:
        os.environ.setdefault("NNCF_CI", "1")  # it would tell its makers over the network
        import nncf
        import openvino

        if not self.place.calibration:
            raise Unavailable("there are no texts by which the size of what it rounds could be found")
        windows = self.place.windower()([Text(text) for text in self.place.calibration])  # type: ignore[misc]
        batches = [windows.batch(numpy.array([row]), self.place.plan.padding) for row in range(len(windows))]
        names = ("input_ids", "attention_mask")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)  # advice that is not for users, as what it prints is not
        try:
            with redirect_stdout(io.StringIO()):
                model = nncf.quantize(
                    self.network(),
                    nncf.Dataset([dict(zip(names, batch)) for batch in batches]),
                    model_type=nncf.ModelType.TRANSFORMER,
                    subset_size=len(batches),
                )
        finally:
            logging.disable(before)
        openvino.save_model(model, self.path, compress_to_fp16=False)


CONTESTANTS: Dict[str, Callable[[Workspace], Target]] = {
    "full": partial(Exits, title="Full depth", full=True),
    "exits": partial(Exits, title="Early exit", twin="full"),
    "full-bf16": partial(Exits, title="Full depth, bfloat16", full=True, runtime="torch", precision="bf16"),
    "exits-bf16": partial(Exits, title="Early exit, bfloat16", twin="full-bf16", runtime="torch", precision="bf16"),
    "exits-int8": partial(Exits, title="Early exit, int8", runtime="torch", precision="int8"),
    "full-onnx": partial(Exits, title="Full depth, ONNX Runtime", full=True, runtime="onnx"),
    "exits-onnx": partial(Exits, title="Early exit, ONNX Runtime", twin="full-onnx", runtime="onnx"),
    "full-onnx-int8": partial(Exits, title="Full depth, ONNX Runtime, int8", full=True, runtime="onnx", precision="int8"),
    "exits-onnx-int8": partial(
        Exits, title="Early exit, ONNX Runtime, int8", twin="full-onnx-int8", runtime="onnx", precision="int8"
    ),
    "exits-single": partial(Exits, title="Early exit, one by one", alone=True),
    "spacy-transformers": SpacyTransformers,
    "torch": Torch,
    "torch-compiled": TorchCompiled,
    "onnx": Onnx,
    "onnx-int8": OnnxInt8,
    "openvino": OpenVino,
}
"""All targets by name, in the order in which they are shown."""

COMPILED = "torch-compiled"
"""The one that takes minutes to start."""


def choose(names: Optional[str], compiled: bool = False) -> List[str]:
    """Choose targets.

    names (Optional[str]): Their names with commas between them; None for all.
    compiled (bool): Whether the compiled one takes part too.
    RETURNS (List[str]): The names, in the order in which they are shown.
    RAISES ValueError: There is no such target.
    """
    asked = [name for name in CONTESTANTS if name != COMPILED] if names is None else split_list("--contestants", names)
    unknown = [name for name in asked if name not in CONTESTANTS]
    if unknown:
        raise ValueError(f"--contestants has '{unknown[0]}'; give some of {', '.join(CONTESTANTS)}, with commas between them")
    return [name for name in CONTESTANTS if name in asked or (compiled and name == COMPILED)]
