"""Makes the saved pipelines that later versions must go on loading, with what they answer.

    PYTHONPATH=.:tests python tests/saved/make.py v0.1.0 [NAME ...]

Run it only to add a kind, or for a new version: what is here was saved by the version that its folder names.
"""

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List

import events_util
import relations_util
import spacy
from images_util import make_image_backbone, make_image_docs, make_image_examples
from joint_util import make_joint_nlp
from thinc.api import Adam
from util import SENTENCES, make_backbone, make_examples, make_nlp

from spacy_epee.exits.rules.composite import AnyOf
from spacy_epee.exits.rules.depth import FromLayer
from spacy_epee.exits.rules.thresholds import Confidence, Entropy

HERE = Path(__file__).parent

SMALL = dict(num_hidden_layers=3, hidden_size=16, num_attention_heads=2, intermediate_size=32, max_position_embeddings=48)
"""The backbones, so small that the folders can be kept."""

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.6, "patience": 1}

TEXTS = [SENTENCES[0], SENTENCES[3], "Codeine.", " ".join(SENTENCES[4:9]), *relations_util.TEXTS[:2], events_util.TEXTS[1]]


def train(nlp: Any, examples: List[Any], steps: int = 20) -> Any:
    optimizer = Adam(0.005)
    for _ in range(steps):
        nlp.update(examples, sgd=optimizer)
    return nlp


def textcat(folder: Path, **sizes: Any) -> Any:
    nlp = make_nlp(make_backbone(folder, "bert", **{**SMALL, **sizes}), exit=RULE)
    return train(nlp, make_examples(nlp, ["ACUTE", "STABLE", "HISTORY"]))


def multilabel(folder: Path) -> Any:
    backbone = make_backbone(folder, "roberta", **{**SMALL, "max_position_embeddings": 50})
    nlp = make_nlp(backbone, ["ACUTE", "STABLE"], True, exit=RULE, model={"exit_layers": [2], "head": {"learned_exit": True}})
    return train(nlp, make_examples(nlp, ["ACUTE", "STABLE"], multilabel=True))


def relations(folder: Path) -> Any:
    backbone = make_backbone(folder, "electra", **{**SMALL, "embedding_size": 8})
    nlp = relations_util.make_relations_nlp(backbone, exit=RULE, window=40, head={"hidden": 8})
    return train(nlp, [relations_util.make_example(nlp, text) for text in relations_util.TEXTS])


def events(folder: Path) -> Any:
    backbone = make_backbone(folder, "bert", **{**SMALL, "max_position_embeddings": 64})
    return events_util.make_events_nlp(backbone, exit={**RULE, "patience": None}, head={"hidden": 8}, steps=60)


def imagecat(folder: Path) -> Any:
    sizes = dict(hidden_size=16, num_attention_heads=2, intermediate_size=32)
    backbone = make_image_backbone(folder, **sizes)
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_imagecat", config={"model": {"trunk": {"name": str(backbone)}}, "exit": {**RULE, "patience": None}})
    examples = make_image_examples(nlp)
    nlp.initialize(lambda: examples)
    return train(nlp, make_image_examples(nlp), steps=8)


def joint(folder: Path) -> Any:
    backbone = make_backbone(folder, "distilbert", n_layers=3, dim=16, n_heads=2, hidden_dim=32, max_position_embeddings=64)
    nlp = make_joint_nlp(backbone, steps=30)
    nlp.get_pipe("epee").joint = "any"
    return nlp


def fitted(folder: Path) -> Any:
    nlp = textcat(folder)
    pipe = nlp.get_pipe("epee_textcat")
    pipe.set_temperatures([1.7, 0.8, 1.2])
    pipe.exit = AnyOf({"sure": Confidence([0.9, 0.7, 0.5]), "later": FromLayer(2, Entropy(0.3))})
    return nlp


def exported(folder: Path) -> Any:
    nlp = textcat(folder, num_hidden_layers=2)
    nlp.get_pipe("epee_textcat").exit = Entropy(0.8)
    nlp.get_pipe("epee_textcat").model.get_ref("trunk").shims[0].export("onnx", "fp32")
    return nlp


KINDS: Dict[str, Callable[[Path], Any]] = {
    "textcat": textcat,
    "textcat_multilabel": multilabel,
    "relations": relations,
    "events": events,
    "imagecat": imagecat,
    "joint": joint,
    "fitted": fitted,
    "exported": exported,
}


def answers(nlp: Any) -> List[Dict[str, Any]]:
    """RETURNS (List[Dict[str, Any]]): What a pipeline says about some Docs, as plain values."""
    if "epee_imagecat" in nlp.pipe_names:
        docs = make_image_docs(nlp, 6, seed=5)
    else:
        docs = [relations_util.tag(nlp.make_doc(text)) for text in TEXTS]
    found = []
    for doc in nlp.pipe(docs, batch_size=4):
        own: Dict[str, Any] = {"cats": doc.cats, "exits": doc._.exits}
        for name in ("relations", "events"):
            if doc.has_extension(name) and doc._.get(name):
                own[name] = doc._.get(name)
        found.append(own)
    return json.loads(json.dumps(found), parse_float=lambda number: round(float(number), 5))


def make(version: str, names: List[str]) -> None:
    for name in names or KINDS:
        folder = HERE / version / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nlp = KINDS[name](Path(place))
            nlp.tokenizer.rules = {}  # half of a folder
            nlp.to_disk(folder)
        said = answers(spacy.load(folder))
        (folder / "expected.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        layers = [unit["layer"] for own in said for entry in own["exits"].values() for unit in entry.values()]
        print(f"{name}: {size / 1000:.0f} kB, exits {layers}")


if __name__ == "__main__":
    make(sys.argv[1], sys.argv[2:])
