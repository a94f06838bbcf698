"""The model of every component here: a trunk, and classifiers on some of its layers."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Callable, Dict, List, Literal, Optional, Sequence, Tuple, Union, cast

import torch
from spacy.tokens import Doc
from thinc.api import Model, torch2xp, xp2torch

from .engine.loop import all_exits
from .engine.results import ExitOutputs
from .heads.base import ExitHeads, build_heads, head_shim
from .inputs.instances import Instances
from .inputs.windows import Windows
from .runtimes.threads import single_torch_thread
from .runtimes.torch_precision import computes_in_bfloat16
from .threads import no_fork
from .training.attention import PlainAttention
from .training.learning_rates import set_learning_rates
from .training.stages import set_stage
from .trunk.base import Runner
from .trunk.settings import TrunkSettings
from .trunk.stepper import LayerStepper
from .trunk.transformer import load_backbone

Asked = List[Instances]
"""What each task asks about the same windows, in the order of the classifiers."""


MANY = 12
"""From how many layers on every third one has an exit where there are few, and not every second."""

ExitLayers = Union[List[int], Literal["few"], None]
"""The layers with an exit; null for all, "few" where a look costs much: the first and every second one from there, or every third
of 12 and more."""


def EarlyExitModel(trunk: Model, head: Model, exit_layers: ExitLayers = None) -> Model[Asked, List[ExitOutputs]]:
    """Build an early-exiting model for one task. Called on what it asks about some Docs it runs the full depth and answers at
    every exit.

    trunk (Model): The transformer.
    head (Model): The classifiers.
    exit_layers (Union[List[int], str, None]): The layers with an exit, from 1; null for all, "few" for the first and every
        second one from there, or every third of 12 layers and more. The last layer always has one. With fewer exits less is
        spent on looking. Rules that count, such as patience, count exits.
    RETURNS (Model): The model.
    """
    return _build(trunk, [head], None, exit_layers)


def JointModel(
    trunk: Model,
    heads: Dict[str, Any],
    exit_layers: ExitLayers = None,  # blocks in a dict are checked too early
) -> Model[Asked, List[ExitOutputs]]:
    """Build an early-exiting model for several tasks over one trunk.

    trunk (Model): The transformer.
    heads (Dict[str, Model]): The classifiers of each task, by its name. None until they are known, as in a config that is only
        filled.
    exit_layers (Union[List[int], str, None]): The layers with an exit, from 1; null for all, or "few". The last layer always
        has one.
    RETURNS (Model): The model.
    """
    names = sorted(heads)  # a saved config may have them in another order
    return _build(trunk, [heads[name] for name in names], names, exit_layers)


def _build(trunk: Model, heads: List[Model], names: Optional[List[str]], exit_layers: ExitLayers) -> Model:
    if exit_layers not in (None, "few") and not _rises(exit_layers):
        raise ValueError(
            f"The setting `model.exit_layers` is {exit_layers}; give layers from 1 on in rising order, null for all of them, or "
            "'few'."
        )
    return Model(
        "epee-model",
        forward,
        init=init,
        layers=[trunk, *heads],
        refs={"trunk": trunk, "head": heads[0]} if names is None else {"trunk": trunk},
        attrs={"exit_layers": exit_layers, "stage": "joint", "sizes": [], "tasks": names},
        dims={"nO": None},
    )


def _rises(layers: Any) -> bool:
    """Whether there are layers, from 1 on, in rising order."""
    return bool(layers) and sorted(set(layers)) == list(layers) and layers[0] >= 1


def check_exits(model: Model, called: str) -> None:
    """Check that the classifiers of a model that was loaded are those of its layers with an exit.

    model (Model): The model.
    called (str): What to call the component.
    RAISES ValueError: They are not.
    """
    layers = model.attrs["exit_layers"]
    if layers in (None, "few"):
        return
    numbers = isinstance(layers, (list, tuple)) and all(type(layer) is int for layer in layers)
    # The last layer need not be named.
    if not numbers or not _rises(layers) or any(len(own.classifiers) - len(layers) not in (0, 1) for own in get_heads(model)):
        raise ValueError(
            f"The model of {called} was saved with other layers with an exit (`exit_layers`) than it has classifiers for: the "
            "files are damaged or were changed. Copy or save the pipeline again."
        )


def init(model: Model, X=None, Y=None) -> None:
    """Load the backbone and make the classifiers. What depends on the data is in the attribute `sizes`, for each task."""
    load_backbone(model.get_ref("trunk"))
    layers = get_exit_layers(model)
    for head, sizes in zip(model.layers[1:], model.attrs["sizes"]):
        if head.shims[0]._model is None:
            build_heads(head, width=get_stepper(model).width, exits=len(layers), **sizes)
    model.set_dim("nO", sum(heads.n_labels for heads in get_heads(model)), force=True)


def forward(model: Model, asked: Union[Asked, Sequence[Doc]], is_train: bool) -> Tuple[List[ExitOutputs], Callable]:
    if len(asked) and isinstance(asked[0], Doc):  # so do spaCy's tools, such as `debug model`
        asked = list(model.attrs["make_instances"](asked).values())
    instances = cast(Asked, asked)
    trunk, stepper = model.get_ref("trunk"), get_stepper(model)
    if is_train:
        set_learning_rates(trunk)
        set_stage(model.attrs["stage"], stepper.model, get_heads(model), get_settings(model))
    set_training(model, is_train)
    half = is_train and get_settings(model).mixed_precision and computes_in_bfloat16(stepper.device)
    attention = PlainAttention() if half and stepper.device.type == "cpu" else nullcontext()
    runner: Runner = stepper if is_train else get_runner(model)
    precision = torch.autocast(stepper.device.type, torch.bfloat16, enabled=half)
    with no_fork, single_torch_thread(runner), torch.set_grad_enabled(is_train), precision, attention:
        said = all_exits(
            runner,
            get_heads(model),
            instances,
            exit_layers=get_exit_layers(model),
            wordpieces=get_settings(model).max_wordpieces,
        )

    def backprop(gradients: List[ExitOutputs]) -> Asked:
        outputs: List[torch.Tensor] = []
        wanted: List[torch.Tensor] = []
        for found, gradient in zip(said, gradients):
            pairs = [(found.logits, gradient.logits), (found.doubt, gradient.doubt)]
            pairs += [(links.logits, own.logits) for links, own in zip(found.links, gradient.links)]
            for output, own in pairs:
                # Something was asked, there is a learned exit, and the stage trains it. Zeros would let the optimizer go on
                # moving the classifiers of a task that a batch says nothing about.
                if output.requires_grad and own.any():
                    outputs.append(output)
                    wanted.append(xp2torch(own, device=output.device))
        if outputs:
            with no_fork:
                torch.autograd.backward(outputs, wanted)
        return instances

    answers = []
    for found, items in zip(said, instances):
        links = [replace(part, logits=torch2xp(part.logits.detach())) for part in found.links]
        logits, doubt = (cast(Any, torch2xp(part.detach())) for part in (found.logits, found.doubt))
        answers.append(ExitOutputs(logits, doubt, items, links))
    return answers, backprop


def get_trunk_shim(model: Model) -> Any:
    """RETURNS (Union[TrunkShim, ImageTrunkShim]): What holds the backbone."""
    return model.get_ref("trunk").shims[0]


def get_stepper(model: Model) -> LayerStepper:
    """RETURNS (LayerStepper): The trunk as something to climb."""
    return get_trunk_shim(model).stepper


def get_runner(model: Model) -> Runner:
    """RETURNS (Runner): What answers climb: the trunk, or what was exported of it."""
    return get_trunk_shim(model).runner


def get_settings(model: Model) -> TrunkSettings:
    """RETURNS (TrunkSettings): The settings of the trunk."""
    return get_trunk_shim(model).settings


def get_heads(model: Model) -> List[ExitHeads]:
    """RETURNS (List[ExitHeads]): The classifiers of each task."""
    return [head.shims[0]._model for head in model.layers[1:]]


def trained_settings(model: Model) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The settings that cannot be changed once a model is trained, by their place in its config: those
    that it was trained with, or those of the config before."""
    found = {"exit_layers": model.attrs["exit_layers"]}
    names = model.attrs["tasks"]
    for number, head in enumerate(model.layers[1:]):
        shim = head_shim(head)
        place = "head" if names is None else f"heads.{names[number]}"
        asked = shim.build.keywords
        now = asked if shim._model is None else {name: shim._model.settings.get(name, asked[name]) for name in asked}
        found.update({f"{place}.{name}": value for name, value in now.items()})
    return found


def is_initialized(model: Model) -> bool:
    """RETURNS (bool): Whether there are a backbone and classifiers."""
    return all(layer.shims[0]._model is not None for layer in model.layers)


def get_windows(model: Model, docs: Sequence[Doc], wanted: Optional[Sequence[bool]] = None) -> Windows:
    """Cut Docs into windows.

    model (Model): The model.
    docs (Sequence[Doc]): The Docs.
    wanted (Optional[Sequence[bool]]): Those to cut; the others get no window. None for all.
    RETURNS (Windows): Their windows.
    """
    return get_trunk_shim(model).windower(docs, wanted)


def as_read(model: Model, docs: Sequence[Doc]) -> Sequence[Doc]:
    """RETURNS (Sequence[Doc]): What is read of some Docs: themselves, or their sections as Docs of words alone."""
    sections = get_settings(model).sections
    return docs if sections is None else sections.shorten(docs)


def get_exit_layers(model: Model) -> List[int]:
    """Which layers have an exit.

    model (Model): The model, with its backbone.
    RETURNS (List[int]): The layers, from 1, the last one among them.
    RAISES ValueError: The setting names a layer beyond the depth.
    """
    depth = get_stepper(model).depth
    layers = model.attrs["exit_layers"]
    if layers is None:
        return list(range(1, depth + 1))
    if layers == "few":
        step = 3 if depth >= MANY else 2
        return [*range(1, depth, step), depth]
    if layers[-1] > depth:
        raise ValueError(
            f"The setting `model.exit_layers` names layer {layers[-1]}, but the backbone has {depth} layers. Leave out what is "
            "beyond the depth, or set it to null for an exit after every layer."
        )
    return list(layers) if layers[-1] == depth else [*layers, depth]


def set_training(model: Model, training: bool) -> None:
    """Switch dropout on or off, if it is not so already.

    model (Model): The model.
    training (bool): Whether it is to be trained.
    """
    for module in (get_stepper(model).model, *get_heads(model)):
        if module.training != training:
            # From the inside, so that another thread that sees a module switched finds its parts so, too.
            for part in reversed([*module.modules()]):
                part.train(training)
