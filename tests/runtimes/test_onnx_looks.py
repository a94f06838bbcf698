"""What looks at a unit within an ONNX graph says what our rules say."""

from types import SimpleNamespace

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

for module in ("onnx", "onnxruntime"):
    pytest.importorskip(module)

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from spacy_epee.engine.before import first_look  # noqa: E402
from spacy_epee.engine.looks import make_looks  # noqa: E402
from spacy_epee.engine.replay import Replay  # noqa: E402
from spacy_epee.exits import rules  # noqa: E402
from spacy_epee.exits.evidence import EvidenceBuilder  # noqa: E402
from spacy_epee.exits.rules.base import complete  # noqa: E402
from spacy_epee.heads.base import Linear  # noqa: E402
from spacy_epee.inputs.instances import Lexical  # noqa: E402
from spacy_epee.runtimes.onnx.branches import join  # noqa: E402
from spacy_epee.runtimes.onnx.graphs import OnnxGraphs  # noqa: E402
from spacy_epee.runtimes.onnx.stepper import OnnxState, OnnxStepper  # noqa: E402
from spacy_epee.runtimes.onnx.writing import OPSET  # noqa: E402
from spacy_epee.trunk.looks import climb_until  # noqa: E402

DEPTH = 5


def graph(nodes, inputs, output, constants=()):
    parts = [helper.make_tensor_value_info(name, kind, None) for name, kind in inputs.items()]
    ends = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", "length", None])]
    made = helper.make_graph(nodes, "part", parts, ends, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def layer(number):
    """A layer whose states are in a table."""
    place = numpy_helper.from_array(numpy.array(number), "number")
    nodes = [helper.make_node("Gather", ["table", "number"], ["hidden_out"], axis=0)]
    return graph(nodes, {"hidden": TensorProto.FLOAT, "table": TensorProto.FLOAT}, "hidden_out", [place])


def make_stepper():
    embedding = graph([helper.make_node("Cast", ["input_ids"], ["hidden"], to=1)], {"input_ids": TensorProto.INT64}, "hidden")
    layers = join([layer(number) for number in range(DEPTH)], range(DEPTH))
    return OnnxStepper(OnnxGraphs("fp32", embedding.SerializeToString(), b"", layers, list(range(DEPTH))), 0)


STEPPER = make_stepper()

shares = st.sampled_from([0.0, 1.0]) | st.floats(0.01, 0.99)
entropies = shares | st.sampled_from([-0.5, 1.5])
counts = st.integers(1, 3)


def by_exit(values):
    return values | st.lists(values, min_size=DEPTH + 1, max_size=DEPTH + 1)


def inside(kind):
    return lambda own: st.builds(kind, st.lists(own, min_size=1, max_size=3).map(lambda found: dict(zip("abc", found))))


MEASURES = st.sampled_from(["JSKD", "KD", "ReKD", "SymKD"])
SINGLE = st.one_of(
    st.builds(rules.Entropy, by_exit(entropies)),
    st.builds(rules.Confidence, by_exit(shares)),
    st.builds(rules.Margin, shares),
    st.builds(rules.Energy, by_exit(entropies)),
    st.builds(rules.Patience, counts),
    st.builds(rules.FlexiblePatience, entropies, counts, MEASURES),
    st.builds(rules.ConfidentPatience, entropies, counts),
    st.builds(rules.EntropyPatience, entropies, st.none() | counts),
    st.builds(rules.Voting, st.floats(0.5, 4.0), shares),
    st.builds(rules.Learned, shares),
    st.builds(rules.FixedDepth, st.integers(0, DEPTH + 1)),
)
NESTED = st.recursive(
    SINGLE,
    lambda own: st.one_of(
        inside(rules.AnyOf)(own), inside(rules.AllOf)(own), st.builds(rules.FromLayer, st.integers(0, DEPTH), own)
    ),
    max_leaves=4,
)


@st.composite
def readings(draw, labels, layers):
    temperatures = draw(st.just({}) | st.fixed_dictionaries(dict.fromkeys(layers, st.floats(0.3, 3.0))))
    if draw(st.booleans()):
        return EvidenceBuilder(True, temperatures=temperatures)
    threshold = draw(shares | st.lists(shares, min_size=labels, max_size=labels).map(numpy.array))
    return EvidenceBuilder(False, threshold, draw(st.sampled_from(["mean", "max"])), temperatures)


def make_run(rule, reading, logits, doubt, first):
    """A task whose classifiers give the states as they are. Where one before the first layer is looked at, `first` is what is
    known there."""
    width = logits.shape[1] + 1
    heads = SimpleNamespace(n_labels=logits.shape[1], doubt=True)
    heads.linear = lambda: Linear(
        numpy.stack([numpy.eye(width, dtype="float32")] * DEPTH), numpy.zeros((DEPTH, width), "float32"), 0
    )
    look = None if first is None or rule.first_layer else first_look(first, complete(rule), reading, 0.0, True)
    counters = complete(rule).start(1, 0.0) if look is None else look.counters
    answers, items = SimpleNamespace(reading=reading), SimpleNamespace(lexical=None)
    return SimpleNamespace(rule=complete(rule), heads=heads, look=look, counters=counters, answers=answers, items=items)


def climb(run, logits, doubt, exit_layers):
    """Where a unit leaves that has known logits behind each layer."""
    linear = run.heads.linear()
    places = numpy.array(exit_layers) - 1
    run.heads.linear = lambda: Linear(linear.weights[places], linear.biases[places], 0)
    looks = make_looks(run, numpy.ones(1, dtype="float32"), exit_layers, DEPTH)
    table = numpy.concatenate((logits, doubt[:, None]), axis=1)[:, None, None]
    state = OnnxState(numpy.zeros_like(table[0]), {"table": table}, frozenset())
    return looks if looks is None else climb_until(STEPPER, state, looks)


@settings(max_examples=60, deadline=None)
@given(st.data(), NESTED, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_rules_leave_within_the_graph_where_they_leave_in_python(data, rule, labels, seed):
    chance = numpy.random.default_rng(seed)
    exit_layers = sorted(data.draw(st.sets(st.integers(1, DEPTH - 1)))) + [DEPTH]
    reading = data.draw(readings(labels, [0, *exit_layers]))
    moves = chance.normal(size=(DEPTH + 1, labels)) * chance.choice([0.01, 1.0, 5.0])
    logits = moves.cumsum(axis=0).astype("float32")
    doubt = chance.normal(size=DEPTH + 1).astype("float32")
    first = data.draw(st.sampled_from([None, True, False]))
    words = None if first is None else Lexical(logits[:1], numpy.array([first]))
    run = make_run(rule, reading, logits, doubt, words)
    seen = exit_layers if words is None else [0, *exit_layers]
    blind = None if words is None else ~words.known
    doubts = expit(doubt[seen])
    if run.look is not None:
        doubts[0] = run.look.evidence.item_doubt[0]
        if run.look.done[0]:
            return
    replay = Replay(logits[seen][:, None], exit_layers=seen, reading=reading, doubt=doubts[:, None], blind=blind)
    expected = replay.run(rule)
    reached = climb(run, logits[1:], doubt[1:], exit_layers)
    assert reached.layer == expected.layers[0]
    assert (reached.fired.argmax() + 1 if reached.fired.any() else 0) == expected.codes[0]
    assert reached.found[0].tolist() == [*logits[reached.layer], doubt[reached.layer]]
