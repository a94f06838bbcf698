"""Settings that every task has."""

from typing import Mapping, Sequence

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
