"""Which pipeline it was: its name, its version, and a digest of its files. Most pipelines have the version 0.0.0."""

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.util import get_package_path, is_package, load_model

from ..component.rivals import check_answers
from .notes import check_pipeline

BLOCK = 1 << 20


class Loaded(NamedTuple):
    """A pipeline that is loaded.

    nlp (Language): The pipeline.
    version (str): Which one it is.
    folder (Path): Where its files are.
    """

    nlp: Language
    version: str
    folder: Path

    def is_replaced(self) -> bool:
        """RETURNS (bool): Whether there are other files now."""
        try:
            return not self.version.endswith(digest_of(self.folder))
        except OSError:  # some are gone
            return True


def load_pipeline(model: str) -> Loaded:
    """Load a pipeline to annotate with.

    model (str): A folder or an installed package.
    RETURNS (Loaded): The pipeline.
    RAISES ValueError: It annotates no text, or some of its answers would be lost, or it was replaced meanwhile.
    RAISES OSError: There is no such pipeline.
    """
    folder = Path(get_package_path(model)) if is_package(model) else Path(model)
    before = digest_of(folder)
    nlp = check_pipeline(load_model(model))
    check_answers(nlp)
    if digest_of(folder) != before:
        raise ValueError(f"The pipeline '{model}' was replaced while it was loaded. Give the command again.")
    name = "-".join(str(nlp.meta[key]) for key in ("lang", "name", "version") if nlp.meta.get(key))
    return Loaded(nlp, f"{name}-{before}", folder)


def digest_of(folder: Path) -> str:
    """RETURNS (str): A digest of the names and contents of the files in a folder."""
    found = blake2b(digest_size=8)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith("."):
            found.update(f"{file.relative_to(folder).as_posix()} {file.stat().st_size} ".encode("utf-8", "surrogateescape"))
            with file.open("rb") as content:
                for block in iter(partial(content.read, BLOCK), b""):
                    found.update(block)
    return found.hexdigest()
