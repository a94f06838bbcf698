"""Whether documents say enough to choose a rule by."""

from ..evaluation.sample import FEWEST
from ..evaluation.stored_outputs import StoredOutputs


def check_annotation(stored: StoredOutputs, missing_labels: bool) -> None:
    """Refuse documents that say nothing about the task, or about some of its labels.

    stored (StoredOutputs): The documents.
    missing_labels (bool): Whether labels may be absent.
    RAISES ValueError: They do not.
    """
    if not stored.label_mask.any():
        raise ValueError(
            f"None of the {stored.n_docs} documents has labels for the task '{stored.name}', so that there is no score. Give "
            "annotated documents, and with several fields of labels name that field with `--cats`."
        )
    absent = [] if missing_labels else [label for label, docs in stored.label_docs().items() if not docs.any()]
    if absent:
        raise ValueError(
            f"The documents have no example of the labels {absent}, so that a rule chosen on them could lose these unseen. "
            "Give documents that have them, or `--missing-labels` to choose without."
        )
    if not stored.scoring.counted:
        raise ValueError(
            f"None of the labels of the task '{stored.name}' is in {FEWEST} of the {stored.n_docs} documents, too few for a mean "
            "over labels. Raise --limit."
        )
