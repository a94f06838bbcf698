"""The search over exit rules where the answer is a structure."""

import numpy
import pytest
from events_util import TEXTS, make_events_nlp, make_example

from spacy_epee.engine.replay import Replay, ReplayResult
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits import rules
from spacy_epee.model import get_exit_layers
from spacy_epee.tuning.search import search

NOTES = [*TEXTS, TEXTS[0] + " " + TEXTS[1], " ".join([*TEXTS] * 3), ""]


@pytest.fixture(scope="module")
def stored(backbone):
    nlp = make_events_nlp(backbone, head={"learned_exit": True}, steps=40)
    pipe = nlp.get_pipe("epee_events")
    (outputs,) = pipe.exit_logits([nlp.make_doc(note) for note in NOTES])
    replay = Replay(
        outputs.logits,
        exit_layers=get_exit_layers(pipe.model),
        reading=pipe.task.reading(0.5),
        doubt=1 / (1 + numpy.exp(-outputs.doubt)),
        counts=outputs.items.counts,
        asked=outputs.items,
        links=outputs.links,
    )
    return replay, outputs.items


def said(graph, events):
    """The triggers and links of a graph."""
    nodes = [tuple(node) for node in graph.nodes.tolist()]
    links = {(nodes[head], nodes[child], output) for head, child, output in graph.links.tolist()}
    return {node for node in nodes if node[3] < events} | links


def test_differs_goes_by_triggers_and_links(stored):
    replay, items = stored
    exits = [ReplayResult(replay, numpy.full(replay.n_units, exit), None).graphs for exit in range(len(replay.evidence))]
    events = len(items.schema.events)
    for exit, graphs in enumerate(exits):
        expected = [said(one, events) != said(other, events) for one, other in zip(graphs, exits[-1])]
        assert replay.differs[exit].tolist() == expected
    assert replay.differs[:-1].any() and not replay.differs[:-1].all()


def test_search_of_events(stored):
    replay, items = stored
    found = search(
        replay,
        lambda simulation: float(sum(len(graph.links) for graph in simulation.graphs)),
        docs=items.unit_docs,
        n_docs=len(NOTES),
        wordpieces=items.lengths,
        steps=3,
    )
    assert found.differs.shape == (len(found.trials), len(NOTES))
    assert found.at_speedup(1.5).wordpiece_layers < found.full.wordpiece_layers
    assert {trial.name for trial in found.trials} >= {"learned", "entropy by exit", "entropy by exit or patience"}


@pytest.mark.filterwarnings("ignore:A window has")
@pytest.mark.parametrize("max_pairs", [1, 4, 9])
def test_stored_links_are_those_of_the_real_run_where_there_are_too_many_pairs(backbone, max_pairs):
    nlp = make_events_nlp(backbone, max_pairs=max_pairs, steps=40)
    pipe = nlp.get_pipe("epee_events")
    examples = [make_example(nlp, text) for text in TEXTS]
    stored = StoredOutputs(pipe, examples, nlp=nlp)
    replay, events = stored.replay(), len(stored.items.schema.events)
    for layer in stored.layers:
        real = pipe.answer([eg.predicted for eg in examples], rules.FixedDepth(layer)).graphs
        graphs = replay.run(rules.FixedDepth(layer)).graphs
        assert [said(graph, events) for graph in graphs] == [said(real[unit], events) for unit in stored.items.live.tolist()]
