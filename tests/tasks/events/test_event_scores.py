"""Scores of events."""

import warnings

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from spacy_epee.tasks.events.docs import install_extensions
from spacy_epee.tasks.events.scorer import KEYS, NAMES, PER_TYPE, make_events_scorer, score_events

install_extensions()

NLP = spacy.blank("en")
TEXT = "one two three four five six seven eight"
FIGURES = [key for key in KEYS if key not in PER_TYPE]


def arg(role, start, end=None, parent=None, event=None):
    return {"role": role, "span": [start, end or start + 1], "score": 1.0, "parent": parent, "event": event}


def event(label, start, *arguments, end=None, **attributes):
    named = {name: {"value": value, "score": 1.0, "spans": []} for name, value in attributes.items()}
    return {"trigger": [start, end or start + 1], "label": label, "score": 1.0, "arguments": [*arguments], "attributes": named}


def make(found, gold):
    docs = [NLP.make_doc(TEXT) for _ in range(2)]
    for doc, events in zip(docs, (found, gold)):
        doc._.events = events
    return Example(*docs)


def score(found, gold, **settings):
    return score_events([make(found, gold)], **settings)


def prf(scores, name):
    return scores[f"{name}_p"], scores[f"{name}_r"]


@pytest.mark.parametrize(
    "found,gold,found_id,found_class",
    [
        ([event("A", 0)], [event("A", 0)], (1, 1), (1, 1)),
        ([event("B", 0)], [event("A", 0)], (1, 1), (0, 0)),
        ([event("A", 0, end=2)], [event("A", 0)], (0, 0), (0, 0)),
        ([event("A", 0), event("A", 3)], [event("A", 0)], (0.5, 1), (0.5, 1)),
        ([event("A", 0)], [event("A", 0), event("B", 0)], (1, 1), (1, 0.5)),
        ([event("A", 0), event("A", 0)], [event("A", 0)], (1, 1), (1, 1)),
        ([], [event("A", 0)], (0, 0), (0, 0)),
        ([event("A", 0)], [], (0, 0), (0, 0)),
    ],
)
def test_events_triggers_are_identified_by_span_and_classified_with_the_label(found, gold, found_id, found_class):
    scores = score(found, gold)
    assert (prf(scores, "ev_trigger_id"), prf(scores, "ev_trigger")) == (found_id, found_class)


def test_events_arguments_are_identified_by_span_and_classified_with_the_role():
    scores = score([event("A", 0, arg("X", 1), arg("X", 2))], [event("A", 0, arg("X", 1), arg("Y", 2))])
    assert prf(scores, "ev_arg_id") == (1, 1) and prf(scores, "ev_arg") == (0.5, 0.5)


@pytest.mark.parametrize("found", [event("A", 3, arg("X", 1)), event("B", 0, arg("X", 1))])
def test_events_arguments_of_a_wrong_trigger_or_label_are_wrong(found):
    scores = score([found], [event("A", 0, arg("X", 1))])
    assert scores["ev_arg_id_f"] == scores["ev_arg_f"] == scores["ev_main_f"] == 0


def test_events_roles_are_right_whatever_the_trigger_but_not_whatever_the_label():
    gold = [event("A", 0, arg("X", 1))]
    assert score([event("A", 3, arg("X", 1))], gold)["ev_role_f"] == 1
    assert score([event("B", 0, arg("X", 1))], gold)["ev_role_f"] == 0
    assert score([event("A", 0, arg("Y", 1))], gold)["ev_role_f"] == 0


def test_events_parts_of_arguments_count_as_arguments_and_not_as_main_ones():
    gold = [event("A", 0, arg("X", 1, 3), arg("Z", 1, parent=0))]
    scores = score([event("A", 0, arg("X", 1, 3))], gold)
    assert prf(scores, "ev_arg") == prf(scores, "ev_arg_id") == (1, 0.5)
    assert prf(scores, "ev_main") == prf(scores, "ev_role") == (1, 1)


def test_events_parts_of_arguments_are_right_with_the_role_of_the_whole():
    found = [event("A", 0, arg("Y", 1, 3), arg("Z", 1, parent=0))]
    scores = score(found, [event("A", 0, arg("X", 1, 3), arg("Z", 1, parent=0))])
    assert scores["ev_arg_id_f"] == 1 and scores["ev_arg_f"] == 0
    assert scores["ev_role_per_type"]["Z"]["f"] == 0


def test_events_as_arguments_are_right_by_their_trigger_and_label():
    gold = [event("A", 0, arg("X", 3, event=1)), event("B", 3, arg("Y", 4))]
    assert score([event("A", 0, arg("X", 3, event=1)), event("B", 3)], gold)["ev_main_f"] == 0.5 * 4 / 3
    for other in ([event("A", 0, arg("X", 3, event=1)), event("C", 3)], [event("A", 0, arg("X", 3))]):
        assert score(other, gold)["ev_arg_f"] == score(other, gold)["ev_role_f"] == 0


def test_events_that_are_arguments_are_scored_by_themselves():
    gold = [event("A", 0, arg("X", 3, event=1), arg("Y", 4)), event("B", 3)]
    assert prf(score([event("A", 0, arg("X", 3, event=1)), event("B", 3)], gold), "ev_nested") == (1, 1)
    assert prf(score([event("A", 0, arg("X", 3), arg("Y", 4)), event("B", 3)], gold), "ev_nested") == (0, 0)


def test_whole_events_are_matched_one_to_one():
    gold = [event("A", 0, arg("X", 1)), event("A", 0, arg("X", 2))]
    assert prf(score(gold, gold), "ev_event") == (1, 1)
    joined = score([event("A", 0, arg("X", 1), arg("X", 2))], gold)
    assert prf(joined, "ev_event") == (0, 0) and joined["ev_arg_f"] == 1
    assert prf(score([gold[0], gold[0]], gold), "ev_event") == (0.5, 0.5)
    assert prf(score([gold[0]], [gold[0], gold[0]]), "ev_event") == (1, 0.5)
    assert score(gold, gold, labels=["B"])["ev_event_f"] is None


def test_whole_events_are_right_with_all_that_is_in_them():
    gold = [event("A", 0, arg("X", 3, event=1)), event("B", 3, arg("Y", 4), arg("Z", 5, parent=0))]
    found = [event("B", 3, arg("Y", 4), arg("Z", 5, parent=0), Negated=True), event("A", 0, arg("X", 3, event=0))]
    assert prf(score(found, gold), "ev_event") == (1, 1)
    assert prf(score([event("A", 0, arg("X", 3, event=1)), event("B", 3, arg("Y", 4))], gold), "ev_event") == (0, 0)
    assert prf(score([gold[0], event("B", 3, arg("Y", 4), arg("Z", 5))], gold), "ev_event") == (0, 0)


def test_events_tokens_are_right_one_by_one():
    gold = [event("A", 0, arg("X", 3, 7), end=2)]
    scores = score([event("A", 1, arg("X", 6, 8), end=2)], gold)
    assert prf(scores, "ev_token_trigger") == (1, 0.5)
    assert prf(scores, "ev_token_arg") == (0.5, 0.25)
    assert score([event("A", 1, arg("Y", 6, 8))], gold)["ev_token_arg_f"] == 0
    assert score([event("B", 1, arg("X", 6, 8))], gold)["ev_token_trigger_f"] == 0


def test_events_are_compared_by_characters_and_not_tokens():
    predicted = Doc(NLP.vocab, words=["a", "-", "b", "c", "d"], spaces=[False, False, True, True, False])
    reference = Doc(NLP.vocab, words=["a-b", "c", "d"], spaces=[True, True, False])
    reference._.events = [event("A", 0, arg("X", 1))]
    predicted._.events = [event("A", 0, arg("X", 3), end=3)]
    scores = score_events([Example(predicted, reference)])
    assert all(scores[key] in (1, None) for key in FIGURES)


def test_events_token_scores_count_tokens_of_the_annotation():
    predicted = Doc(NLP.vocab, words=["a", "-", "b", "c"], spaces=[False, False, True, False])
    reference = Doc(NLP.vocab, words=["a-b", "c"], spaces=[True, False])
    reference._.events, predicted._.events = [event("A", 0, end=2)], [event("A", 2)]
    scores = score_events([Example(predicted, reference)])
    assert prf(scores, "ev_token_trigger") == (1, 0.5) and scores["ev_trigger_f"] == 0


@pytest.mark.parametrize(
    "found,f",
    [
        (event("A", 0, Negated=True), 1),
        (event("A", 0, Negated="yes"), 0),
        (event("A", 0, Severe=True), 0),
        (event("A", 3, Negated=True), 0),
        (event("B", 0, Negated=True), 0),
        (event("A", 0), 0),
    ],
)
def test_events_attributes_are_right_by_event_name_and_value(found, f):
    assert score([found], [event("A", 0, Negated=True)])["ev_attr_f"] == f


def test_events_attributes_with_text_are_right_by_the_text():
    gold = [event("A", 0, Severity="high")]
    assert score([event("A", 0, Severity="high")], gold)["ev_attr_f"] == 1
    assert score([event("A", 0, Severity="low")], gold)["ev_attr_f"] == 0


def test_events_main_figure_is_the_mean_of_triggers_and_arguments():
    scores = score([event("A", 0, arg("X", 1))], [event("A", 0, arg("X", 1), arg("X", 2))])
    assert scores["ev_f"] == pytest.approx((1 + 2 / 3) / 2)


def test_events_main_figure_without_arguments_is_that_of_the_triggers():
    scores = score([event("A", 0)], [event("A", 0), event("A", 3)])
    assert scores["ev_f"] == scores["ev_trigger_f"] == pytest.approx(2 / 3)
    assert scores["ev_arg_f"] is None and scores["ev_attr_p"] is None and scores["ev_role_per_type"] == {}
    assert score([event("A", 0, arg("X", 1))], [event("A", 0)])["ev_f"] == 0.5


def test_events_scores_by_label_and_by_role():
    found = [event("A", 0, arg("X", 1)), event("B", 3, arg("Y", 4))]
    scores = score(found, [event("A", 0, arg("X", 1), arg("Y", 2)), event("C", 3)])
    assert {label: one["f"] for label, one in scores["ev_trigger_per_type"].items()} == {"A": 1, "B": 0, "C": 0}
    assert {role: one["f"] for role, one in scores["ev_role_per_type"].items()} == {"X": 1, "Y": 0}


def test_events_are_summed_over_documents():
    egs = [make([event("A", 0)], [event("A", 0)]), make([event("A", 1), event("A", 2), event("A", 3)], [])]
    assert prf(score_events(egs), "ev_trigger") == (0.25, 1)


def test_events_with_other_labels_are_left_out_with_a_warning():
    gold = [event("A", 0, arg("X", 1)), event("OTHER", 3, arg("X", 4))]
    with pytest.warns(UserWarning, match="1 other labels are annotated and not scored") as caught:
        scores = score_events([make([event("A", 0, arg("X", 1)), event("THIRD", 5)], gold)] * 2, labels=["A", "B"])
    assert len(caught) == 1 and not any(word in str(caught[0].message) for word in TEXT.split())
    assert scores["ev_f"] == 1 and scores["ev_trigger_per_type"]["B"]["f"] == 0


@pytest.mark.filterwarnings("ignore:Events with")
def test_events_of_others_are_left_out_where_they_are_arguments():
    gold = [event("A", 0, arg("Theme", 1), arg("Cause", 3, event=1), arg("Part", 4, parent=1)), event("B", 3)]
    scores = score([event("A", 0, arg("Theme", 1))], gold, labels=["A"])
    assert scores["ev_arg_r"] == scores["ev_event_f"] == 1.0 and scores["ev_nested_f"] is None


def test_events_with_the_labels_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score([event("A", 0)], [event("A", 0)], labels=["A"])


def test_events_tell_where_the_triggers_are_from():
    assert score([], [event("A", 0)])["ev_triggers"] == "predicted"
    assert score([], [], triggers="gold")["ev_triggers"] == "gold"
    with pytest.raises(ValueError, match="gold"):
        score([], [], triggers="silver")


def test_events_need_no_more_than_a_trigger_and_a_label():
    assert score([{"trigger": [0, 1], "label": "A"}], [event("A", 0)])["ev_f"] == 1


def test_events_score_of_nothing_is_none():
    scores = make_events_scorer()([make([], [])])
    assert scores == {**dict.fromkeys(KEYS), "ev_triggers": "predicted"}


spots = st.integers(0, 6)
arguments = st.lists(st.builds(arg, st.sampled_from("XY"), spots), max_size=3, unique_by=lambda one: one["span"][0])


@st.composite
def some_events(draw):
    """Events with each trigger once and each argument of an event once."""
    events = []
    for start in draw(st.lists(spots, max_size=3, unique=True)):
        named = draw(st.dictionaries(st.sampled_from(["Negated", "Severity"]), st.sampled_from([True, "high"])))
        events.append(event(draw(st.sampled_from("AB")), start, *draw(arguments), end=start + draw(st.integers(1, 2)), **named))
    for one in events:
        for i, argument in enumerate(one["arguments"]):
            argument["parent"] = draw(st.none() | st.integers(0, i - 1)) if i else None
    return events


@settings(max_examples=50)
@given(some_events())
def test_events_that_are_all_right_score_1(events):
    scores = score(events, events)
    assert {scores[key] for key in FIGURES} <= {1.0, None} and (scores["ev_f"] is not None) == bool(events)


@settings(max_examples=50)
@given(some_events(), some_events())
def test_events_scores_are_fractions_and_identifying_is_the_easier_part(found, gold):
    scores = score(found, gold)
    assert all(scores[key] is None or 0 <= scores[key] <= 1 for key in FIGURES)
    for name in ("ev_trigger", "ev_arg"):
        for key in "prf":
            assert (scores[f"{name}_id_{key}"] or 0) >= (scores[f"{name}_{key}"] or 0)


@settings(max_examples=50)
@given(some_events(), some_events(), st.data())
def test_events_recall_is_never_raised_by_dropping_an_argument(found, gold, data):
    before = score(found, gold)
    if any(one["arguments"] for one in found):
        data.draw(st.sampled_from([one for one in found if one["arguments"]]))["arguments"].pop()
    after = score(found, gold)
    assert all((after[f"{name}_r"] or 0) <= (before[f"{name}_r"] or 0) for name in NAMES)
