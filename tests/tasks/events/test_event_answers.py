"""From graphs to events: what is found is the same however it is walked, and no graph takes long."""

import time
from itertools import permutations

import numpy
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Span
from test_event_items import SCHEMA, make_items

from spacy_epee.data.event_docs import _unite
from spacy_epee.data.event_rows import ArgumentRow
from spacy_epee.doc_attributes import annotation
from spacy_epee.engine.results import Graph
from spacy_epee.tasks.events.decoder import MOST_ARGUMENTS, write_events
from spacy_epee.tasks.relations.candidates import EntityPairs

NLP = spacy.blank("en")
HARM, DRUG, DOSE = 0, 2, 3
LABELS = ["Harm", "Change"]


def make_graph(size, links):
    """A trigger and arguments, each of one token, of which some are linked."""
    nodes = numpy.array([(0, place, place + 1, DRUG if place else HARM) for place in range(size)])
    links = numpy.array([(head, child, 0 if head == 0 else 1) for head, child in links], dtype=int).reshape(-1, 3)
    return Graph(nodes, numpy.ones(size), links, numpy.linspace(1, 0.5, len(links)))


def events_of(graph):
    doc = NLP(" ".join("w" * len(graph.nodes)))
    write_events(doc, [graph], make_items([len(graph.nodes)]), LABELS)
    return annotation(doc, "events")


def all_paths(links):
    """The paths of arguments and parts, found one by one."""
    found, left = [], [[0, child] for head, child in links if head == 0]
    while left:
        path = left.pop()
        found.append(tuple(path[1:]))
        left += [[*path, child] for head, child in links if head == path[-1] and child not in path[1:] and child != path[-1]]
    return sorted(found)


@settings(max_examples=80)
@given(st.sets(st.tuples(st.integers(0, 4), st.integers(1, 4)).filter(lambda link: link[0] != link[1]), max_size=12))
def test_event_arguments_are_all_paths(links):
    links = sorted(links)
    [event] = events_of(make_graph(5, links))
    found = []
    for argument in event["arguments"]:
        path = [argument["span"][0]]
        while argument["parent"] is not None:
            argument = event["arguments"][argument["parent"]]
            path.append(argument["span"][0])
        found.append(tuple(path[::-1]))
    assert sorted(found) == all_paths(links)
    order = [argument["parent"] for argument in event["arguments"]]
    assert all(parent is None or parent < number for number, parent in enumerate(order))


def test_event_arguments_of_spans_that_are_all_linked_are_bounded():
    size = 60  # which have more paths than there are atoms
    graph = make_graph(size, [(0, child) for child in range(1, size)] + list(permutations(range(1, size), 2)))
    began = time.perf_counter()
    [event] = events_of(graph)
    assert time.perf_counter() - began < 5
    assert MOST_ARGUMENTS <= len(event["arguments"]) <= MOST_ARGUMENTS + size
    mains = [argument["span"][0] for argument in event["arguments"] if argument["parent"] is None]
    assert mains == list(range(1, size))  # nothing that the trigger itself is linked to is lost


def test_event_arguments_in_a_long_chain_are_found():
    size = 600
    [event] = events_of(make_graph(size, [(place, place + 1) for place in range(size - 1)]))
    assert [argument["parent"] for argument in event["arguments"]] == [None, *range(size - 2)]


def test_event_rows_with_a_long_chain_of_parents_are_united():
    count = 5_000
    rows = [ArgumentRow("Drug", (0, 1), None if number == 0 else number - 1, None) for number in range(count)]
    found = _unite([*rows, *rows[:3]], [[number, number + 1] for number in range(count)] + [[0, 1], [1, 2], [2, 3]])
    assert len(found) == count and found[-1]["parent"] == count - 2


def test_event_pairs_of_many_given_spans_need_no_table_of_all():
    items = make_items([200_000], max_pairs=100)
    nodes = numpy.array([(0, place, place + 1, DRUG if place else HARM) for place in range(200_000)])
    began = time.perf_counter()
    pairs = items.pair(nodes, lambda places: 1.0 / (1 + places))
    assert time.perf_counter() - began < 5 and len(pairs) <= 100


@given(st.lists(st.integers(0, 4), max_size=12))
def test_event_pairs_are_counted_as_the_table_has_them(kinds):
    items, kinds = make_items([1]), numpy.array(kinds, dtype=int)
    assert items._count_pairs(kinds)[0] == items._linkable(kinds).sum()
    assert len(SCHEMA.kinds) == 5


def test_candidates_of_a_document_with_many_entities_are_found_in_time():
    """They are in many windows, each of which has few."""
    doc = NLP.make_doc("a " * 20_000)
    doc.spans["all"] = [Span(doc, place, place + 1, label="A") for place in range(20_000)]
    pairs = EntityPairs(spans_key="all", max_pairs=1_000_000)
    windows = numpy.arange(20_000) // 5
    began = time.perf_counter()
    heads, children = pairs.pairs(doc, list(doc.spans["all"]), windows, windows)
    assert time.perf_counter() - began < 5
    assert len(heads) == 20_000 * 4 and (windows[heads] == windows[children]).all() and (heads != children).all()
