"""Fixtures of all tests. Backbones are built once a session: leave them unchanged, and never write into their folders."""

from pathlib import Path
from typing import Callable, Dict

import pytest
from util import make_backbone


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
