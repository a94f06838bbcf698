"""Fixtures of all tests. Backbones are built once a session: leave them unchanged, and never write into their folders."""

import os
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest
from util import TRAINED, make_backbone

try:
    from hypothesis import settings
except ImportError:  # not in the environment of the newest versions
    pass
else:  # how long an example takes is up to the machine, and to what else it does
    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def trained(tmp_path_factory) -> Iterator[None]:
    """A folder that all processes share: what one has trained no other one trains."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "trained"
    folder.mkdir(exist_ok=True)
    TRAINED.append(folder)
    yield
    TRAINED.clear()


@pytest.fixture(scope="session")
def backbones(tmp_path_factory) -> Callable[[str], Path]:
    """From a model family to a folder with a tiny backbone of it."""
    folders: Dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in folders:
            folders[family] = make_backbone(tmp_path_factory.mktemp(family), family)
        return folders[family]

    return get


@pytest.fixture(scope="session")
def backbone(backbones) -> Path:
    """The folder of a tiny BERT."""
    return backbones("bert")
