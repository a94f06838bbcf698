import math

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.special import expit, softmax
from scipy.stats import entropy

from spacy_epee.exits.evidence import Evidence

SOME = settings(max_examples=50)
KINDS = ["KD", "ReKD", "SymKD", "JSKD"]
READINGS = [{"exclusive": True}, {"exclusive": False, "reduce": "mean"}, {"exclusive": False, "reduce": "max"}]
JOINED = [("mean", numpy.mean), ("max", numpy.max)]

read_each_way = pytest.mark.parametrize("reading", READINGS, ids=["exclusive", "mean", "max"])
READING = st.sampled_from(READINGS)
any_kind = pytest.mark.parametrize("kind", KINDS)


def make(logits, *, previous=None, layer=1, **reading):
    logits = numpy.asarray(logits, dtype="float64")
    return Evidence(logits, layer=layer, units=numpy.arange(len(logits)), previous=previous, **reading)


def pair(before, now, **reading):
    return make(now, previous=make(before, **reading), layer=2, **reading)


def log(*distributions):
    """Logits whose softmax are these distributions."""
    return numpy.log(numpy.array(distributions))


def logit(*probabilities):
    p = numpy.array(probabilities)
    return numpy.log(p / (1 - p))


def jensen_shannon(p, q, axis):
    return (entropy(p, (p + q) / 2, base=2, axis=axis) + entropy(q, (p + q) / 2, base=2, axis=axis)) / 2


def moderate(min_labels=2, max_labels=6):
    """Two exits' logits of the same units, (2, U, K)."""
    shapes = st.tuples(st.just(2), st.integers(1, 5), st.integers(min_labels, max_labels))
    return arrays("float64", shapes, elements=st.floats(-20, 20))


finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
extreme = arrays("float32", array_shapes(min_dims=2, max_dims=2, max_side=6), elements=finite)


# Entropy


@SOME
@given(reading=READING, logits=extreme)
def test_evidence_entropy_is_finite_and_a_share(reading, logits):
    shares = make(logits, **reading).entropy
    assert shares.shape == (len(logits),)
    assert numpy.isfinite(shares).all() and (shares >= 0).all() and (shares <= 1).all()


@SOME
@given(logits=moderate())
def test_evidence_entropy_is_that_of_scipy_over_ln_k(logits):
    expected = entropy(softmax(logits[0], axis=1), axis=1) / math.log(logits.shape[2])
    numpy.testing.assert_allclose(make(logits[0]).entropy, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("reduce, join", JOINED)
@SOME
@given(logits=moderate(min_labels=1))
def test_evidence_entropy_multilabel_joins_two_point_entropies(reduce, join, logits):
    points = numpy.stack((expit(logits[0]), expit(-logits[0])))
    expected = join(entropy(points, base=2, axis=0), axis=1)
    numpy.testing.assert_allclose(make(logits[0], exclusive=False, reduce=reduce).entropy, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("labels", [2, 3, 5, 18, 100])
def test_evidence_entropy_is_one_for_equal_logits_and_zero_for_a_sure_label(labels):
    sure = numpy.zeros(labels)
    sure[1] = 1e4
    shares = make([numpy.full(labels, 7.0), sure]).entropy
    assert shares[0] == pytest.approx(1.0) and shares[1] == 0.0


def test_evidence_entropy_never_rounds_above_one():
    """Without clipping some numbers of labels give 1.0000000000000002."""
    for labels in range(2, 200):
        shares = make(numpy.full((1, labels), 0.1)).entropy
        assert shares[0] <= 1.0, labels


@pytest.mark.parametrize("reading", READINGS[1:], ids=["mean", "max"])
@pytest.mark.parametrize("size", [1.0, 40.0, 300.0])
def test_evidence_entropy_multilabel_is_precise_for_a_sure_yes_and_a_sure_no(reading, size):
    shares = make([[size], [-size]], **reading).entropy
    assert shares[0] > 0 and shares[0] == shares[1]


@pytest.mark.parametrize("logit, expected", [(0.0, 1.0), (math.log(3), 0.8112781244591328), (-math.log(3), 0.8112781244591328)])
def test_evidence_entropy_of_one_label_is_the_two_point_one(logit, expected):
    assert make([[logit]]).entropy == pytest.approx([expected])


@read_each_way
@pytest.mark.parametrize("size", [0.0, 3.0, -1e30, 1e30])
def test_evidence_with_one_label_is_finite(reading, size):
    found = pair([[0.5]], [[size]], **reading)
    for values in (found.entropy, found.confidence, found.margin, found.probabilities[:, 0], found.divergence("JSKD")):
        assert values.shape == (1,) and numpy.isfinite(values).all() and 0 <= values[0] <= 1


def test_evidence_of_one_exclusive_label_is_that_of_one_multilabel_label():
    before, now = [[0.3], [-1.0]], [[2.0], [0.0]]
    one, many = pair(before, now), pair(before, now, exclusive=False)
    for name in ("entropy", "confidence", "margin"):
        numpy.testing.assert_array_equal(getattr(one, name), getattr(many, name))
    for kind in KINDS:
        numpy.testing.assert_array_equal(one.divergence(kind), many.divergence(kind))


@SOME
@given(logits=moderate(), shift=st.floats(-50, 50))
def test_evidence_exclusive_does_not_depend_on_a_shift_of_the_logits(logits, shift):
    plain, shifted = pair(*logits), pair(*(logits + shift))
    for name in ("entropy", "confidence", "margin"):
        numpy.testing.assert_allclose(getattr(shifted, name), getattr(plain, name), atol=1e-9)
    numpy.testing.assert_allclose(shifted.divergence("JSKD"), plain.divergence("JSKD"), atol=1e-9)


# Probabilities, confidence, margin


@SOME
@given(logits=extreme)
def test_evidence_probabilities_sum_to_one(logits):
    numpy.testing.assert_allclose(make(logits).probabilities.sum(axis=1), 1.0)


def test_evidence_probabilities_are_softmax_or_sigmoid():
    logits = numpy.array([[0.2, -1.3, 2.2], [5.0, 5.0, -5.0]])
    numpy.testing.assert_allclose(make(logits).probabilities, softmax(logits, axis=1))
    numpy.testing.assert_allclose(make(logits, exclusive=False).probabilities, 1 / (1 + numpy.exp(-logits)))


@SOME
@given(reading=READING, logits=extreme)
def test_evidence_log_probabilities_are_finite_and_those_of_the_probabilities(reading, logits):
    found = make(logits, **reading)
    assert numpy.isfinite(found.log_probabilities).all()
    numpy.testing.assert_allclose(numpy.exp(found.log_probabilities), found.probabilities, rtol=1e-12, atol=1e-300)


def test_evidence_confidence_is_the_largest_probability():
    assert make(log([0.1, 0.7, 0.2], [0.5, 0.25, 0.25])).confidence == pytest.approx([0.7, 0.5])


def test_evidence_margin_is_the_best_less_the_second_best():
    rows = log([0.1, 0.7, 0.2], [0.5, 0.25, 0.25], [0.4, 0.2, 0.4])
    assert make(rows).margin == pytest.approx([0.5, 0.25, 0.0])


@pytest.mark.parametrize("reduce, expected", [("mean", [0.75, 0.8]), ("max", [0.6, 0.7])])
def test_evidence_confidence_multilabel_is_that_of_yes_or_no(reduce, expected):
    logits = numpy.array([logit(0.9, 0.4), logit(0.7, 0.1)])
    assert make(logits, exclusive=False, reduce=reduce).confidence == pytest.approx(expected)


@pytest.mark.parametrize("reduce, expected", [("mean", [0.5, 0.6]), ("max", [0.2, 0.4])])
def test_evidence_margin_multilabel_is_between_yes_and_no(reduce, expected):
    logits = numpy.array([logit(0.9, 0.4), logit(0.7, 0.1)])
    assert make(logits, exclusive=False, reduce=reduce).margin == pytest.approx(expected)


@SOME
@given(reading=READING, logits=moderate(min_labels=1))
def test_evidence_does_not_depend_on_the_order_of_labels(reading, logits):
    plain, turned = pair(*logits, **reading), pair(*logits[:, :, ::-1], **reading)
    for name in ("entropy", "confidence", "margin"):
        numpy.testing.assert_allclose(getattr(turned, name), getattr(plain, name), atol=1e-12)
    for kind in KINDS:
        numpy.testing.assert_allclose(turned.divergence(kind), plain.divergence(kind), atol=1e-9)


def test_evidence_max_looks_at_the_least_settled_label():
    settled_but_one = [[9.0, -9.0, 0.0]]
    assert make(settled_but_one, exclusive=False, reduce="max").entropy == pytest.approx([1.0])
    assert make(settled_but_one, exclusive=False, reduce="mean").entropy[0] < 0.4


# Decision and agreement


def test_evidence_decision_exclusive_is_the_best_label():
    assert make([[0.0, 2.0, 1.0], [-1.0, -3.0, -2.0]]).decision.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    "threshold, expected",
    [(0.5, [True, True, False, False]), (0.3, [True, True, True, False]), (0.6, [True, False, False, False])],
)
def test_evidence_decision_multilabel_is_all_labels_from_the_threshold_on(threshold, expected):
    assert make([logit(0.88, 0.5, 0.4, 0.05)], exclusive=False, threshold=threshold).decision.tolist() == [expected]


@read_each_way
def test_evidence_agrees_with_nothing_at_the_first_exit(reading):
    assert make([[3.0, 1.0], [0.0, 0.0]], **reading).agrees.tolist() == [False, False]


def test_evidence_agrees_on_the_best_label():
    before = [[2.0, 0.0, 0.0], [2.0, 0.0, 0.0]]
    now = [[0.3, 0.2, 0.1], [1.0, 1.1, 0.0]]
    assert pair(before, now).agrees.tolist() == [True, False]


@pytest.mark.parametrize(
    "now, expected",
    [
        ([9.0, 0.1, -0.1], True),
        ([9.0, 0.1, 0.1], False),
        ([9.0, -0.1, -0.1], False),
        ([0.1, 9.0, -9.0], True),
        ([-1.0, -1.0, 1.0], False),
    ],
)
def test_evidence_agrees_on_the_whole_label_set(now, expected):
    assert pair([[1.0, 1.0, -1.0]], [now], exclusive=False).agrees.tolist() == [expected]


def test_evidence_agrees_on_the_label_set_of_the_threshold():
    before, now = [logit(0.4, 0.9)], [logit(0.6, 0.9)]
    assert not pair(before, now, exclusive=False, threshold=0.5).agrees[0]
    assert pair(before, now, exclusive=False, threshold=0.3).agrees[0]


# Divergence


@any_kind
@read_each_way
def test_evidence_divergence_is_infinite_at_the_first_exit(reading, kind):
    assert make([[3.0, 1.0], [0.0, 0.0]], **reading).divergence(kind).tolist() == [math.inf, math.inf]


@any_kind
@SOME
@given(reading=READING, logits=arrays("float64", (3, 4), elements=st.floats(-1e4, 1e4)))
def test_evidence_divergence_is_zero_if_nothing_moved(reading, kind, logits):
    assert pair(logits, logits, **reading).divergence(kind).tolist() == [0.0, 0.0, 0.0]


@any_kind
@SOME
@given(reading=READING, logits=moderate(min_labels=1))
def test_evidence_divergence_is_above_zero_if_something_moved(reading, kind, logits):
    shares = softmax(logits, axis=2) if reading["exclusive"] and logits.shape[2] > 1 else expit(logits)
    moved = numpy.abs(shares[0] - shares[1]).max(axis=1) > 1e-4
    assume(moved.any())
    assert (pair(*logits, **reading).divergence(kind)[moved] > 0).all()


@SOME
@given(logits=moderate())
def test_evidence_divergence_is_that_of_scipy(logits):
    p, q = softmax(logits, axis=2)
    found = pair(*logits)
    expected = {"KD": entropy(p, q, axis=1), "ReKD": entropy(q, p, axis=1), "JSKD": jensen_shannon(p, q, axis=1)}
    expected["SymKD"] = expected["KD"] + expected["ReKD"]
    for kind in KINDS:
        numpy.testing.assert_allclose(found.divergence(kind), expected[kind], rtol=1e-6, atol=1e-9, err_msg=kind)


def test_evidence_divergence_kd_is_from_the_previous_exit_to_this_one():
    found = pair(log([0.5, 0.5]), log([0.9, 0.1]))
    assert found.divergence("KD") == pytest.approx([0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)])
    assert found.divergence("ReKD") == pytest.approx([0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)])


@pytest.mark.parametrize("reduce, join", JOINED)
@SOME
@given(logits=moderate(min_labels=1))
def test_evidence_divergence_multilabel_joins_those_of_two_points(reduce, join, logits):
    p, q = numpy.stack((expit(logits), expit(-logits)), axis=-1)
    found = pair(*logits, exclusive=False, reduce=reduce)
    each = {"KD": entropy(p, q, axis=2), "ReKD": entropy(q, p, axis=2), "JSKD": jensen_shannon(p, q, axis=2)}
    each["SymKD"] = each["KD"] + each["ReKD"]
    for kind in KINDS:
        numpy.testing.assert_allclose(found.divergence(kind), join(each[kind], axis=1), rtol=1e-6, atol=1e-9, err_msg=kind)


@any_kind
def test_evidence_divergence_multilabel_counts_yes_and_no_alike(kind):
    """With the (1 - p) terms dropped a label that moves near 1 and one that moves near 0 differ."""
    up, down = pair([[1.0]], [[2.0]], exclusive=False), pair([[-1.0]], [[-2.0]], exclusive=False)
    numpy.testing.assert_allclose(up.divergence(kind), down.divergence(kind))


@pytest.mark.parametrize("kind", ["SymKD", "JSKD"])
@SOME
@given(reading=READING, logits=moderate(min_labels=1))
def test_evidence_divergence_is_symmetric(reading, kind, logits):
    there, back = pair(logits[0], logits[1], **reading), pair(logits[1], logits[0], **reading)
    numpy.testing.assert_allclose(there.divergence(kind), back.divergence(kind), rtol=1e-9, atol=1e-15)


@SOME
@given(reading=READING, logits=moderate(min_labels=1))
def test_evidence_divergence_rekd_is_kd_the_other_way_round(reading, logits):
    there, back = pair(logits[0], logits[1], **reading), pair(logits[1], logits[0], **reading)
    numpy.testing.assert_allclose(there.divergence("ReKD"), back.divergence("KD"), rtol=1e-9, atol=1e-15)


@SOME
@given(reading=READING, logits=arrays("float64", (2, 3, 4), elements=st.floats(-1e4, 1e4)))
def test_evidence_divergence_jskd_is_a_share(reading, logits):
    found = pair(*logits, **reading).divergence("JSKD")
    assert (found >= 0).all() and (found <= 1).all()


@any_kind
@SOME
@given(reading=READING, logits=arrays("float64", (2, 3, 4), elements=st.floats(-1e4, 1e4)))
def test_evidence_divergence_is_never_nan_or_negative(reading, kind, logits):
    found = pair(*logits, **reading).divergence(kind)
    assert numpy.isfinite(found).all() and (found >= 0).all()


@pytest.mark.parametrize("kind", ["KD", "ReKD", "JSKD"])
def test_evidence_divergence_never_rounds_below_zero(kind):
    """Without clipping half of these are about -1e-17."""
    rng = numpy.random.default_rng(0)
    before = rng.normal(size=(500, 6))
    assert (pair(before, before + 1e-9 * rng.normal(size=before.shape)).divergence(kind) >= 0).all()


def test_evidence_divergence_jskd_never_rounds_above_one():
    """Without clipping one in twenty of these is 1.0000000000000002."""
    before, now = numpy.random.default_rng(0).normal(size=(2, 500, 6))
    before[:, :3] -= 200
    now[:, 3:] -= 200
    found = pair(before, now).divergence("JSKD")
    assert (found <= 1).all() and (found > 0.999).all()


@read_each_way
def test_evidence_divergence_jskd_is_one_for_disjoint_supports(reading):
    assert pair([[1e4, -1e4]], [[-1e4, 1e4]], **reading).divergence("JSKD").tolist() == [1.0]


@pytest.mark.parametrize("labels", [2, 7])
def test_evidence_divergence_jskd_is_not_the_entropy_of_the_middle(labels):
    """The released F-PABEE computes H((p + q) / 2), which is 1 here."""
    undecided = numpy.zeros((1, labels))
    assert pair(undecided, undecided).divergence("JSKD").tolist() == [0.0]
    nearly = undecided + 0.01 * numpy.arange(labels)
    assert pair(undecided, nearly).divergence("JSKD")[0] < 0.01


@any_kind
def test_evidence_divergence_is_small_between_two_sure_exits(kind):
    """The unlikely label has the smallest probability that a float can hold, then 0."""
    assert pair([[0.0, -745.0]], [[0.0, -800.0]]).divergence(kind)[0] < 1e-9


# Keeping rows


@pytest.mark.parametrize("rows", [numpy.array([True, False, True, False]), numpy.array([0, 2])], ids=["mask", "indices"])
@pytest.mark.parametrize("computed", [True, False])
@read_each_way
def test_evidence_keep_equals_evidence_of_those_rows(reading, computed, rows):
    logits = numpy.random.default_rng(3).normal(size=(4, 3))
    whole = Evidence(
        logits, layer=4, units=numpy.array([1, 5, 6, 9]), threshold=0.4, doubt=numpy.array([0.1, 0.2, 0.3, 0.4]), **reading
    )
    if computed:
        whole.probabilities, whole.decision, whole.entropy
    kept = whole.keep(rows)
    fresh = make(logits[[0, 2]], threshold=0.4, **reading)
    assert len(kept) == 2 and kept.layer == 4
    assert kept.units.tolist() == [1, 6] and kept.doubt.tolist() == [0.1, 0.3]
    for name in ("logits", "probabilities", "decision", "entropy", "confidence", "margin"):
        numpy.testing.assert_array_equal(getattr(kept, name), getattr(fresh, name))


@read_each_way
def test_evidence_keep_lets_go_of_the_previous_exit(reading):
    kept = pair([[1.0, 0.0]], [[1.0, 0.0]], **reading).keep(numpy.array([True]))
    assert kept.previous is None and kept.doubt is None


@SOME
@given(reading=READING, logits=moderate(min_labels=1), data=st.data())
def test_evidence_keep_gives_the_same_comparison(reading, logits, data):
    mask = data.draw(arrays(bool, logits.shape[1]))
    before = make(logits[0], **reading)
    everyone = make(logits[1], previous=before, **reading)
    some = make(logits[1][mask], previous=before.keep(mask), **reading)
    numpy.testing.assert_array_equal(some.agrees, everyone.agrees[mask])
    for kind in KINDS:
        numpy.testing.assert_array_equal(some.divergence(kind), everyone.divergence(kind)[mask])


@read_each_way
def test_evidence_of_no_units_is_empty(reading):
    found = pair(numpy.zeros((0, 3)), numpy.zeros((0, 3)), **reading)
    for values in (found.entropy, found.confidence, found.margin, found.agrees, found.divergence("JSKD")):
        assert values.shape == (0,)


def test_evidence_is_worked_out_in_float64():
    assert make(numpy.array([[20.0, 0.0]], dtype="float32")).entropy[0] > 0
    assert Evidence(numpy.zeros((1, 2), dtype="float32"), layer=1, units=numpy.arange(1)).probabilities.dtype == "float64"


@given(st.lists(st.lists(finite, min_size=3, max_size=3), min_size=6, max_size=9), st.sampled_from([0.5, 1.0, 3.0]))
def test_evidence_of_few_logits_is_that_of_the_same_among_many(rows, temperature):
    def made(logits):
        return Evidence(numpy.array(logits), layer=1, units=numpy.arange(len(logits)), temperature=temperature)

    together = made(rows)
    for place, row in enumerate(rows):
        alone = made([row])
        for name in ("probabilities", "entropy", "confidence", "margin"):
            few, many = getattr(alone, name)[0], getattr(together, name)[place]
            numpy.testing.assert_allclose(few, many, rtol=1e-9, atol=1e-12)


def test_evidence_of_nothing_has_no_probabilities():
    assert Evidence(numpy.zeros((0, 3)), layer=1, units=numpy.arange(0)).probabilities.shape == (0, 3)
