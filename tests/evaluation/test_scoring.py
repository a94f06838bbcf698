"""The main figure of a task, on all of some documents or a part of them."""

import numpy
import pytest
from util import make_examples, make_nlp

from spacy_epee.evaluation.scoring import Scoring, describe_main, differing_docs
from spacy_epee.evaluation.stored_outputs import StoredOutputs
from spacy_epee.exits.rules.depth import FixedDepth
from spacy_epee.exits.rules.thresholds import Entropy

LABELS = ["ACUTE", "STABLE", "HISTORY"]
KINDS = ["exclusive", "several", "positive", "relations", "events", "joint", "images"]


def make(kind, backbone):
    """A component with a task of each kind, its name and documents."""
    if kind == "relations":
        from relations_util import TEXTS, make_example, make_relations_nlp

        nlp, task = make_relations_nlp(backbone), None
        examples = [make_example(nlp, text) for text in TEXTS]
    elif kind == "events":
        from events_util import TEXTS, make_events_nlp, make_example

        nlp, task = make_events_nlp(backbone, steps=60), None
        examples = [make_example(nlp, text) for text in TEXTS]
    elif kind == "images":
        from images_util import make_image_backbone, make_image_examples, make_image_nlp

        nlp, task = make_image_nlp(make_image_backbone(backbone.parent / "vit")), None
        examples = make_image_examples(nlp, 12)
    elif kind == "joint":
        from joint_util import TEXTS, make_example, make_joint_nlp

        nlp, task = make_joint_nlp(backbone, steps=20), "relations"
        examples = [make_example(nlp, text) for text in TEXTS]
    else:
        labels = LABELS[:2] if kind == "positive" else LABELS
        nlp, task = make_nlp(backbone, labels, kind == "several", spread=3.0), None
        examples = make_examples(nlp, labels, kind == "several")
        if kind == "positive":
            nlp.get_pipe(nlp.pipe_names[0]).slot().set_positive("ACUTE")
    return nlp.get_pipe(nlp.pipe_names[0]), task, examples


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_parts_are_those_of_the_simulation_too(kind, backbone):
    """The scorer and the quick counting agree, on all documents and on any part of them."""
    pipe, task, examples = make(kind, backbone)
    scoring, stored = Scoring(pipe, examples, task), StoredOutputs(pipe, examples, task)
    replay = stored.replay()
    score = stored.scorer(replay)
    assert scoring.annotated and stored.describe() == describe_main(pipe, scoring.name)
    chance = numpy.random.default_rng(0)
    for rule in (None, FixedDepth(1), Entropy(0.8)):
        answered = scoring.answered(pipe.answer([eg.predicted for eg in examples], rule, task))
        assert scoring.main(answered) == scoring.main_of(scoring.scores(answered))
        for docs in (None, numpy.ones(len(examples), dtype=bool), *(chance.random((4, len(examples))) < 0.6)):
            if docs is not None and not docs.any():
                continue
            assert score(replay.run(rule), docs) == pytest.approx(scoring.main(answered, docs) or 0.0, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_the_same_has_no_spread_and_no_other_answers(kind, backbone):
    pipe, task, examples = make(kind, backbone)
    scoring = Scoring(pipe, examples, task)
    docs = [eg.predicted for eg in examples]
    full, first = (pipe.answer(docs, rule, task) for rule in (None, FixedDepth(1)))
    answered = [scoring.answered(answers) for answers in (full, first)]
    assert scoring.spread(answered[0], answered[0]) == 0
    assert not differing_docs(full, full).any() and differing_docs(full, first).shape == (len(examples),)
    if differing_docs(full, first).any() and scoring.main(answered[0]) != scoring.main(answered[1]):
        assert scoring.spread(*answered) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_other_answers_are_those_that_the_search_counts(kind, backbone):
    pipe, task, examples = make(kind, backbone)
    stored = StoredOutputs(pipe, examples, task)
    replay = stored.replay()
    docs = [eg.predicted for eg in examples]
    expected = numpy.zeros(len(examples), dtype=bool)
    run = replay.run(FixedDepth(1))
    expected[stored.docs[replay.differs[run.exits, numpy.arange(replay.n_units)]]] = True
    found = differing_docs(pipe.answer(docs, None, task), pipe.answer(docs, FixedDepth(1), task))
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_annotated_has_no_score(kind, backbone):
    pipe, task, examples = make(kind, backbone)
    for eg in examples:
        eg.reference.cats = {}
        for name in ("relations", "events"):
            if eg.reference.has_extension(name):
                setattr(eg.reference._, name, None)
    scoring = Scoring(pipe, examples, task)
    answered = scoring.answered(pipe.answer([eg.predicted for eg in examples], None, task))
    scores = scoring.scores(answered)
    assert not scoring.annotated and scoring.main(answered) is scoring.main_of(scores) is None
    assert scoring.per_label(scores) == {} and scoring.spread(answered, answered) is None
    assert not any(isinstance(score, float) for score in scores.values())


def test_label_that_no_document_has_has_no_figures(backbone):
    pipe, _, examples = make("exclusive", backbone)
    examples = [eg for eg in examples if not eg.reference.cats["ACUTE"]]
    scoring = Scoring(pipe, examples)
    found = scoring.per_label(scoring.scores(scoring.answered(pipe.answer([eg.predicted for eg in examples], None))))
    assert found["ACUTE"] == {"p": None, "r": None, "f": None} and scoring.absent == ["ACUTE"]
    assert found["STABLE"]["f"] is not None


@pytest.mark.parametrize("kind", ["exclusive", "several"])
def test_labels_in_few_documents_do_not_count_in_the_mean(kind, backbone):
    pipe, _, examples = make(kind, backbone)
    for number, eg in enumerate(examples):
        first = "ACUTE" if number % 2 else "STABLE"
        eg.reference.cats = {label: float(label == (first if number else "HISTORY")) for label in LABELS}
    whole, scoring = Scoring(pipe, examples), Scoring(pipe, examples, fewest=3)
    answered = scoring.answered(pipe.answer([eg.predicted for eg in examples], None))
    scores = scoring.scores(answered)
    name, figure = ("cats_f_per_type", lambda own: own["f"]) if kind == "exclusive" else ("cats_auc_per_type", lambda own: own)
    assert scoring.left_out == ["HISTORY"] and whole.left_out == []
    assert scoring.main(answered) == pytest.approx(numpy.mean([figure(scores[name][label]) for label in ("ACUTE", "STABLE")]))
    assert scoring.main(answered) != whole.main(answered)
    assert scoring.describe(scores).endswith("of 2 of 3 labels")
    stored = StoredOutputs(pipe, examples, fewest=3)
    replay = stored.replay()
    assert stored.scorer(replay)(replay.run(None)) == pytest.approx(scoring.main(answered), abs=1e-6)
    assert stored.describe() == scoring.describe(scores)


def test_no_label_that_counts_has_no_score(backbone):
    pipe, _, examples = make("exclusive", backbone)
    scoring = Scoring(pipe, examples, fewest=100)
    assert scoring.main(scoring.answered(pipe.answer([eg.predicted for eg in examples], None))) is None
