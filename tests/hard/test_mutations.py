"""Saved pipelines with something changed in a file: none answers otherwise without an error.

What is changed are the files of a component, and those of spaCy that a user does not edit. `config.cfg` is edited by users, and
`tokenizer` is spaCy's own and has no digest.
"""

import random
import shutil
import warnings
from collections import Counter
from pathlib import Path

import pytest
import spacy
from saved.make import answers

pytest.importorskip("spacy_transformers")

SAVED = Path(__file__).parents[1] / "saved" / "v0.1.0"
MUTATIONS = 1_000
EDITED = ("config.cfg", "tokenizer")


def flip(content, chance):
    changed = bytearray(content)
    changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def overwrite(content, chance):
    size = chance.choice((1, 4, 64, 4096))
    place = chance.randrange(len(content))
    return content[:place] + chance.randbytes(len(content[place : place + size])) + content[place + size :]


def zeros(content, chance):
    place = chance.randrange(len(content))
    return content[:place] + bytes(len(content[place : place + 512])) + content[place + 512 :]


def truncate(content, chance):
    return content[: chance.randrange(len(content))]


def leave_out(content, chance):
    place = chance.randrange(len(content))
    return content[:place] + content[place + chance.choice((1, 8, 300)) :]


def insert(content, chance):
    place = chance.randrange(len(content) + 1)
    return content[:place] + chance.randbytes(chance.choice((1, 8, 300))) + content[place:]


def repeat(content, chance):
    return content + content[-chance.randrange(1, len(content) + 1) :]


CONTENTS = [flip, flip, flip, overwrite, zeros, truncate, leave_out, insert, repeat]


def same_model(one, other):
    """Whether two components were saved of one model, so that the `cfg` of either is whole."""
    models = [folder / "model" for folder in (one, other)]
    return all(model.exists() for model in models) and models[0].read_bytes() == models[1].read_bytes()


def mutate(folder, folders, chance):
    """Change one file. RETURNS (Tuple[str, str]): What was done, and to which file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in EDITED)
    own = [path for path in files if path.parent.name.startswith("epee")]
    path = chance.choice(own if chance.random() < 0.85 else files)
    kind = chance.choice([*CONTENTS, "delete", "rename", "swap", "exchange", "empty"])
    if callable(kind):
        content = path.read_bytes()
        changed = kind(content, chance)
        path.write_bytes(changed if changed != content else flip(content, chance))  # zeros over zeros
    elif kind == "delete":
        path.unlink()
    elif kind == "rename":
        path.rename(path.with_name(path.name + chance.choice(("~", ".bak", "x"))))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "swap":  # with the file of the same name in another pipeline
        others = [other for other in sorted(folders.rglob(path.name)) if not same_model(other.parent, path.parent)]
        if others:
            shutil.copyfile(chance.choice(others), path)
    else:  # with another file of the same pipeline
        other = chance.choice([other for other in files if other != path])
        one, two = path.read_bytes(), other.read_bytes()
        path.write_bytes(two)
        other.write_bytes(one)
    return getattr(kind, "__name__", kind), path.name


@pytest.mark.hard
def test_no_mutation_answers_otherwise_without_an_error(tmp_path):
    names = sorted(path.name for path in SAVED.iterdir())
    folders, work = tmp_path / "whole", tmp_path / "changed"
    expected = {}
    folders.mkdir()
    for name in names:
        spacy.load(SAVED / name).to_disk(folders / name)
        expected[name] = answers(spacy.load(folders / name))
    chance = random.Random(2168351)
    counts = Counter()
    for number in range(MUTATIONS):
        name = names[number % len(names)]
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folders / name, work)
        what, where = mutate(work, folders, chance)
        told = []
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                nlp = spacy.load(work)
                found = answers(nlp)
        except Exception as error:
            if where in ("cfg", "model") and what != "exchange":
                assert isinstance(error, ValueError) and "epee" in str(error), (number, name, what, where)
            counts["an error"] += 1
            continue
        assert found == expected[name], (number, name, what, where)
        counts["a warning" if any("epee" in str(one.message) for one in told) else "the same answers"] += 1
        counts[f"the same answers after a change of {where}"] += 1
    print(dict(counts))
    assert sum(counts[kind] for kind in ("an error", "a warning", "the same answers")) == MUTATIONS
    assert counts["the same answers after a change of model"] == 0 and counts["an error"] > 0.8 * MUTATIONS
