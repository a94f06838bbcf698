"""A model card: what is known about a pipeline, from its files. What is not known is said to be unknown."""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence

import srsly
from spacy.language import Language

from .component.pipe import EarlyExitTransformer
from .model import get_settings
from .monitor.counts import TaskCounts, by_depth, find_references
from .scale.notes import components
from .tasks.saved import NOTHING
from .tasks.slot import TaskSlot, answers_by, rule_config
from .tuning.names import name_rule

UNKNOWN = "*unknown*"

ASK = {
    "description": "what it is for",
    "author": "who made it",
    "license": "under which terms it may be used",
    "sources": "which data it has learned from",
}
"""What `meta.json` should have, and what that tells."""

TAGS = {"doc.cats": "text-classification"}
"""What Hugging Face calls tasks, by what they write."""


def make_card(nlp: Language, name: str) -> str:
    """Write a model card, with the front matter of Hugging Face.

    nlp (Language): The pipeline.
    name (str): What to call it if it has no name.
    RETURNS (str): The card, in Markdown.
    """
    meta, pipes = nlp.meta, components(nlp)
    title = "_".join(filter(None, [meta.get("lang"), meta.get("name") or name]))
    lines = ["---", srsly.yaml_dumps(front_matter(nlp, title)).strip(), "---", "", f"# {_text(title)}", ""]
    lines += [_text(meta.get("description")), "", *about(nlp), *data(nlp), *scores(meta)]
    for pipe in pipes:
        for slot in pipe.slots.values():
            lines += task(nlp, pipe, slot)
    return "\n".join([*lines, *limits(meta, pipes)]) + "\n"


def front_matter(nlp: Language, title: str) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What Hugging Face reads of a card."""
    meta = nlp.meta
    kinds = [TAGS[slot.task.assigns] for pipe in components(nlp) for slot in pipe.slots.values() if slot.task.assigns in TAGS]
    matter: Dict[str, Any] = {"library_name": "spacy", "tags": ["spacy", "spacy_epee", "early-exit", *dict.fromkeys(kinds)]}
    matter["language"] = [meta.get("lang") or "unknown"]
    if meta.get("license"):
        matter["license"] = str(meta["license"]).lower()
    if kinds:
        matter["pipeline_tag"] = kinds[0]
    figures = [
        {"name": figure, "type": figure, "value": value} for figure, value in _figures(meta.get("performance") or {}).items()
    ]
    if figures and kinds:
        matter["model-index"] = [{"name": title, "results": [{"task": {"type": kinds[0], "name": kinds[0]}, "metrics": figures}]}]
    return matter


def about(nlp: Language) -> List[str]:
    """RETURNS (List[str]): Lines about who made it, and of what."""
    meta = nlp.meta
    rows = [
        ["version", _text(meta.get("version"))],
        ["language", _text(meta.get("lang"))],
        ["pipeline", ", ".join(nlp.pipe_names)],
    ]
    rows += [[name, _text(meta.get(name))] for name in ("author", "email", "url", "license", "spacy_version")]
    return ["## About", "", *_table(["", ""], rows), ""]


def data(nlp: Language) -> List[str]:
    """RETURNS (List[str]): Lines about what it has learned from."""
    lines = ["## Data", ""]
    for source in nlp.meta.get("sources") or []:
        parts = (
            [_text(source.get(name)) for name in ("name", "author", "license", "url")] if isinstance(source, dict) else [source]
        )
        lines.append(f"- {', '.join(map(str, parts))}")
    lines += [] if len(lines) > 2 else [f"{UNKNOWN}: `sources` in `meta.json` is empty."]
    paths = nlp.config.get("paths") or {}
    # A whole path may tell who made it.
    files = [f"`{Path(str(paths[use])).name}` ({use})" for use in ("train", "dev") if paths.get(use)]
    return [*lines, *(["", f"Files of the training: {', '.join(files)}."] if files else []), ""]


def scores(meta: Dict[str, Any]) -> List[str]:
    """RETURNS (List[str]): Lines with the scores that `spacy train` has noted down."""
    performance = meta.get("performance") or {}
    figures = _figures(performance)
    if not figures:
        return ["## Scores", "", f"{UNKNOWN}: `performance` in `meta.json` is empty; `spacy train` fills it.", ""]
    lines = ["## Scores", "", "On the development documents of the training, from `meta.json`.", ""]
    lines += [*_table(["", ""], [[name, f"{value:.4f}"] for name, value in figures.items()]), ""]
    for name, labels in performance.items():
        if isinstance(labels, dict) and labels and all(isinstance(one, dict) for one in labels.values()):
            kinds = [kind for kind in ("p", "r", "f") if all(isinstance(one.get(kind), (int, float)) for one in labels.values())]
            rows = [[label, *(f"{one[kind]:.4f}" for kind in kinds)] for label, one in labels.items()]
            lines += [f"`{name}`:", "", *_table(["label", *kinds], rows), ""] if kinds else []
    return lines


def task(nlp: Language, pipe: EarlyExitTransformer, slot: TaskSlot) -> List[str]:
    """RETURNS (List[str]): Lines about a task: its labels, its exits, its rule, and what that promises."""
    rule, settings = rule_config(slot.exit), get_settings(pipe.model)
    trunk = nlp.config.interpolate()["components"][pipe.name]["model"].get("trunk", {})
    layers = slot.exit_layers(pipe.model)
    temperatures = slot.cfg.get("temperatures")
    rows = [
        ["labels", ", ".join(slot.labels)],
        ["given", "the best one" if slot.task.exclusive else "all from their thresholds on"],
        ["backbone", _text(Path(str(trunk["name"])).name if trunk.get("name") else None)],
        ["window, in wordpieces", _text(getattr(settings, "window", None))],
        ["exits after the layers", ", ".join(map(str, layers))],
        ["exit rule", name_rule(rule) if rule or slot.exit is None else type(slot.exit).__name__],
        ["temperatures", "none" if temperatures is None else ", ".join(f"{number:.3g}" for number in temperatures)],
        [
            "uncertain from the entropy",
            f"{slot.cfg['uncertain']:.4g}" if "uncertain" in slot.cfg else "never: not tuned with --coverage",
        ],
    ]
    if not slot.task.exclusive:
        thresholds = pipe.label_thresholds(slot.name)
        rows.append(["thresholds", ", ".join(f"{label} {number:.3g}" for label, number in thresholds.items())])
    if "gate" in slot.cfg:
        rows.append(["nothing to find, before the first layer", gate(slot.cfg["gate"])])
    return [
        *[f"## `{slot.title}`", "", *_table(["", ""], rows), ""],
        *["### What the rule costs, and what is promised", "", *tuned(slot), ""],
        *["### Where documents leave", "", *reference(pipe, slot), ""],
    ]


def gate(noted: Dict[str, Any]) -> str:
    """RETURNS (str): What is answered before the first layer as there is nothing to find in it, and what that promises."""
    if "recall" not in noted:
        return f"below a probability of {noted['threshold']:.3g}; nothing is promised"
    return (
        f"at most {100 * (1 - noted['recall']):.3g} % of what there is are lost, with a confidence of {noted['confidence']:g} "
        f"(of {noted['something']} on dev {noted['lost']})"
    )


def tuned(slot: TaskSlot) -> List[str]:
    """RETURNS (List[str]): What `tune` found out about a rule, and what it promises."""
    known = slot.cfg.get("tuned")
    if known is None:
        return [f"{UNKNOWN}: no rule was chosen by `spacy epee tune` for it as it is now. Nothing is promised."]
    settings = answers_by(slot)
    if known["rule"] != json.dumps(settings["rule"]):
        return [f"{UNKNOWN}: the rule was changed since it was chosen by `spacy epee tune`. Nothing is promised."]
    if known.get("settings", json.dumps(settings)) != json.dumps(settings):
        return [f"{UNKNOWN}: thresholds, temperatures or the gate were changed since `spacy epee tune`. Nothing is promised."]
    spread = "" if known["spread"] is None else f" ± {100 * known['spread']:.2f}"
    drop = "" if known["drop"] is None else f" ({-100 * known['drop']:+.2f}{spread})"
    rows = [
        [f"{known['score_desc']}, full depth", _figure(known["full"], 100)],
        [f"{known['score_desc']}, with the rule", _figure(known["score"], 100) + drop],
        ["documents with another answer", _figure(known["disagreement"], 100, " %")],
        ["layers, by wordpieces", _figure(known["wordpiece_layers"])],
        ["times fewer layers", _figure(known["speedup"])],
    ]
    wish = ", ".join(f"{name} {value:g}" for name, value in known["wish"].items())
    lines = [f"Chosen by `spacy epee tune` on {known['documents']} documents ({wish}), on which these figures are:", ""]
    lines += [*_table(["", ""], rows), ""]
    promise = known.get("promise")
    if promise is None:
        return [*lines, "Nothing is promised for other documents; `--max-disagreement` does that."]
    if not promise["kept"]:
        return [*lines, "No rule could keep the promise that was asked for, so that the full depth is run."]
    return [
        *lines,
        f"With a confidence of {promise['confidence']:g}, at most {100 * promise['max_disagreement']:g} % of documents like "
        f"these get another answer than at full depth (tested on {promise['documents']} of them).",
    ]


def reference(pipe: EarlyExitTransformer, slot: TaskSlot) -> List[str]:
    """RETURNS (List[str]): Where the documents left that it was tuned on."""
    counts: Optional[TaskCounts] = find_references([pipe]).counts.get((pipe.name, slot.name))
    if counts is None or not counts.documents:
        return [f"{UNKNOWN}: nothing was counted with this rule and these thresholds. `spacy epee tune` does so."]
    layers = sorted(counts.layers.items(), key=lambda one: by_depth(one[0]))
    rows = [(f"layer {layer}" if layer != NOTHING else "nothing to answer", count) for layer, count in layers]
    rows += [("uncertain", counts.uncertain), *((f"label {label}", count) for label, count in counts.given.items())]
    shares = [[what, f"{100 * count / counts.documents:.2f} %"] for what, count in rows]
    return [f"Of {counts.documents} documents that it was tuned on:", "", *_table(["", ""], shares)]


def limits(meta: Dict[str, Any], pipes: Sequence[EarlyExitTransformer]) -> List[str]:
    """RETURNS (List[str]): What it cannot be trusted with."""
    lines = [
        "- What was chosen or promised holds for documents like those that it was tuned on. Other hospitals, years and kinds of "
        "notes can differ: `spacy epee monitor` compares.",
        "- Answers can be wrong without being flagged as uncertain. A person answers for what is done with them.",
    ]
    heads = [slot.heads(pipe.model) for pipe in pipes for slot in pipe.slots.values()]
    if any(own.lexical is not None or own.gate is not None for own in heads):
        lines.append(
            "- What answers before the first layer keeps hashes of n-grams of the training documents, which can be guessed."
        )
    missing = [about for name, about in ASK.items() if not meta.get(name)]
    missing += ["how it does on groups of patients", "what it must not be used for"]
    return ["## Limits", "", *lines, "", "## Not known", "", *(f"- {UNKNOWN}: {about}" for about in missing)]


def _figures(performance: Dict[str, Any]) -> Dict[str, float]:
    """RETURNS (Dict[str, float]): The figures that are numbers."""
    numbers = {name: value for name, value in performance.items() if isinstance(value, (int, float))}
    return {name: round(float(value), 4) for name, value in numbers.items() if not isinstance(value, bool)}


def _figure(value: Optional[float], times: int = 1, unit: str = "") -> str:
    """RETURNS (str): A figure, or that it is unknown."""
    return UNKNOWN if value is None else f"{times * value:.2f}{unit}"


def _text(value: Any) -> str:
    """RETURNS (str): A value on a line, or that it is unknown."""
    return " ".join(str(value).split()) if value not in (None, "") else UNKNOWN


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> List[str]:
    """RETURNS (List[str]): The lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(_text(cell).replace('|', chr(92) + '|') if cell else '' for cell in row)} |" for row in lines]
