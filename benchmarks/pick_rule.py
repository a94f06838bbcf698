"""Set the fastest setting of EPEE that answers at most a share of dev otherwise than the full depth.

python benchmarks/pick_rule.py MODEL dev.jsonl OUT --most 0.01
"""

from pathlib import Path

import spacy
import typer
from wasabi import msg

from spacy_epee.cli.data import read_data
from spacy_epee.evaluation.compare import find_component
from spacy_epee.tuning.tuner import Tuner

NAME = "entropy or patience (EPEE)"


def main(model: Path, data: Path, out: Path, most: float = 0.01):
    nlp = spacy.load(model)
    pipe = find_component(nlp, None)
    trials = Tuner(nlp, pipe, read_data(nlp, pipe, data, "cats").examples, calibrate=False, thresholds=False).trials
    own = [trial for trial in trials.trials if trial.name == NAME and trial.disagreement <= most]
    if not own:
        msg.fail(f"No setting keeps to {most:.2%}", exits=1)
    best = min(own, key=lambda trial: trial.wordpiece_layers)
    pipe.set_exit(best.rule)
    nlp.to_disk(out)
    fewer = trials.full.wordpiece_layers / best.wordpiece_layers
    msg.good(f"{best.rule}: {100 * best.score:.2f} (full depth {100 * trials.full.score:.2f}), {fewer:.2f}x fewer layers")


if __name__ == "__main__":
    typer.run(main)
