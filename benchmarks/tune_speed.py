"""How long it takes to try all exit rules on stored logits, of a made-up model that becomes surer from exit to exit.

python benchmarks/tune_speed.py --documents 10000
"""

import cProfile
import pstats
import time

import numpy
import typer
from sklearn.metrics import f1_score

from spacy_epee.engine.replay import Replay
from spacy_epee.exits.evidence import EvidenceBuilder
from spacy_epee.tuning.search import search


def made_up(documents: int, exits: int, labels: int, exclusive: bool, seed: int = 0):
    """RETURNS (Tuple[ndarray, ndarray]): Logits (E, N, K), and targets (N, K) that the later exits tell more often."""
    chance = numpy.random.default_rng(seed)
    targets = numpy.eye(labels)[chance.integers(labels, size=documents)]
    if not exclusive:
        targets = (chance.uniform(size=targets.shape) < 0.3).astype(float)
    hard = chance.exponential(size=(documents, 1))
    logits, noise = [], chance.normal(size=(documents, labels))
    for exit in range(1, exits + 1):
        noise = 0.8 * noise + 0.6 * chance.normal(size=noise.shape)
        logits.append((targets - 0.5) * 8 * exit / exits + hard * noise * 2)
    return numpy.array(logits, dtype="float32"), targets


def main(
    documents: int = 10000,
    exits: int = 12,
    labels: int = 5,
    exclusive: bool = True,
    steps: int = typer.Option(16, help="Values of each threshold"),
    profile: bool = typer.Option(False, help="Show where the time goes"),
):
    logits, targets = made_up(documents, exits, labels, exclusive)
    reading = EvidenceBuilder(exclusive=exclusive)
    units = numpy.arange(documents)

    def score(simulation) -> float:
        decided = reading.evidence(simulation.logits, layer=0, units=units).decision
        return 100 * f1_score(targets.astype(int), decided.astype(int), average="macro", zero_division=0)

    profiler = cProfile.Profile()
    began = time.perf_counter()
    if profile:
        profiler.enable()
    trials = search(Replay(logits, exit_layers=range(1, exits + 1), reading=reading), score, steps=steps)
    profiler.disable()
    seconds = time.perf_counter() - began
    settings = len(trials.trials)
    print(f"{documents} documents, {settings} settings: {seconds:.1f} s, {1000 * seconds / settings:.1f} ms a setting")
    if profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(25)
    print(f"full depth {trials.full.score:.2f}")
    for drop in (0.0, 0.5, 1.0):
        found = trials.within_drop(drop)
        print(f"drop {drop}: {found.score:.2f} with {found.wordpiece_layers:.2f} layers, {found.row()['rule']}")
    for share in (0.02, 0.05, 0.1):
        found, certificate = trials.certified(share)
        print(
            f"disagreement {share}: {found.disagreement:.4f} with {found.wordpiece_layers:.2f} layers, {found.row()['rule']}, "
            f"{len(certificate.p_values)} settings in order"
        )


if __name__ == "__main__":
    typer.run(main)
