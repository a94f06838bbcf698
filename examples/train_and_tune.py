"""A pipeline from documents to answers, in Python: trained, tuned, saved and loaded again.

    python scripts/get_minilm.py backbones/minilm-l6
    python examples/train_and_tune.py backbones/minilm-l6 tuned

The documents are the invented notes in assets/notes, told by specialty. Commands do the same: docs/get-started.md.
"""

import subprocess
import sys
from pathlib import Path

import spacy
import typer
from spacy.cli.train import train

ROOT = Path(__file__).parents[1]


def main(
    backbone: str = typer.Argument(..., help="Folder of a Hugging Face encoder"),
    target: Path = typer.Argument(..., help="Where the tuned pipeline belongs"),
    steps: int = typer.Option(200, help="How many updates"),
    data: Path = typer.Option(ROOT / "assets" / "notes", help="Folder with train.jsonl, dev.jsonl and test.jsonl"),
    cats: str = typer.Option("specialty", help="Field with the labels"),
):
    made = target.with_name(f"{target.name}-training")
    settings = {"paths.train": str(data / "train.jsonl"), "paths.dev": str(data / "dev.jsonl"), "paths.backbone": backbone}
    settings.update({f"corpora.{corpus}.cats": cats for corpus in ("train", "dev")})
    settings.update({"training.optimizer.learn_rate.total_steps": steps, "training.eval_frequency": max(1, steps // 5)})
    train(ROOT / "configs" / "textcat.cfg", made, overrides=settings)
    words = ["tune", made / "model-best", data / "dev.jsonl", "--cats", cats, "--max-drop", "1", "--coverage", "0.9"]
    subprocess.run([sys.executable, "-m", "spacy", "epee", *map(str, words), "--output-model", str(target)], check=True)

    nlp = spacy.load(target)
    read = spacy.registry.readers.get("spacy-epee.JsonlReader.v1")
    examples = list(read(data / "test.jsonl", cats=cats)(nlp))
    scores = nlp.evaluate(examples)
    print(f"test: macro F {scores['cats_macro_f']:.3f}, mean exit layer {scores['exit_layer']:.2f}")


if __name__ == "__main__":
    typer.run(main)
