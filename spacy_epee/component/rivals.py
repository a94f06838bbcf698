"""Other components of a pipeline that answer in the same place."""

import warnings
from itertools import permutations
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Type

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ..doc_attributes import exits_of, in_place
from ..tasks.defaults import TaskDefaults
from ..tasks.slot import TaskSlot


def kinds_of(base: Type[TaskDefaults] = TaskDefaults) -> Set[str]:
    """RETURNS (Set[str]): What tasks are called whose component has no others: the names of the tasks that are defined by now,
    among which are those that have answered. A component of several has names of its own for them."""
    kinds: Set[str] = {vars(base)["name"]} if isinstance(vars(base).get("name"), str) else set()
    return kinds.union(*map(kinds_of, base.__subclasses__()))


def slots_of(pipe: Any) -> Dict[str, TaskSlot]:
    """RETURNS (Dict[str, TaskSlot]): The tasks of an early-exiting component; none of another one."""
    slots = getattr(pipe, "slots", None)
    ours = isinstance(slots, dict) and all(isinstance(slot, TaskSlot) for slot in slots.values())
    return slots if ours else {}  # type: ignore[return-value]


def labels_at(nlp: Language, name: str, place: str) -> Optional[Tuple[str, ...]]:
    """Find what a component of a pipeline answers in some place.

    nlp (Language): The pipeline.
    name (str): The component.
    place (str): Where it writes to, such as "doc.cats".
    RETURNS (Optional[Tuple[str, ...]]): Its labels; None if it answers nothing there.
    """
    pipe = nlp.get_pipe(name)
    slots = slots_of(pipe)
    if not slots:
        return tuple(getattr(pipe, "labels", ())) if place in nlp.get_pipe_meta(name).assigns else None
    rivals = [slot for slot in slots.values() if slot.task.assigns == place]
    return tuple(label for slot in rivals for label in slot.labels) if rivals else None


def check_answers(nlp: Language) -> None:
    """Refuse a pipeline of which a component writes over answers of an early-exiting one, such as two with one set of labels that
    were trained apart.

    nlp (Language): The pipeline.
    RAISES ValueError: Two components have the same labels in one place.
    """
    for one, other in permutations(nlp.pipe_names, 2):
        for slot in slots_of(nlp.get_pipe(one)).values():
            shared = sorted(set(slot.labels).intersection(labels_at(nlp, other, slot.task.assigns) or ()))
            if shared:
                raise ValueError(
                    f"The components '{one}' and '{other}' both have the labels {shared}, and both write them to "
                    f"`{slot.task.assigns}`, so that answers of one of them are lost. Train one with other labels, or answer "
                    "with two pipelines."
                )


def labels_elsewhere(nlp: Language, slots: Dict[str, TaskSlot], place: str) -> List[str]:
    """RETURNS (List[str]): The labels that other components of a pipeline than that of some tasks answer in some place. Disabled
    ones count: spaCy disables those that are not to be initialized."""
    others = [name for name, pipe in nlp.components if slots_of(pipe) is not slots]
    return [label for name in others for label in labels_at(nlp, name, place) or ()]


def note_elsewhere(nlp: Optional[Language], slots: Dict[str, TaskSlot]) -> None:
    """Note which labels other components of a pipeline have in the place of a task, or are to be initialized with: a task
    that does not know them refuses no annotation for them.

    nlp (Optional[Language]): The pipeline.
    slots (Dict[str, TaskSlot]): The tasks of a component, with their labels.
    """
    if nlp is None:
        return
    settings = nlp.config.interpolate()["initialize"]["components"]
    for slot in slots.values():
        found = set(labels_elsewhere(nlp, slots, slot.task.assigns))
        for name, pipe in nlp.components:
            if (
                slots_of(pipe) is not slots
                and labels_at(nlp, name, slot.task.assigns) == ()
                and "labels" in settings.get(name, {})
            ):
                found.update(_names(registry.resolve({"labels": settings[name]["labels"]})["labels"]))
        elsewhere = sorted(found.difference(slot.labels))
        if elsewhere:
            slot.cfg["elsewhere"] = elsewhere


def _names(labels: Any) -> List[str]:
    """The labels that are given to `initialize`: some, or those of tasks by name."""
    parts = labels.values() if isinstance(labels, dict) else [labels or ()]
    return [label for part in parts for label in part if isinstance(label, str)]


def tell_others(slots: Mapping[str, TaskSlot]) -> None:
    """Tell tasks which labels belong to others, of the same component or, as it was initialized, of other ones."""
    for slot in slots.values():
        others = [slot.cfg.get("elsewhere", ()), *(other.labels for other in slots.values() if other is not slot)]
        slot.task.others = frozenset(label for labels in others for label in labels)
        slot.task.doubted = frozenset()


def allow_strange(slots: Mapping[str, TaskSlot], examples: Sequence[Example]) -> None:
    """Take labels that tasks do not know for those of other components, and say so: a component that was not initialized in its
    pipeline cannot tell which labels others have there, and spaCy's own components learn from such data, too.

    slots (Mapping[str, TaskSlot]): The tasks of a component, told of the others that they know.
    examples (Sequence[Example]): What is to be learned from. Its tasks refuse none of the labels.
    """
    for slot in slots.values():
        strange = [slot.task.strange_labels(eg.reference, slot.labels) for eg in examples]
        new = next((eg for eg, labels in zip(examples, strange) if not labels <= slot.strange), None)
        if new is not None:
            warnings.warn(
                f"An example{in_place(new.reference)} has labels that {slot.called} does not know, nor did others that it was "
                "initialized beside. It takes them for those of another component. If none has them, correct the data."
            )
        slot.task.doubted = frozenset().union(*strange)
        slot.task.others |= slot.task.doubted
        slot.strange |= slot.task.doubted


def has_rivals(examples: Sequence[Example], component: str, task: str) -> bool:
    """Whether another early-exiting component that has run may answer in the same place, of which nothing is known.

    examples (Sequence[Example]): The examples.
    component (str): The name of the component.
    task (str): The kind of the task.
    RETURNS (bool): Whether there is one.
    """
    entries = (entry for eg in examples for name, entry in exits_of(eg.predicted).items() if name != component)
    kinds = kinds_of()
    return any(task in entry or not kinds.issuperset(entry) for entry in entries)
