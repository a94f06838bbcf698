"""A budget of time holds for a call, in its thread alone, whatever the rules are."""

import threading

import pytest
from util import SENTENCES, make_nlp

from spacy_epee.exits.rules import EntropyPatience, FixedDepth, FromLayer, Patience, time_budget

RULES = {
    "full depth": None,
    "entropy or patience": EntropyPatience(0.4, 2),
    "from a layer on": FromLayer(2, Patience(1)),
    "fixed depth": FixedDepth(3),
}


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_nlp(backbone)


def answers(nlp):
    docs = list(nlp.pipe(SENTENCES))
    units = [unit for doc in docs for unit in doc._.exits["epee_textcat"]["textcat"]["units"]]
    return [doc.cats for doc in docs], [(unit["layer"], unit["reason"]) for unit in units]


def assert_spent(nlp):
    """All leave from the first exit, some of them as they are settled there."""
    exits = answers(nlp)[1]
    assert {layer for layer, _ in exits} == {1} and "deadline" in {reason for _, reason in exits}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_budget_that_is_spent_gives_the_first_exit_and_one_that_is_not_the_same_answers(rule, nlp):
    pipe = nlp.get_pipe("epee_textcat")
    pipe.exit = rule
    without = answers(nlp)
    with time_budget(1e6):
        cats, exits = answers(nlp)
    assert exits == without[1] and cats == [pytest.approx(one, abs=1e-5) for one in without[0]]
    with time_budget(0):
        assert_spent(nlp)
        with time_budget(1e6):  # the one around it is spent
            assert_spent(nlp)
    assert pipe.exit is rule and answers(nlp)[1] == without[1]


def test_a_budget_is_that_of_its_thread_alone(nlp):
    nlp.get_pipe("epee_textcat").exit = None
    found = []
    with time_budget(0):
        thread = threading.Thread(target=lambda: found.append(answers(nlp)[1]))
        thread.start()
        thread.join()
    assert {layer for layer, _ in found[0]} == {4}


def test_a_budget_is_a_number_from_0_on():
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="deadline_ms"), time_budget(wrong):
            pass
