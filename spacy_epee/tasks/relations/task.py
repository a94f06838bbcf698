"""Relations between entities. The unit that exits is the window: it leaves when all its pairs are settled."""

import warnings
from types import MappingProxyType
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Set, Tuple

import numpy
from spacy.tokens import Doc
from spacy.training import Example

from ...doc_attributes import annotate, annotation, entries_of, in_place
from ...engine.replay import Replay, Score
from ...engine.results import Predictions
from ...exits.scaling import Threshold
from ...inputs.ngrams import Bags
from ...inputs.windows import Windows
from ...settings import check_number
from ..base import FlatTask
from ..checks import check_settings
from ..replay_score import Places, StoredAnnotation
from .candidates import EntityPairs
from .concepts import Concept, name_pairs, number_concept, ordered
from .docs import Relation, install_extensions
from .evidence import PairEvidenceBuilder
from .expected import Expected
from .gate import pair_bags
from .instances import PairInstances, find_pairs
from .replay_score import pair_score
from .scorer import relations_of


class Relations(FlatTask):
    """Relations between the entities of a Doc, in `doc._.relations`."""

    name = "relations"
    assigns, unit = "doc._.relations", "window"
    head_kind = "pairs"
    main, full, per_label = "rel_micro_f", "rel_full", "rel_f_per_type"
    reads_entities = has_features = True

    def __init__(
        self,
        *,
        candidates: EntityPairs,
        exclusive: bool,
        label_weights: Dict[str, float],
        reduce: str,
        hide_entities: float = 0.0,
    ):
        """
        candidates (EntityPairs): Which pairs may be related.
        exclusive (bool): A pair has one label or none, or any number of them.
        label_weights (Dict[str, float]): How much a label counts in the loss; 1 for those not named.
        reduce (str): How the uncertainties of a window's pairs are joined: "max", the least settled one, or "mean".
        hide_entities (float): The share of entities that are masked in training.
        """
        check_settings(reduce, label_weights)
        check_number("hide_entities", hide_entities, 0, 1)
        self.candidates = candidates
        self.spans_key = candidates.spans_key
        self.n_salience = 2 if candidates.level == "concept" else 0  # of the head and of the child
        self.exclusive = exclusive
        self.label_weights = dict(label_weights)
        self.reduce = reduce  # type: ignore[assignment]
        self.hide_entities = hide_entities
        self._expected = Expected(candidates)
        install_extensions()

    def reading(self, threshold: Threshold, temperatures: Mapping[int, float] = MappingProxyType({})) -> PairEvidenceBuilder:
        """RETURNS (PairEvidenceBuilder): How the logits are to be read."""
        return PairEvidenceBuilder(self.exclusive, threshold, self.reduce, dict(temperatures))

    def n_logits(self, labels: Sequence[str], cfg: Dict[str, Any]) -> int:
        """RETURNS (int): Logits per item. Of exclusive labels the first one is that of "not related"."""
        return len(labels) + self.exclusive

    def weights(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[float]:
        """RETURNS (List[float]): How much each logit counts in the loss."""
        return [1.0] * self.exclusive + [self.label_weights.get(label, 1.0) for label in labels]

    def has_instances(self, docs: Sequence[Doc]) -> List[bool]:
        """RETURNS (List[bool]): Which of the Docs there is anything to ask about."""
        return [len(self.candidates.spans(doc)) > 1 for doc in docs]

    def make_instances(self, docs: Sequence[Doc], windows: Windows, cfg: Dict[str, Any]) -> PairInstances:
        """Say what is to be answered.

        docs (Sequence[Doc]): The Docs.
        windows (Windows): Their windows.
        cfg (Dict[str, Any]): What the component has learned about the data.
        RETURNS (PairInstances): One item a pair.
        """
        items = find_pairs(docs, windows, self.candidates, {label: i for i, label in enumerate(cfg["types"], 1)})
        if "salience" in cfg:
            items.salience_weights = numpy.array(cfg["salience"], dtype="float32")
        return items

    def gate_bags(self, docs: Sequence[Doc], items: PairInstances) -> Bags:
        """RETURNS (Bags): The n-grams of the pairs."""
        return pair_bags(docs, items)

    def infer_labels(self, examples: Iterable[Example]) -> Tuple[List[str], Dict[str, Any]]:
        """Find out about the data.

        examples (Iterable[Example]): All examples.
        RETURNS (Tuple[List[str], Dict[str, Any]]): The labels of the relations, in order of appearance; and "types", the
            labels of the entities.
        """
        labels: Dict[str, None] = {}
        types: Set[str] = set()
        several: List[List[str]] = []
        for eg in examples:
            several.append(self._several(eg.reference))
            labels.update(dict.fromkeys(entry["label"] for entry in annotation(eg.reference, "relations") or ()))
            for doc in (eg.reference, eg.predicted):
                types.update(span.label_ for span in self.candidates.spans(doc))
        self._warn_several(several)
        return list(labels), {"types": sorted(types)}

    def sizes(self, cfg: Dict[str, Any]) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): Sizes of the classifiers that depend on the data."""
        return {"types": len(cfg["types"])}

    def true_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc, known or not."""
        return {entry["label"] for entry in entries_of(doc, "relations") or ()}

    def is_annotated(self, doc: Doc) -> bool:
        """RETURNS (bool): Whether a Doc says which relations it has, be it none."""
        return annotation(doc, "relations") is not None

    def targets(
        self, examples: Sequence[Example], labels: Sequence[str], items: PairInstances, strict: bool = True
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """What the annotation says about the pairs.

        examples (Sequence[Example]): The examples.
        labels (Sequence[str]): The labels.
        items (PairInstances): The pairs.
        strict (bool): Whether to refuse labels that are not known. Otherwise nothing is known of pairs that have one.
        RETURNS (Tuple[ndarray, ndarray]): 1 for true logits (N, K), and 0 where nothing is known, which is all of a Doc without
            `doc._.relations` (N, K), both float32.
        RAISES ValueError: Labels that are not known.
        """
        numbers = {label: i + self.exclusive for i, label in enumerate(labels)}
        gold = [self.gold(eg.reference) for eg in examples]
        unknown = {label for found in gold for given in found.values() for label in given} - set(numbers) - self.others
        if strict and unknown:
            first = next(eg for eg, found in zip(examples, gold) if any(given & unknown for given in found.values()))
            raise ValueError(
                f"An example{in_place(first.reference)} has unknown relations, and the component knows only {list(labels)}. Add "
                "the missing labels when initializing (`initialize.components.<name>.labels`, or data that have them), or "
                "correct the data."
            )
        unknown |= self.doubted
        targets = numpy.zeros((len(items), self.n_logits(labels, {})), dtype="float32")
        strange = numpy.zeros(len(items), dtype=bool)
        rows = self._rows(examples, items)
        for doc, found in enumerate(gold):
            for characters, given in found.items():
                columns = sorted(numbers[label] for label in given if label in numbers)
                for row in rows.get((doc, *characters), ()):
                    if not self.exclusive:
                        targets[row, columns] = 1
                    elif columns and not targets[row].any():  # of several the first one
                        targets[row, columns[0]] = 1
                    strange[row] |= not given.isdisjoint(unknown)
        if self.exclusive:
            targets[:, 0] = 1 - targets[:, 1:].sum(axis=1)
        known = numpy.array([annotation(eg.reference, "relations") is not None for eg in examples], dtype=bool)
        counts = known[items.docs] & ~strange
        if items.groups is not None:  # that of two concepts counts once a window, however many mentions they have
            once = numpy.zeros(len(items), dtype=bool)
            once[numpy.unique(items.groups, return_index=True)[1]] = True
            counts &= once
        return targets, numpy.ones_like(targets) * counts[:, None]

    def _several(self, doc: Doc) -> List[str]:
        """RETURNS (List[str]): Where a Doc comes from, for each pair that has too many labels."""
        pairs = self.gold(doc).values() if self.exclusive else ()
        return [in_place(doc) for given in pairs if len(given) > 1]

    def _warn_several(self, found: Sequence[List[str]]) -> None:
        """Say that pairs have several labels where labels are exclusive.

        found (Sequence[List[str]]): Such pairs of each document, see `_several`.
        """
        pairs, n_docs = [pair for own in found for pair in own], sum(map(bool, found))
        if not pairs:
            return
        place = f", the first{pairs[0]}," if pairs[0] else ""
        both = " `candidates.symmetric = true` takes the two directions of a pair as one." if self.candidates.symmetric else ""
        warnings.warn(
            f"{len(pairs)} pairs of entities in {n_docs} documents have several relations{place} and the "
            f"labels of this component are exclusive: of each pair the first label is learned, in the order of the component's "
            f"labels, and the others count as missed.{both} Set `exclusive = false` to learn all."
        )

    def add_gold(self, examples: Sequence[Example], items: PairInstances) -> None:
        """Hide some entities, so that what relates them is learned and not their names.

        examples (Sequence[Example]): Not used.
        items (PairInstances): What was asked.
        """
        if not self.hide_entities:
            return
        if items.windows.mask is None:
            raise ValueError(
                "The setting `hide_entities` needs a wordpiece for what is hidden, and the backbone's tokenizer has no mask. Set "
                "it to 0, or take another backbone."
            )
        items.windows.hide(items.mentions[numpy.random.random(len(items.mentions)) < self.hide_entities])

    def _rows(self, examples: Sequence[Example], items: PairInstances) -> Dict[Tuple[Any, ...], List[int]]:
        """The items of each pair of places, or of concepts. There are several if a place has entities of several labels, or a
        concept several mentions."""
        found: Dict[Tuple[Any, ...], List[int]] = {}
        if self.candidates.level == "concept":
            for row, pairs in enumerate(items.concept_pairs):
                for pair in pairs:
                    found.setdefault((items.docs[row], *ordered(pair, self.candidates.symmetric)), []).append(row)
            return found
        starts = [[token.idx for token in eg.predicted] for eg in examples]
        ends = [[token.idx + len(token) for token in eg.predicted] for eg in examples]
        tokens = numpy.column_stack((items.docs, items.head_tokens, items.child_tokens)).tolist()
        for row, (doc, a, b, c, d) in enumerate(tokens):
            head, child = (starts[doc][a], ends[doc][b - 1]), (starts[doc][c], ends[doc][d - 1])
            first, second = sorted((head, child)) if self.candidates.symmetric else (head, child)
            found.setdefault((doc, *first, *second), []).append(row)
        return found

    def gold(self, doc: Doc) -> Dict[Any, Set[str]]:
        """RETURNS (Dict[Any, Set[str]]): The labels of each annotated pair, by characters or concepts."""
        found: Dict[Any, Set[str]] = {}
        for where, label in relations_of(doc, self.candidates.level, self.spans_key, self.candidates.symmetric):
            found.setdefault(where, set()).add(label)
        return found

    def check_data(self, examples: Sequence[Example], items: PairInstances, name: str) -> None:
        """Warn of annotated relations that are not among the candidates: they cannot be learned, and count as missed.

        examples (Sequence[Example]): Some examples.
        items (PairInstances): Their pairs.
        name (str): The component.
        """
        asked = self._rows(examples, items)
        gold = [(i, *characters) for i, eg in enumerate(examples) for characters in self.gold(eg.reference)]
        missed = sum(key not in asked for key in gold)
        if missed:
            unit, more = "window", "raise `model.trunk.window`"
            if items.windows.by_sentence:
                unit, more = "sentence", "set `model.trunk.unit` to 'window'"
            warnings.warn(
                f"{missed} of {len(gold)} annotated relations in the first {len(examples)} documents are not among the pairs "
                f"that the component '{name}' looks at: their entities are missing, not in one {unit}, or not allowed by "
                f"`candidates`. They cannot be found and count as missed. For pairs that are far apart {more}."
            )

    def annotate(self, docs: Sequence[Doc], answers: Predictions, labels: Sequence[str]) -> None:
        """Write the answers to the Docs.

        docs (Sequence[Doc]): The Docs.
        answers (Predictions): Their answers.
        labels (Sequence[str]): The labels.
        """
        install_extensions()
        items: PairInstances = answers.items  # type: ignore[assignment]
        self._expected.check(docs, items, lambda: self.has_instances(docs))
        reading = answers.reading
        decided = reading.evidence(answers.logits, layer=0, units=numpy.arange(len(items))).decision
        concepts = items.concept_pairs if self.candidates.level == "concept" else None
        # By place, or concepts, and label: there can be entities of several labels, or mentions, of which the surest pair counts.
        found: List[Dict[Tuple[Any, ...], Dict[str, Any]]] = [{} for _ in docs]
        for row, column in zip(*numpy.nonzero(decided)):
            if column < self.exclusive:
                continue
            head, child = items.head_tokens[row].tolist(), items.child_tokens[row].tolist()
            label, score = labels[column - self.exclusive], float(answers.probabilities[row, column])
            own = found[items.docs[row]]
            entry = {"head": head, "child": child, "label": label, "score": score}
            for where, ids in (
                [((*head, *child), {})] if concepts is None else name_pairs(concepts[row], self.candidates.symmetric)
            ):
                key = where if self.exclusive else (*where, label)
                if key not in own or own[key]["score"] < score:
                    own[key] = {**entry, **ids}
        for doc, own in zip(docs, found):
            others = [entry for entry in annotation(doc, "relations") or () if entry["label"] not in labels]
            ordered = sorted(own.values(), key=lambda entry: (entry["head"], entry["child"], entry["label"]))
            annotate(doc, "relations", [*others, *ordered])

    def describe(self, scores: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is."""
        return self.describe_main({})

    def describe_main(self, cfg: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is, before there is one."""
        return "micro F of concepts" if self.candidates.level == "concept" else "micro F"

    def item_places(self, items: PairInstances) -> Places:
        """RETURNS (Places): The tokens of head and child of each pair, (N, 4); or the concepts that it may be about, (P, 2)."""
        if self.candidates.level != "concept":
            return numpy.hstack((items.head_tokens, items.child_tokens)), numpy.arange(len(items))
        found = [(row, *self._number(pair)) for row, pairs in enumerate(items.concept_pairs) for pair in pairs]
        rows, *places = numpy.array(found, dtype="int64").reshape(-1, 3).T
        return numpy.column_stack(places), rows

    def _number(self, pair: Tuple[Concept, Concept]) -> Tuple[int, int]:
        """Two numbers for a pair of concepts."""
        head, child = (number_concept(one) for one in ordered(pair, self.candidates.symmetric))
        return head, child

    def replay_score(self, stored: StoredAnnotation, replay: Replay) -> Score:
        """RETURNS (Score): Micro F of relations."""
        gold = [self.gold(eg.reference) for eg in stored.examples]
        right: numpy.ndarray = stored.targets[stored.place_items, int(self.exclusive) :] > 0
        if self.candidates.level == "concept":  # an item can be about several
            known = [{self._number(pair): given for pair, given in own.items()} for own in gold]
            places = [] if stored.places is None else stored.places.tolist()
            given = [[label in known[doc].get((head, child), ()) for label in stored.labels] for doc, head, child in places]
            right = numpy.array(given, dtype=bool).reshape(right.shape)
        return pair_score(stored, right, gold, exclusive=self.exclusive)

    def show(self, doc: Doc, labels: Sequence[str]) -> str:
        """RETURNS (str): The relations of a Doc, on a line."""
        return "; ".join(f"{relation.head} {relation.label} {relation.child}" for relation in Relation.of(doc))

    def score_settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What the scorer must know."""
        found = {"symmetric": self.candidates.symmetric}
        return {**found, "level": "concept", "spans_key": self.spans_key} if self.candidates.level == "concept" else found
