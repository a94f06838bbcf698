"""The picture of a compression: score against time and size."""

from typing import Any, List, Tuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..compress.measure import MEGABYTE
from ..compress.sequence import Report, Step


def draw_compression(report: Report) -> Figure:
    """Draw how the score, the time and the size change with each step.

    report (Report): What `shrink` returned.
    RETURNS (Figure): A panel for the size, and one for the time at each batch size.
    """
    batches = list(report.steps[0].size.ms)
    figure = Figure(figsize=(4.6 * (1 + len(batches)), 4.6), layout="constrained")
    panels = figure.subplots(1, 1 + len(batches), squeeze=False)[0]
    _panel(panels[0], report, "MB on disk", [step.size.disk / MEGABYTE for step in report.steps])
    for axes, batch in zip(panels[1:], batches):
        _panel(axes, report, f"Milliseconds a note, batch {batch}", [step.size.ms[batch] for step in report.steps])
    return figure


def _panel(axes: Axes, report: Report, what: str, values: List[float]) -> None:
    """Draw one figure of all steps. Those that were undone are pale, and no line leads there."""
    kept: List[Tuple[float, float]] = []
    for step, value in zip(report.steps, values):
        score = _score(step)
        if score is None:
            continue
        axes.plot([value], [score], "o" if step.kept else "x", color="tab:blue" if step.kept else "tab:gray")
        axes.annotate(step.name or "before", (value, score), textcoords="offset points", xytext=(4, 4), fontsize=8)
        if step.kept:
            kept.append((value, score))
    axes.plot(*zip(*kept), color="tab:blue", linewidth=1)
    axes.set_xlabel(what)
    axes.set_ylabel("Score with exits, in points")
    axes.set_xscale("log")
    axes.grid(alpha=0.3, which="both")


def _score(step: Step) -> Any:
    """The mean score of the tasks with their rules."""
    scores = [row["after"] for row in step.rows if row["depth"] == "exits" and row["after"] is not None]
    return 100 * sum(scores) / len(scores) if scores else None
