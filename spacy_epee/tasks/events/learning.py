"""What the annotation says about tags and links, and what of it cannot be learned."""

import warnings
from typing import List, Sequence, Set, Tuple

import numpy
from spacy.training import Example

from ...doc_attributes import annotation
from ...engine.results import LinkLogits
from .grouping import count_lost
from .instances import BEGIN, INSIDE, KIND, OUT, UNIT, TokenInstances
from .targets import Annotation, Node


def held(items: TokenInstances, index: int, nodes: Sequence[Node], whole: bool = True) -> List[Tuple[int, List[int]]]:
    """RETURNS (List[Tuple[int, List[int]]]): The windows of a Doc, each with the places of the nodes that it has (see
    `TokenInstances.held`)."""
    first = int(numpy.searchsorted(items.unit_docs, index))
    return list(enumerate(items.held(index, [node[:2] for node in nodes], whole), start=first))


def find_tags(annotated: Sequence[Annotation], items: TokenInstances) -> Tuple[numpy.ndarray, int]:
    """Tag tokens.

    annotated (Sequence[Annotation]): What is annotated on each Doc.
    items (TokenInstances): What was asked.
    RETURNS (Tuple[ndarray, int]): The tag of each token in each layer, and how many spans could not be tagged for others of their
        kind.
    """
    tags = numpy.full((len(items), items.schema.n_layers), OUT)
    shared = 0
    for index, found in enumerate(annotated):
        nodes = in_sentences(items, index, found.nodes) if items.windows.by_sentence else found.nodes
        # The longest first: of spans of a kind that overlap, one can be tagged.
        nodes = sorted(nodes, key=lambda node: (node[0] - node[1], node))
        for unit, places in held(items, index, nodes, whole=False):
            for start, end, kind in map(nodes.__getitem__, places):
                begin, stop = items.place(unit, start, end)
                if kind >= items.schema.n_layers or begin == stop:
                    continue
                if (tags[begin:stop, kind] != OUT).any():
                    shared += 1
                    continue
                tags[begin:stop, kind] = INSIDE
                if items.tokens[begin] == start:
                    tags[begin, kind] = BEGIN
    return tags, shared


def in_sentences(items: TokenInstances, index: int, nodes: Sequence[Node]) -> List[Node]:
    """RETURNS (List[Node]): Those nodes of a Doc that one sentence has all of. Parts of the others are no spans."""
    places = {place for _, places in held(items, index, nodes) for place in places}
    return [node for place, node in enumerate(nodes) if place in places]


def known_units(examples: Sequence[Example], items: TokenInstances) -> numpy.ndarray:
    """RETURNS (ndarray): Which of the windows are of Docs with `doc._.events`, (U,) bool."""
    known = numpy.array([annotation(eg.reference, "events") is not None for eg in examples], dtype=bool)
    return known[items.unit_docs]


def link_targets(items: TokenInstances, links: LinkLogits) -> Tuple[numpy.ndarray, numpy.ndarray]:
    """RETURNS (Tuple[ndarray, ndarray]): 1 for true outputs (P, outputs), and which of the annotated links are not among those
    that were looked at (L,) bool."""
    targets = numpy.zeros((len(links.heads), len(items.schema.outputs)), dtype="float32")
    unreached = numpy.zeros(len(items.gold_links), dtype=bool)
    heads, children = items.gold[items.gold_links[:, 0]], items.gold[items.gold_links[:, 1]]
    pairs = numpy.hstack((heads, children)).tolist()
    for number, (pair, output) in enumerate(zip(pairs, items.gold_links[:, 2].tolist())):
        place = links.places.get(tuple(pair))
        if place is None:  # not found, or one of too many
            unreached[number] = True
        else:
            targets[place, output] = 1
    return targets, unreached


def link_rows(items: TokenInstances, links: LinkLogits) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Lay out links to fit thresholds to.

    items (TokenInstances): What was asked, after `add_gold`.
    links (LinkLogits): What an exit says about links.
    RETURNS (Tuple[ndarray, ndarray, ndarray, ndarray]): Logits, 1 for what is true, and 0 where nothing is known, each (N, T) for
        the thresholds that the schema names; and the document of each row, (N,). Annotated links whose spans were not found are
        rows that no threshold gives.
    """
    schema, gold = items.schema, items.gold
    targets, unreached = link_targets(items, links)
    known = items.known[links.heads[:, UNIT]]  # type: ignore[index]  # `add_gold` sets it
    rows, outputs = numpy.nonzero(items.possible(links.heads, links.children) & known[:, None])
    columns = schema.threshold_columns(links.children[:, KIND])[rows, outputs]
    heads, children = (gold[items.gold_links[unreached, end]] for end in (0, 1))
    missed = schema.threshold_columns(children[:, KIND])[numpy.arange(len(heads)), items.gold_links[unreached, 2]]
    shape = (len(links.heads) + len(heads), len(schema.threshold_names))
    logits, true, mask = (numpy.zeros(shape) for _ in range(3))
    logits[rows, columns], true[rows, columns] = numpy.asarray(links.logits)[rows, outputs], targets[rows, outputs]
    below = len(links.heads) + numpy.arange(len(heads))
    logits[below, missed], true[below, missed] = -numpy.inf, 1
    mask[rows, columns] = mask[below, missed] = 1
    return logits, true, mask, items.unit_docs[numpy.concatenate((links.heads[:, UNIT], heads[:, UNIT]))]


def warn_lost(examples: Sequence[Example], annotated: Sequence[Annotation], items: TokenInstances, name: str) -> None:
    """Warn of what is annotated and cannot be learned.

    examples (Sequence[Example]): Some examples.
    annotated (Sequence[Annotation]): What is annotated on them.
    items (TokenInstances): What was asked about them.
    name (str): The component.
    """
    _, shared = find_tags(annotated, items)
    missed = crossing = 0
    for index, found in enumerate(annotated):
        if items.windows.by_sentence:
            crossing += len(found.nodes) - len(in_sentences(items, index, found.nodes))
        linked = found.linked()
        seen: Set[Tuple[int, ...]] = set()
        for _, places in held(items, index, found.nodes):
            here = set(places)
            seen.update((head, *link) for head in places for link in linked.get(head, ()) if link[0] in here)
        missed += len(set(found.links) - seen)
    mixed = sum(count_lost(annotation(eg.reference, "events") or (), set(items.schema.apart)) for eg in examples)
    strange = sum(found.without_entity for found in annotated)
    start = f"Of what is annotated in the first {len(examples)} documents the component '{name}' cannot find "
    if shared:
        warnings.warn(start + f"{shared} spans that overlap with one of the same kind: only the longest is tagged.")
    if crossing:
        warnings.warn(start + f"{crossing} spans: no sentence has all of one. Look at what sets the boundaries.")
    if missed and items.windows.by_sentence:
        warnings.warn(start + f"{missed} links: their ends are not in one sentence. Take the unit 'window' to find them.")
    elif missed:
        warnings.warn(start + f"{missed} links: their ends are not in one window. Raise `model.trunk.window` to take in more.")
    if mixed:
        warnings.warn(
            start + f"{mixed} events as they are: they share trigger and label, and their arguments are grouped otherwise."
        )
    if strange:
        warnings.warn(
            start + f"{strange} arguments that are none of the given entities. Put a component that sets them before this "
            'one, set `spans_key`, or take `arguments = "free"`.'
        )
