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
from spacy_epee.engine.looks import Single, make_looks  # noqa: E402
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

shares = st.sampled_from([0.0, 1.0, *numpy.linspace(0.003, 0.997, 200).tolist()])
small = st.sampled_from([-0.5, 0.0, 1.5, *numpy.geomspace(1e-4, 0.9, 200).tolist()])
counts = st.sampled_from([1, 1, 2, 3])


def by_exit(values):
    return values | st.lists(values, min_size=DEPTH + 1, max_size=DEPTH + 1)


def joined(parts):
    named = st.lists(parts, min_size=2, max_size=3).map(lambda found: dict(zip("abc", found)))
    return st.builds(rules.AnyOf, named) | st.builds(rules.AllOf, named)


def later(rule):
    return st.builds(rules.FromLayer, st.integers(0, DEPTH), rule)


MEASURES = st.sampled_from(["JSKD", "KD", "ReKD", "SymKD"])
SINGLE = st.one_of(
    st.builds(rules.Entropy, by_exit(shares | small)),
    st.builds(rules.Confidence, by_exit(shares)),
    st.builds(rules.Margin, shares),
    st.builds(rules.Energy, by_exit(shares | small)),
    st.builds(rules.Patience, counts),
    st.builds(rules.FlexiblePatience, small, counts, MEASURES),
    st.builds(rules.ConfidentPatience, shares | small, counts),
    st.builds(rules.EntropyPatience, shares | small, st.none() | counts),
    st.builds(rules.Voting, st.sampled_from([1.0, 1.5, 2.0, 2.2, 3.0]), shares),
    st.builds(rules.Learned, shares),
    st.builds(rules.FixedDepth, st.integers(0, DEPTH + 1)),
)
PARTS = SINGLE | later(SINGLE)
RULES = st.one_of(SINGLE, later(SINGLE), joined(PARTS), joined(PARTS | joined(PARTS)), later(joined(PARTS)), later(later(SINGLE)))


@st.composite
def readings(draw, labels, layers):
    temperatures = draw(st.just({}) | st.fixed_dictionaries(dict.fromkeys(layers, st.floats(0.3, 3.0))))
    if draw(st.sampled_from([True, True, False])):
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
    return Single(SimpleNamespace(lexical=None), heads, reading, complete(rule), counters, look)


def climb(run, logits, doubt, exit_layers):
    """Where a unit leaves that has known logits behind each layer."""
    linear = run.heads.linear()
    places = numpy.array(exit_layers) - 1
    run.heads.linear = lambda: Linear(linear.weights[places], linear.biases[places], 0)
    looks = make_looks(run, numpy.ones(1, dtype="float32"), exit_layers, DEPTH)
    table = numpy.concatenate((logits, doubt[:, None]), axis=1)[:, None, None]
    state = OnnxState(numpy.zeros_like(table[0]), {"table": table}, frozenset())
    if looks is not None:
        STEPPER._open_looking(looks.form)  # which is otherwise done once it has been asked for often
    return looks if looks is None else climb_until(STEPPER, state, looks)


def expected(rule, reading, logits, doubt, exit_layers, run, words):
    """The layer and code of a unit by the rule itself."""
    seen = exit_layers if words is None else [0, *exit_layers]
    blind = None if words is None else ~words.known
    doubts = expit(doubt[seen])
    if run.look is not None:
        doubts[0] = run.look.evidence.item_doubt[0]
    settings = {"exit_layers": seen, "reading": reading, "doubt": doubts[:, None], "blind": blind}
    replayed = Replay(logits[seen][:, None], **settings).run(rule)
    return replayed.layers[0], replayed.codes[0]


@settings(max_examples=80)
@given(st.data(), RULES, st.sampled_from([2, 3, 4, 1]), st.sampled_from([True, None, False]), st.integers(0, 2**32 - 1))
def test_rules_leave_within_the_graph_where_they_leave_in_python(data, rule, labels, known, seed):
    chance = numpy.random.default_rng(seed)
    exit_layers = [*data.draw(st.sampled_from([(1, 2, 3, 4), (1, 2, 3, 4), (2, 3), (1, 3, 4), (4,), ()])), DEPTH]
    reading = data.draw(readings(labels, [0, *exit_layers]))
    for size in (0.05, 0.3, 1.0, 1.0, 3.0, 3.0, 10.0):
        logits = (chance.normal(size=(DEPTH + 1, labels)) * size).cumsum(axis=0).astype("float32")
        doubt = chance.normal(size=DEPTH + 1).astype("float32")
        words = None if known is None else Lexical(logits[:1] if known else logits[:1] * 0, numpy.array([known]))
        logits[0] *= known is not False
        run = make_run(rule, reading, logits, doubt, words)
        if run.look is not None and run.look.done[0]:
            continue
        layer, code = expected(rule, reading, logits, doubt, exit_layers, run, words)
        reached = climb(run, logits[1:], doubt[1:], exit_layers)
        assert (reached.layer, reached.fired.argmax() + 1 if reached.fired.any() else 0) == (layer, code)
        assert reached.found[0].tolist() == [*logits[layer], doubt[layer]]
