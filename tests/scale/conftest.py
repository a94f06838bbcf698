"""A pipeline in a folder, and notes."""

import pytest
from annotate_util import write_notes
from util import make_nlp, make_texts

from spacy_epee.scale import notes

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.4, "patience": 2}


@pytest.fixture(scope="session")
def model(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotate") / "model"
    make_nlp(backbone, exit=RULE).to_disk(folder)
    return folder


@pytest.fixture
def source(tmp_path):
    """Sixty notes."""
    return write_notes(tmp_path / "in.jsonl", make_texts(60, seed=3, longest=50))


@pytest.fixture
def small_chunks(monkeypatch):
    """Seven notes a chunk, or fewer."""
    monkeypatch.setattr(notes, "CHUNK_NOTES", 7)
    monkeypatch.setattr(notes, "CHUNK_CHARACTERS", 900)
