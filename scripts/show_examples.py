"""Print a few documents with their answer, and where and why each of them left.

python scripts/show_examples.py training/notes/tuned assets/specialties/test.jsonl --cats specialty
"""

import textwrap
from pathlib import Path

import spacy
import typer
from wasabi import Printer, color

from spacy_epee.data.readers import read_jsonl
from spacy_epee.evaluation.compare import find_component


def main(
    model: Path = typer.Argument(..., help="The pipeline"),
    data: Path = typer.Argument(..., help="JSONL file with documents"),
    cats: str = typer.Option("cats", help="Field with the labels"),
    number: int = typer.Option(5, help="How many documents"),
):
    msg = Printer()
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    rows = read_jsonl(data, cats)
    docs = list(nlp.pipe(row["text"] for row in rows))

    def entry(i):
        return docs[i]._.exits[pipe.name][pipe.task.name]

    # From the earliest exit to the latest, evenly.
    order = sorted((i for i in range(len(docs)) if entry(i)["units"]), key=lambda i: entry(i)["layer"])
    chosen = [order[round(k * (len(order) - 1) / max(number - 1, 1))] for k in range(min(number, len(order)))]
    msg.divider(f"{len(chosen)} notes of {data}")
    for i in dict.fromkeys(chosen):
        unit = entry(i)["units"][0]
        label = max(docs[i].cats, key=docs[i].cats.get)
        print(textwrap.fill(textwrap.shorten(rows[i]["text"], 300), 100, initial_indent="  ", subsequent_indent="  "))
        why = f"left at layer {unit['layer']} of {entry(i)['depth']}, because of: {unit['reason']}, entropy {unit['entropy']:.3f}"
        print(color(f"  -> {label} ({docs[i].cats[label]:.2f}), {why}", fg="green"))
        print(f"     annotated as: {rows[i][cats]}\n")


if __name__ == "__main__":
    typer.run(main)
