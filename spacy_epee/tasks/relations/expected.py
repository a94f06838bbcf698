"""What is said, once, of documents in which there are no relations to find."""

import warnings
from typing import Callable, Sequence

from spacy.tokens import Doc

from ...inputs.expected import FirstDocuments
from .candidates import EntityPairs
from .instances import PairInstances


class Expected:
    """What the first documents should have: no answer on any document is not what anybody wants."""

    def __init__(self, candidates: EntityPairs):
        """
        candidates (EntityPairs): Which pairs there are.
        """
        self.candidates = candidates
        self._without_entities, self._without_pairs = FirstDocuments(), FirstDocuments()

    def check(self, docs: Sequence[Doc], items: PairInstances, asked: Callable[[], Sequence[bool]]) -> None:
        """Warn if none of the first documents has entities, or none has a pair of them that may be related.

        docs (Sequence[Doc]): Some Docs.
        items (PairInstances): Their pairs.
        asked (Callable[[], Sequence[bool]]): Tells which of them there is something to ask about; only called for the first ones.
        """
        if self._without_entities.add(lambda: any(map(self.candidates.spans, docs)), lambda: sum(len(doc) > 0 for doc in docs)):
            key = self.candidates.spans_key
            where = "`doc.ents`" if key is None else f"`doc.spans['{key}']`"
            warnings.warn(
                f"The first documents have nothing in {where}, so there are no relations to find. Put a component that sets "
                "entities before this one (and in training list it in `training.annotating_components`, or read the "
                "entities of the annotation with the reader 'spacy-epee.EntityReader.v1'), or set `candidates.spans_key`."
            )
        if self._without_pairs.add(lambda: len(items) > 0, lambda: sum(asked())):
            warnings.warn(
                "The first documents have entities, and no two of them may be related, so there are no relations to find. "
                "Look at `candidates.labels`, which must be labels of these entities, at `candidates.leave_out`, "
                "`candidates.max_distance` and `candidates.same_sentence`, and at `model.trunk.sections` if some alone are read."
            )
