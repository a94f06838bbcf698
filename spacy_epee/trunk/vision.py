"""A trunk that looks at images: ViT, DINOv2 and their kin."""

import inspect
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional, Tuple, Union

import torch
from thinc.api import Model, get_torch_default_device
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor, AutoModel, ViTImageProcessor

from ..inputs.images import Imager, Preparation, need_pillow
from ..settings import check_number
from ..threads import LOADING, kept
from .layers import Layers, check_layers, keep_layers
from .pretrained import find_backbone, not_loaded, refuse_code
from .saved import build_config, plain_config, temporary_folder
from .shims import ScaledShim, dump_module, load_module
from .stepper import LayerPlan, LayerState, LayerStepper
from .transformer import forward
from .verification import find_plan

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"


@dataclass(frozen=True)
class ImageTrunkSettings:
    """What `ImageTrunk` is given. Kept where those of `TransformerTrunk` are, for the same reason."""

    name: str
    image_size: Optional[int]
    freeze_embeddings: bool
    lr_decay: float
    mixed_precision: bool
    max_patches: int
    frozen: bool
    layers: Layers = None

    sections: ClassVar[None] = None
    """An image has none."""
    unit: ClassVar[str] = "window"
    """Nor sentences."""

    @property
    def max_wordpieces(self) -> int:
        """RETURNS (int): The same under the loop's name: patches are its wordpieces."""
        return self.max_patches


class ImageStepper(LayerStepper):
    """Steps a model of images layer by layer.

    options (Dict[str, Any]): What the model is told beside pixels.
    length (int): How many states an image has.
    """

    length = 0

    def __init__(self, model: "PreTrainedModel", plan: LayerPlan):
        super().__init__(model, plan)
        self.options = image_options(model)

    def embed(self, pixel_values: Tensor) -> LayerState:  # type: ignore[override]
        """Run everything that comes before the first layer.

        pixel_values (Tensor): Images as the model expects them, (W, 3, height, width).
        RETURNS (LayerState): The batch below layer 1.
        """
        return self.embed_inputs({"pixel_values": pixel_values, **self.options})


def make_image_stepper(model: "PreTrainedModel", shape: Tuple[int, int]) -> ImageStepper:
    """Make what steps through a model of images.

    model (PreTrainedModel): The model. It is checked with a few images, as `make_stepper` checks one of text.
    shape (Tuple[int, int]): Height and width of the images.
    RETURNS (ImageStepper): The stepper.
    RAISES ValueError: The model cannot be stepped.
    """
    pixels, real = probe_images(model, shape)
    plan = find_plan(model, lambda _: ({"pixel_values": pixels, **image_options(model)}, real), "a ViT, DeiT or DINOv2")
    stepper = ImageStepper(model, plan)
    with torch.no_grad():
        stepper.length = stepper.embed(pixels).hidden.shape[1]
    return stepper


def probe_images(model: "PreTrainedModel", shape: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
    """RETURNS (Tuple[Tensor, Tensor]): A few images for a model, and where they are not padding: everywhere."""
    pixels = torch.randn(3, 3, *shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    return pixels, torch.ones(3, 1, dtype=torch.bool, device=model.device)


def image_options(model: "PreTrainedModel") -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What a model is told beside pixels. ViT has its positions for one size of images; DINOv2 fits
    them to any without being asked."""
    fits = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    return {"interpolate_pos_encoding": True} if fits else {}


class ImageTrunkShim(ScaledShim):
    """A backbone and its image processor. Weights are saved as safetensors, and both configurations as JSON."""

    reads = "images"
    settings: ImageTrunkSettings
    transformer_config: Dict[str, Any]
    processor: Any = None
    _preparation: Optional[Preparation] = None
    _stepper: Optional[ImageStepper] = None
    _imager: Optional[Imager] = None

    @property
    def preparation(self) -> Preparation:
        """RETURNS (Preparation): What is done to an image. Made once for each backbone."""
        processor = self.processor
        return kept(
            self,
            "_preparation",
            lambda made: made.processor is processor,
            lambda: Preparation(processor, self._model.config, self.settings.image_size),
        )

    @property
    def stepper(self) -> ImageStepper:
        """RETURNS (ImageStepper): The backbone as something to climb. It is checked when it is first asked for."""

        def make() -> ImageStepper:
            self._check_size()
            return make_image_stepper(self._model, self.preparation.shape)

        return kept(self, "_stepper", lambda made: made.model is self._model, make)

    runner = stepper
    """What answers."""

    @property
    def windower(self) -> Imager:
        """RETURNS (Imager): What reads the images of Docs. Made once for each backbone."""
        preparation = self.preparation
        return kept(
            self, "_imager", lambda made: made.preparation is preparation, lambda: Imager(preparation, self.stepper.length)
        )

    @LOADING
    def load(self) -> None:
        """Load what the settings name."""
        name = find_backbone(self.settings.name, "weights and, if the backbone has one, a preprocessor_config.json")
        options = {"trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(name, **self.transformer_config, **options)
            sees = hasattr(config, "image_size")
            if sees:
                model = AutoModel.from_pretrained(name, config=config, use_safetensors=True, **options)
                processor = _load_processor(name, config)
        except Exception as error:  # transformers, its hub client and safetensors raise a dozen kinds here
            raise not_loaded(self.settings.name, error, "encoder of images", "and its preprocessor_config.json") from error
        if not sees or model.main_input_name != "pixel_values" or config.num_channels != 3:
            raise ValueError(
                f"A model of the family '{config.model_type}' takes no images in colour. Name a ViT or DINOv2 in the setting "
                "`model.trunk.name`, or set `model.trunk.@architectures` to 'spacy-epee.TransformerTrunk.v1' for text."
            )
        # transformers wraps `to`, by which its type loses the model.
        self._model = _without_pooler(model).to(get_torch_default_device())  # type: ignore[arg-type]
        self.processor = processor
        if self.settings.layers is not None:
            self._check_size()
            shape = self.preparation.shape
            pixels, real = probe_images(self._model, shape)
            self._model = keep_layers(
                self._model, self.settings.layers, partial(make_image_stepper, shape=shape), (pixels,), real
            )

    def _check_size(self) -> None:
        """Refuse images that are smaller than a patch."""
        patch = self._model.config.patch_size
        patch = patch if isinstance(patch, int) else max(patch)
        if min(self.preparation.shape) < patch:
            raise ValueError(
                f"The setting `model.trunk.image_size` is {self.settings.image_size}, and a patch of this backbone has {patch} "
                "pixels. Give a multiple of that, or null."
            )

    def forget(self) -> None:
        super().forget()
        for name in ("processor", "scale", "_preparation", "_stepper", "_imager"):
            vars(self).pop(name, None)

    def to_bytes(self) -> bytes:
        if self._model is None:
            return b""
        settings = {"config": self._model.config.to_dict(), "processor": json.loads(self.processor.to_json_string())}
        return dump_module(self._model, {name: json.dumps(plain_config(own), sort_keys=True) for name, own in settings.items()})

    @LOADING
    def from_bytes(self, bytes_data: bytes) -> "ImageTrunkShim":
        self._model = load_module(bytes_data, self._build, get_torch_default_device())
        return self

    def _build(self, settings: Dict[str, str], _: Any) -> "PreTrainedModel":
        """Make the backbone, without its weights, and the processor, as they were saved."""
        saved = {name: plain_config(json.loads(settings[name])) for name in ("config", "processor")}
        config = build_config(saved["config"])
        if not hasattr(config, "image_size"):
            raise ValueError(f"A saved model of the family '{config.model_type}' takes no images.")
        files = {CONFIG: saved["config"], PROCESSOR: saved["processor"]}
        with temporary_folder({name: json.dumps(own).encode("utf-8") for name, own in files.items()}) as folder:
            self.processor = _load_processor(folder, config, local_files_only=True)
        return _without_pooler(AutoModel.from_config(config, trust_remote_code=False))


def ImageTrunk(
    name: Optional[str],
    image_size: Optional[int] = None,
    freeze_embeddings: bool = True,
    lr_decay: float = 1.0,
    mixed_precision: bool = True,
    max_patches: int = 4096,
    transformer_config: Dict[str, Any] = {},  # noqa: B006 - copied
    frozen: bool = False,
    layers: Layers = None,
) -> Model:
    """Build a trunk from a Hugging Face encoder of images. It is loaded when the component is initialized, or with the
    pipeline.

    name (Optional[str]): A local folder, or the name of a model on a hub, which is then downloaded. Weights are read from
        safetensors alone. null until it is known.
    image_size (Optional[int]): The side in pixels that images are brought to, without cropping; positions are fitted to it.
        Smaller ones are faster. null for what the backbone's own image processor does.
    freeze_embeddings (bool): Whether to leave the projection of patches as it is.
    lr_decay (float): The learning rate of each layer as a factor of that of the layer above.
    mixed_precision (bool): Whether to train in bfloat16 where the CPU or GPU computes in it. Answers are computed in float32.
    max_patches (int): The most patches that go through a layer in one call, an image being one or more hundred; this bounds
        the memory.
    transformer_config (Dict[str, Any]): Passed to the model's configuration.
    frozen (bool): Whether to leave all of it as it is and to train classifiers alone.
    layers (Union[str, List[int], None]): Which layers of the encoder to start from, as of `TransformerTrunk`.
    RETURNS (Model): The trunk.
    """
    need_pillow()
    refuse_code(transformer_config)
    check_number("model.trunk.lr_decay", lr_decay, 0, 1)
    check_number("model.trunk.max_patches", max_patches, 1, whole=True)
    if image_size is not None and image_size < 1:
        raise ValueError(f"The setting `model.trunk.image_size` is {image_size}; give a number of pixels, or null.")
    shim = ImageTrunkShim(None)
    check_layers(layers)
    shim.settings = ImageTrunkSettings(
        name or "", image_size, freeze_embeddings, lr_decay, mixed_precision, max_patches, frozen, layers
    )
    shim.transformer_config = dict(transformer_config)
    return Model("epee-image-trunk", forward, shims=[shim])


def _load_processor(name: Union[str, Path], config: Any, **settings: Any) -> Any:
    """Load the image processor of a backbone. A folder without one gets that of a ViT, with the size of the backbone."""
    if isinstance(name, Path) and not (name / PROCESSOR).exists():
        return ViTImageProcessor(size={"height": config.image_size, "width": config.image_size})
    # The fast ones need torchvision.
    return AutoImageProcessor.from_pretrained(name, use_fast=False, trust_remote_code=False, **settings)


def _without_pooler(model: "PreTrainedModel") -> "PreTrainedModel":
    """Take away a layer behind the last one. Exits do not look at it, and many backbones come without its weights."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # type: ignore[assignment]  # torch takes it out of the modules
    return model
