"""Other components of a pipeline that answer in the same place."""

from typing import TYPE_CHECKING, List, Sequence

from spacy.language import Language
from spacy.training import Example

from ..doc_attributes import exits_of

if TYPE_CHECKING:
    from .pipe import EarlyExitTransformer


def labels_elsewhere(nlp: Language, component: "EarlyExitTransformer", task: str) -> List[str]:
    """RETURNS (List[str]): The labels that other components of a pipeline answer in the place of a task."""
    from .pipe import EarlyExitTransformer

    place = component.parts[task].task.assigns
    found: List[str] = []
    for name, pipe in nlp.pipeline:
        if pipe is component:
            continue
        if isinstance(pipe, EarlyExitTransformer):
            rivals = [other for other, part in pipe.parts.items() if part.task.assigns == place]
            found += [label for other in rivals for label in pipe.task_labels(other)]
        elif place in nlp.get_pipe_meta(name).assigns:
            found += getattr(pipe, "labels", ())
    return found


def has_rivals(examples: Sequence[Example], component: str, task: str) -> bool:
    """Whether another early-exiting component that has run may answer in the same place, of which nothing is known.

    examples (Sequence[Example]): The examples.
    component (str): The name of the component.
    task (str): The kind of the task.
    RETURNS (bool): Whether there is one.
    """
    entries = (entry for eg in examples for name, entry in exits_of(eg.predicted).items() if name != component)
    return any(task in entry or not KINDS.issuperset(entry) for entry in entries)


KINDS = {"textcat", "imagecat", "relations", "events"}
"""What tasks are called whose component has no others."""
