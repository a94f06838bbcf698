"""Figures of the answers of a component's tasks."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..doc_attributes import copy_doc, exits_of
from ..engine.results import Predictions
from ..tasks.slot import TaskSlot
from ..tasks.unknown import Unknown, find_unknown, known_names, showable, without_labels
from .rivals import has_rivals, labels_elsewhere, tell_others

Figures = Dict[str, Any]
"""Scores by name."""


def score_tasks(
    slots: Dict[str, TaskSlot],
    examples: Sequence[Example],
    name: str,
    full: Optional[Mapping[str, Predictions]],
    **kwargs: Any,
) -> Figures:
    """Score the answers that are written on documents, and the layers they took.

    slots (Dict[str, TaskSlot]): The tasks.
    examples (Sequence[Example]): The examples.
    name (str): The component.
    full (Optional[Mapping[str, Predictions]]): The answers at full depth; None if there are none to compare with.
    RETURNS (Dict[str, Any]): The figures, see `EarlyExitTransformer.score`.
    """
    entries = [exits_of(eg.predicted).get(name, {}) for eg in examples]
    by_task: Dict[str, Figures] = {}
    for task, slot in slots.items():
        unknown = find_unknown_labels(slots, task, examples)
        unknown.warn(slot.called)
        scores = by_task[task] = showable(run_scorer(slot, examples, unknown, **kwargs), known_names(slot.cfg))
        layers = [unit["layer"] for entry in entries if entry.get(task) for unit in entry[task]["units"]]
        unknown_answers = [entry[task]["unknown"] for entry in entries if "unknown" in entry.get(task, {})]
        if unknown_answers:
            scores["unknown"] = float(numpy.mean(unknown_answers))
        scores["exit_layer"] = float(numpy.mean(layers)) if layers else 0.0
        if full:
            at_full = run_scorer(slot, write_answers(slot, examples, full[task]), unknown, **kwargs)
            scores[slot.task.full] = at_full.get(slot.task.main)
        else:
            scores[slot.task.full] = scores.get(slot.task.main) if slot.exit is None else None
    figures = {
        f"{slots[task].prefix}{figure}": score for task, task_scores in by_task.items() for figure, score in task_scores.items()
    }
    read = [record["sections"] for entry in entries for record in [*entry.values()][:1] if "sections" in record]
    if read:
        figures["without_sections"] = read.count(False)
    if not all(slot.alone for slot in slots.values()):
        figures.update(joint_figures(slots, by_task, entries))
    if any(exits_of(eg.predicted).keys() - {name} for eg in examples):  # spaCy keeps the last one's of the same name
        figures.update({f"{name}_{figure}": score for figure, score in figures.items()})
    return figures


def joint_figures(slots: Dict[str, TaskSlot], by_task: Dict[str, Figures], entries: Sequence[Dict[str, Any]]) -> Figures:
    """Join the figures of several tasks.

    slots (Dict[str, TaskSlot]): The tasks.
    by_task (Dict[str, Dict[str, Any]]): The figures of each.
    entries (Sequence[Dict[str, Any]]): What `doc._.exits` has of the component, of each document.
    RETURNS (Dict[str, Any]): The means of the main figures, and of the last layers that ran.
    """
    figures: Figures = {}
    for name, kind in (("joint_score", "main"), ("joint_full", "full")):
        means = [
            scores.get(getattr(slots[task].task, kind))
            for task, scores in by_task.items()
            if scores.get(slots[task].task.main) is not None
        ]
        figures[name] = None if not means or None in means else float(numpy.mean(means))  # type: ignore[arg-type]
    deepest = [max((unit["layer"] for record in entry.values() for unit in record["units"]), default=0) for entry in entries]
    figures["exit_layer"] = float(numpy.mean(deepest)) if deepest else 0.0
    return figures


def find_unknown_labels(
    slots: Dict[str, TaskSlot], task: str, examples: Sequence[Example], nlp: Optional[Language] = None
) -> Unknown:
    """Find what is annotated and no answer of a task can be: it is scored as missed. What other components have answered, or
    may, is not among it.

    slots (Dict[str, TaskSlot]): The tasks of the component.
    task (str): The name of this one.
    examples (Sequence[Example]): The examples.
    nlp (Optional[Language]): The pipeline, if its other components have not all run on the predicted Docs.
    RETURNS (Unknown): What cannot be answered.
    """
    slot = slots[task]
    tell_others(slots)
    elsewhere = {label for eg in examples for label in slot.task.answered_labels(eg.predicted)}
    elsewhere.update(slot.task.others)
    if nlp is not None:
        elsewhere.update(labels_elsewhere(nlp, slots, slot.task.assigns))
    elif slot.task.assigns != "doc.cats" and has_rivals(examples, slot.component, slot.task.name):
        elsewhere.update(label for eg in examples for label in slot.task.true_labels(eg.reference))
    return find_unknown(slot.task, slot.labels, examples, elsewhere)


def run_scorer(slot: TaskSlot, examples: Sequence[Example], unknown: Unknown, **kwargs: Any) -> Figures:
    """Run the scorer of a task. Labels that it does not know are scored with its own, as never given.

    slot (TaskSlot): The task.
    examples (Sequence[Example]): The examples, with answers.
    unknown (Unknown): What no answer can be.
    RETURNS (Dict[str, Any]): The scorer's figures. They may name unknown labels, see `showable`.
    """
    if slot.scorer is None:
        return {}
    labels = (*slot.labels, *unknown.labels)
    if slot.task.assigns == "doc.cats":
        rows = range(len(examples))
        if not slot.alone:  # spaCy takes what is not annotated for wrong
            rows = [row for row in rows if set(examples[row].reference.cats) & set(labels)]  # type: ignore[assignment]
        without = set(unknown.without)
        examples = [without_labels(examples[row], labels) if row in without else examples[row] for row in rows]
    settings = {**slot.cfg, "labels": labels, **slot.task.score_settings(), **kwargs}
    if slot.task.assigns == "doc.cats" and "label_thresholds" in slot.cfg and "threshold" not in kwargs:
        thresholds = {**dict.fromkeys(labels, slot.cfg["threshold"]), **slot.cfg["label_thresholds"]}
        settings.update(threshold=0.5, getter=_Levelled(thresholds))
    scores = dict(slot.scorer(examples, **settings))
    positive = slot.cfg.get("positive_label")
    if unknown.labels and positive in (scores.get("cats_f_per_type") or {}):  # spaCy asks for it among two labels alone
        scores.update(cats_score=scores["cats_f_per_type"][positive]["f"], cats_score_desc=f"F ({positive})")
    return scores


@dataclass(frozen=True)
class _Levelled:
    """What spaCy's scorer reads from Docs where labels have thresholds of their own, and it takes one: scores in the same order,
    from 0.5 on where they are from the label's threshold on. Annotation stays as it is."""

    thresholds: Dict[str, float]

    def __call__(self, doc: Doc, attribute: str) -> Dict[str, float]:
        return {
            label: value / 2 if not value or value < self.thresholds.get(label, 0.5) else (value + 1) / 2
            for label, value in getattr(doc, attribute).items()
        }


def write_answers(slot: TaskSlot, examples: Sequence[Example], answers: Predictions) -> List[Example]:
    """Write answers on copies of documents.

    slot (TaskSlot): The task.
    examples (Sequence[Example]): The examples.
    answers (Predictions): An answer for each.
    RETURNS (List[Example]): The examples with the answers.
    """
    docs = [copy_doc(eg.predicted) for eg in examples]
    slot.task.annotate(docs, answers, slot.labels)
    return [Example(doc, eg.reference) for doc, eg in zip(docs, examples)]
