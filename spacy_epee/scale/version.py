"""Which pipeline it was: its name, its version, and a digest of its files. Most pipelines have the version 0.0.0."""

import logging
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import List, Sequence

from spacy.language import Language
from spacy.util import get_package_path, is_package, load_model

from .notes import Note, Row, annotate_alone, check_pipeline

logger = logging.getLogger("spacy_epee.scale")

BLOCK = 1 << 20

WORDS = 600_000
"""After how many new words a pipeline is to be loaded anew. spaCy forgets the words of notes (`nlp.memory_zone`), but the tables
that had them keep their places and are doubled when these run out: 100 MB in 200,000 notes."""


@dataclass(eq=False)
class Loaded:
    """A pipeline that is loaded.

    model (str): By what name.
    nlp (Language): The pipeline.
    version (str): Which one it is.
    folder (Path): Where its files are.
    """

    model: str
    nlp: Language
    version: str
    folder: Path
    _words: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._words = len(self.nlp.vocab)

    @property
    def has_grown(self) -> bool:
        """RETURNS (bool): Whether it has had so many new words that it is to be loaded anew."""
        return len(self.nlp.vocab) - self._words > WORDS

    def answer(self, notes: Sequence[Note], batch_size: int = 32) -> List[Row]:
        """As `annotate_alone`, and the pipeline is loaded anew when it has grown.

        notes (Sequence[Note]): The notes.
        batch_size (int): How many are answered together.
        RETURNS (List[Dict[str, Any]]): A row for each note, in order.
        """
        rows = annotate_alone(self.nlp, notes, self.version, batch_size)
        if self.has_grown:
            self.renew()
        return rows

    def renew(self) -> None:
        """Load the pipeline anew, unless it cannot be or there is another one in its place by now: then this one goes on."""
        try:
            other = load_pipeline(self.model)
        except (ValueError, OSError) as error:
            logger.warning("the pipeline was not loaded anew to save memory: %s", type(error).__name__)
        else:
            if other.version == self.version:
                self.nlp = other.nlp
        self._words = len(self.nlp.vocab)

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
    RAISES ValueError: It annotates no text, or was replaced meanwhile.
    RAISES OSError: There is no such pipeline.
    """
    folder = Path(get_package_path(model)) if is_package(model) else Path(model)
    before = digest_of(folder)
    nlp = check_pipeline(load_model(model))
    if digest_of(folder) != before:
        raise ValueError(f"The pipeline '{model}' was replaced while it was loaded. Give the command again.")
    name = "-".join(str(nlp.meta[key]) for key in ("lang", "name", "version") if nlp.meta.get(key))
    return Loaded(model, nlp, f"{name}-{before}", folder)


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
