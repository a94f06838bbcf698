"""The factories and their defaults. Light to import: spaCy loads this file whenever a pipeline is made."""

from typing import Any, Callable, Dict, Optional

from spacy.language import Language
from thinc.api import Config, Model

MODEL = """
[model]
@architectures = "spacy-epee.EarlyExitModel.v1"
exit_layers = null

[model.trunk]
@architectures = "spacy-epee.TransformerTrunk.v1"
name = ""
window = 256
overlap = 32
freeze_embeddings = true
lr_decay = 1.0
mixed_precision = true
max_wordpieces = 4096

[model.head]
@architectures = "spacy-epee.PooledHead.v1"
pooling = "mean"
dropout = 0.1
learned_exit = false
lr_scale = 10.0

[exit]
@misc = "spacy-epee.EntropyPatience.v1"
entropy = 0.1
patience = 4

[loss]
@misc = "spacy-epee.JointLoss.v1"
weighting = "depth"
self_distillation = 0.0
temperature = 3.0
"""

TEXTCAT = """
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy.textcat_scorer.v2"}
"""

TEXTCAT_MULTILABEL = """
threshold = 0.5
reduce = "max"
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy.textcat_multilabel_scorer.v2"}
"""

SCORES: Dict[str, Optional[float]] = {
    "cats_score": 0.5,
    "cats_full": 0.5,
    "exit_layer": 0.0,
    "cats_score_desc": None,
    "cats_micro_p": None,
    "cats_micro_r": None,
    "cats_micro_f": None,
    "cats_macro_p": None,
    "cats_macro_r": None,
    "cats_macro_f": None,
    "cats_macro_auc": None,
    "cats_f_per_type": None,
}


def _defaults(settings: str) -> Dict[str, Any]:
    return Config().from_str("[component]\n" + settings + MODEL.replace("[", "[component."), interpolate=False)["component"]


@Language.factory(
    "epee_textcat",
    assigns=["doc.cats", "doc._.exits"],
    default_config=_defaults(TEXTCAT),
    default_score_weights=SCORES,
)
def make_textcat(
    nlp: Language,
    name: str,
    model: Model,
    exit: Optional[Any],
    loss: Callable,
    label_weights: Dict[str, float],
    compare_full_depth: bool,
    scorer: Optional[Callable],
):
    """Make an early-exiting classifier of documents with exclusive labels.

    model (Model): The early-exiting model.
    exit (Optional[ExitRule]): When to leave; null runs the full depth.
    loss (JointLoss): How the exits are trained.
    label_weights (Dict[str, float]): How much a label counts in the loss; 1 for those not named.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    return _make(nlp, name, model, exit, loss, label_weights, compare_full_depth, scorer, exclusive=True)


@Language.factory(
    "epee_textcat_multilabel",
    assigns=["doc.cats", "doc._.exits"],
    default_config=_defaults(TEXTCAT_MULTILABEL),
    default_score_weights=SCORES,
)
def make_textcat_multilabel(
    nlp: Language,
    name: str,
    model: Model,
    exit: Optional[Any],
    loss: Callable,
    threshold: float,
    reduce: str,
    label_weights: Dict[str, float],
    compare_full_depth: bool,
    scorer: Optional[Callable],
):
    """Make an early-exiting classifier of documents with any number of labels.

    model (Model): The early-exiting model.
    exit (Optional[ExitRule]): When to leave; null runs the full depth.
    loss (JointLoss): How the exits are trained.
    threshold (float): The probability from which a label counts as given.
    reduce (str): How the labels' uncertainties are joined for the exit rule: "max", the least settled one, or "mean".
    label_weights (Dict[str, float]): How much a label's positives count in the loss; 1 for those not named.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    options = {"exclusive": False, "threshold": threshold, "reduce": reduce}
    return _make(nlp, name, model, exit, loss, label_weights, compare_full_depth, scorer, **options)


def _make(nlp, name, model, exit, loss, label_weights, compare_full_depth, scorer, *, exclusive, threshold=0.5, reduce="mean"):
    # torch is not imported before a component is made.
    from .component import EarlyExitTransformer
    from .tasks.textcat import TextCat

    return EarlyExitTransformer(
        nlp.vocab,
        model,
        name,
        task=TextCat(exclusive=exclusive, label_weights=label_weights, reduce=reduce),
        exit=exit,
        loss=loss,
        threshold=threshold,
        scorer=scorer,
        compare_full_depth=compare_full_depth,
    )
