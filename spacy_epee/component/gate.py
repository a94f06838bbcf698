"""What is learned, before a component is trained, of where there is nothing to find."""

from typing import Callable, Iterable, List, NamedTuple, Sequence

import numpy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Model

from ..engine.gate import columns_of_something
from ..heads.base import head_shim
from ..heads.lexical import LinearModel
from ..inference.predict import Slots, make_instances
from ..inputs.ngrams import Bags, choose_keys
from ..inputs.ranges import firsts
from ..tasks.slot import TaskSlot
from ..training.lexical import choose_way, fit_linear

TOGETHER = 50
"""How many documents are read together."""

MOST_NGRAMS = 20_000_000
"""How many n-grams are held, of 16 bytes. Of ten thousands of sentences the last are left out: they would tell little more."""


class ReadBags(NamedTuple):
    """What is asked about some documents.

    bags (Bags): The n-grams of what it is about.
    something (ndarray): Whether there is something in each of these, (size,) bool.
    known (ndarray): Whether that is annotated, (size,) bool.
    """

    bags: Bags
    something: numpy.ndarray
    known: numpy.ndarray


def learn_gates(
    slots: Slots,
    model: Model,
    get_examples: Callable[[], Iterable[Example]],
    read_docs: Callable[[Sequence[Example]], List[Doc]],
) -> None:
    """Learn where there is nothing to find, for those tasks whose classifiers want it.

    slots (Mapping[str, TaskSlot]): The tasks, with their labels.
    model (Model): The model, initialized.
    get_examples (Callable[[], Iterable[Example]]): Returns the examples.
    read_docs (Callable[[Sequence[Example]], List[Doc]]): Makes Docs of some of them as they come to the component.
    """
    for slot, head in zip(slots.values(), model.layers[1:]):
        most = head_shim(head).build.keywords.get("gate", 0)
        if not most:
            continue

        read: List[ReadBags] = []
        for examples in minibatch(get_examples(), TOGETHER):
            read += _read(slot, model, examples, read_docs(examples))
            if sum(len(part.bags.keys) for part in read) > MOST_NGRAMS:
                break
        ngrams = choose_keys(map(_split, read), most)
        if not len(ngrams.keys):  # nothing is asked about these documents, or nothing is there twice
            continue
        rows = ngrams.stack([ngrams.weigh(part.bags.keys, part.bags.owners, part.bags.size) for part in read])
        targets, mask = (numpy.concatenate(own)[:, None].astype("float32") for own in list(zip(*read))[1:])
        together = numpy.repeat(numpy.arange(len(read)), [part.bags.size for part in read])  # those of some documents
        way = choose_way(rows, targets, mask, together.tolist(), exclusive=False)
        linear = LinearModel(ngrams, *fit_linear(rows, targets, mask, exclusive=False, way=way))
        slot.heads(model).make_gate(len(ngrams.keys)).take_model(linear)


def _read(slot: TaskSlot, model: Model, examples: Sequence[Example], docs: Sequence[Doc]) -> List[ReadBags]:
    """What a task asks about some examples, if that has n-grams."""
    items = make_instances(model, {slot.name: slot}, docs, {slot.name: None})[slot.name]
    bags = slot.task.gate_bags(docs, items)
    if bags is None or not bags.size:
        return []
    taught = [Example(doc, eg.reference) for doc, eg in zip(docs, examples)]
    targets, label_mask = slot.task.targets(taught, slot.labels, items, strict=False)
    columns = columns_of_something(targets.shape[1], len(slot.labels), slot.task.group)
    something, known = (
        numpy.bincount(bags.items, part[:, columns].any(axis=1), minlength=bags.size) > 0 for part in (targets, label_mask)
    )
    return [ReadBags(bags, something, known)]


def _split(read: ReadBags) -> List[numpy.ndarray]:
    """The n-grams of each thing that is asked about, none twice."""
    keys, owners, _, count = read.bags
    counts = numpy.bincount(owners, minlength=count)
    ordered = keys[numpy.argsort(owners, kind="stable")]
    return [numpy.unique(part) for part in numpy.split(ordered, firsts(counts)[1:])]
