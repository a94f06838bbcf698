"""Elements of an XML file, one after the other. Nothing but the file is read, and nothing in it is expanded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List
from xml.parsers import expat

from ...errors import raise_alone

CHUNK = 1 << 16
"""How many bytes are parsed in one go."""

DEEPEST = 100
"""How many elements may be open at once."""


@dataclass
class Element:
    """An element.

    tag (str): Its name.
    line (int): The line that it begins in.
    attributes (Dict[str, str]): Its attributes.
    children (List[Element]): The elements in it.
    pieces (List[str]): The text in it and in its children, if it is one of those whose text was asked for.
    """

    tag: str
    line: int
    attributes: Dict[str, str] = field(default_factory=dict)
    children: List["Element"] = field(default_factory=list)
    pieces: List[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text in it."""
        return "".join(self.pieces)

    def all(self, tag: str) -> List["Element"]:
        """RETURNS (List[Element]): The elements of one name that are directly in it."""
        return [child for child in self.children if child.tag == tag]

    def text_of(self, tag: str) -> str:
        """RETURNS (str): The text of the first element of one name; "" if there is none."""
        found = self.all(tag)
        return found[0].text if found else ""


def read_elements(path: Path, root: str, tag: str, texts: List[str]) -> Iterator[Element]:
    """Read the elements of one name that are directly in the root of a file. Each is let go of before the next one.

    path (Path): The file.
    root (str): What its root must be called.
    tag (str): The name.
    texts (List[str]): The names of the elements whose text is wanted.
    YIELDS (Element): The elements.
    RAISES ValueError: It is not XML, has another root, or declares entities, by which a small file can become a huge one and
        other files can be read. It names the file and the line and shows nothing of either.
    """
    reader = _Reader(path, root, tag, texts)
    with path.open("rb") as source:
        chunk = source.read(CHUNK)
        while True:
            try:
                reader.parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                # The words are the parser's own.
                raise_alone(ValueError(f"{path}, line {error.lineno}: not XML ({expat.ErrorString(error.code)})."))
            except LookupError:
                raise_alone(ValueError(f"{path}, line 1: the encoding that it names is not known. Convert the file to UTF-8."))
            except ValueError as error:
                raise_alone(error if reader.refused else ValueError(f"{path}, line 1: not read in the encoding that it names."))
            yield from reader.finished
            reader.finished.clear()
            if not chunk:
                return
            chunk = source.read(CHUNK)


class _Reader:
    """What the parser calls.

    finished (List[Element]): The elements that were read to their end.
    refused (bool): Whether an error is our own.
    """

    def __init__(self, path: Path, root: str, tag: str, texts: List[str]):
        self.path, self.root, self.tag, self.texts = path, root, tag, set(texts)
        self.open: List[Element] = []
        self.holders: List[Element] = []
        self.finished: List[Element] = []
        self.refused = False
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._declaration
        self.parser.SkippedEntityHandler = self._skipped

    def _refuse(self, what: str) -> None:
        self.refused = True
        raise ValueError(f"{self.path}, line {self.parser.CurrentLineNumber}: {what}.")

    def _start(self, tag: str, attributes: Dict[str, str]) -> None:
        if not self.open and tag != self.root:
            self._refuse(f"the root is not <{self.root}>")
        if len(self.open) == DEEPEST:
            self._refuse(f"more than {DEEPEST} elements are in one another")
        element = Element(tag, self.parser.CurrentLineNumber, attributes)
        if len(self.open) > 1 or tag == self.tag:
            self.open[-1].children.append(element)
        self.open.append(element)
        if tag in self.texts:
            self.holders.append(element)

    def _end(self, tag: str) -> None:
        element = self.open.pop()
        if self.holders and self.holders[-1] is element:
            self.holders.pop()
        if len(self.open) == 1:
            self.open[0].children.clear()
            if tag == self.tag:
                self.finished.append(element)

    def _text(self, text: str) -> None:
        for holder in self.holders[:1]:
            holder.pieces.append(text)

    def _declaration(self, *declaration: object) -> None:
        self._refuse("it declares entities, which are not read: put what they stand for in their place")

    def _skipped(self, *entity: object) -> None:
        self._refuse("it has an entity that is declared in another file, which is not read: put what it stands for in its place")
