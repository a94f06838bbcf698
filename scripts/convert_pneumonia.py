"""Write PneumoniaMNIST (MedMNIST v2, Yang et al. 2023) as PNG files, and one JSONL file a split that names them.

    python scripts/convert_pneumonia.py corpora/medmnist_pneumonia corpora_derived/pneumonia

Two copies are fetched. The first has the official dev and test sets, and of the official training set all images with
pneumonia; the second has all the normal ones. Where they are put together already, that file is read.
"""

import json
import random
from pathlib import Path
from typing import Dict, Tuple

import numpy
import typer
from PIL import Image
from wasabi import msg

from spacy_epee.files import whole_folder

LABELS = ("normal", "pneumonia")
SPLITS = {"train": "train", "dev": "val", "test": "test"}
PREFETCH_DOCS, FIRST, SECOND = "normalised/pneumoniamnist.npz", "pneumoniamnist.npz", "pneumoniamnist_balanced.npz"


def read(folder: Path) -> Dict[str, Tuple[numpy.ndarray, numpy.ndarray]]:
    """Read the images of each split.

    folder (Path): Where the files lie.
    RETURNS (Dict[str, Tuple[ndarray, ndarray]]): Images (n, 28, 28) uint8, and labels (n,), by split.
    """
    file = folder / PREFETCH_DOCS
    with numpy.load(file if file.exists() else folder / FIRST) as source:
        found = {split: (source[f"{name}_images"], source[f"{name}_labels"][:, 0]) for split, name in SPLITS.items()}
    if not file.exists():
        with numpy.load(folder / SECOND) as source:
            parts = [found["train"], (source["train_images"], source["train_labels"][:, 0])]
        wanted = [(images[labels == value], labels[labels == value]) for (images, labels), value in zip(parts, (1, 0))]
        found["train"] = (numpy.concatenate([part for part, _ in wanted]), numpy.concatenate([part for _, part in wanted]))
    return found


def main(
    folder: Path = typer.Argument(..., help="Folder of the fetched files"),
    target: Path = typer.Argument(..., help="Folder to write to"),
):
    try:
        found = read(folder)
    except FileNotFoundError as error:
        msg.fail(
            f"There is no file {error.filename}",
            "Fetch it with `python -m spacy project assets --extra`, or name the folder of the corpora: --vars.corpora FOLDER",
            exits=1,
        )
    try:
        with whole_folder(target, keep=True) as part:
            counts = [f"{split} {write(part, split, *images)}" for split, images in found.items()]
    except OSError as error:
        msg.fail(str(error), exits=1)
    msg.good(f"{target}: " + ", ".join(counts))


def write(target: Path, split: str, images: numpy.ndarray, labels: numpy.ndarray) -> int:
    """Write the images of a split.

    target (Path): The folder to write to.
    split (str): The split.
    images (ndarray): Its images.
    labels (ndarray): Their labels.
    RETURNS (int): How many there are.
    """
    (target / "images" / split).mkdir(parents=True)
    rows = []
    for number, (image, label) in enumerate(zip(images, labels)):
        name = f"images/{split}/{number}.png"
        Image.fromarray(image).save(target / name)
        cats = {key: int(label == i) for i, key in enumerate(LABELS)}
        rows.append({"id": f"{split}-{number}", "image": name, "cats": cats})
    # All of one class come first. Initializing looks at the first rows.
    random.Random(0).shuffle(rows)
    (target / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


if __name__ == "__main__":
    typer.run(main)
