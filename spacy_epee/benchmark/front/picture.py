"""The picture of fronts: score against documents a second."""

from typing import Any, Dict, List, Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .verdict import OURS, front_of

COLORS = {"simple": 0, "spacy": 4, "fixed": 14, "cut": 2, "standard": 8, OURS: 6}
"""The first color of each kind, of matplotlib's "tab20"."""

MARKS = {"simple": "os^D", "spacy": "<>", "fixed": ".", "cut": "PXv", "standard": "h", OURS: "*"}


def draw(reports: Dict[str, Dict[str, Any]]) -> Figure:
    """Draw a panel for each corpus and batch size.

    reports (Dict[str, Dict[str, Any]]): What `measure_front` returned, by what the corpus is called.
    RETURNS (Figure): The picture.
    """
    sizes = list(dict.fromkeys(size for report in reports.values() for size in report["verdict"]))
    figure = Figure(figsize=(4.6 * max(len(reports), 2), 4 * len(sizes) + 1), layout="constrained")
    panels = figure.subplots(len(sizes), len(reports), squeeze=False)
    handles: Dict[str, Any] = {}
    for line, size in zip(panels, sizes):
        for axes, (name, report) in zip(line, reports.items()):
            _panel(axes, report["rows"], size, handles)
            axes.set_title(f"{name}, batch {size}", fontsize=10)
            axes.set_xlabel("Documents a second")
            axes.set_ylabel("Macro F, in points")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    return figure


def _panel(axes: Axes, rows: Sequence[Dict[str, Any]], size: str, handles: Dict[str, Any]) -> None:
    """Draw the rows of a corpus, and note what has a place in the legend."""
    colors = colormaps["tab20"].colors  # type: ignore[attr-defined]
    timed = [row for row in rows if size in row["ms"]]
    axes.set_xscale("log")
    for name, chosen, style in (
        ("best of all", timed, {"color": "black", "linestyle": "--", "linewidth": 0.9}),
        ("best of ours", [row for row in timed if row["kind"] == OURS], {"color": colors[6], "linewidth": 1.4}),
    ):
        points = front_of(chosen, size)
        if points:
            x, y = _places(points, size)
            [handles[name]] = axes.plot(x, y, drawstyle="steps-pre", zorder=1, **style)
    for kind, color in COLORS.items():
        groups: Dict[str, List[Dict[str, Any]]] = {}
        for row in timed:
            if row["kind"] == kind:
                groups.setdefault(row["group"], []).append(row)
        for number, (title, own) in enumerate(groups.items()):
            mark = MARKS[kind][number % len(MARKS[kind])]
            style = {"color": colors[(color + number % 2) % 20], "marker": mark, "markersize": 11 if kind == OURS else 7}
            style["linestyle"] = ":" if kind == "fixed" else "none"
            [handles[title]] = axes.plot(*_places(own, size), label=title, zorder=3 if kind == OURS else 2, **style)
    axes.grid(alpha=0.3, which="both")
    scores = sorted(row["score"] for row in timed)
    if scores:  # what is far below says little, and would make the rest flat
        axes.set_ylim(max(scores[0] - 1, scores[-1] - 22), scores[-1] + 1)


def _places(rows: Sequence[Dict[str, Any]], size: str) -> tuple:
    return [1000 / row["ms"][size] for row in rows], [row["score"] for row in rows]
