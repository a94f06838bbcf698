"""Settings that every task has, and labels."""

import unicodedata
import warnings
from typing import Dict, List, Mapping, Sequence

from ..settings import check_number


def check_settings(reduce: str, label_weights: Mapping[str, float]) -> None:
    """Refuse settings that every task has.

    reduce (str): How uncertainties are joined.
    label_weights (Mapping[str, float]): How much a label counts in the loss.
    RAISES ValueError: A value that means nothing.
    """
    if reduce not in ("mean", "max"):
        raise ValueError(f"The setting `reduce` is '{reduce}'; give 'mean' or 'max'.")
    if isinstance(label_weights, str):
        raise ValueError(
            f"The setting `label_weights` is '{label_weights}'; give numbers, such as {{\"A\": 3.0}}, or 'balanced' where labels "
            "are those of documents or images."
        )
    for label, weight in label_weights.items():
        check_number(f"label_weights.{label}", weight, 0)


def check_weighted(label_weights: Mapping[str, float], labels: Sequence[str], name: str) -> None:
    """Refuse weights of labels that are not there.

    label_weights (Mapping[str, float]): How much a label counts in the loss.
    labels (Sequence[str]): The labels.
    name (str): The component.
    RAISES ValueError: A weight of another label.
    """
    unknown = sorted(set(label_weights) - set(labels))
    if unknown:
        raise ValueError(
            f"The setting `label_weights` of the component '{name}' names {unknown}, which are not among its labels "
            f"{list(labels)}."
        )


def warn_alike(labels: Sequence[str], called: str) -> None:
    """Say that labels differ in case, white space or forms of Unicode alone, as where a table was filled in by hand: each is
    learned as a label of its own.

    labels (Sequence[str]): The labels.
    called (str): What to call the task.
    """
    alike: Dict[str, List[str]] = {}
    for label in labels:
        alike.setdefault("".join(unicodedata.normalize("NFKC", label).split()).casefold(), []).append(label)
    groups = [group for group in alike.values() if len(group) > 1]
    if groups:
        warnings.warn(
            f"Among the labels of {called} are {len(groups)} that are there in several spellings, the first {groups[0]}: they "
            "differ in case, white space or forms of Unicode alone. Make one of them in the data, if they mean the same."
        )
