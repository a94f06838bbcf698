"""Getting a backbone from a name. The only module that touches spacy-transformers."""

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy
import srsly
from spacy.tokens import Doc
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import Model, Optimizer, get_torch_default_device
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from ..inputs.windows import Windower
from ..registry import names, runtimes
from ..threads import LOADING, kept
from .base import TORCH, Exported, Precision, Runner, Unread, find_runtime, is_installed
from .layers import Layers, check_layers, keep_layers
from .packed import leave_out_shared, put_shared_back
from .pretrained import find_backbone, longest_window, not_loaded, refuse_code
from .saved import check_class, check_files, dump_trunk, load_trunk, temporary_folder
from .settings import TrunkSettings, Unit
from .shims import ScaledShim
from .spacy_pipelines import find_pipeline, take_trunk
from .stepper import LayerStepper
from .verification import as_answering, check_runner, make_stepper, probe_text

SAMPLED, MOST_SAMPLED, MOST_WINDOWS = 20_000, 512, 4
"""Of how many wordpieces, Docs, and windows of a Doc samples are taken at most."""


class TrunkShim(HFShim, ScaledShim):
    """A backbone, saved as spacy-transformers saves it, with its stepper."""

    reads = "text"
    settings: TrunkSettings
    blank: HFObjects
    """What there is before the backbone is loaded: the settings for its tokenizer and its configuration."""
    exported: Optional[Exported] = None
    """The backbone in the form of a runtime, if it was exported."""
    exported_for: str = ""
    """The name of that runtime."""
    _stepper: Optional[LayerStepper] = None
    _runner: Optional[Tuple[Exported, Runner]] = None
    _converted: Optional[Tuple[LayerStepper, Precision, Runner]] = None
    _refused = False
    _windower: Optional[Windower] = None

    def __getstate__(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What is copied and pickled. What a runtime has opened cannot be; a copy opens its own when it
        answers."""
        return {name: value for name, value in vars(self).items() if name != "_runner"}

    @property
    def stepper(self) -> LayerStepper:
        """RETURNS (LayerStepper): The backbone as something to climb. It is checked when it is first asked for."""
        return kept(self, "_stepper", lambda made: made.model is self._model, lambda: make_stepper(self._model))

    @property
    def runner(self) -> Runner:
        """RETURNS (Runner): What answers: what was exported, if the setting `runtime` wants it.
        RAISES ValueError: It wants it, and there is nothing, or it cannot be run.
        """
        runtime = self.settings.runtime
        if runtime == TORCH or (runtime == "auto" and (self.exported is None or self._refused)):
            return self._in_torch()
        try:
            return kept(self, "_runner", lambda made: made[0] is self.exported, self._open)[1]
        except ValueError as error:
            if runtime != "auto":
                raise
            warnings.warn(f"This pipeline runs in torch, and not in what was exported of it. {error}")
            self._refused = True
            return self._in_torch()

    def _in_torch(self) -> Runner:
        """The backbone in the precision of the settings."""
        stepper, precision = self.stepper, self.settings.precision
        if precision == "fp32":
            return stepper

        def convert() -> Tuple[LayerStepper, Precision, Runner]:
            runtime = find_runtime(TORCH)
            return stepper, precision, runtime.open(runtime.read({"precision": precision}), stepper)

        return kept(self, "_converted", lambda made: made[0] is stepper and made[1] == precision, convert)[2]

    def _open(self) -> Tuple[Exported, Runner]:
        """What was exported, and what runs it."""
        name = self.exported_for if self.settings.runtime == "auto" else self.settings.runtime
        runtime = find_runtime(name)
        exported = kept_form = self.exported  # another thread may load meanwhile
        if exported is None or self.exported_for != name:
            raise ValueError(
                f"The setting `model.trunk.runtime` is '{name}', and this pipeline has not been exported for it. Train it with "
                f"'torch' or 'auto', and export it with `python -m spacy epee export --runtime {name}`."
            )
        if isinstance(exported, Unread):
            exported = runtime.read(exported.message)
            if self.exported is kept_form:
                self.exported = exported
        with as_answering(self._model):
            runner = runtime.open(exported, self.stepper)
            check_runner(self.stepper, runner, runtime.precisions.get(exported.precision, 0.0), name)
        return exported, runner

    def export(self, runtime: str, precision: str, docs: Sequence[Doc] = ()) -> None:
        """Make what a runtime runs, which is then saved with the backbone. Training that further drops it.

        runtime (str): The name of the runtime.
        precision (str): One of its precisions.
        docs (Sequence[Doc]): Docs like those to come. The ranges of int8 are measured on some of them; without any they are
            those of each batch.
        RAISES ValueError: There is no such runtime or precision, a library is missing, or the family cannot be exported.
        """
        chosen = find_runtime(runtime)
        if precision not in chosen.precisions:
            raise ValueError(f"The runtime '{runtime}' has no precision '{precision}'; it has {', '.join(chosen.precisions)}.")
        with as_answering(self._model):
            self.exported, self.exported_for = chosen.export(self.stepper, precision, self._sample(docs)), runtime

    def _sample(self, docs: Sequence[Doc]) -> List[numpy.ndarray]:
        """Some windows from all over some Docs."""
        samples: List[numpy.ndarray] = []
        room = SAMPLED
        for doc in docs[:: max(1, len(docs) // MOST_SAMPLED)]:
            windows = self.windower([doc]).ids
            own = windows[:: -(-len(windows) // MOST_WINDOWS) or 1]
            samples.extend(own)
            room -= sum(map(len, own))
            if room <= 0:
                break
        return samples

    def finish_update(self, optimizer: Optimizer) -> None:
        if self.exported is not None:
            warnings.warn("What was exported of this pipeline is dropped, as it is trained. Export it again afterwards.")
        self.weights_changed()
        super().finish_update(optimizer)

    def weights_changed(self) -> None:
        """As `ScaledShim.weights_changed`: what was exported, or converted to another precision."""
        self.exported = self._runner = self._converted = None

    def replace(self, model: Any, tokenizer: Any = None) -> None:
        """Go on with another backbone, such as a smaller one made of this. What was exported is dropped.

        model (PreTrainedModel): The backbone.
        tokenizer (Optional[PreTrainedTokenizerFast]): Its tokenizer; None for the same.
        """
        objects = self._hfmodel
        vocabulary = objects.vocab_file_contents if tokenizer is None else None  # the others say all in a tokenizer.json
        self.put_back(HFObjects(tokenizer or objects.tokenizer, model, vocabulary, {}, {}))

    def put_back(self, objects: HFObjects) -> None:
        """Go on with a backbone that was replaced.

        objects (HFObjects): What `objects` was then.
        """
        self._hfmodel, self._model = objects, objects.transformer
        self.scale = self.masks = None  # of parameters that may have other names
        self.weights_changed()

    @property
    def objects(self) -> HFObjects:
        """RETURNS (HFObjects): The backbone with its tokenizer."""
        return self._hfmodel

    @contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        self._converted = None
        with super().use_params(params):
            yield
        self._converted = None

    @property
    def windower(self) -> Windower:
        """RETURNS (Windower): What cuts Docs. Made once for each backbone."""
        tokenizer, settings = self._hfmodel.tokenizer, self.settings

        def make() -> Windower:
            context = settings.context if settings.unit == "sentence" else None
            size = min(settings.window, longest_window(self._model))
            known = getattr(self._model.get_input_embeddings(), "num_embeddings", None)
            return Windower(tokenizer, size, settings.overlap, settings.sections, context, known)

        return kept(self, "_windower", lambda made: made.tokenizer is tokenizer, make)

    @LOADING
    def load(self) -> None:
        """Load what the settings name."""
        name, component = self.settings.name, self.settings.component
        found = find_backbone(name, "weights and a tokenizer, a spaCy pipeline with a transformer")
        pipeline = find_pipeline(name)
        if pipeline is None and component is not None:
            raise ValueError(
                f"The setting `model.trunk.component` is '{component}', but '{name}' is neither the folder of a spaCy pipeline "
                "nor an installed one. Correct `model.trunk.name`, or set `model.trunk.component` to null."
            )
        objects = self._hfmodel
        settings = (objects._init_tokenizer_config, objects._init_transformer_config)
        source = None if pipeline is None else take_trunk(name, pipeline, component)
        try:
            loaded = _from_folder(found, *settings) if source is None else _from_saved(source, *settings)
        except Exception as error:  # transformers, its hub client and safetensors raise a dozen kinds here
            raise not_loaded(name, error, "encoder", "and a tokenizer, a spaCy pipeline with a transformer") from error
        if self.settings.layers is not None:
            ids, mask = probe_text(loaded.transformer)
            loaded.transformer = keep_layers(loaded.transformer, self.settings.layers, make_stepper, (ids, mask), mask.bool())
        self._model = loaded.transformer
        self._hfmodel = loaded

    def forget(self) -> None:
        super().forget()
        self._hfmodel = self.blank
        for name in ("exported", "exported_for", "scale", "_stepper", "_runner", "_converted", "_refused", "_windower"):
            vars(self).pop(name, None)

    @LOADING
    def to_bytes(self) -> bytes:
        if self._model is not None:
            # Undo what calls of the tokenizer elsewhere left in it, so that a pipeline's bytes do not depend on its history.
            backend = getattr(self._hfmodel.tokenizer, "backend_tokenizer", None)
            if backend is not None:
                backend.no_truncation()
                backend.no_padding()
        objects = self._hfmodel
        if self._model is None:
            own = super().to_bytes()
        else:
            own = dump_trunk(objects.tokenizer, self._model, objects.vocab_file_contents)
        if self.exported is None:
            return own
        exported = leave_out_shared(self.exported.to_message(), self._model.state_dict())
        return srsly.msgpack_dumps({"trunk": own, self.exported_for: exported})

    @LOADING
    def from_bytes(self, bytes_data: bytes) -> "TrunkShim":
        message = srsly.msgpack_loads(bytes_data)
        exported, exported_for = None, ""
        exported_message: Dict[str, Any] = {}
        if "trunk" in message:
            [exported_for] = message.keys() - {"trunk"}
            exported_message = message[exported_for]
            message = srsly.msgpack_loads(message["trunk"])
        if message["config"]:
            loaded = HFObjects(*load_trunk(message), {}, {})
        else:
            own = message["_init_tokenizer_config"], message["_init_transformer_config"]
            refuse_code(*own)
            loaded = HFObjects(None, None, None, *own)
        if exported_for:
            exported = _read_exported(exported_for, put_shared_back(exported_message, loaded.transformer.state_dict()))
        self._hfmodel, self._model = loaded, loaded.transformer
        self.exported, self.exported_for = exported, exported_for
        self._converted, self._refused = None, False
        return self


def TransformerTrunk(
    name: Optional[str],
    window: int = 256,
    overlap: int = 32,
    freeze_embeddings: bool = True,
    lr_decay: float = 1.0,
    mixed_precision: bool = True,
    max_wordpieces: int = 4096,
    tokenizer_config: Dict[str, Any] = {},  # noqa: B006 - copied
    transformer_config: Dict[str, Any] = {},  # noqa: B006 - copied
    component: Optional[str] = None,
    frozen: bool = False,
    runtime: str = "auto",
    precision: Precision = "fp32",
    layers: Layers = None,
    sections: Any = None,  # a block: a schema of spaCy cannot be made of its type
    unit: Unit = "window",
    context: int = 0,
) -> Model:
    """Build a trunk from a Hugging Face encoder. It is loaded when the component is initialized, or with the pipeline.

    name (Optional[str]): A local folder with such an encoder or with a trained spaCy pipeline, the name of an installed package
        with such a pipeline, or the name of a model on a hub, which is then downloaded. null until it is known, as in a config
        that is only checked or filled.
    window (int): The most wordpieces in a window, special ones included; cut to what the backbone can take.
    overlap (int): The fewest wordpieces that neighbouring windows share.
    freeze_embeddings (bool): Whether to leave the word embeddings as they are: faster training, far fewer weights to keep
        moments for, and little to gain on small data.
    lr_decay (float): The learning rate of each layer as a factor of that of the layer above (Howard and Ruder 2018).
    mixed_precision (bool): Whether to train in bfloat16 where the CPU or GPU computes in it. Answers have `precision`.
    max_wordpieces (int): The most wordpieces, padding included, that go through a layer in one call; this bounds the memory.
        In training a note that is longer shows a random part of its windows.
    tokenizer_config (Dict[str, Any]): Passed to the tokenizer's `from_pretrained`.
    transformer_config (Dict[str, Any]): Passed to the model's configuration.
    component (Optional[str]): The component of the spaCy pipeline whose transformer to take. None if only one has any.
    frozen (bool): Whether to leave all of it as it is and to train classifiers alone, say on a transformer that was fine-tuned.
    runtime (str): What answers: "torch"; the name of a runtime, such as "onnx", for which `python -m spacy epee export` exported
        the pipeline; or "auto", that runtime if it can be used here, and torch otherwise. Training is always done by torch.
    precision (str): What torch answers in: "fp32"; "bf16", where the CPU or GPU computes in it; "int8", on a CPU; or "auto", bf16
        if possible. Other runtimes have the precision in which the pipeline was exported.
    layers (Union[str, List[int], None]): Which layers of the encoder to start from, if not all, as a student of a larger model:
        "first 6", "every 2" (the 2nd, 4th, ...) or their numbers from 1. The pipeline has no others.
    sections (Optional[Sections]): Which sections of a note are read, as a component before this one finds them; null reads all.
    unit (str): What relations and events leave by: "window", or "sentence", each by itself. Windows are then cut where sentences
        begin, as a component before this one finds them, and what crosses sentences is not found.
    context (int): With sentences, how many wordpieces at each side of one are read with it, as far as the window has room.
    RETURNS (Model): The trunk.
    """
    refuse_code(tokenizer_config, transformer_config)
    blank = HFObjects(None, None, None, dict(tokenizer_config), dict(transformer_config))
    shim = TrunkShim(blank)
    shim.blank = blank
    if runtime not in ("auto", TORCH) and not is_installed(runtime):
        raise ValueError(
            f"The setting `model.trunk.runtime` is '{runtime}'; give 'auto' or one of {', '.join(names(runtimes))}, or install "
            "the package that registers it."
        )
    check_layers(layers)
    shim.settings = TrunkSettings(
        name=name or "",
        window=window,
        overlap=overlap,
        freeze_embeddings=freeze_embeddings,
        lr_decay=lr_decay,
        mixed_precision=mixed_precision,
        max_wordpieces=max_wordpieces,
        component=component,
        frozen=frozen,
        runtime=runtime,
        precision=precision,
        layers=layers,
        sections=sections,
        unit=unit,
        context=context,
    )
    shim.settings.check()
    return Model("epee-trunk", forward, shims=[shim])


def forward(model: Model, X, is_train: bool):
    raise TypeError("A trunk is run by the early-exit model that it is part of, not on its own.")


def load_backbone(trunk: Model) -> None:
    """Load what a trunk names, unless it has it already.

    trunk (Model): The trunk.
    RAISES ValueError: The name leads to nothing, or to something that is not an encoder.
    """
    shim: Any = trunk.shims[0]  # of text or of images
    if shim._model is None:
        shim.load()
        for name in ("stepper", "windower"):  # refuse what will not work before any training
            getattr(shim, name)


def _read_exported(runtime: str, message: Dict[str, Any]) -> Exported:
    """Read what was exported; as it is, if nobody here knows the runtime, or what it needs is missing."""
    return find_runtime(runtime).read(message) if is_installed(runtime) else Unread(message)


def _from_folder(source: Union[str, Path], tokenizer_config: Dict[str, Any], transformer_config: Dict[str, Any]) -> HFObjects:
    """Load a model and its tokenizer as they are published. Weights that torch saved are read without what else they hold."""
    trust: Dict[str, Any] = {"trust_remote_code": False}  # where nothing is said, transformers asks on the terminal
    config = AutoConfig.from_pretrained(source, **{**transformer_config, "return_dict": True}, **trust)
    vars(config).pop("auto_map", None)
    check_class(config.tokenizer_class)
    check_class(get_tokenizer_config(source, **trust).get("tokenizer_class"))
    tokenizer = AutoTokenizer.from_pretrained(source, **tokenizer_config, **trust)
    vocabulary = Path(tokenizer.vocab_file).read_bytes() if getattr(tokenizer, "vocab_file", None) else None
    model = AutoModel.from_pretrained(source, config=config, weights_only=True, **trust)
    return HFObjects(tokenizer, model.to(get_torch_default_device()), vocabulary)


def _from_saved(message: Dict[str, Any], tokenizer_config: Dict[str, Any], transformer_config: Dict[str, Any]) -> HFObjects:
    """Copy the transformer of another pipeline. It goes through a folder, so that all settings have their effect."""
    files = check_files({name: own for name, own in message["tokenizer"].items() if name != "kwargs"})
    with temporary_folder(files) as folder:
        load_trunk(message)[1].save_pretrained(folder)
        return _from_folder(folder, tokenizer_config, transformer_config)
