"""Scoring of classified images."""

from typing import Any, Callable, Dict, Iterable, Sequence

from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example


def make_imagecat_scorer() -> Callable:
    """Make the scorer of images, which scores labels as spaCy does those of texts.

    Where labels are exclusive, no answer is a wrong one.

    RETURNS (Callable): The scorer, for a component's `scorer`.
    """
    return score_images


def score_images(examples: Iterable[Example], *, labels: Sequence[str], multi_label: bool = False, **cfg: Any) -> Dict[str, Any]:
    """Score the labels of images as spaCy does those of texts. A document without an answer, because it has no image, has no
    label; where each must have one, that counts as a wrong one.

    examples (Iterable[Example]): The examples.
    labels (Sequence[str]): The labels.
    multi_label (bool): Whether any number of labels can be true.
    RETURNS (Dict[str, Any]): The figures, `cats_micro_f` being the accuracy if one label is true.
    """
    examples = list(examples) if multi_label else [_answered(eg, labels) for eg in examples]
    return Scorer.score_cats(examples, "cats", labels=labels, multi_label=multi_label, **cfg)


def _answered(eg: Example, labels: Sequence[str]) -> Example:
    """An example whose document has an answer. spaCy takes the first of equal scores, which must not be the true label."""
    if any(eg.predicted.cats.get(label) for label in labels):
        return eg
    doc = Doc(eg.reference.vocab)
    doc.cats = dict.fromkeys(sorted(labels, key=lambda label: bool(eg.reference.cats.get(label))), 0.0)
    return Example(doc, eg.reference)
