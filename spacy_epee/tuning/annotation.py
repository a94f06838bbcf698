"""Whether there is anything to choose a rule for, and whether documents say enough to choose it by."""

from typing import Optional

from ..component.pipe import EarlyExitTransformer
from ..evaluation.sample import FEWEST
from ..evaluation.stored_outputs import StoredOutputs
from ..model import get_exit_layers, is_initialized
from ..tasks.replay_score import MACRO_AUC


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


def check_losses(stored: StoredOutputs, figure: Optional[str]) -> None:
    """Refuse documents with which the score is 0 whatever is answered, so that nothing can be lost.

    stored (StoredOutputs): The documents.
    figure (Optional[str]): What the score is; None for the main figure.
    RAISES ValueError: They have no label; or, if the score tells those with a label from those without it, there are not both.
    """
    if not any(docs.any() for docs in stored.label_docs().values()):
        raise ValueError(
            f"None of the labels of the task '{stored.name}' is in any of the {stored.n_docs} documents, so that there is no "
            "score to lose. Give documents with labels, or ask with --min-speedup or --max-disagreement."
        )
    known = stored.label_mask > 0
    true = (stored.targets > 0) & known
    if stored.describe(figure).startswith(MACRO_AUC) and not (true.any(axis=0) & (known & ~true).any(axis=0)).any():
        raise ValueError(
            f"Each label of the task '{stored.name}' is in none of the {stored.n_docs} documents, or in all, so that there is no "
            f"{MACRO_AUC} to lose. Give documents with and without a label, or ask with --min-speedup or --max-disagreement."
        )


def check_component(component: EarlyExitTransformer, task: Optional[str]) -> None:
    """Refuse a component that there is nothing to tune about.

    component (EarlyExitTransformer): The component.
    task (Optional[str]): The task; None if there is only one.
    RAISES ValueError: Several tasks and no name, no weights, or no exits before the last layer.
    """
    if task is None and len(component.slots) > 1 or task is not None and task not in component.slots:
        tasks = list(component.slots)
        raise ValueError(f"The component '{component.name}' has the tasks {tasks}; name one of them with `--task`.")
    if not is_initialized(component.model):
        raise ValueError(f"The component '{component.name}' is not trained; train it first.")
    behind = get_exit_layers(component.model)
    untrained = len(behind) > 1 and component.loss.weighting == "last"
    if len(component.slot(task).exit_layers(component.model)) < 2 or untrained:
        raise ValueError(
            f"The component '{component.name}' was trained without exits before the last layer, so there is nothing to choose "
            'from. Train it with `model.exit_layers = null` and `loss.weighting = "depth"`.'
        )
