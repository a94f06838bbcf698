"""What is learned of the words of documents before a component is trained."""

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

import numpy
from scipy.sparse import csr_matrix, vstack
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Model

from ..heads.base import HeadShim, head_shim
from ..heads.lexical import LinearModel
from ..inference.predict import Slots
from ..inputs.ngrams import NGrams, choose_ngrams
from ..tasks.base import Targets, Task
from ..tasks.slot import TaskSlot
from ..training.lexical import fit_linear, held_out_logits

TOGETHER = 100
"""How many documents are read together."""

HALF = 0.5
"""The probability from which a label that is not exclusive is taken for true."""


def learn_words(
    slots: Slots, model: Model, get_examples: Callable[[], Iterable[Example]], taught: bool = False
) -> Callable[[], None]:
    """Learn what can be said before the first layer, for those tasks whose classifiers want it.

    slots (Mapping[str, TaskSlot]): The tasks, with their labels.
    model (Model): The model. Its classifiers need not be there yet; they get their sizes.
    get_examples (Callable[[], Iterable[Example]]): Returns the examples.
    taught (bool): Whether teachers are believed where nothing is annotated.
    RETURNS (Callable[[], None]): Hands it to the classifiers, once they are there.
    """
    most = {slot.name: _most_ngrams(slot, head_shim(head)) for slot, head in zip(slots.values(), model.layers[1:])}
    sizes = {name: dict(slot.sizes()) for name, slot in slots.items()}
    learned: Dict[str, Tuple[LinearModel, List[str], numpy.ndarray]] = {}
    for limit in sorted(set(filter(None, most.values()))):
        ngrams = choose_ngrams(minibatch((eg.predicted for eg in get_examples()), TOGETHER), limit)
        asking = [name for name, own in most.items() if own == limit and len(ngrams.keys)]
        read = read_examples(ngrams, [slots[name] for name in asking], get_examples, taught)
        for name, (targets, label_mask) in zip(asking, read.labels):
            exclusive = slots[name].task.exclusive
            linear = LinearModel(ngrams, *fit_linear(read.rows, targets, label_mask, exclusive=exclusive))
            learned[name] = linear, read.texts, held_out_logits(read.rows, targets, label_mask, read.texts, exclusive=exclusive)
            sizes[name]["ngrams"] = len(ngrams.keys)
    model.attrs["sizes"] = list(sizes.values())

    def hand_over() -> None:
        for name, own in learned.items():
            slots[name].heads(model).lexical.take(*own)  # type: ignore[union-attr]

    return hand_over


def _most_ngrams(slot: TaskSlot, shim: HeadShim) -> int:
    """How many n-grams classifiers want to look at. Images have none."""
    return shim.build.keywords.get("lexical", 0) if slot.task.reads == "text" else 0


@dataclass
class ReadExamples:
    """Examples to learn from words alone.

    rows (csr_matrix): Their n-grams, (N, V).
    texts (List[str]): Their texts.
    labels (List[Tuple[ndarray, ndarray]]): For each task 1 for true labels (N, K), and 0 where nothing is known (N, K).
    """

    rows: csr_matrix
    texts: List[str]
    labels: List[Tuple[numpy.ndarray, numpy.ndarray]]


def read_examples(
    ngrams: NGrams, slots: Sequence[TaskSlot], get_examples: Callable[[], Iterable[Example]], taught: bool = False
) -> ReadExamples:
    """Read examples, some at a time.

    ngrams (NGrams): The n-grams to look at.
    slots (Sequence[TaskSlot]): The tasks.
    get_examples (Callable[[], Iterable[Example]]): Returns the examples.
    taught (bool): Whether teachers are believed where nothing is annotated.
    RETURNS (ReadExamples): What is needed of them.
    """
    rows, texts = [], []
    labels: List[List[Tuple[numpy.ndarray, numpy.ndarray]]] = [[] for _ in slots]
    for batch in minibatch(get_examples(), TOGETHER):
        rows.append(ngrams.count([eg.predicted for eg in batch]))
        texts += [eg.predicted.text for eg in batch]
        for slot, own in zip(slots, labels):
            own.append(_read_labels(slot.task, batch, slot.labels, taught))
    joined = [tuple(map(numpy.concatenate, zip(*own))) for own in labels]
    return ReadExamples(vstack(rows, format="csr"), texts, joined)  # type: ignore[arg-type]


def _read_labels(task: Task, examples: Sequence[Example], labels: Sequence[str], taught: bool) -> Targets:
    """What is annotated, and, if teachers are believed, what these find most probable where nothing is."""
    targets, label_mask = task.targets(examples, labels, None, strict=False)
    said = task.soft_targets(examples, labels, None) if taught else None
    if said is None:
        return targets, label_mask
    soft, soft_mask = said
    best = numpy.eye(len(labels), dtype="float32")[soft.argmax(axis=1)] if task.exclusive else soft >= HALF
    return numpy.where((label_mask == 0) & (soft_mask > 0), best, targets), numpy.maximum(label_mask, soft_mask)
