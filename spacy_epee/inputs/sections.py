"""Which part of a document is read: some of its sections, as a component before ours has found them."""

import warnings
from dataclasses import dataclass, field
from typing import Iterator, List, Optional, Sequence, Tuple

from spacy.tokens import Doc, Span

from ..doc_attributes import spans_of
from .expected import FirstDocuments

WHOLE, NOTHING = "whole", "nothing"
"""What is read of a document that has none of the sections."""


@dataclass(frozen=True)
class Sections:
    """The sections of a document that are read.

    names (List[str]): What they are called: the label of a span, or the category of a section of medSpaCy. Of the latter "" is
        what has none, such as what comes before the first section.
    spans_key (Optional[str]): The span group that has the sections, such as "sections" of EDS-NLP; null takes those in
        `doc._.sections`, where medSpaCy has them.
    missing (str): What is read of a document that has none of them: "whole", all of it, or "nothing", so that it gets the
        answers of an empty text.
    """

    names: List[str]
    spans_key: Optional[str] = None
    missing: str = WHOLE
    _lacking: FirstDocuments = field(default_factory=FirstDocuments, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not self.names or not all(isinstance(name, str) for name in self.names):
            raise ValueError("The setting `sections.names` is no list of names; give the sections that are to be read.")
        if self.missing not in (WHOLE, NOTHING):
            raise ValueError(f"The setting `sections.missing` is '{self.missing}'; give '{WHOLE}' or '{NOTHING}'.")

    def find(self, doc: Doc) -> List[Span]:
        """RETURNS (List[Span]): Those of the sections that a Doc has, in order. What overlaps or touches is one."""
        merged: List[Tuple[int, int]] = []
        for start, end in sorted(place for name, place in self._sections(doc) if name in self.names and place[0] < place[1]):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return [doc[start:end] for start, end in merged]

    def _sections(self, doc: Doc) -> Iterator[Tuple[str, Tuple[int, int]]]:
        """YIELDS (Tuple[str, Tuple[int, int]]): The name of each section of a Doc, and its first token and the one behind its
        last."""
        if self.spans_key is not None:
            yield from ((span.label_, (span.start, span.end)) for span in spans_of(doc, self.spans_key))
            return
        if not Doc.has_extension("sections"):
            raise ValueError(
                "The setting `model.trunk.sections` has no `spans_key`, and documents have no `doc._.sections`. Add "
                "'medspacy_sectionizer' of medSpaCy before this component, or name the span group that has the sections."
            )
        for section in doc._.sections or ():
            start, end = section.section_span
            yield section.category or "", (start, end)

    def parts(self, doc: Doc) -> List[Span]:
        """RETURNS (List[Span]): What is read of a Doc, in order."""
        found = self.find(doc)
        return found if found or self.missing == NOTHING or not len(doc) else [doc[:]]

    def shorten(self, docs: Sequence[Doc]) -> List[Doc]:
        """RETURNS (List[Doc]): What is read of some Docs, as Docs of words alone."""
        return [self._shorten(doc) for doc in docs]

    def _shorten(self, doc: Doc) -> Doc:
        parts = self.parts(doc)
        if len(parts) == 1 and len(parts[0]) == len(doc):
            return doc
        tokens = [token for part in parts for token in part]
        ends = {part.end - 1 for part in parts}  # words of two sections do not become one
        spaces = [bool(token.whitespace_) or token.i in ends for token in tokens]
        return Doc(doc.vocab, words=[token.text for token in tokens], spaces=spaces)

    def take(self, source: Doc, target: Doc) -> None:
        """Give a Doc the sections that were found in a copy of it.

        source (Doc): The copy.
        target (Doc): The Doc. If tokens were merged or split in the copy, it gets none.
        """
        if len(source) != len(target):
            return
        if self.spans_key is None:
            target._.sections = source._.sections
        else:
            found = source.spans.get(self.spans_key, ())
            target.spans[self.spans_key] = [Span(target, span.start, span.end, label=span.label_) for span in found]

    def expect(self, docs: Sequence[Doc]) -> None:
        """Warn once if the first documents have none of the sections: that is not what anybody wants.

        docs (Sequence[Doc]): Some Docs.
        """
        if self._lacking.add(lambda: any(map(self.find, docs)), lambda: sum(len(doc) > 0 for doc in docs)):
            where = "`doc._.sections`" if self.spans_key is None else f"`doc.spans['{self.spans_key}']`"
            read = "read whole" if self.missing == WHOLE else "answered as empty texts are"
            warnings.warn(
                f"The first documents have none of the sections {list(self.names)} in {where}, and are {read}. Put a component "
                "that finds sections before this one (and in training list it in `training.annotating_components`), or correct "
                "`model.trunk.sections`."
            )
