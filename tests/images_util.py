"""Tiny backbones and pipelines for images."""

from pathlib import Path
from typing import Any, Dict, List

import numpy
import spacy
import torch
import transformers
from spacy.training import Example
from util import WIDE, _merge, spread_heads

LAYERS, SIDE = 3, 32
LABELS = ["bright", "dark"]
TINY = dict(
    num_hidden_layers=LAYERS,
    hidden_size=32,
    num_attention_heads=4,
    intermediate_size=64,
    image_size=SIDE,
    patch_size=8,
    initializer_range=WIDE,
)
FAMILIES: Dict[str, Dict[str, Any]] = {
    "vit": dict(TINY, hidden_dropout_prob=0.1),
    "deit": dict(TINY, hidden_dropout_prob=0.1),
    "dinov2": dict(TINY, mlp_ratio=2, hidden_dropout_prob=0.1, drop_path_rate=0.2),
    "dinov2_with_registers": dict(TINY, mlp_ratio=2, num_register_tokens=4, hidden_dropout_prob=0.1),
}
EPEE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.3, "patience": 1}


def make_image_model(family: str, seed: int = 0, **settings: Any):
    """Make a tiny model with random weights, in evaluation mode."""
    config = transformers.AutoConfig.for_model(family, **{**FAMILIES[family], **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModel.from_config(config).eval()
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, mean=float("norm" in name or "lambda" in name), std=0.1)
            elif parameter.dim() == 3:  # positions and special patches
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def make_image_backbone(folder: Path, family: str = "vit", processor: bool = True, **settings: Any) -> Path:
    """Save a tiny model as an ordinary Hugging Face folder."""
    make_image_model(family, **settings).save_pretrained(folder)
    if processor:
        kind = transformers.BitImageProcessor if "dinov2" in family else transformers.ViTImageProcessor
        size = (
            {"size": {"shortest_edge": 36}, "crop_size": {"height": SIDE, "width": SIDE}}
            if "dinov2" in family
            else {"size": {"height": SIDE, "width": SIDE}}
        )
        kind(**size).save_pretrained(folder)
    return Path(folder)


def make_pixels(count: int, seed: int = 0) -> List[numpy.ndarray]:
    """Invent images, every second one bright, of different sizes."""
    chance = numpy.random.default_rng(seed)
    sizes = chance.integers(20, 50, size=(count, 2))
    return [(chance.random(tuple(size)) * 0.4 + 0.5 * (i % 2)).astype("float32") for i, size in enumerate(sizes)]


def make_image_docs(nlp, count: int = 8, seed: int = 0) -> List[Any]:
    """Docs with an image each."""
    docs = []
    for pixels in make_pixels(count, seed):
        doc = nlp.make_doc("A film.")
        doc._.image = pixels
        docs.append(doc)
    return docs


def make_image_examples(nlp, count: int = 8, seed: int = 0) -> List[Example]:
    """Docs with the label that they should get."""
    docs = make_image_docs(nlp, count, seed)
    return [Example.from_dict(doc, {"cats": {"bright": i % 2, "dark": 1 - i % 2}}) for i, doc in enumerate(docs)]


def make_image_nlp(backbone: Path, exit=None, *, spread=2.0, **config: Any):
    """Make an initialized pipeline with `epee_imagecat`."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("epee_imagecat", config=_merge({"model": {"trunk": {"name": str(backbone)}}, "exit": exit}, config))
    examples = make_image_examples(nlp)
    nlp.initialize(lambda: examples)
    if spread is not None:
        spread_heads(pipe, make_image_docs(nlp, 24, seed=99), spread)
    return nlp
