"""Train what benchmarks/rules.py compares: the early-exiting component, and references on the same backbone.

    python benchmarks/train.py e5-small/health_advice/exits e5-small/health_advice/plain \
        --corpora ../shared/corpora --backbones BACKBONES --out MODELS

A run is named BACKBONE/CORPUS/KIND. All kinds share configuration, data, seed and number of steps.

    exits       as users train it
    plain       one exit, after the last layer, and its loss alone: a plain fine-tune
    tutorial    plain, and relations read from the means of the two entities side by side, as in spaCy's tutorial project
    mentions, no-between, ...    exits with another pair representation, see PAIRS
    hidden      exits, and three in ten entities masked in training
    averaged    exits, and averages of the parameters over the steps
    self        exits that learn half from the labels and half from the last one
    half        exits, and the last one as heavy in the loss as all others
    joint       several tasks over one trunk
    kind, relations, events    one of these tasks, all else as in joint
"""

import time
from pathlib import Path
from typing import List

import spacy
import typer
from corpora import CORPORA, split
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from wasabi import msg

from spacy_epee.data.readers import read_jsonl

CONFIGS = Path(__file__).parent.parent / "configs"
FILES = {
    "epee_textcat": "textcat.cfg",
    "epee_textcat_multilabel": "textcat_multilabel.cfg",
    "epee_relations": "relations.cfg",
    "epee_events": "events.cfg",
    "epee": "joint.cfg",
}
PAIRS = {
    "tutorial": {"hidden": 0, "between": False, "attributes": False},
    "mentions": {"hidden": 0, "between": False, "attributes": False},
    "no-between": {"between": False},
    "no-attributes": {"attributes": False},
}
"""What each kind leaves out of the pair representation."""
RATES = {"mpnet-base": 5e-5}
"""Learning rates of wider backbones; the configurations are for those of 384."""


def configure(backbone: Path, corpora: Path, corpus: str, kind: str, passes: int = 0):
    """The configuration of one run, of as many passes as its plan has where none are given."""
    plan = CORPORA[corpus]
    pipe = plan.pipe
    rows = len(read_jsonl(split(corpora, corpus, "train")))
    passes = passes or plan.epochs
    steps = passes * -(-rows // plan.batch)
    settings = {f"components.{pipe}.{name}": value for name, value in plan.settings.items()}
    config = load_config(
        CONFIGS / FILES[pipe],
        overrides={
            **({} if plan.task == "textcat" else {"vars.spans_key": "entities"}),
            **settings,
            "paths.train": str(split(corpora, corpus, "train")),
            "paths.dev": str(split(corpora, corpus, "dev")),
            "paths.backbone": str(backbone),
            "training.batcher.size": plan.batch,
            "training.optimizer.learn_rate.total_steps": steps,
            "training.eval_frequency": max(steps // max(passes, 2), 1),
            "training.optimizer.learn_rate.warmup_steps": steps // 10,
            **({"training.optimizer.learn_rate.initial_rate": RATES[backbone.name]} if backbone.name in RATES else {}),
            f"components.{pipe}.model.trunk.window": plan.window,
            f"components.{pipe}.model.trunk.max_wordpieces": plan.sample,
        },
    )
    component = config["components"][pipe]
    if pipe == "epee":
        for name in list(component["tasks"]):
            if kind not in ("joint", name):
                del component["tasks"][name], component["model"]["heads"][name]
        return config
    if kind in ("plain", "tutorial"):
        component["model"]["exit_layers"] = [depth(backbone)]
        component["exit"] = None
        component["loss"]["weighting"] = "last"
    component["model"]["head"].update(PAIRS.get(kind, {}))
    if kind == "hidden":
        component["hide_entities"] = 0.3
    if kind == "averaged":
        config["training"]["optimizer"]["use_averages"] = True
    if kind == "self":
        component["loss"]["self_distillation"] = 0.5
    if kind == "half":
        component["loss"]["weighting"] = "half"
    return config


def depth(backbone: Path) -> int:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(backbone, trust_remote_code=False).num_hidden_layers


def main(
    runs: List[str],
    corpora: Path = typer.Option(..., help="Folder of the corpora"),
    backbones: Path = typer.Option(..., help="Folder of the backbones"),
    out: Path = typer.Option(..., help="Where models go"),
    passes: int = typer.Option(0, help="Passes over the data, where others than those of the plan"),
):
    for run in runs:
        backbone, corpus, kind = run.split("/")
        target = out / backbone / corpus / kind
        if (target / "model-best").exists():
            msg.info(f"{run}: trained already")
            continue
        target.mkdir(parents=True, exist_ok=True)
        msg.divider(run)
        started = time.time()
        nlp = init_nlp(configure(backbones / backbone, corpora, corpus, kind, passes))
        train(nlp, target)
        msg.good(f"{run}: {time.time() - started:.0f} s")


if __name__ == "__main__":
    spacy.util.fix_random_seed(0)
    typer.run(main)
