"""What teachers say of documents, and how it is learned from."""

import json

import numpy
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax
from spacy.tokens import Doc, DocBin
from spacy.training import Corpus, Example
from spacy.util import registry
from torch.nn import functional as F
from util import SENTENCES, make_nlp

from spacy_epee.component.updating import find_loss, plan_lessons
from spacy_epee.data.readers import EntityReader, JsonlReader
from spacy_epee.doc_attributes import set_place
from spacy_epee.tasks.textcat.task import TextCat
from spacy_epee.training.losses import JointLoss

SOME = settings(max_examples=40)
EXITS, UNITS, LABELS = 3, 5, 4
SEEDS, SHARES, TEMPERATURES = st.integers(0, 999), st.floats(0, 1), st.floats(0.2, 20)
each_kind = pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
close = {"rtol": 1e-5, "atol": 1e-7}


class Batch:
    """Random logits of all exits, labels and what teachers say, in float64. Of some units one of both is missing."""

    def __init__(self, seed=0, exclusive=True, gold=True, soft=True):
        generator = torch.Generator().manual_seed(seed)
        self.exclusive = exclusive
        self.logits = torch.randn(EXITS, UNITS, LABELS, generator=generator, dtype=torch.float64, requires_grad=True)
        teacher = torch.randn(UNITS, LABELS, generator=generator, dtype=torch.float64)
        self.soft = teacher.softmax(dim=-1) if exclusive else teacher.sigmoid()
        if exclusive:
            self.targets = F.one_hot(torch.randint(LABELS, (UNITS,), generator=generator), LABELS).double()
        else:
            self.targets = torch.randint(2, (UNITS, LABELS), generator=generator).double()
        self.label_mask = self._mask(gold, generator)
        self.soft_mask = self._mask(soft, generator)
        self.targets = self.targets * self.label_mask

    def _mask(self, known, generator):
        if known is not None:
            return torch.full((UNITS, LABELS), float(known), dtype=torch.float64)
        mask = torch.randint(2, (UNITS, 1 if self.exclusive else LABELS), generator=generator).double()
        return mask.expand(UNITS, LABELS).clone()

    def loss(self, joint, units=slice(None), soft=True, **more):
        if soft:
            more.update(soft=self.soft[units], soft_mask=self.soft_mask[units])
        return joint(self.logits[:, units], self.targets[units], self.label_mask[units], exclusive=self.exclusive, **more)

    def gradient(self, joint, **more):
        return torch.autograd.grad(self.loss(joint, **more), self.logits)[0]

    @property
    def known(self):
        return torch.maximum(self.label_mask, self.soft_mask).any(dim=1)


def divergence(batch, exit, temperature):
    """What scipy and numpy make of T^2 * KL, the mean over units."""
    logits, said = batch.logits[exit].detach().numpy(), batch.soft.numpy()
    if batch.exclusive:
        taught, student = softmax(numpy.log(said) / temperature, axis=1), softmax(logits / temperature, axis=1)
        return temperature**2 * (taught * numpy.log(taught / student)).sum(axis=1).mean()
    taught, student = expit(logit(said) / temperature), expit(logits / temperature)
    both = taught * numpy.log(taught / student) + (1 - taught) * numpy.log((1 - taught) / (1 - student))
    return temperature**2 * both.mean()


@each_kind
@SOME
@given(seed=SEEDS, temperature=TEMPERATURES)
def test_soft_labels_alone_are_the_divergence_from_them_at_every_exit(exclusive, seed, temperature):
    batch = Batch(seed, exclusive)
    found = batch.loss(JointLoss("equal", teacher_share=1.0, teacher_temperature=temperature)).item()
    assert found == pytest.approx(numpy.mean([divergence(batch, exit, temperature) for exit in range(EXITS)]), rel=1e-4)


@each_kind
@SOME
@given(seed=SEEDS, temperature=TEMPERATURES)
def test_soft_labels_with_no_share_change_nothing(exclusive, seed, temperature):
    batch = Batch(seed, exclusive, gold=None, soft=None)
    joint = JointLoss(teacher_share=0.0, teacher_temperature=temperature)
    assert batch.loss(joint) == batch.loss(JointLoss(), soft=False)


@each_kind
@SOME
@given(seed=SEEDS, share=SHARES, temperature=TEMPERATURES)
def test_soft_labels_and_labels_are_mixed_by_the_share(exclusive, seed, share, temperature):
    batch = Batch(seed, exclusive)
    gold, soft = (batch.loss(JointLoss(teacher_share=end, teacher_temperature=temperature)) for end in (0.0, 1.0))
    found = batch.loss(JointLoss(teacher_share=share, teacher_temperature=temperature))
    torch.testing.assert_close(found, (1 - share) * gold + share * soft, **close)


@each_kind
@SOME
@given(seed=SEEDS, share=SHARES)
def test_absent_soft_labels_have_no_gradient_and_change_nothing(exclusive, seed, share):
    batch = Batch(seed, exclusive, soft=False)
    joint = JointLoss(teacher_share=share)
    torch.testing.assert_close(batch.gradient(joint), batch.gradient(joint, soft=False), rtol=0, atol=0)
    batch = Batch(seed, exclusive, gold=None, soft=None)
    gradient = batch.gradient(joint)
    untaught = ~batch.label_mask.bool() & ~batch.soft_mask.bool()
    assert (gradient[:, untaught] == 0).all()


@each_kind
@SOME
@given(seed=SEEDS, share=st.floats(0.01, 1))
def test_soft_labels_without_labels_count_alone_whatever_the_share(exclusive, seed, share):
    batch = Batch(seed, exclusive, gold=False)
    found, alone = (batch.loss(JointLoss(teacher_share=given)) for given in (share, 1.0))
    torch.testing.assert_close(found, alone, **close)


@each_kind
@SOME
@given(seed=SEEDS, share=SHARES, cut=st.integers(1, UNITS - 1))
def test_parts_of_a_batch_sum_to_the_whole(exclusive, seed, share, cut):
    batch = Batch(seed, exclusive, gold=None, soft=None)
    joint = JointLoss(teacher_share=share, self_distillation=0.3)
    known = batch.known if share else batch.label_mask.any(dim=1)
    parts = [slice(0, cut), slice(cut, None)]
    total = sum(batch.loss(joint, part) * known[part].sum() for part in parts)
    torch.testing.assert_close(batch.loss(joint), total / known.sum().clamp(min=1), **close)


@each_kind
def test_soft_labels_of_a_sure_teacher_are_labels(exclusive):
    batch = Batch(exclusive=exclusive)
    batch.soft = batch.targets
    found = batch.loss(JointLoss(teacher_share=1.0, teacher_temperature=1.0))
    torch.testing.assert_close(found, batch.loss(JointLoss(), soft=False), rtol=1e-4, atol=1e-4)


def test_great_temperatures_compare_logits():
    """Hinton et al. 2015, section 2.1: half the squared distance of centred logits, over the labels."""
    batch = Batch()
    found = batch.loss(JointLoss("last", teacher_share=1.0, teacher_temperature=1e3))
    student, teacher = batch.logits[-1].detach(), batch.soft.log()
    distance = (student - student.mean(dim=1, keepdim=True)) - (teacher - teacher.mean(dim=1, keepdim=True))
    torch.testing.assert_close(found, distance.square().sum(dim=1).mean() / (2 * LABELS), rtol=1e-2, atol=1e-3)


@each_kind
def test_soft_labels_of_zero_and_one_give_numbers(exclusive):
    batch = Batch(exclusive=exclusive)
    batch.soft = torch.zeros(UNITS, LABELS, dtype=torch.float64)
    batch.soft[:, 0] = 1
    assert torch.isfinite(batch.gradient(JointLoss(teacher_share=1.0, teacher_temperature=0.5))).all()


def test_doubt_is_learned_from_labels_alone():
    batch = Batch(gold=False)
    doubt = torch.zeros(EXITS, UNITS, dtype=torch.float64, requires_grad=True)
    assert (torch.autograd.grad(batch.loss(JointLoss(), doubt=doubt), doubt)[0] == 0).all()


@pytest.mark.parametrize("name, value", [("teacher_share", 1.5), ("teacher_share", -0.1), ("teacher_temperature", 0.0)])
def test_settings_that_mean_nothing_are_refused(name, value):
    with pytest.raises(ValueError, match=f"loss.{name}"):
        JointLoss(**{name: value})


def test_loss_of_a_config_without_teachers_is_read():
    block = {"@misc": "spacy-epee.JointLoss.v1", "weighting": "equal", "self_distillation": 0.5, "temperature": 2.0}
    assert registry.resolve({"loss": block})["loss"] == JointLoss("equal", 0.5, 2.0)


# What tasks take of Docs


def example(cats=None, teacher=None, text="note"):
    nlp = spacy.blank("en")
    found = Example.from_dict(nlp.make_doc(text), {"cats": cats or {}})
    task()
    if teacher is not None:
        found.reference._.teacher = teacher
    return found


def task(exclusive=True):
    return TextCat(exclusive=exclusive, label_weights={}, reduce="max")


@each_kind
def test_soft_targets_are_what_teachers_say(exclusive):
    rows = [example({"A": 1.0}), example(teacher={"B": 0.75, "A": 0.25, "C": 0.5})]
    soft, soft_mask = task(exclusive).soft_targets(rows, ["A", "B"])
    assert soft.tolist() == [[0, 0], [0.25, 0.75]] and soft_mask.tolist() == [[0, 0], [1, 1]]
    assert task(exclusive).soft_targets(rows[:1], ["A", "B"]) is None
    assert task(exclusive).soft_targets(rows, ["D", "E"]) is None


def test_soft_targets_of_some_labels_are_known_where_these_are_not_exclusive():
    rows = [example(teacher={"A": 0.0}), example(teacher={"B": 1.0})]
    _, soft_mask = task(False).soft_targets(rows, ["A", "B"])
    assert soft_mask.tolist() == [[1, 0], [0, 1]]
    set_place(rows[0].reference, "notes.jsonl, line 7")
    with pytest.raises(ValueError, match="notes.jsonl, line 7 know 1 of the 2 labels"):
        task().soft_targets(rows, ["A", "B"])


def test_soft_targets_of_zeros_say_nothing_where_one_label_is_true():
    assert task().soft_targets([example(teacher={"A": 0.0, "B": 0.0})], ["A", "B"]) is None


@pytest.mark.parametrize("value", ["Secretname", ["Secretname"], {"A": "Secretname"}, {"A": 1.5}, {1: 0.5}, {"A": float("nan")}])
def test_soft_targets_of_something_else_are_refused_unseen(value):
    with pytest.raises(ValueError, match="`doc._.teacher` is not") as error:
        task().soft_targets([example(teacher=value)], ["A", "B"])
    assert "Secretname" not in str(error.value)


def test_labels_are_those_of_teachers_where_nothing_is_annotated():
    taught = example(teacher={"B": 0.75, "A": 0.25})
    assert task().infer_labels([taught])[0] == ["B", "A"]
    assert task().infer_labels([taught, example({"C": 1.0, "A": 0.0})])[0] == ["C", "A"]


# Training


def rows(n=8, gold=range(8), soft=range(8)):
    found = []
    for number in range(n):
        cats = {"A": float(number % 2), "B": float(1 - number % 2)} if number in gold else None
        teacher = {"A": 0.2 + 0.6 * (number % 2), "B": 0.8 - 0.6 * (number % 2)} if number in soft else None
        found.append(example(cats, teacher, SENTENCES[number]))
    return found


def lessons(nlp, examples):
    _, pipe = nlp.pipeline[0]
    return pipe, list(plan_lessons(pipe.model, pipe.slots, pipe.loss, examples))


@pytest.fixture(params=[False, True], ids=["exclusive", "multilabel"])
def nlp(request, backbone):
    return make_nlp(backbone, ["A", "B"], request.param)


def test_documents_with_soft_labels_alone_are_learned_from(nlp):
    pipe, found = lessons(nlp, rows(gold=[0, 1], soft=[1, 2, 3]))
    assert [len(lesson.examples) for lesson in found] == [4]
    pipe.loss = JointLoss(teacher_share=0.0)
    assert [len(lesson.examples) for lesson in lessons(nlp, rows(gold=[0, 1], soft=[1, 2, 3]))[1]] == [2]


def test_losses_of_parts_are_those_of_the_batch(nlp):
    """A batch that is cut to fit into memory has the loss that it has in one."""
    examples = rows(gold=[0, 1, 2, 5], soft=[1, 2, 3, 6])
    pipe, (whole,) = lessons(nlp, examples)
    shim = pipe.model.layers[0].shims[0]
    object.__setattr__(shim.settings, "max_wordpieces", 70)
    _, parts = lessons(nlp, examples)
    assert len(parts) > 1

    def loss(found):
        scores = [pipe.model.predict(lesson.instances) for lesson in found]
        return sum(
            find_loss(pipe.slots, pipe.loss, "joint", lesson.examples, said, lesson.shares)[0]
            for lesson, said in zip(found, scores)
        )

    assert loss(parts) == pytest.approx(loss([whole]), rel=1e-5)


def test_exits_come_to_say_what_teachers_say(backbone):
    examples = rows(gold=[])
    nlp = make_nlp(backbone, ["A", "B"], spread=None, loss={"teacher_temperature": 1.0})
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 0.001
    for _ in range(150):
        nlp.update(examples, sgd=optimizer)
    _, pipe = nlp.pipeline[0]
    (outputs,) = pipe.exit_logits([eg.predicted for eg in examples], batch_size=8)
    expected = [[eg.reference._.teacher[label] for label in "AB"] for eg in examples]
    assert numpy.abs(softmax(outputs.logits[-1], axis=-1) - expected).max() < 0.1


@pytest.mark.parametrize("multilabel", [False, True])
def test_first_exit_is_learned_from_teachers_where_nothing_is_annotated(multilabel, backbone):
    words = {"A": "fever chills", "B": "fracture cast"}
    examples = [example(None, {"A": 0.9, "B": 0.1}, words["A"]), example(None, {"A": 0.2, "B": 0.8}, words["B"])] * 6
    examples += [example({"A": 0.0, "B": 1.0}, {"A": 0.9, "B": 0.1}, words["B"])] * 2  # what is annotated holds

    def say(**loss):
        nlp = make_nlp(backbone, ["A", "B"], multilabel, lexical=100, spread=None, loss=loss)
        nlp.initialize(lambda: examples)
        pipe = nlp.get_pipe(nlp.pipe_names[0])
        return pipe.slot().heads(pipe.model).lexical.look([nlp.make_doc(text) for text in words.values()]).logits

    found = say()
    assert found.argmax(axis=1).tolist() == [0, 1]
    weaker = say(teacher_share=0.0)
    assert (numpy.abs(found[:, 1] - found[:, 0]) > numpy.abs(weaker[:, 1] - weaker[:, 0])).all()


def test_labels_that_teachers_do_not_know_are_refused_before_training(backbone):
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(backbone)}}})
    examples = [example({"A": 1.0, "B": 0.0, "C": 0.0}, {"A": 0.5, "B": 0.5})]
    with pytest.raises(ValueError, match="know 2 of the 3 labels"):
        nlp.initialize(lambda: examples)


def test_soft_labels_are_not_saved_with_the_pipeline(backbone):
    plain, taught = (make_nlp(backbone, ["A", "B"]) for _ in range(2))
    for nlp, examples in ((plain, rows(soft=[])), (taught, rows())):
        spacy.util.fix_random_seed(0)
        nlp.initialize(lambda examples=examples: examples)
    assert taught.to_bytes() == plain.to_bytes()


# Reading


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


SOFT = {"A": 0.25, "B": 0.75}
ROWS = [{"text": "fever", "cats": {"A": 1}, "teacher": SOFT}, {"text": "rash", "teacher": SOFT}, {"text": "no", "cats": {"A": 0}}]


@pytest.mark.parametrize("reader", [JsonlReader, lambda path, **more: EntityReader(path, cats="cats", **more)])
def test_readers_set_soft_labels(tmp_path, reader):
    examples = list(reader(write(tmp_path / "data.jsonl", ROWS))(spacy.blank("en")))
    assert [eg.reference._.teacher for eg in examples] == [SOFT, SOFT, None]
    assert [eg.reference.cats for eg in examples] == [{"A": 1.0}, {}, {"A": 0.0}]
    assert all(eg.predicted._.teacher is None for eg in examples)


def test_readers_leave_soft_labels_out_if_told(tmp_path):
    path = write(tmp_path / "data.jsonl", [ROWS[0], {"text": "no", "cats": {"A": 0}, "teacher": "Dr"}])
    assert [eg.reference._.teacher for eg in JsonlReader(path, teacher=None)(spacy.blank("en"))] == [None, None]
    with pytest.raises(ValueError, match="line 1: the field 'cats' is missing"):
        list(JsonlReader(write(tmp_path / "data.jsonl", ROWS[1:]), teacher=None)(spacy.blank("en")))


@pytest.mark.parametrize("value", ["Secretname", ["Secretname"], {"Secretname": "x"}, {"A": 2}, {"Secretname\n": 1}, 3])
def test_readers_refuse_other_things_unseen(tmp_path, value):
    path = write(tmp_path / "data.jsonl", [{"text": "fever", "cats": "A", "teacher": value}])
    with pytest.raises(ValueError, match="data.jsonl, line 1: the field 'teacher' holds no soft labels") as error:
        list(JsonlReader(path)(spacy.blank("en")))
    assert "Secretname" not in str(error.value)


def test_soft_labels_are_kept_in_spacy_files(tmp_path):
    nlp = spacy.blank("en")
    examples = list(JsonlReader(write(tmp_path / "data.jsonl", ROWS))(nlp))
    DocBin(docs=[eg.reference for eg in examples], store_user_data=True).to_disk(tmp_path / "data.spacy")
    for corpus in (Corpus(tmp_path / "data.spacy"), EntityReader(tmp_path / "data.spacy")):
        assert [eg.reference._.teacher for eg in corpus(nlp)] == [SOFT, SOFT, None]


def test_soft_labels_are_kept_of_documents_that_are_changed():
    nlp = spacy.blank("en")
    plain = registry.get("augmenters", "spacy.lower_case.v1")(level=1.0)
    kept = registry.get("augmenters", "spacy-epee.keep_soft_labels.v1")(plain)
    eg = example({"A": 1.0}, SOFT, "Fever and RASH")
    assert [made.reference._.teacher for made in plain(nlp, eg)] == [None]
    assert [(made.text, made.reference._.teacher) for made in kept(nlp, eg)] == [("fever and rash", SOFT)]
    assert [made.reference._.teacher for made in kept(nlp, example({"A": 1.0}))] == [None]


def test_attribute_is_there_for_all():
    task()
    assert Doc.get_extension("teacher") == (None, None, None, None)
