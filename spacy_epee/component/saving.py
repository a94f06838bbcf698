"""Pipelines that are saved whole.

spaCy writes the files of a pipeline one after the other over those that are there, and its training loop removes `model-best`
before it copies `model-last` there. A kill in between leaves neither the old pipeline nor the new one, for a rule, its
temperatures and the weights are in different files. A component writes its own folder alone, so that the two places of spaCy are
changed here: `Language.to_disk`, for pipelines with a component of ours, and what its training loop removes and copies with.
"""

import os
import shutil
from functools import wraps
from pathlib import Path
from typing import Any, Iterable, Set, Union

from spacy.language import Language
from spacy.strings import StringStore
from spacy.training import loop
from spacy.util import SimpleFrozenList

from ..files import whole_folder

KEY = "config.cfg"
"""The file without which spaCy refuses a folder."""

_outdated: Set[str] = set()
"""Folders that spaCy's training loop asked to remove. They stay until something takes their place."""


def save_whole(kind: type) -> None:
    """Have pipelines with a component of some kind saved whole, by `nlp.to_disk` and by `spacy train`.

    kind (type): The class of the components.
    """
    write = Language.to_disk

    @wraps(write)
    def to_disk(self: Language, path: Union[str, Path], *, exclude: Iterable[str] = SimpleFrozenList()) -> None:
        outdated = _is_outdated(path)
        if not any(isinstance(pipe, kind) for _, pipe in self._components):
            if outdated:
                shutil.rmtree(path)
            return write(self, path, exclude=exclude)
        # As spaCy does, leave what else is in the folder, such as notes of the user or a part that is excluded now.
        with whole_folder(path, keep=not outdated, key=KEY) as part:
            write(self, part, exclude=exclude)

    Language.to_disk = to_disk  # type: ignore[method-assign]
    loop.shutil = _WholeCopies()  # type: ignore[assignment]


def save_pipeline(nlp: Language, path: Path, strings: StringStore) -> None:
    """Save a pipeline that has seen documents, without their words: spaCy keeps each word of each text in the vocabulary.

    nlp (Language): The pipeline.
    path (Path): The folder.
    strings (StringStore): A copy of the strings that the vocabulary had before it saw them.
    """
    with whole_folder(path, keep=True, key=KEY) as part:
        nlp.to_disk(part, exclude=["strings"])
        strings.to_disk(part / "vocab" / "strings.json")


class _WholeCopies:
    """What spaCy's training loop has in place of `shutil`."""

    def rmtree(self, path: Union[str, Path]) -> None:
        """Leave a folder until something takes its place.

        path (Union[str, Path]): The folder.
        """
        _outdated.add(os.path.realpath(path))

    def copytree(self, source: Union[str, Path], target: Union[str, Path]) -> None:
        """Copy a folder over another, whole.

        source (Union[str, Path]): The folder.
        target (Union[str, Path]): Where to.
        """
        _is_outdated(target)
        with whole_folder(target, key=KEY) as part:
            shutil.copytree(source, part, dirs_exist_ok=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)


def _is_outdated(path: Union[str, Path]) -> bool:
    """RETURNS (bool): Whether the training loop asked to remove a folder that is there; it is asked once."""
    real = os.path.realpath(path)
    asked = real in _outdated
    _outdated.discard(real)
    return asked and os.path.isdir(real)
