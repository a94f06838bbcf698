"""How the time and the memory of an answer grow with a document, up to a million wordpieces. Run with `-m hard -s` to see the
curves."""

import faulthandler
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
KINDS = ("textcat", "relations", "events", "events_given", "joint")
SECONDS = 900

STEEPEST = {"seconds": 20.0, "bytes": 20.0}
"""How many times as much ten times as much text may take: more than ten times, for what is there anyway is not counted alike in
each process, and less than the hundred times of what grows with the square."""


def make_pipeline(kind: str, folder: Path):
    """A pipeline of a small backbone, and a function that makes documents for it."""
    import spacy
    from events_util import TEXTS, make_events_nlp
    from events_util import make_example as make_told
    from joint_util import make_joint_nlp
    from relations_util import make_relations_nlp
    from spacy.tokens import Doc, Span
    from util import make_backbone, make_nlp, make_words

    from spacy_epee.tasks.relations.candidates import EntityPairs

    backbone = make_backbone(folder, num_hidden_layers=4 if kind == "joint" else 2)
    exit = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.5, "patience": 1}
    trunk = {"mixed_precision": False}
    drugs, problems = ["codeine", "aspirin", "warfarin"], ["rash", "headache", "cough"]
    if kind == "textcat":
        nlp = make_nlp(backbone, exit=exit)
    elif kind == "relations":
        nlp = make_relations_nlp(backbone, exit=exit, candidates={"labels": None, "max_pairs": 10_000_000})
    elif kind == "joint":
        nlp = make_joint_nlp(backbone, steps=10, trunk=trunk)
        nlp.get_pipe("epee").slots["relations"].task.candidates = EntityPairs(max_pairs=10_000_000)
    elif kind == "events":
        nlp = make_events_nlp(backbone, exit=exit, trunk=trunk, steps=25)
    else:
        nlp = spacy.blank("en")
        model = {"trunk": {"name": str(backbone), "window": 64, "overlap": 8}, "head": {"hidden": 16}}
        given = {"arguments": "entities", "triggers_key": "triggers"}
        nlp.add_pipe("epee_events", config={"model": model, "exit": exit, **given})
        examples = [make_told(nlp, text) for text in TEXTS]
        for eg in examples:
            for doc in (eg.reference, eg.predicted):
                events = eg.reference._.events
                doc.spans["triggers"] = [Span(doc, *event["trigger"], label=event["label"]) for event in events]
                places = {(*part["span"], part["role"]) for event in events for part in event["arguments"]}
                ents = [Span(doc, start, end, label=role) for start, end, role in sorted(places)]
                doc.set_ents(spacy.util.filter_spans(ents))
        nlp.initialize(lambda: examples)
    plain = [word for word in make_words() if word not in drugs + problems]

    def make_doc(size: int):
        chance = random.Random(0)
        words = [chance.choice(plain) for _ in range(size)]
        doc = Doc(nlp.vocab, words=words)
        places = range(5, size - 5, 20)
        doc.set_ents([Span(doc, i, i + 2, label=("Drug", "Problem", "Effect")[i // 20 % 3]) for i in places])
        doc.spans["triggers"] = [Span(doc, i + 3, i + 4, label=("Harm", "Change")[i // 20 % 2]) for i in places]
        return doc

    return nlp, make_doc


def measure(kind: str, size: int) -> dict:
    """What an answer takes."""
    from spacy_epee.benchmark.memory import watch_memory

    with tempfile.TemporaryDirectory() as folder:
        nlp, make_doc = make_pipeline(kind, Path(folder))
    nlp(make_doc(200))
    doc = make_doc(size)
    began = time.process_time()
    with watch_memory() as peak:
        nlp(doc)
    [entry] = doc._.exits[nlp.pipe_names[0]].values() if kind != "joint" else list(doc._.exits["epee"].values())[:1]
    found = {name: len(getattr(doc._, name)) for name in ("relations", "events") if doc.has_extension(name)}
    return {"seconds": time.process_time() - began, "bytes": peak.bytes, "units": len(entry["units"]), **found}


@pytest.mark.hard
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_takes_time_and_memory_in_proportion_to_the_document(kind, capsys):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])}
    found = []
    for size in SIZES:
        command = [sys.executable, __file__, kind, str(size)]
        output = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=env)
        assert output.returncode == 0, output.stderr[-3000:]
        found.append(json.loads(output.stdout.splitlines()[-1]))
        with capsys.disabled():
            print(f"\n{kind:>13} {size:>9,} wordpieces:", json.dumps(found[-1]), end="", flush=True)
    for what, most in STEEPEST.items():
        if None not in (found[-3][what], found[-1][what]):
            assert found[-1][what] / found[-3][what] < most, f"{what} at {SIZES[-3]:,} and {SIZES[-1]:,} wordpieces"


if __name__ == "__main__":
    faulthandler.dump_traceback_later(SECONDS - 10, exit=True)
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
