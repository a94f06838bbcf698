"""The factories and their defaults. Light to import: spaCy loads this file whenever a pipeline is made."""

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Union, cast

from spacy.language import Language
from thinc.api import Model

from .defaults import (
    CLS,
    EVENT_SCORES,
    EVENTS,
    FEW,
    IMAGE_TRUNK,
    IMAGECAT,
    JOINT,
    JOINT_SCORES,
    PAIRS,
    POOLED,
    RELATION_SCORES,
    RELATIONS,
    SCORES,
    SEVERAL,
    SINGLE,
    TAGS,
    TEXTCAT,
    TEXTCAT_MULTILABEL,
    block_of,
)

if TYPE_CHECKING:
    from .engine.loop import Joint
    from .training.losses import JointLoss


@Language.factory(
    "epee",
    assigns=["doc.cats", "doc._.relations", "doc._.events", "doc.spans", "doc._.exits"],
    default_config=block_of(JOINT, SEVERAL),
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
    tasks (Dict[str, TaskSlot]): The tasks, by name, each with its exit rule.
    loss (JointLoss): How the exits are trained.
    joint (str): "all", a text climbs until all tasks are settled that decide (those with the highest priority of the tasks that
        ask about it), or "any", until one of them is.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    """
    from .component.pipe import EarlyExitTransformer

    return EarlyExitTransformer(
        nlp.vocab,
        model,
        name,
        slots=tasks,
        loss=cast("JointLoss", loss),
        joint=cast("Joint", joint),
        compare_full_depth=compare_full_depth,
    )


@Language.factory(
    "epee_textcat",
    assigns=["doc.cats", "doc._.exits"],
    default_config=block_of(TEXTCAT, SINGLE + POOLED),
    default_score_weights=SCORES,
)
def make_textcat(
    nlp: Language,
    name: str,
    model: Model,
    exit: Optional[Any],
    loss: Callable,
    label_weights: Union[str, Dict[str, float]],
    unknown_threshold: float,
    compare_full_depth: bool,
    scorer: Optional[Callable],
):
    """Make an early-exiting classifier of documents with exclusive labels.

    model (Model): The early-exiting model.
    exit (Optional[ExitRule]): When to leave; null runs the full depth.
    loss (JointLoss): How the exits are trained.
    label_weights (Union[str, Dict[str, float]]): How much a label counts in the loss; 1 for those not named. "balanced" works
        it out from the training data: the rarer a label is, the more.
    unknown_threshold (float): The probability that the best label must have: below it a document is given none, and has
        `unknown` in `doc._.exits`. 0: each document is given its best label.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    from .tasks.textcat.builder import TextCatTask

    task = TextCatTask(exit, scorer, exclusive=True, label_weights=label_weights, unknown_threshold=unknown_threshold)
    return _make(nlp, name, model, task, loss, compare_full_depth)


@Language.factory(
    "epee_textcat_multilabel",
    assigns=["doc.cats", "doc._.exits"],
    default_config=block_of(TEXTCAT_MULTILABEL, SINGLE + POOLED),
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
    label_weights: Union[str, Dict[str, float]],
    compare_full_depth: bool,
    scorer: Optional[Callable],
):
    """Make an early-exiting classifier of documents with any number of labels.

    model (Model): The early-exiting model.
    exit (Optional[ExitRule]): When to leave; null runs the full depth.
    loss (JointLoss): How the exits are trained.
    threshold (float): The probability from which a label counts as given.
    reduce (str): How the labels' uncertainties are joined for the exit rule: "max", the least settled one, or "mean".
    label_weights (Union[str, Dict[str, float]]): How much a label's positives count in the loss; 1 for those not named.
        "balanced" works it out from the training data: as much as its negatives in all, and at most 20.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    from .tasks.textcat.builder import TextCatTask

    task = TextCatTask(exit, scorer, exclusive=False, threshold=threshold, reduce=reduce, label_weights=label_weights)
    return _make(nlp, name, model, task, loss, compare_full_depth)


@Language.factory(
    "epee_relations",
    assigns=["doc._.relations", "doc._.exits"],
    requires=["doc.ents"],
    default_config=block_of(RELATIONS, FEW + PAIRS),
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
    from .tasks.relations.builder import RelationsTask

    task = RelationsTask(exit, scorer, candidates, exclusive, hide_entities, threshold, reduce, label_weights)
    return _make(nlp, name, model, task, loss, compare_full_depth)


@Language.factory(
    "epee_events",
    assigns=["doc._.events", "doc._.exits", "doc.spans"],
    default_config=block_of(EVENTS, FEW + TAGS),
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
    leave_out: Optional[List[str]],
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
    leave_out (Optional[List[str]]): Attributes, such as "is_negated" of medSpaCy. Of these entities those are no arguments of
        which one is true. null leaves out none.
    triggers_key (Optional[str]): The span group of triggers that are given; null finds them in the text.
    max_pairs (int): The most pairs of spans in a window that are looked at.
    threshold (float): The probability from which a link of two spans, or an attribute, counts as given.
    reduce (Union[str, float]): How the uncertainties of a window's tokens are joined for the exit rule: "max", the least
        settled one, "mean", or a quantile such as 0.9.
    label_weights (Dict[str, float]): How much an event's triggers count in the loss; 1 for those not named.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    from .tasks.events.builder import EventsTask

    task = EventsTask(exit, scorer, arguments, spans_key, triggers_key, max_pairs, threshold, reduce, label_weights, leave_out)
    return _make(nlp, name, model, task, loss, compare_full_depth)


@Language.factory(
    "epee_imagecat",
    assigns=["doc.cats", "doc._.exits"],
    requires=["doc._.image"],
    default_config=block_of(IMAGECAT, SINGLE + CLS, IMAGE_TRUNK),
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
    label_weights: Union[str, Dict[str, float]],
    unknown_threshold: float,
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
    label_weights (Union[str, Dict[str, float]]): How much a label counts in the loss; 1 for those not named. "balanced" works
        it out from the training data: the rarer a label is, the more.
    unknown_threshold (float): The probability that the best label must have, if labels are exclusive: below it an image is given
        none. 0: each is given its best label.
    compare_full_depth (bool): Whether scoring also runs the full depth.
    scorer (Optional[Callable]): The scoring method.
    """
    from .tasks.imagecat.builder import ImageCatTask

    task = ImageCatTask(exit, scorer, exclusive, threshold, reduce, label_weights, unknown_threshold)
    return _make(nlp, name, model, task, loss, compare_full_depth)


@Language.factory("epee_plain")
def make_plain(nlp: Language, name: str):
    """Make a component that takes off documents what cannot be saved, so that they can be written to files and come back from
    other processes (`n_process`). Put it last, behind components that leave objects of Python in extension attributes."""
    from .component.plain import keep_plain

    return keep_plain


def _make(nlp, name, model, task, loss, compare_full_depth):
    # torch is not imported before a component is made.
    from .component.pipe import EarlyExitTransformer

    slots = {task.task.name: task}
    return EarlyExitTransformer(nlp.vocab, model, name, slots=slots, loss=loss, compare_full_depth=compare_full_depth)
