"""A pipeline in a folder, and a service of it."""

import gc

import pytest
from util import make_nlp

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.4, "patience": 2}


@pytest.fixture(scope="session")
def served(backbone, tmp_path_factory):
    """The folder of a pipeline."""
    folder = tmp_path_factory.mktemp("served") / "model"
    make_nlp(backbone, exit=RULE).to_disk(folder)
    return folder


@pytest.fixture(autouse=True)
def thaw():
    """Other tests count what is garbage."""
    yield
    gc.unfreeze()
