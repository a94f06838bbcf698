"""The factories and their defaults. Light to import: spaCy loads this file whenever a pipeline is made."""

from typing import Any, Callable, Dict, Optional, Union

from spacy.language import Language
from thinc.api import Config, Model

TRUNK = """
[model.trunk]
@architectures = "spacy-epee.TransformerTrunk.v1"
name = ""
component = null
window = 256
overlap = 32
freeze_embeddings = true
lr_decay = 1.0
mixed_precision = true
max_wordpieces = 4096
frozen = false
"""

LOSS = """
[loss]
@misc = "spacy-epee.JointLoss.v1"
weighting = "depth"
self_distillation = 0.0
temperature = 3.0
"""

SINGLE = """
[model]
@architectures = "spacy-epee.EarlyExitModel.v1"
exit_layers = null

[exit]
@misc = "spacy-epee.EntropyPatience.v1"
entropy = 0.1
patience = 4
"""

SEVERAL = """
[model]
@architectures = "spacy-epee.JointModel.v1"
exit_layers = null
heads = {}
"""

IMAGE_TRUNK = """
[model.trunk]
@architectures = "spacy-epee.ImageTrunk.v1"
name = ""
image_size = null
freeze_embeddings = true
lr_decay = 1.0
mixed_precision = true
max_patches = 4096
frozen = false
"""

POOLED = """
[model.head]
@architectures = "spacy-epee.PooledHead.v1"
pooling = "mean"
dropout = 0.1
learned_exit = false
standardize = true
lr_scale = 10.0
"""

CLS = POOLED.replace("mean", "cls")

PAIRS = """
[model.head]
@architectures = "spacy-epee.PairHead.v1"
hidden = 128
between = true
attributes = true
dropout = 0.1
learned_exit = false
standardize = true
lr_scale = 10.0

[candidates]
@misc = "spacy-epee.EntityPairs.v1"
spans_key = null
labels = null
symmetric = false
max_distance = null
same_sentence = false
max_pairs = 20000
"""

TAGS = """
[model.head]
@architectures = "spacy-epee.EventHead.v1"
hidden = 128
dropout = 0.1
learned_exit = false
standardize = true
lr_scale = 10.0
"""

JOINT = """
joint = "all"
compare_full_depth = true
tasks = {}
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

RELATIONS = """
exclusive = true
hide_entities = 0.0
threshold = 0.5
reduce = "max"
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy-epee.relations_scorer.v1"}
"""

EVENTS = """
arguments = "free"
spans_key = null
triggers_key = null
max_pairs = 5000
threshold = 0.5
reduce = "max"
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy-epee.events_scorer.v1"}
"""

IMAGECAT = """
exclusive = true
threshold = 0.5
reduce = "max"
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy-epee.imagecat_scorer.v1"}
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


RELATION_SCORES: Dict[str, Optional[float]] = {
    "rel_micro_f": 0.5,
    "rel_full": 0.5,
    "exit_layer": 0.0,
    "rel_micro_p": None,
    "rel_micro_r": None,
    "rel_macro_p": None,
    "rel_macro_r": None,
    "rel_macro_f": None,
    "rel_f_per_type": None,
}


EVENT_SCORES: Dict[str, Optional[float]] = {
    "ev_f": 0.5,
    "ev_full": 0.5,
    "exit_layer": 0.0,
    **{
        f"ev_{what}_{figure}": None
        for what in ("trigger_id", "trigger", "arg_id", "arg", "main", "role", "token_trigger", "token_arg", "attr")
        for figure in "prf"
    },
    "ev_trigger_per_type": None,
    "ev_role_per_type": None,
    "ev_triggers": None,
}


JOINT_SCORES: Dict[str, Optional[float]] = {"joint_score": 0.5, "joint_full": 0.5, "exit_layer": 0.0}


def _defaults(settings: str, model: str, trunk: str = TRUNK) -> Dict[str, Any]:
    blocks = (model + trunk + LOSS).replace("\n[", "\n[component.")
    return Config().from_str("[component]\n" + settings + blocks, interpolate=False)["component"]


@Language.factory(
    "epee",
    assigns=["doc.cats", "doc._.relations", "doc._.events", "doc.spans", "doc._.exits"],
    default_config=_defaults(JOINT, SEVERAL),
    default_score_weights=JOINT_SCORES,
)
def make_epee(
    nlp: Language,
    name: str,
    model: Model,
    tasks: Dict[str, Any],
    loss: Callable,
    joint: str,
    compare_full_depth: bool,
):
    """Make an early-exiting component with several tasks over one trunk.

    model (Model): The early-exiting model, with classifiers for each task.
    tasks (Dict[str, Part]): The tasks, by name, each with its exit rule.
    loss (JointLoss): How the exits are trained.
    joint (str): "all", a text climbs until all tasks are settled that decide (those with the highest priority of the tasks that
        ask about it), or "any", until one of them is.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    """
    from .component import EarlyExitTransformer

    return EarlyExitTransformer(
        nlp.vocab, model, name, parts=tasks, loss=loss, joint=joint, compare_full_depth=compare_full_depth
    )


@Language.factory(
    "epee_textcat",
    assigns=["doc.cats", "doc._.exits"],
    default_config=_defaults(TEXTCAT, SINGLE + POOLED),
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
    from .tasks.textcat import TextCat

    task = TextCat(exclusive=True, label_weights=label_weights, reduce="mean")
    return _make(nlp, name, model, task, exit, loss, compare_full_depth, scorer)


@Language.factory(
    "epee_textcat_multilabel",
    assigns=["doc.cats", "doc._.exits"],
    default_config=_defaults(TEXTCAT_MULTILABEL, SINGLE + POOLED),
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
    from .tasks.textcat import TextCat

    task = TextCat(exclusive=False, label_weights=label_weights, reduce=reduce)
    return _make(nlp, name, model, task, exit, loss, compare_full_depth, scorer, threshold)


@Language.factory(
    "epee_relations",
    assigns=["doc._.relations", "doc._.exits"],
    requires=["doc.ents"],
    default_config=_defaults(RELATIONS, SINGLE + PAIRS),
    default_score_weights=RELATION_SCORES,
)
def make_relations(
    nlp: Language,
    name: str,
    model: Model,
    candidates: Any,
    exit: Optional[Any],
    loss: Callable,
    exclusive: bool,
    hide_entities: float,
    threshold: float,
    reduce: str,
    label_weights: Dict[str, float],
    compare_full_depth: bool,
    scorer: Optional[Callable],
):
    """Make an early-exiting component that finds relations between entities.

    model (Model): The early-exiting model.
    candidates (EntityPairs): Which entities may be related.
    exit (Optional[ExitRule]): When a window leaves; null runs the full depth.
    loss (JointLoss): How the exits are trained.
    exclusive (bool): A pair has one label or none, or any number of them.
    hide_entities (float): The share of entities that are masked in training, so that what relates them is learned and not
        their names.
    threshold (float): The probability from which a label counts as given, if labels are not exclusive.
    reduce (str): How the uncertainties of a window's pairs are joined for the exit rule: "max", the least settled one, or
        "mean".
    label_weights (Dict[str, float]): How much a label counts in the loss; 1 for those not named.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    from .tasks.relations import Relations

    task = Relations(
        candidates=candidates,
        exclusive=exclusive,
        label_weights=label_weights,
        reduce=reduce,
        hide_entities=hide_entities,
    )
    return _make(nlp, name, model, task, exit, loss, compare_full_depth, scorer, threshold)


@Language.factory(
    "epee_events",
    assigns=["doc._.events", "doc._.exits", "doc.spans"],
    default_config=_defaults(EVENTS, SINGLE + TAGS),
    default_score_weights=EVENT_SCORES,
)
def make_events(
    nlp: Language,
    name: str,
    model: Model,
    exit: Optional[Any],
    loss: Callable,
    arguments: str,
    spans_key: Optional[str],
    triggers_key: Optional[str],
    max_pairs: int,
    threshold: float,
    reduce: Union[str, float],
    label_weights: Dict[str, float],
    compare_full_depth: bool,
    scorer: Optional[Callable],
):
    """Make an early-exiting component that finds events: triggers and their arguments.

    model (Model): The early-exiting model.
    exit (Optional[ExitRule]): When a window leaves; null runs the full depth.
    loss (JointLoss): How the exits are trained.
    arguments (str): "free", arguments are found in the text, or "entities", they are among given entities.
    spans_key (Optional[str]): The span group of these entities; null for `doc.ents`.
    triggers_key (Optional[str]): The span group of triggers that are given; null finds them in the text.
    max_pairs (int): The most pairs of spans in a window that are looked at.
    threshold (float): The probability from which a link of two spans, or an attribute, counts as given.
    reduce (Union[str, float]): How the uncertainties of a window's tokens are joined for the exit rule: "max", the least
        settled one, "mean", or a quantile such as 0.9.
    label_weights (Dict[str, float]): How much an event's triggers count in the loss; 1 for those not named.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    from .tasks.events import Events

    task = Events(
        arguments=arguments,
        spans_key=spans_key,
        triggers_key=triggers_key,
        max_pairs=max_pairs,
        label_weights=label_weights,
        reduce=reduce,
    )
    return _make(nlp, name, model, task, exit, loss, compare_full_depth, scorer, threshold)


@Language.factory(
    "epee_imagecat",
    assigns=["doc.cats", "doc._.exits"],
    requires=["doc._.image"],
    default_config=_defaults(IMAGECAT, SINGLE + CLS, IMAGE_TRUNK),
    default_score_weights=SCORES,
)
def make_imagecat(
    nlp: Language,
    name: str,
    model: Model,
    exit: Optional[Any],
    loss: Callable,
    exclusive: bool,
    threshold: float,
    reduce: str,
    label_weights: Dict[str, float],
    compare_full_depth: bool,
    scorer: Optional[Callable],
):
    """Make an early-exiting classifier of the image in `doc._.image`.

    model (Model): The early-exiting model, with a trunk for images.
    exit (Optional[ExitRule]): When to leave; null runs the full depth.
    loss (JointLoss): How the exits are trained.
    exclusive (bool): An image has exactly one label, or any number of them.
    threshold (float): The probability from which a label counts as given, if labels are not exclusive.
    reduce (str): How the labels' uncertainties are joined for the exit rule, if they are not exclusive: "max", the least
        settled one, or "mean".
    label_weights (Dict[str, float]): How much a label counts in the loss; 1 for those not named.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    from .tasks.imagecat import ImageCat

    task = ImageCat(exclusive=exclusive, label_weights=label_weights, reduce=reduce)
    return _make(nlp, name, model, task, exit, loss, compare_full_depth, scorer, threshold)


def _make(nlp, name, model, task, exit, loss, compare_full_depth, scorer, threshold=0.5):
    # torch is not imported before a component is made.
    from .component import EarlyExitTransformer
    from .part import Part

    parts = {task.name: Part(task, exit, scorer, threshold)}
    return EarlyExitTransformer(nlp.vocab, model, name, parts=parts, loss=loss, compare_full_depth=compare_full_depth)
