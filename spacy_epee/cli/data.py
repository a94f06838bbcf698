"""The data that commands are given."""

from pathlib import Path
from typing import List, NamedTuple, Optional

from spacy.language import Language
from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from ..data.image_reader import ImageReader
from ..data.readers import EntityReader, JsonlReader, is_jsonl, read_docs
from ..evaluation.sample import FEWEST, sample
from ..settings import split_list
from ..tasks.base import Task

UNREAD_ENTITIES = "unread_entities"
"""The span group of annotated entities that the component does not look at."""

GIVEN_TRIGGERS = "given_triggers"
"""The span group of annotated triggers, when events are evaluated with them."""


def read_sizes(batch_sizes: str) -> List[int]:
    """Read batch sizes.

    batch_sizes (str): The option.
    RETURNS (List[int]): The sizes.
    RAISES ValueError: They are none.
    """
    what = "whole numbers from 1 on"
    sizes = split_list("--batch-sizes", batch_sizes, what)
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise ValueError(f"--batch-sizes is '{batch_sizes}'; give {what}, with commas between them")
    return [int(size) for size in sizes]


class Data(NamedTuple):
    """Annotated documents.

    examples (List[Example]): The documents.
    fewest (int): In how many of them a label must be to count in a mean over labels; 0 where these are all that there are.
    """

    examples: List[Example]
    fewest: int


def read_data(
    nlp: Language,
    component: EarlyExitTransformer,
    path: Path,
    cats: Optional[str] = None,
    entities: str = "gold",
    triggers: str = "predicted",
    spans_key: Optional[str] = None,
    limit: int = 0,
    seed: int = 0,
    labelled: bool = True,
) -> Data:
    """Read annotated documents for a component.

    nlp (Language): The pipeline.
    component (EarlyExitTransformer): The component.
    path (Path): The file, or a folder of files.
    cats (Optional[str]): The fields with the labels, in a JSONL file, with commas between them.
    entities (str): "gold" or "predicted".
    triggers (str): "predicted" or "gold".
    spans_key (Optional[str]): The span group of the entities, if not the component's.
    limit (int): The most documents, of which some are drawn; 0 for all.
    seed (int): The seed of the draw.
    labelled (bool): Whether each row of JSONL must have the one field with labels that is read.
    RETURNS (Data): The documents, at least one.
    RAISES ValueError: There are none, or an option means nothing.
    """
    for option, value, default in (("--entities", entities, "gold"), ("--triggers", triggers, "predicted")):
        if value not in ("gold", "predicted"):
            raise ValueError(f"{option} is '{value}'; give 'gold' or 'predicted' (default: '{default}')")
    fields = ["cats"] if cats is None else split_list("--cats", cats, "fields")
    tasks = [slot.task for slot in component.slots.values()]
    if any(task.reads == "images" for task in tasks):
        if len(fields) > 1:
            raise ValueError(f"--cats is '{cats}'; give one field, in which all labels of images are")
        examples = list(ImageReader(path, fields[0], teacher=None)(nlp))
    elif all(task.reads_cats for task in tasks) and len(fields) == 1 and labelled:
        examples = read_examples(nlp, path, fields[0])
    else:
        examples = read_structures(nlp, path, tasks, component.name, fields, entities, triggers, spans_key)
    if not examples:
        raise ValueError(f"There are no documents in {path}")
    some = sample(examples, tasks, limit, seed)
    return Data(some, FEWEST if len(some) < len(examples) else 0)


def read_examples(nlp, path: Path, cats: str) -> List[Example]:
    """Read annotated documents in either format.

    nlp (Language): The pipeline.
    path (Path): The file, or a folder of files.
    cats (str): The field with the labels, in a JSONL file.
    RETURNS (List[Example]): The documents.
    """
    if is_jsonl(path):
        return list(JsonlReader(path, cats, teacher=None)(nlp))
    return [eg for _, eg in read_docs(nlp, path)]


def read_structures(
    nlp,
    path: Path,
    tasks: List[Task],
    name: str,
    fields: List[str],
    entities: str,
    triggers: str,
    spans_key: Optional[str],
) -> List[Example]:
    """Read documents with relations and events, and labels if a task needs them.

    nlp (Language): The pipeline.
    path (Path): The file, or a folder of files.
    tasks (List[Task]): The tasks of the component. Those that find triggers are told to take them where they are given.
    name (str): The component.
    fields (List[str]): The fields with the labels, in a JSONL file.
    entities (str): "gold" or "predicted".
    triggers (str): "predicted" or "gold".
    spans_key (Optional[str]): The span group of the entities, if not the component's.
    RETURNS (List[Example]): The documents.
    """
    given = None
    if triggers == "gold":
        finders = [task for task in tasks if task.has_triggers]
        if not finders:
            kinds = ", ".join(task.name for task in tasks)
            raise ValueError(f"--triggers is for events, and the component '{name}' is for {kinds}")
        for task in finders:
            given = task.take_triggers(GIVEN_TRIGGERS)
    readers = [task for task in tasks if task.reads_entities]
    keys = {task.spans_key for task in readers}
    if len(keys) > 1 and entities == "gold":
        raise ValueError(
            f"The tasks of the component '{name}' look for entities in different places, {sorted(map(str, keys))}, and the data "
            "go to one. Evaluate with --entities predicted, or train them on one span group"
        )
    key = spans_key or next(iter(keys), None)
    if key is None and not readers:
        key = UNREAD_ENTITIES  # a span group holds any
    cats = fields if any(task.reads_cats for task in tasks) else None
    gold = entities == "gold" and bool(readers)
    return list(EntityReader(path, key, gold_entities=gold, triggers_key=given, cats=cats, teacher=None)(nlp))
