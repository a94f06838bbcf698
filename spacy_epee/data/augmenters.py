"""What teachers say of documents that are changed."""

from functools import partial
from typing import Callable, Iterator

from spacy.language import Language
from spacy.training import Example

from ..doc_attributes import install_teacher, set_soft_labels, soft_labels

Augmenter = Callable[[Language, Example], Iterator[Example]]


def keep_soft_labels(augmenter: Augmenter) -> Augmenter:
    """Let documents that an augmenter makes have the soft labels of those that it makes them from. spaCy's own augmenters keep
    the labels of a document, and nothing of `doc._`.

    augmenter (Callable[[Language, Example], Iterator[Example]]): The augmenter.
    RETURNS (Callable[[Language, Example], Iterator[Example]]): The same with soft labels.
    """
    install_teacher()
    return partial(_augment, augmenter=augmenter)


def _augment(nlp: Language, example: Example, *, augmenter: Augmenter) -> Iterator[Example]:
    soft = soft_labels(example.reference)
    for made in augmenter(nlp, example):
        if soft:
            set_soft_labels(made.reference, soft)
        yield made
