"""What is learned of the words of documents before a component is trained."""

from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Sequence, Tuple

import numpy
from scipy.sparse import csr_matrix, vstack
from spacy.strings import get_string_id
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Model

from ..heads.base import HeadShim, head_shim
from ..heads.lexical import LinearModel
from ..inference.predict import Slots
from ..inputs.ngrams import NGrams, choose_ngrams
from ..tasks.base import Targets, Task
from ..tasks.slot import TaskSlot
from ..training.lexical import learn_linear

TOGETHER = 100
"""How many documents are read together."""

MOST_COUNTS, MOST_WORK = 100_000_000, 1_000_000_000
"""How many counts of n-grams are held (of 8 bytes), and how many times labels are learned from: some minutes. Of more documents a
part is learned from."""

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
            linear, unseen = learn_linear(read.rows, targets, label_mask, read.texts, exclusive=exclusive)
            learned[name] = LinearModel(ngrams, *linear), read.texts, unseen
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
    """Read examples, some at a time. Of more than fit into memory each time half are left out, by the hash of the text.

    ngrams (NGrams): The n-grams to look at.
    slots (Sequence[TaskSlot]): The tasks.
    get_examples (Callable[[], Iterable[Example]]): Returns the examples.
    taught (bool): Whether teachers are believed where nothing is annotated.
    RETURNS (ReadExamples): What is needed of them.
    """
    most = min(MOST_COUNTS, MOST_WORK // max((len(slot.labels) for slot in slots), default=1))
    kept: List[ReadExamples] = []
    share, counts = 1, 0
    for batch in minibatch(get_examples(), TOGETHER):
        kept.append(_read([eg for eg in batch if _is_in(eg.predicted.text, share)], ngrams, slots, taught))
        counts += kept[-1].rows.nnz
        while counts > most and sum(len(part.texts) for part in kept) > 1:
            share *= 2
            kept = [_thin(part, share) for part in kept]
            counts = sum(part.rows.nnz for part in kept)
    labels = [tuple(map(numpy.concatenate, zip(*own))) for own in zip(*(part.labels for part in kept))]
    rows = vstack([part.rows for part in kept], format="csr")
    return ReadExamples(rows, [text for part in kept for text in part.texts], labels)  # type: ignore[arg-type]


def _read(examples: Sequence[Example], ngrams: NGrams, slots: Sequence[TaskSlot], taught: bool) -> ReadExamples:
    """Read some examples."""
    docs = [eg.predicted for eg in examples]
    labels = [_read_labels(slot.task, examples, slot.labels, taught) for slot in slots]
    return ReadExamples(ngrams.count(docs), [doc.text for doc in docs], labels)


def _thin(part: ReadExamples, share: int) -> ReadExamples:
    """Leave out all but one of so many."""
    rows = [row for row, text in enumerate(part.texts) if _is_in(text, share)]
    labels = [(targets[rows], label_mask[rows]) for targets, label_mask in part.labels]
    return ReadExamples(part.rows[rows], [part.texts[row] for row in rows], labels)


def _is_in(text: str, share: int) -> bool:
    """Whether a text is one of so many. Those that are there twice are in together, or not."""
    return get_string_id(text) % share == 0


def _read_labels(task: Task, examples: Sequence[Example], labels: Sequence[str], taught: bool) -> Targets:
    """What is annotated, and, if teachers are believed, what these find most probable where nothing is."""
    targets, label_mask = task.targets(examples, labels, None, strict=False)
    said = task.soft_targets(examples, labels, None) if taught else None
    if said is None:
        return targets, label_mask
    soft, soft_mask = said
    best = numpy.eye(len(labels), dtype="float32")[soft.argmax(axis=1)] if task.exclusive else soft >= HALF
    return numpy.where((label_mask == 0) & (soft_mask > 0), best, targets), numpy.maximum(label_mask, soft_mask)
