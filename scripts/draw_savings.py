"""Draw what early exit saves, for the README: the seconds with exits as a share of those at full depth.

The figures are those of the table under "Documents" in docs/results.md.

    python scripts/draw_savings.py docs/results.md docs/images/savings.svg
"""

import re
from pathlib import Path
from typing import Dict, List

import matplotlib
import typer
from matplotlib import pyplot

from spacy_epee.files import whole_file

FASTER = {"faster, batch 1": "batch 1", "batch 32": "batch 32"}
"""The columns of the table that say how many times faster, and what to call them."""


def read_table(page: str) -> List[Dict[str, str]]:
    """RETURNS (List[Dict[str, str]]): The rows of the table, by column."""
    lines = re.findall(r"^\|(.+)\|$", page.split("\n## Documents\n")[1].split("\n## ")[0], flags=re.MULTILINE)
    names, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return [dict(zip(names, row)) for row in rows]


def main(page: Path, target: Path):
    rows = read_table(page.read_text(encoding="utf-8"))[::-1]  # the first on top
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "savings", "font.family": "sans-serif"})
    figure, axes = pyplot.subplots(figsize=(8, 4.2))
    looks = (0.2, "#90caf9", "black"), (-0.2, "#1565c0", "white")
    for (column, name), (offset, colour, letters) in zip(FASTER.items(), looks):
        times = [float(row[column].rstrip("x")) for row in rows]
        places = [place + offset for place in range(len(rows))]
        axes.barh(places, [100 / number for number in times], height=0.38, color=colour, label=name)
        for place, number in zip(places, times):
            axes.text(100 / number - 1, place, f"{number:.2f}x", va="center", ha="right", fontsize=8, color=letters)
    losses = [float(row["with exits"]) - float(row["our full depth"]) for row in rows]
    labels = [f"{row['corpus'].replace(' (*)', '')}, {row['backbone']} ({loss:+.2f} F1)" for row, loss in zip(rows, losses)]
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    axes.axvline(100, color="#37474f", linewidth=1)
    axes.set_xlim(0, 105)
    axes.set_xlabel("seconds with early exit, in % of those at full depth", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    figure.tight_layout()
    with whole_file(target) as part:
        figure.savefig(part, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    typer.run(main)
