"""What a report on a pipeline's exits shows, as plain values."""

from typing import Any, Dict, List, Optional

import numpy

from ..doc_attributes import copy_doc
from ..tuning.search import Candidate
from ..tuning.tuner import Tuner

LENGTHS = 8
"""How many groups of about equally many units are made by length."""


def make_report(tuning: Tuner, examples: int = 0, timing: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """Put together what is shown of the rule that a component has.

    tuning (Tuner): The search for rules on the documents.
    examples (int): How many documents to show with their text. Without any, nothing of a document is in the report.
    timing (Optional[Dict[str, Any]]): The settings of `Tuner.time`; None does not time.
    RETURNS (Dict[str, Any]): The report of the search, with `chosen`, `histogram`, `calibration_curves`, `lengths` and
        `examples`.
    """
    stored, found = tuning.stored, tuning.simulation()
    layers, docs, wordpieces = found.layers, stored.docs, stored.wordpieces
    differs = numpy.zeros(stored.n_docs, dtype=bool)
    differs[docs[found.differs]] = True
    weighted = float(wordpieces @ layers / max(wordpieces.sum(), 1))
    trial = Candidate(
        "the pipeline's rule", tuning.rule, float(layers.mean()), weighted, tuning.score(found), float(differs.mean())
    )
    histogram = {
        label: numpy.bincount(layers[own[docs]], minlength=stored.layers[-1] + 1).tolist()
        for label, own in stored.label_docs().items()
    }
    ones = [1.0] * len(stored.layers)
    temperatures = stored.slot.cfg.get("temperatures") or ones
    curves = [
        {"layer": layer, "before": before, "after": after}
        for layer, before, after in zip(stored.layers, stored.reliability(ones), stored.reliability(temperatures))
    ]
    tuning.shown.insert(0, trial)
    tuning.report["front"] = [tuning.row(one) for one in tuning.shown]
    if timing is not None:
        tuning.time(**timing)
    report = {**tuning.report, "histogram": histogram, "calibration_curves": curves, "lengths": _lengths(wordpieces, layers)}
    report["chosen"], *report["front"] = tuning.report["front"]
    uncertain = stored.slot.cfg.get("uncertain")
    report["uncertain_above"] = uncertain
    report["examples"] = _examples(tuning, found.layers, examples) if examples else []
    return report


def _lengths(wordpieces: numpy.ndarray, layers: numpy.ndarray) -> List[Dict[str, float]]:
    """The mean layer and the cost of units, by length."""
    groups = numpy.array_split(numpy.argsort(wordpieces, kind="stable"), min(LENGTHS, len(wordpieces)))
    return [
        {
            "units": len(group),
            "wordpieces": float(wordpieces[group].mean()),
            "layers": float(layers[group].mean()),
            "cost": float((wordpieces[group] * layers[group]).mean()),
        }
        for group in groups
    ]


def _examples(tuning: Tuner, layers: numpy.ndarray, count: int) -> List[Dict[str, Any]]:
    """Some documents with their text, evenly from those that left first to those that climbed highest."""
    stored, component = tuning.stored, tuning.component
    deepest = numpy.zeros(stored.n_docs)
    numpy.maximum.at(deepest, stored.docs, layers)
    order = numpy.argsort(deepest, kind="stable")
    chosen = numpy.unique(numpy.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    docs = [copy_doc(stored.examples[order[place]].predicted) for place in chosen]
    component.set_annotations(docs, {stored.name: component.answer(docs, tuning.rule, stored.name)})
    shown = []
    for doc in docs:
        entry = doc._.exits[component.name][stored.name]
        answer = stored.task.show(doc, stored.labels)
        units = [f"{unit['layer']} ({unit['reason']})" for unit in entry["units"]]
        shown.append({"text": doc.text, "answer": answer, "units": ", ".join(units), "uncertain": entry["uncertain"]})
    return shown
