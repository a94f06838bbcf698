"""What is checked and learned before a component can be trained."""

import copy
import warnings
from contextlib import ExitStack, contextmanager
from itertools import combinations, takewhile
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model

from ..doc_attributes import copy_doc
from ..heads.base import head_shim
from ..inference.predict import Slots, all_exits, make_instances
from ..model import get_heads, get_settings, get_trunk_shim
from ..tasks.base import Task
from ..tasks.checks import warn_alike
from ..tasks.slot import TaskSlot
from ..trunk.shims import scaled_shim
from .rivals import labels_at, slots_of

HIGHEST_RATE = 5e-4
"""The highest learning rate at which nothing is said."""

SAMPLE, FITTED = 200, 64
"""How many examples are checked when the component is initialized, and how many are run to standardize by."""


def check_slots(slots: Mapping[str, Any], model: Model, name: str) -> None:
    """Refuse tasks that a component cannot have.

    slots (Mapping[str, Any]): The tasks, by name.
    model (Model): The model.
    name (str): The component.
    """
    for task, slot in slots.items():
        if not isinstance(slot, TaskSlot):
            raise ValueError(
                f"The block `components.{name}.tasks.{task}` makes no task. Give it one such as "
                '`@misc = "spacy-epee.TextCatTask.v1"`.'
            )
    named: Optional[List[str]] = model.attrs["tasks"]  # None for a model with the classifiers of one task
    if named is None and len(slots) != 1:
        raise ValueError(
            f"The component '{name}' has the tasks {sorted(slots)}, and its model has classifiers for one task. Set "
            f"`components.{name}.model.@architectures` to 'spacy-epee.JointModel.v1', and name classifiers for each task."
        )
    if named is not None and sorted(slots) != named:
        raise ValueError(
            f"The component '{name}' has the tasks {sorted(slots)}, and its model has classifiers for {named}. Give each "
            f"task a block in `components.{name}.tasks` and one of the same name in `components.{name}.model.heads`."
        )
    for one, other in combinations(sorted(slots), 2):
        place = slots[one].task.assigns
        if place == slots[other].task.assigns and place != "doc.cats":
            raise ValueError(
                f"The tasks '{one}' and '{other}' of the component '{name}' both write `{place}`. Make one task of them, with "
                "all their labels, or two components."
            )
    for slot in slots.values():
        check_trunk(slot.task, get_trunk_shim(model).reads, name)


def check_trunk(task: Task, reads: str, name: str) -> None:
    """Refuse a trunk for something else.

    task (Task): The task.
    reads (str): What the trunk reads, "text" or "images".
    name (str): The component.
    RAISES ValueError: The task needs something else.
    """
    if reads == task.reads:
        return
    other = {"text": "TransformerTrunk", "images": "ImageTrunk"}.get(task.reads)
    if other is None:
        raise ValueError(f"The task '{task.name}' reads '{task.reads}'; there are trunks that read 'text' or 'images'.")
    also = ", or use the factory 'epee_imagecat' to classify images" if task.reads == "text" else ""
    raise ValueError(
        f"The component '{name}' needs {task.reads} (task '{task.name}'), and the trunk in its setting `model.trunk` reads "
        f"{reads}. Set `components.{name}.model.trunk.@architectures` to 'spacy-epee.{other}.v1'{also}."
    )


def check_named(slots: Slots, name: str) -> None:
    """RAISES ValueError: A component that is to be trained has no task."""
    if not slots:
        raise ValueError(
            f"The component '{name}' has no task. Give it some, such as `[components.{name}.tasks.note_type]`, and classifiers "
            f"under the same names in `components.{name}.model.heads`."
        )


def check_joint(joint: str, name: str) -> None:
    """Refuse a value of the setting `joint` that means nothing.

    joint (str): The value.
    name (str): The component.
    """
    if joint not in ("all", "any"):
        raise ValueError(f"The setting `joint` of the component '{name}' is '{joint}'; give 'all' or 'any'.")


def check_heads(slots: Slots, model: Model) -> None:
    """Refuse classifiers made for another task.

    slots (Mapping[str, TaskSlot]): The tasks.
    model (Model): The model.
    """
    for slot, head in zip(slots.values(), model.layers[1:]):
        kind = head_shim(head).kind
        if slot.task.head_kind != kind.kind:
            raise ValueError(
                f"The setting `{slot.head_setting}` of the component '{slot.component}' names classifiers of the kind "
                f"'{kind.kind}', and {slot.called} takes those of the kind '{slot.task.head_kind}'. Name such, or leave the "
                "setting out where there is a default."
            )


def check_owners(slots: Slots, name: str, nlp: Optional[Language]) -> None:
    """Refuse labels that two tasks would answer, each over the answers of the other.

    slots (Mapping[str, TaskSlot]): The tasks of a component.
    name (str): The component.
    nlp (Optional[Language]): The pipeline.
    """
    for one, other in combinations(slots.values(), 2):
        shared = sorted(set(one.labels) & set(other.labels))
        if shared and one.task.assigns == other.task.assigns:
            raise ValueError(
                f"The tasks '{one.name}' and '{other.name}' of the component '{name}' both have the labels {shared}, or take "
                f"them from the data, and both write them to `{one.task.assigns}`. Give each its own in "
                f'`initialize.components.{name}.labels`: {{"{one.name}": [...], "{other.name}": [...]}}.'
            )
    for rival, pipe in [] if nlp is None else nlp.pipeline:
        if slots_of(pipe) is slots:
            continue
        settings = nlp.config["initialize"]["components"].get(rival, {})  # type: ignore[union-attr]
        for slot in slots.values():
            theirs = labels_at(nlp, rival, slot.task.assigns)  # type: ignore[arg-type]
            # A component before its own initialization takes the labels it is given, or else all that are in the data.
            if theirs is not None and not theirs and "labels" not in settings:
                theirs = slot.labels
            shared = sorted(set(slot.labels) & set(theirs or ()))
            if shared:
                raise ValueError(
                    f"The components '{rival}' and '{name}' both have the labels {shared}, or take them from the data, and both "
                    f"write them to `{slot.task.assigns}`. Give each its own with `initialize.components.{name}.labels`, or "
                    "rename them in the data."
                )


def warn_of_rate(nlp: Optional[Language], model: Model, name: str) -> None:
    """Warn if a pretrained transformer is to be trained at the rate that spaCy's own configs have: it would be spoilt.

    nlp (Optional[Language]): The pipeline. One that is made in Python, whose config names no data, may have another optimizer.
    model (Model): The model.
    name (str): The component.
    """
    if nlp is None or not nlp.config.get("paths", {}).get("train") or get_settings(model).frozen:
        return
    rate = nlp.config["training"].get("optimizer", {}).get("learn_rate")
    if isinstance(rate, float) and rate > HIGHEST_RATE:
        warnings.warn(
            f"The setting `training.optimizer.learn_rate` is {rate:g}, at which the transformer of '{name}' loses what it "
            "has learned. Give 0.0001 or less, rising from 0 and falling again, as the configs of spacy_epee do, or "
            "train classifiers alone with `model.trunk.frozen = true`."
        )


def given_labels(labels: Any, slots: Slots, name: str) -> Dict[str, List[str]]:
    """Tell which labels each task is given.

    labels (Any): What `initialize` was given: labels, those of some of the tasks by name, or None.
    slots (Mapping[str, TaskSlot]): The tasks.
    name (str): The component.
    RETURNS (Dict[str, List[str]]): The labels of the tasks that are given any.
    """
    if labels is None:
        return {}
    if isinstance(labels, str):
        raise ValueError(f"The labels of the component '{name}' are one string; give a list.")
    first = next(iter(slots.values()))
    if first.alone:
        return {first.name: list(labels)}
    if not isinstance(labels, dict) or set(labels) - set(slots):
        raise ValueError(
            f"Give the labels of the component '{name}' by task, in `initialize.components.{name}.labels`: "
            f'{{"{first.name}": [...]}}. The tasks are {list(slots)}; those left out take those of the data.'
        )
    return {task: list(names) for task, names in labels.items()}


def learn_labels(
    slots: Slots,
    get_examples: Callable[[], Iterable[Example]],
    given: Mapping[str, List[str]],
    add_label: Callable[[str, str], int],
) -> None:
    """Learn the labels of each task, and what else its data say.

    slots (Mapping[str, TaskSlot]): The tasks.
    get_examples (Callable[[], Iterable[Example]]): Returns the examples.
    given (Mapping[str, List[str]]): The labels of those tasks that do not take them from the examples.
    add_label (Callable[[str, str], int]): Adds a label to a task.
    """
    for task, slot in slots.items():
        inferred, facts = slot.task.infer_labels(get_examples())
        slot.cfg.update(facts)
        for label in given.get(task, inferred):
            add_label(label, task)
        slot.task.check_labels(slot.labels, slot.title)
        if not inferred and not any(slot.task.is_annotated(eg.reference) for eg in get_examples()):
            warnings.warn(
                f"None of the examples that {slot.called} is initialized with is annotated for it (`{slot.task.assigns}`), and "
                "training with such teaches it nothing. In .spacy files what begins with `doc._.` is there if they are made with "
                "`DocBin(store_user_data=True)`."
            )
        warn_alike(slot.labels, slot.called)
        slot.cfg.update(slot.task.learn_facts(get_examples(), slot.labels))


def pipes_before(nlp: Optional[Language], component: Any) -> List[Tuple[str, Any]]:
    """RETURNS (List[Tuple[str, Callable[[Doc], Doc]]]): The components of a pipeline before one of them, by name."""
    pipeline = [] if nlp is None else nlp.pipeline
    return list(takewhile(lambda named: named[1] is not component, pipeline))


def with_sections(
    nlp: Optional[Language], component: Any, get_examples: Callable[[], Iterable[Example]]
) -> Callable[[], Iterable[Example]]:
    """Have examples be what is read of them, for those who look at words alone.

    nlp (Optional[Language]): The pipeline.
    component (Pipe): The component that reads them.
    get_examples (Callable[[], Iterable[Example]]): Returns the examples.
    RETURNS (Callable[[], Iterable[Example]]): The same, or what returns examples with the words that are read alone.
    """
    sections = get_settings(component.model).sections
    if sections is None:
        return get_examples

    def read() -> Iterator[Example]:
        for eg in get_examples():
            doc = copy_doc(eg.predicted)
            find_sections(nlp, component, [doc])
            yield Example(sections.shorten([doc])[0], eg.reference)

    return read


def find_sections(nlp: Optional[Language], component: Any, docs: Sequence[Doc]) -> None:
    """Give Docs sections where some are to be read, none are there, and components before this one find them by rules.

    nlp (Optional[Language]): The pipeline.
    component (Pipe): This one.
    docs (Sequence[Doc]): The Docs. Nothing else of them changes.
    """
    sections = get_settings(component.model).sections
    if sections is None:
        return
    for doc in docs:
        tried = copy_doc(doc)
        for _, pipe in pipes_before(nlp, component):
            if not sections.find(tried) and not isinstance(pipe, TrainablePipe):
                tried = pipe(tried)
        sections.take(tried, doc)


def with_sentences(nlp: Optional[Language], component: Any, docs: Sequence[Doc]) -> List[Doc]:
    """Copy Docs, with sentence boundaries where a component before this one sets them and no gold ones are there, and with
    sections if some are to be read.

    nlp (Optional[Language]): The pipeline.
    component (Pipe): This one.
    docs (Sequence[Doc]): The Docs.
    RETURNS (List[Doc]): The copies.
    """
    docs = [copy_doc(doc) for doc in docs]
    find_sections(nlp, component, docs)
    for name, pipe in pipes_before(nlp, component):
        if "token.is_sent_start" in nlp.get_pipe_meta(name).assigns:  # type: ignore[union-attr]
            docs = [doc if doc.has_annotation("SENT_START") else pipe(doc) for doc in docs]
    return docs


def check_sample(model: Model, slots: Slots, docs: Sequence[Doc], sample: Sequence[Example]) -> bool:
    """Refuse data that tasks cannot learn from.

    model (Model): The model, initialized.
    slots (Mapping[str, TaskSlot]): The tasks.
    docs (Sequence[Doc]): The Docs of the examples, as they come to the component.
    sample (Sequence[Example]): The examples.
    RETURNS (bool): Whether every task asks about something in them.
    """
    instances = make_instances(model, slots, docs)
    for name, slot in slots.items():
        slot.targets(sample, instances[name])
        slot.soft_targets(sample, instances[name])
        slot.task.check_data(sample, instances[name], slot.title)
    return all(len(items) for items in instances.values())


def standardize(model: Model, slots: Slots, find_docs: Callable[[], Sequence[Doc]]) -> None:
    """Take the statistics of the pretrained trunk's states, if any classifiers want them.

    model (Model): The model.
    slots (Mapping[str, TaskSlot]): The tasks.
    find_docs (Callable[[], Sequence[Doc]]): Returns some Docs.
    """
    fitted = [heads.standardize for heads in get_heads(model) if heads.standardize is not None]
    if not fitted:
        return
    with ExitStack() as stack:
        for standardizer in fitted:
            stack.enter_context(standardizer.fitting())
        for _ in all_exits(model, slots, find_docs()[:FITTED], FITTED):
            pass


def forget(model: Model, slots: Slots) -> None:
    """Give up weights, labels, and what was found out about data or fitted to the weights."""
    for slot in slots.values():
        slot.forget()
    model.attrs["stage"] = "joint"
    for layer in model.layers:
        scaled_shim(layer).forget()


@contextmanager
def restored(model: Model, slots: Slots) -> Iterator[None]:
    """Undo what is done in this context to a model and its tasks if it ends with an error."""
    cfgs = {name: copy.deepcopy(slot.cfg) for name, slot in slots.items()}
    attrs = {name: model.attrs[name] for name in ("sizes", "stage")}
    shims = [(vars(layer.shims[0]), dict(vars(layer.shims[0]))) for layer in model.layers]
    outputs = model.get_dim("nO") if model.has_dim("nO") else None
    try:
        yield
    except BaseException:
        for name, slot in slots.items():
            slot.cfg = cfgs[name]
        model.attrs.update(attrs)
        for now, before in shims:
            now.clear()
            now.update(before)
        model.set_dim("nO", outputs, force=True)  # type: ignore[arg-type]  # None is a size that is not known yet
        raise
