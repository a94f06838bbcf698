import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from scipy.stats import entropy
from spacy.util import registry
from torch.nn import functional as F

from spacy_epee.training.losses import JointLoss, exit_weights

SOME = settings(max_examples=50)
EXITS, UNITS, LABELS = 3, 5, 4


class Batch:
    """Random logits of all exits with their annotation, in float64."""

    def __init__(self, seed=0, exits=EXITS, units=UNITS, labels=LABELS, exclusive=True):
        generator = torch.Generator().manual_seed(seed)
        self.exclusive = exclusive
        self.logits = torch.randn(exits, units, labels, generator=generator, dtype=torch.float64, requires_grad=True)
        self.gold = torch.randint(labels, (units,), generator=generator)
        if exclusive:
            self.targets = F.one_hot(self.gold, labels).double()
        else:
            self.targets = torch.randint(2, (units, labels), generator=generator).double()
        self.label_mask = torch.ones(units, labels, dtype=torch.float64)
        self.doubt = torch.randn(exits, units, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss(self, joint, **more):
        return joint(self.logits, self.targets, self.label_mask, exclusive=self.exclusive, **more)

    def gradient(self, joint, **more):
        (found,) = torch.autograd.grad(self.loss(joint, **more), self.logits)
        return found

    def forget(self, *units):
        """Take these units' annotation away."""
        self.label_mask[list(units)] = 0
        self.targets[list(units)] = 0

    def plain(self, exit, **more):
        """What torch says about one exit."""
        if self.exclusive:
            return F.cross_entropy(self.logits[exit], self.gold, **more)
        return F.binary_cross_entropy_with_logits(self.logits[exit], self.targets, **more)


# Weights are float32, as they are in use.
close = {"rtol": 1e-6, "atol": 1e-7}
each_kind = pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
SETTINGS = [
    JointLoss(),
    JointLoss(weighting="half"),
    JointLoss(weighting="equal"),
    JointLoss(weighting="last"),
    JointLoss(self_distillation=0.6, temperature=2.0),
    JointLoss(weighting="equal", self_distillation=0.9),
]
each_setting = pytest.mark.parametrize("joint", SETTINGS, ids=lambda joint: f"{joint.weighting}-{joint.self_distillation}")


# Exit weights


@pytest.mark.parametrize("exits", [1, 2, 3, 12])
def test_losses_depth_weights_are_the_depth_over_their_sum(exits):
    expected = [depth / (exits * (exits + 1) / 2) for depth in range(1, exits + 1)]
    assert exit_weights(exits, "depth").tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    "exits, expected", [(1, [1.0]), (2, [1 / 2, 1 / 2]), (3, [1 / 6, 2 / 6, 3 / 6]), (4, [1 / 12, 2 / 12, 3 / 12, 6 / 12])]
)
def test_losses_half_weights_are_one_half_for_the_last_exit_and_the_rest_by_depth(exits, expected):
    assert exit_weights(exits, "half").tolist() == pytest.approx(expected)


@pytest.mark.parametrize("exits", [1, 2, 12])
def test_losses_equal_weights_are_equal(exits):
    assert exit_weights(exits, "equal").tolist() == pytest.approx([1 / exits] * exits)


@pytest.mark.parametrize("exits", [1, 2, 12])
def test_losses_last_weights_are_the_last_exit_alone(exits):
    assert exit_weights(exits, "last").tolist() == [0.0] * (exits - 1) + [1.0]


@pytest.mark.parametrize("weighting", ["depth", "half", "equal", "last"])
@SOME
@given(exits=st.integers(1, 100))
def test_losses_weights_sum_to_one(weighting, exits):
    assert float(exit_weights(exits, weighting).sum()) == pytest.approx(1.0, rel=1e-5)


# Supervised


@each_kind
def test_losses_depth_is_the_weighted_mean_of_the_exits(exclusive):
    batch = Batch(exclusive=exclusive)
    expected = (1 * batch.plain(0) + 2 * batch.plain(1) + 3 * batch.plain(2)) / 6
    torch.testing.assert_close(batch.loss(JointLoss()), expected, **close)


@each_kind
def test_losses_half_is_the_last_exit_and_the_weighted_mean_of_the_others(exclusive):
    batch = Batch(exclusive=exclusive, exits=4)
    expected = (1 * batch.plain(0) + 2 * batch.plain(1) + 3 * batch.plain(2) + 6 * batch.plain(3)) / 12
    torch.testing.assert_close(batch.loss(JointLoss(weighting="half")), expected, **close)


@each_kind
def test_losses_equal_is_the_mean_of_the_exits(exclusive):
    batch = Batch(exclusive=exclusive)
    expected = (batch.plain(0) + batch.plain(1) + batch.plain(2)) / 3
    torch.testing.assert_close(batch.loss(JointLoss(weighting="equal")), expected, **close)


@each_kind
@pytest.mark.parametrize("distillation", [0.0, 0.7])
def test_losses_last_is_the_plain_classifier(exclusive, distillation):
    batch = Batch(exclusive=exclusive)
    joint = JointLoss(weighting="last", self_distillation=distillation)
    torch.testing.assert_close(batch.loss(joint), batch.plain(-1), **close)
    (expected,) = torch.autograd.grad(batch.plain(-1), batch.logits)
    torch.testing.assert_close(batch.gradient(joint), expected, **close)


@each_kind
@pytest.mark.parametrize("distillation", [0.0, 0.7])
def test_losses_last_gives_the_other_exits_no_gradient(exclusive, distillation):
    batch = Batch(exclusive=exclusive)
    found = batch.gradient(JointLoss(weighting="last", self_distillation=distillation))
    assert (found[:-1] == 0).all() and (found[-1] != 0).all()


@each_kind
@each_setting
def test_losses_of_a_single_exit_are_the_plain_classifier(exclusive, joint):
    batch = Batch(exclusive=exclusive, exits=1)
    torch.testing.assert_close(batch.loss(joint), batch.plain(0), **close)


@each_kind
@pytest.mark.parametrize("weighting", ["depth", "half", "equal", "last"])
def test_losses_weighting_of_a_stage_replaces_the_setting(exclusive, weighting):
    batch = Batch(exclusive=exclusive, exits=4)
    other = JointLoss(weighting="equal" if weighting == "depth" else "depth", self_distillation=0.4)
    expected = batch.loss(JointLoss(weighting=weighting, self_distillation=0.4))
    assert batch.loss(other, weighting=weighting) == expected != batch.loss(other)


@each_kind
@each_setting
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(UNITS)))
def test_losses_do_not_depend_on_the_order_or_number_of_units(exclusive, joint, seed, order):
    batch, twice = Batch(seed, exclusive=exclusive), Batch(seed, exclusive=exclusive)
    rows = [*order, *order]
    twice.logits, twice.targets, twice.label_mask = twice.logits[:, rows], twice.targets[rows], twice.label_mask[rows]
    torch.testing.assert_close(twice.loss(joint), batch.loss(joint))


@each_kind
@each_setting
def test_losses_are_finite_for_extreme_logits(exclusive, joint):
    batch = Batch(exclusive=exclusive)
    batch.logits = (1e6 * batch.logits).float().detach().requires_grad_()
    batch.targets, batch.label_mask = batch.targets.float(), batch.label_mask.float()
    assert torch.isfinite(batch.loss(joint)) and torch.isfinite(batch.gradient(joint)).all()


# Label weights


@pytest.mark.parametrize("weighting", ["depth", "last"])
def test_losses_label_weights_exclusive_count_the_true_label(weighting):
    batch, weights = Batch(), torch.tensor([0.5, 3.0, 1.0, 0.0], dtype=torch.float64)
    each = [(weights[batch.gold] * batch.plain(exit, reduction="none")).mean() for exit in range(EXITS)]
    expected = (each[0] + 2 * each[1] + 3 * each[2]) / 6 if weighting == "depth" else each[-1]
    found = batch.loss(JointLoss(weighting=weighting), label_weights=weights)
    torch.testing.assert_close(found, expected, **close)


def test_losses_label_weights_multilabel_count_the_positives():
    batch, weights = Batch(exclusive=False), torch.tensor([0.5, 3.0, 1.0, 0.0], dtype=torch.float64)
    each = [batch.plain(exit, pos_weight=weights) for exit in range(EXITS)]
    found = batch.loss(JointLoss(weighting="equal"), label_weights=weights)
    torch.testing.assert_close(found, sum(each) / EXITS, **close)


@each_kind
def test_losses_label_weights_of_one_change_nothing(exclusive):
    batch = Batch(exclusive=exclusive)
    assert batch.loss(JointLoss(), label_weights=torch.ones(LABELS)) == batch.loss(JointLoss())


def test_losses_label_weights_leave_the_distillation_alone():
    """An exit's part of the distillation is what is left without the labels' part."""
    batch, none = Batch(), torch.zeros(LABELS)
    found = batch.loss(JointLoss(weighting="equal", self_distillation=0.4), label_weights=none)
    more = batch.loss(JointLoss(weighting="equal", self_distillation=0.8), label_weights=none)
    assert found > 0
    torch.testing.assert_close(more, 2 * found, **close)


# Missing annotation


@each_kind
@each_setting
def test_losses_units_without_annotation_get_no_gradient(exclusive, joint):
    batch = Batch(exclusive=exclusive)
    batch.forget(1, 4)
    found = batch.gradient(joint, doubt=batch.doubt)
    assert (found[:, [1, 4]] == 0).all() and (found[-1, [0, 2, 3]] != 0).all()


@each_kind
@each_setting
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), gone=st.sets(st.integers(0, UNITS - 1), min_size=1, max_size=UNITS - 1))
def test_losses_units_without_annotation_do_not_change_the_mean(exclusive, joint, seed, gone):
    batch, fewer = Batch(seed, exclusive=exclusive), Batch(seed, exclusive=exclusive)
    batch.forget(*gone)
    rest = [unit for unit in range(UNITS) if unit not in gone]
    fewer.logits, fewer.targets, fewer.label_mask = fewer.logits[:, rest], fewer.targets[rest], fewer.label_mask[rest]
    fewer.doubt = fewer.doubt[:, rest]
    torch.testing.assert_close(batch.loss(joint, doubt=batch.doubt), fewer.loss(joint, doubt=fewer.doubt), **close)


@each_kind
@each_setting
def test_losses_without_any_annotation_are_zero(exclusive, joint):
    batch = Batch(exclusive=exclusive)
    batch.forget(*range(UNITS))
    assert batch.loss(joint, doubt=batch.doubt) == 0
    assert (batch.gradient(joint, doubt=batch.doubt) == 0).all()


@each_setting
def test_losses_multilabel_labels_without_annotation_get_no_gradient(joint):
    batch = Batch(exclusive=False)
    batch.label_mask[1, 2] = batch.label_mask[3, 0] = 0
    found = batch.gradient(joint)
    assert (found[:, 1, 2] == 0).all() and (found[:, 3, 0] == 0).all()
    assert (found[-1, 1, [0, 1, 3]] != 0).all() and (found[-1, 3, 1:] != 0).all()


@each_setting
def test_losses_multilabel_labels_without_annotation_do_not_change_the_mean(joint):
    """Unknown everywhere is as good as no such label."""
    batch, fewer = Batch(exclusive=False), Batch(exclusive=False)
    batch.label_mask[:, 2] = 0
    rest = [0, 1, 3]
    fewer.logits, fewer.targets, fewer.label_mask = fewer.logits[..., rest], fewer.targets[:, rest], fewer.label_mask[:, rest]
    torch.testing.assert_close(batch.loss(joint), fewer.loss(joint), **close)


def test_losses_multilabel_is_the_mean_over_each_units_own_labels():
    batch = Batch(exclusive=False, units=2)
    batch.label_mask[1, 1:] = 0
    raw = batch.plain(-1, reduction="none")
    found = batch.loss(JointLoss(weighting="last"))
    torch.testing.assert_close(found, (raw[0].mean() + raw[1, 0]) / 2, **close)


# Gradient


@each_kind
@pytest.mark.parametrize("weighting", ["depth", "half", "equal", "last"])
def test_losses_gradient_is_that_of_finite_differences(exclusive, weighting):
    batch = Batch(exclusive=exclusive)
    batch.forget(2)
    if not exclusive:
        batch.label_mask[0, 1] = 0
    joint, weights = JointLoss(weighting=weighting), torch.tensor([0.5, 3.0, 1.0, 2.0], dtype=torch.float64)

    def loss(logits):
        return joint(logits, batch.targets, batch.label_mask, exclusive=exclusive, label_weights=weights)

    assert torch.autograd.gradcheck(loss, batch.logits)


@each_kind
def test_losses_gradient_of_distillation_is_that_of_finite_differences(exclusive):
    """By the logits of all exits but the last, which the loss does not differentiate as a teacher."""
    batch = Batch(exclusive=exclusive)
    joint, last = JointLoss(self_distillation=0.6, temperature=2.0), batch.logits[-1:].detach()

    def loss(students):
        return joint(torch.cat((students, last)), batch.targets, batch.label_mask, exclusive=exclusive)

    assert torch.autograd.gradcheck(loss, batch.logits[:-1].detach().requires_grad_())


def test_losses_gradient_of_doubt_is_that_of_finite_differences():
    batch = Batch()
    batch.forget(2)

    def loss(doubt):
        return batch.loss(JointLoss(), doubt=doubt)

    assert torch.autograd.gradcheck(loss, batch.doubt)


@each_kind
@each_setting
@pytest.mark.parametrize("enabled", [True, False])
def test_losses_gradient_method_is_that_of_autograd(exclusive, joint, enabled):
    batch = Batch(exclusive=exclusive)
    more = {"targets": batch.targets, "label_mask": batch.label_mask, "exclusive": exclusive}
    with torch.set_grad_enabled(enabled):
        loss, d_logits, d_doubt = joint.gradient(batch.logits, batch.doubt, **more)
    expected = batch.loss(joint, doubt=batch.doubt)
    by_logits, by_doubt = torch.autograd.grad(expected, (batch.logits, batch.doubt))
    assert isinstance(loss, float) and loss == expected.item()
    torch.testing.assert_close(d_logits, by_logits)
    torch.testing.assert_close(d_doubt, by_doubt)
    assert batch.logits.grad is None and batch.doubt.grad is None


def test_losses_gradient_method_without_a_doubt_head_is_empty():
    batch = Batch()
    _, _, found = JointLoss().gradient(
        batch.logits, torch.zeros(EXITS, 0), targets=batch.targets, label_mask=batch.label_mask, exclusive=True
    )
    assert found.shape == (EXITS, 0)


# Self-distillation


@pytest.mark.parametrize("share, temperature", [(0.5, 1.0), (0.5, 2.0), (0.9, 3.0)])
def test_losses_distillation_exclusive_by_hand(share, temperature):
    """T^2 times KL(teacher || student), summed over labels and averaged over units."""
    batch = Batch(units=2, labels=3)
    soft = softmax(batch.logits.detach().numpy() / temperature, axis=2)
    expected = 0.0
    for exit in range(EXITS):
        labels = batch.plain(exit).item()
        taught = temperature**2 * numpy.mean([entropy(soft[-1, unit], soft[exit, unit]) for unit in range(2)])
        part = labels if exit == EXITS - 1 else (1 - share) * labels + share * taught
        expected += (exit + 1) / 6 * part
    joint = JointLoss(self_distillation=share, temperature=temperature)
    assert batch.loss(joint).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_losses_distillation_is_batchmean_of_torch(temperature):
    batch = Batch(exits=2, labels=7)
    student, teacher = (F.log_softmax(batch.logits[exit] / temperature, dim=-1) for exit in range(2))
    taught = temperature**2 * F.kl_div(student, teacher, log_target=True, reduction="batchmean")
    expected = (0.5 * batch.plain(0) + 0.5 * taught + batch.plain(1)) / 2
    found = batch.loss(JointLoss(weighting="equal", self_distillation=0.5, temperature=temperature))
    torch.testing.assert_close(found, expected, **close)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_losses_distillation_multilabel_by_hand(temperature):
    """The two-point divergences, averaged over the labels that are given as the labels' own loss is."""
    batch = Batch(exits=2, units=2, labels=3, exclusive=False)
    batch.label_mask[1, 2] = 0
    yes = expit(batch.logits.detach().numpy() / temperature)
    each = entropy(numpy.stack((yes[1], 1 - yes[1])), numpy.stack((yes[0], 1 - yes[0])), axis=0)
    taught = temperature**2 * (each[0].mean() + each[1, :2].mean()) / 2
    raw = [batch.plain(exit, reduction="none") for exit in range(2)]
    labels = [((r[0].mean() + r[1, :2].mean()) / 2).item() for r in raw]
    found = batch.loss(JointLoss(weighting="equal", self_distillation=0.4, temperature=temperature))
    assert found.item() == pytest.approx((0.6 * labels[0] + 0.4 * taught + labels[1]) / 2, rel=1e-5)


@each_kind
@pytest.mark.parametrize("weighting", ["depth", "equal"])
def test_losses_distillation_gives_the_teacher_no_gradient(exclusive, weighting):
    batch = Batch(exclusive=exclusive)
    with_it = batch.gradient(JointLoss(weighting=weighting, self_distillation=0.8))
    without = batch.gradient(JointLoss(weighting=weighting))
    torch.testing.assert_close(with_it[-1], without[-1])
    assert (with_it[:-1] != without[:-1]).all()


@each_kind
def test_losses_distillation_is_zero_if_all_exits_say_the_same(exclusive):
    batch = Batch(exclusive=exclusive)
    batch.logits = batch.logits[-1:].detach().repeat(EXITS, 1, 1).requires_grad_()
    share, weights = 0.75, exit_weights(EXITS, "depth").double()
    counts = torch.tensor([1 - share, 1 - share, 1.0], dtype=torch.float64) * weights
    joint = JointLoss(self_distillation=share, temperature=2.0)
    torch.testing.assert_close(batch.loss(joint), counts.sum() * batch.plain(-1), **close)
    alone = [torch.autograd.grad(batch.plain(exit), batch.logits)[0][exit] for exit in range(EXITS)]
    expected = counts[:, None, None] * torch.stack(alone)
    torch.testing.assert_close(batch.gradient(joint), expected, **close)


@each_kind
def test_losses_distillation_of_zero_is_the_labels_alone(exclusive):
    batch = Batch(exclusive=exclusive)
    assert batch.loss(JointLoss(self_distillation=0.0, temperature=9.0)) == batch.loss(JointLoss())


@pytest.mark.parametrize("temperature", [2.0, 20.0, 200.0])
def test_losses_distillation_gradient_keeps_its_size_at_any_temperature(temperature):
    """What T^2 is for: for a large T the gradient tends to (student - teacher) / K, centred."""
    batch = Batch(exits=2, units=1, labels=3)
    joint = JointLoss(weighting="equal", self_distillation=0.5, temperature=temperature)
    found = batch.gradient(joint, label_weights=torch.zeros(3))[0, 0]
    gap = (batch.logits[0, 0] - batch.logits[1, 0]).detach()
    expected = 0.25 * (gap - gap.mean()) / 3
    torch.testing.assert_close(found, expected, rtol=2 / temperature, atol=0.3 / temperature)


# Doubt


def doubt_part(batch, doubt, joint=JointLoss(), **more):
    return (batch.loss(joint, doubt=doubt, **more) - batch.loss(joint, **more)).item()


def test_losses_doubt_is_the_squared_error_of_being_wrong():
    batch = Batch()
    wrong = (batch.logits.argmax(dim=-1) != batch.gold).double()
    assert 0 < wrong.sum() < wrong.numel()
    expected = (torch.sigmoid(batch.doubt) - wrong).square().mean().item()
    assert doubt_part(batch, batch.doubt) == pytest.approx(expected)


@pytest.mark.parametrize("weighting", ["depth", "half", "equal", "last"])
def test_losses_doubt_counts_every_exit_alike(weighting):
    batch = Batch()
    assert doubt_part(batch, batch.doubt, JointLoss(weighting=weighting)) == pytest.approx(doubt_part(batch, batch.doubt))


def test_losses_doubt_knowing_right_from_wrong_costs_nothing():
    batch = Batch()
    wrong = (batch.logits.argmax(dim=-1) != batch.gold).double()
    assert doubt_part(batch, 200 * wrong - 100) == pytest.approx(0.0, abs=1e-12)
    assert doubt_part(batch, 100 - 200 * wrong) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "logits, targets, label_mask, threshold, expected",
    [
        ([2.0, -2.0], [1, 0], [1, 1], 0.5, 0.0),
        ([2.0, 2.0], [1, 0], [1, 1], 0.5, 1.0),
        ([2.0, 2.0], [1, 0], [1, 0], 0.5, 0.0),
        ([-2.0, 2.0], [1, 0], [1, 1], 0.5, 1.0),
        ([0.0, -2.0], [1, 0], [1, 1], 0.5, 0.0),
        ([0.5, -2.0], [1, 0], [1, 1], 0.8, 1.0),
        ([-0.5, -2.0], [1, 0], [1, 1], 0.3, 0.0),
    ],
    ids=["right", "one wrong", "wrong but not given", "both wrong", "at the threshold", "high threshold", "low threshold"],
)
def test_losses_doubt_multilabel_is_about_the_whole_label_set(logits, targets, label_mask, threshold, expected):
    batch = Batch(exits=1, units=1, labels=2, exclusive=False)
    batch.logits = torch.tensor([[logits]], dtype=torch.float64)
    batch.targets = torch.tensor([targets], dtype=torch.float64)
    batch.label_mask = torch.tensor([label_mask], dtype=torch.float64)
    never = torch.full((1, 1), -100.0, dtype=torch.float64)
    assert doubt_part(batch, never, threshold=threshold) == pytest.approx(expected, abs=1e-12)


@each_kind
def test_losses_doubt_sends_no_gradient_into_the_logits(exclusive):
    batch = Batch(exclusive=exclusive)
    torch.testing.assert_close(batch.gradient(JointLoss(), doubt=batch.doubt), batch.gradient(JointLoss()), rtol=0, atol=0)


def test_losses_doubt_rises_where_the_answer_is_wrong_and_falls_where_it_is_right():
    batch = Batch()
    wrong = batch.logits.argmax(dim=-1) != batch.gold
    (found,) = torch.autograd.grad(batch.loss(JointLoss(), doubt=batch.doubt), batch.doubt)
    assert ((found < 0) == wrong).all()


def test_losses_doubt_of_units_without_annotation_gets_no_gradient():
    batch = Batch()
    batch.forget(0, 3)
    (found,) = torch.autograd.grad(batch.loss(JointLoss(), doubt=batch.doubt), batch.doubt)
    assert (found[:, [0, 3]] == 0).all() and (found[:, [1, 2, 4]] != 0).all()


def test_losses_without_a_doubt_head_are_the_same():
    batch = Batch()
    assert batch.loss(JointLoss(), doubt=torch.zeros(EXITS, 0)) == batch.loss(JointLoss())


# Settings


@pytest.mark.parametrize(
    "setting, value",
    [
        ("weighting", "ascending"),
        ("weighting", "Depth"),
        ("self_distillation", -0.1),
        ("self_distillation", 1.0),
        ("self_distillation", math.nan),
        ("temperature", 0.0),
        ("temperature", -1.0),
    ],
)
def test_losses_refuse_bad_settings(setting, value):
    with pytest.raises(ValueError, match=rf"`loss\.{setting}` is '?{value}'?; give"):
        JointLoss(**{setting: value})


def test_losses_resolve_through_the_registry():
    block = {"@misc": "spacy-epee.JointLoss.v1", "weighting": "equal", "self_distillation": 0.5, "temperature": 2.0}
    expected = JointLoss(weighting="equal", self_distillation=0.5, temperature=2.0)
    assert registry.resolve({"loss": block})["loss"] == expected
