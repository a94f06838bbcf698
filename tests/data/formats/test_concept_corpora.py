"""Corpora whose relations are of concepts, from the file to the score."""

import gzip
import json
import re
from pathlib import Path

import pytest
from biored_util import bioc, pubtator
from spacy.cli._util import parse_config_overrides
from spacy.cli.train import train
from typer.testing import CliRunner

from spacy_epee.cli import epee

ROOT = Path(__file__).parents[3]
BC5CDR = ROOT.parent / "shared" / "corpora" / "bc5cdr"


def run(*args):
    found = CliRunner().invoke(epee, [*map(str, args)])
    assert found.exit_code == 0, found.output
    return found.output


def to_score(sources, backbone, folder, steps=2, suffix=".jsonl", options=()):
    """The figures of a pipeline that is trained on converted files with the settings that the converter prints."""
    paths = [folder / f"{part}{suffix}" for part in ("train", "dev")]
    for source, path in zip(sources, paths):
        printed = " ".join(run("convert", source, path, *options).split())
    overrides = parse_config_overrides(re.search(r"relations\.cfg: (--[a-z_. -]+)", printed)[1].split())
    short = {
        **overrides,
        "paths.train": str(paths[0]),
        "paths.dev": str(paths[1]),
        "paths.backbone": str(backbone),
        "training.max_steps": steps,
        "training.eval_frequency": steps,
        "training.optimizer.learn_rate.warmup_steps": 1,
        "components.epee_relations.model.trunk.window": 100,
        "components.epee_relations.model.trunk.overlap": 30,
        "components.epee_relations.exit.patience": 2,
    }
    train(ROOT / "configs" / "relations.cfg", folder / "out", overrides=short)
    run("evaluate", folder / "out" / "model-last", paths[1], "--output", folder / "figures.json", "--rounds", "1")
    return overrides, json.loads((folder / "figures.json").read_text())


@pytest.mark.parametrize("form,suffix", [("pubtator", ".jsonl"), ("bioc", ".jsonl"), ("bioc", ".spacy")])
def test_files_in_the_forms_of_biored_go_from_file_to_score(form, suffix, backbone, tmp_path):
    name, content = {
        "pubtator": ("Train.PubTator", pubtator("1") + pubtator("2")),
        "bioc": ("Train.BioC.XML", bioc("1", "2")),
    }[form]
    (tmp_path / name).write_text(content, encoding="utf-8")
    options = ["--spans-key", "entities"] if suffix == ".spacy" else []
    with pytest.warns(UserWarning, match="first in the file is kept.* pairs: 4"):
        overrides, figures = to_score([tmp_path / name] * 2, backbone, tmp_path, suffix=suffix, options=options)
    assert overrides == {
        "vars.spans_key": "entities",
        "components.epee_relations.candidates.symmetric": True,
        "components.epee_relations.exclusive": True,
        "components.epee_relations.candidates.level": "concept",
    }
    assert set(figures["full"]["per_label"]) == {"Positive_Correlation", "Association"}


@pytest.mark.slow
@pytest.mark.skipif(not BC5CDR.exists(), reason=f"there is no corpus in {BC5CDR}")
def test_bc5cdr_goes_from_file_to_score(backbone, tmp_path):
    sources = []
    for part in ("Development", "Test"):
        sources.append(tmp_path / f"CDR_{part}Set.BioC.xml")
        sources[-1].write_bytes(gzip.decompress((BC5CDR / f"{sources[-1].name}.gz").read_bytes()))
    overrides, figures = to_score(sources, backbone, tmp_path, steps=4)
    assert overrides["vars.spans_key"] == "entities" and overrides["components.epee_relations.exclusive"] is True
    assert set(figures["full"]["per_label"]) == {"CID"}
