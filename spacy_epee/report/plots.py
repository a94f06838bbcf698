"""The pictures of a report."""

from io import BytesIO
from typing import Any, Dict

import numpy
from matplotlib import colormaps
from matplotlib.figure import Figure


def draw(report: Dict[str, Any]) -> Dict[str, bytes]:
    """Draw the pictures of a report.

    report (Dict[str, Any]): What `make_report` returned.
    RETURNS (Dict[str, bytes]): PNGs by name.
    """
    kinds = {"curves": curves, "histogram": histogram, "calibration": calibration, "lengths": lengths}
    found = {}
    for name, make in kinds.items():
        buffer = BytesIO()
        make(report).savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        found[name] = buffer.getvalue()
    return found


def curves(report: Dict[str, Any]) -> Figure:
    """RETURNS (Figure): Score against layers of all rules, with the full depth and the pipeline's rule."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    colors, marks = colormaps["tab20"].colors, ["-", "--", ":"]  # type: ignore[attr-defined]
    for number, (name, points) in enumerate(report["curves"].items()):
        if points:
            layers, scores = zip(*points)
            style = {"linestyle": marks[number % 3], "color": colors[number % 20], "marker": ".", "markersize": 4}
            axes.plot(layers, [100 * score for score in scores], label=name, **style)
    for row, mark, label in ((report["full"], "ks", "full depth"), (report["chosen"], "r*", "this pipeline")):
        size = 7 if mark == "ks" else 15
        axes.plot([row["wordpiece_layers"]], [100 * row["score"]], mark, markersize=size, label=label, zorder=5)
    axes.set_xlabel("Mean layer, over wordpieces")
    axes.set_ylabel(f"Score ({report['score_desc']}), in points")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


def histogram(report: Dict[str, Any]) -> Figure:
    """RETURNS (Figure): The share of units of each label that leave after each layer, and before the first."""
    labels, layers = list(report["histogram"]), report["depth"] + 1
    counts = numpy.array([report["histogram"][label] for label in labels], dtype=float).reshape(len(labels), layers)
    shares = counts / numpy.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(9, 1.2 + 0.4 * max(len(labels), 2)), layout="constrained")
    axes = figure.add_subplot()
    colors, left = colormaps["viridis"](numpy.linspace(0, 1, layers)), numpy.zeros(len(labels))
    for layer in range(layers):
        if counts[:, layer].any():
            axes.barh(labels, shares[:, layer], left=left, color=colors[layer], label=str(layer))
            left += shares[:, layer]
    axes.invert_yaxis()
    axes.set_xlabel(f"Share of the {report['unit']}s, by label of the document")
    figure.legend(loc="outside right upper", title="Exit layer", fontsize=8)
    return figure


def calibration(report: Dict[str, Any]) -> Figure:
    """RETURNS (Figure): What exits say against how often it is so, as logits are and with temperatures."""
    exits = report["calibration_curves"]
    places = sorted({round(place) for place in numpy.linspace(0, len(exits) - 1, min(4, len(exits)))})
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for number, place in enumerate(places):
        axes = figure.add_subplot(1, len(places), number + 1)
        axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        for name, mark in (("before", "o--"), ("after", "s-")):
            points = exits[place][name]
            axes.plot([p[0] for p in points], [p[1] for p in points], mark, markersize=3, label=f"{name} scaling")
        axes.set_title(f"layer {exits[place]['layer']}", fontsize=9)
        axes.set_xlabel("said")
        axes.set_ylabel("" if number else "true")
    figure.axes[0].legend(fontsize=7)
    return figure


def lengths(report: Dict[str, Any]) -> Figure:
    """RETURNS (Figure): Layers and cost against length."""
    groups = report["lengths"]
    wordpieces = [group["wordpieces"] for group in groups]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(wordpieces, [group["layers"] for group in groups], "o-")
    left.set_ylim(0, report["depth"] + 0.5)
    left.set_ylabel("Mean exit layer")
    right.plot(wordpieces, [report["depth"] * length for length in wordpieces], "k--", label="full depth")
    right.plot(wordpieces, [group["cost"] for group in groups], "o-", label="this pipeline")
    right.set_ylabel("Wordpieces x layers")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xlabel(f"Wordpieces of a {report['unit']}")
        axes.grid(alpha=0.3)
    return figure
