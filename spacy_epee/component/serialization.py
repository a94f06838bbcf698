"""What a component's files hold, and how they are loaded: all of it, or nothing."""

import json
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, Sequence, Tuple, Type, Union

import srsly
from catalogue import RegistryError
from spacy.vocab import Vocab
from thinc.api import ConfigValidationError, Model

from ..engine.joint import Joint
from ..files import NotWritten
from ..model import check_exits, is_initialized, trained_settings
from ..sealing import Parts, Refused, check_seal, collecting, read_cfg, seal, take_over, twin
from ..tasks.salience import check_salience
from ..tasks.saved import check_saved
from ..tasks.slot import TaskSlot
from .initialization import check_joint

FORMAT = 2
"""The layout of saved components. Raise it when an older version could not read a newer one. In 1 the `cfg` of a component with
one task was that of the task."""

UNNAMED = "(unnamed)"
"""What the task of a component saved in format 1 is called where it cannot be the only one there is."""

UNREADABLE = (LookupError, TypeError, AttributeError, json.JSONDecodeError, RegistryError, ConfigValidationError)
"""What is raised where a `cfg` holds something else than was saved."""


def to_parts(model: Model, slots: Dict[str, TaskSlot], joint: Joint, configured: Joint) -> Parts:
    """Make the contents of a component's files.

    model (Model): The model.
    slots (Dict[str, TaskSlot]): The tasks.
    joint (str): Its setting `joint`, as it is now.
    configured (str): The same of its config.
    RETURNS (Parts): The contents.
    """
    cfg: Dict[str, Any] = {"tasks": {name: slot.to_saved() for name, slot in slots.items()}, "format": FORMAT}
    if joint != configured:
        cfg["joint"] = {"config": configured, "now": joint}
    return seal(cfg, model.to_bytes())


def load(
    read: Callable[[], Dict[str, Any]],
    model: Model,
    slots: Dict[str, TaskSlot],
    joint: Joint,
    configured: Joint,
    *,
    vocab: Vocab,
    name: str,
    exclude: Iterable[str],
    source: str,
) -> Tuple[Dict[str, TaskSlot], Joint]:
    """Load a component. All is loaded beside what is there, which goes on answering until then, and whatever is wrong is found
    before anything changes.

    read (Callable[[], Dict[str, Any]]): Reads the contents of its files.
    model (Model): The model, which is changed.
    slots (Dict[str, TaskSlot]): The tasks, which are not.
    joint (str): Its setting `joint`, as it is now.
    configured (str): The same of its config.
    vocab (Vocab): The vocabulary, which is added to.
    name (str): The component.
    exclude (Iterable[str]): Names of parts to leave out.
    source (str): What it is loaded from, in messages.
    RETURNS (Tuple[Dict[str, TaskSlot], str]): The tasks and the setting `joint` that it has then.
    """
    exclude = list(exclude)
    other, loaded = twin(model), {task: slot.twin() for task, slot in slots.items()}
    with _readable(name, source):
        parts = read()
        cfg = read_cfg(parts)
        newer = cfg["format"] > FORMAT
    if newer:
        raise ValueError(
            f"The component '{name}' was saved by a newer version of spacy_epee (format {cfg['format']}; this version "
            f"reads up to {FORMAT}). Update with `pip install -U spacy_epee`."
        )
    with _readable(name, source):
        cfg = check_seal(cfg, None if "model" in exclude else parts["model"])
        tasks, noted = saved_tasks(cfg, list(slots)), cfg.get("joint")
    if "cfg" not in exclude and sorted(tasks) != list(slots):
        raise ValueError(
            f"The component '{name}' was saved with the tasks {sorted(tasks)}, and its config has {list(slots)}. Load it with "
            "the config it was saved with."
        )
    with _readable(name, source):  # whatever msgpack, torch, safetensors or transformers make of a damaged file
        if "model" not in exclude:
            _load_model(other, parts, name)
        if "vocab" not in exclude and "vocab" in parts:
            _load_vocab(Vocab(), parts["vocab"], exclude)  # that of the pipeline is loaded last
    with _readable(name, source, UNREADABLE):
        if is_initialized(other):
            check_exits(other, f"the component '{name}'")
        for task, slot in loaded.items():
            if "cfg" not in exclude:
                slot.take_saved(tasks[task], other)
            check_saved(slot.cfg, slot.called)
            slot.check_loaded(other, source)
            if "salience" in slot.cfg:
                check_salience(slot.cfg["salience"], slot, other)
        if "cfg" not in exclude and noted is not None and noted["config"] == configured:
            joint = noted["now"]
            check_joint(joint, name)
    if "vocab" not in exclude and "vocab" in parts:
        _load_vocab(vocab, parts["vocab"], exclude)
    take_over(model, other)
    return loaded, joint


def saved_tasks(cfg: Dict[str, Any], slots: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    """Find what was saved of each task.

    cfg (Dict[str, Any]): The `cfg` of a component's files, in any format.
    slots (Sequence[str]): The tasks that the component has.
    RETURNS (Dict[str, Dict[str, Any]]): What `TaskSlot.to_saved` returned, by name.
    """
    if cfg["format"] >= 2 or "tasks" in cfg:
        return {task: dict(task_cfg) for task, task_cfg in cfg["tasks"].items()}
    [only] = slots if len(slots) == 1 else [UNNAMED]
    return {only: {name: value for name, value in cfg.items() if name not in ("format", "joint")}}


def _load_model(model: Model, parts: Parts, name: str) -> None:
    """Load weights, and say which settings of the config have no effect, as they belong to what was trained. Their bytes are
    taken out of the contents: each copy of the weights is given up as soon as the next one is there."""
    fresh = not is_initialized(model)
    asked = trained_settings(model)
    model.from_dict(srsly.msgpack_loads(parts.pop("model")))
    if not fresh or not is_initialized(model):
        return
    trained = trained_settings(model)
    for setting, value in asked.items():
        if value != trained.get(setting, value):
            warnings.warn(
                f"The setting `components.{name}.model.{setting}` is {value} and has no effect: this pipeline was trained "
                f"with {trained[setting]}. Train anew to change it, or set it to that."
            )


def _load_vocab(vocab: Vocab, source: Union[bytes, Path], exclude: Sequence[str]) -> None:
    """Load a vocabulary that was saved with a component."""
    if isinstance(source, bytes):
        vocab.from_bytes(source, exclude=exclude)
    else:
        vocab.from_disk(source, exclude=exclude)


@contextmanager
def _readable(name: str, source: str, kinds: Tuple[Type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Say of what is raised in this context that a component could not be loaded.

    name (str): The component.
    source (str): What it is loaded from.
    kinds (Tuple[Type[Exception], ...]): What of it is meant. The rest says what is wrong by itself.
    """
    try:
        with collecting():
            yield
    except NotWritten:  # a temporary file: nothing is wrong with those that are read
        raise
    except kinds as error:
        if isinstance(error, Refused):
            raise ValueError(
                f"The component '{name}' could not be loaded from {source}: {error}. Copy or save it again."
            ) from error
        raise ValueError(
            f"The component '{name}' could not be loaded from {source} ({type(error).__name__}): the files are damaged, "
            "incomplete or of another model, or the installed versions of transformers and torch cannot read them. Copy or "
            "save the pipeline again, or install the versions it was saved with."
        ) from error
