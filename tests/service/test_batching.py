"""Notes of several requests share batches, and neither their budgets nor their faults."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from spacy_epee.exits.rules.budget import within_budget
from spacy_epee.scale.notes import Note
from spacy_epee.service import batching
from spacy_epee.service.batching import Batcher, Full, Unanswered
from spacy_epee.service.limits import Limits


class Pipeline:
    """Takes down what is answered together, as soon as it may."""

    def __init__(self, monkeypatch):
        self.batches, self.budgets = [], []
        self.go = threading.Event()
        self.busy = threading.Event()
        monkeypatch.setattr(batching, "annotate_alone", self.annotate)

    def annotate(self, nlp, notes, version, batch_size):
        self.busy.set()
        assert self.go.wait(20)
        self.batches.append([note.id for note in notes])
        rule = within_budget({"task": None})["task"]
        self.budgets.append(rule and rule.deadline_ms)
        if notes[0].text == "wrong":
            raise KeyError(notes[0].text)
        return [{"id": note.id} for note in notes]


@pytest.fixture
def pipeline(monkeypatch):
    return Pipeline(monkeypatch)


@contextmanager
def running(**limits):
    batcher = Batcher(lambda: SimpleNamespace(nlp=None, version=""), Limits(**{"wait_ms": 0, "max_notes": 1, **limits}))
    batcher.start()
    try:
        yield batcher
    finally:
        batcher.close()


def submit(batcher, pipeline, *jobs):
    """Have notes wait behind one that is being answered, in order."""
    first = batcher.submit([Note("first", "")], None)
    assert pipeline.busy.wait(20)
    later = [future for name, budget in jobs for future in batcher.submit([Note(name, "")], budget)]
    pipeline.go.set()
    return [future.result(20)["id"] for future in first + later]


def test_batches_are_of_notes_that_wait_up_to_their_size(pipeline):
    with running(batch_size=3) as batcher:
        answered = submit(batcher, pipeline, *((str(number), None) for number in range(5)))
    assert answered == ["first", *"01234"]
    assert pipeline.batches == [["first"], ["0", "1", "2"], ["3", "4"]]


def test_batches_are_of_notes_with_the_same_budget(pipeline):
    with running() as batcher:
        submit(batcher, pipeline, ("a", 500), ("b", None), ("c", 90_000), ("d", 500), ("e", None))
    assert pipeline.batches == [["first"], ["a", "d"], ["b", "e"], ["c"]]
    none, short, other, long = pipeline.budgets
    assert none is None and other is None and 0 <= short < 500 < long < 90_000


def test_batches_have_the_time_that_the_first_note_has_left(pipeline):
    with running(budget_ms=100) as batcher:
        batcher.submit([Note("first", "")], None)
        assert pipeline.busy.wait(20)
        [old] = batcher.submit([Note("old", "")], 100)
        time.sleep(0.15)
        [new] = batcher.submit([Note("new", "")], 100)
        pipeline.go.set()
        old.result(20), new.result(20)
    assert pipeline.batches[1:] == [["old", "new"]] and pipeline.budgets[1] < 1


def test_several_notes_leave_half_of_the_budget_to_who_comes_meanwhile(pipeline):
    with running(batch_size=2) as batcher:
        submit(batcher, pipeline, *((name, 60_000) for name in "abc"))
    assert pipeline.batches == [["first"], ["a", "b"], ["c"]]
    _, two, one = pipeline.budgets
    assert two <= 30_000 < 50_000 < one


def test_a_note_that_comes_alone_waits_for_no_other(pipeline):
    pipeline.go.set()
    with running(wait_ms=60_000) as batcher:
        for number in range(3):
            assert batcher.submit([Note(str(number), "")], None)[0].result(20)["id"] == str(number)
    assert pipeline.batches == [["0"], ["1"], ["2"]]


def test_batches_wait_for_as_many_notes_as_the_last_one_had(pipeline):
    pipeline.go.set()
    with running(wait_ms=10_000) as batcher:
        [future.result(20) for future in batcher.submit([Note("a", ""), Note("b", "")], None)]
        start = time.perf_counter()
        futures = [*batcher.submit([Note("c", "")], None), *batcher.submit([Note("d", "")], None)]
        assert [future.result(5)["id"] for future in futures] == ["c", "d"]
        assert time.perf_counter() - start < 5
    assert pipeline.batches == [["a", "b"], ["c", "d"]]


def test_batches_wait_for_more_notes_no_longer_than_they_are_told(pipeline):
    pipeline.go.set()
    with running(wait_ms=50) as batcher:
        [future.result(20) for future in batcher.submit([Note("a", ""), Note("b", "")], None)]
        start = time.perf_counter()
        batcher.submit([Note("alone", "")], None)[0].result(20)
        assert time.perf_counter() - start >= 0.05
    assert pipeline.batches == [["a", "b"], ["alone"]]


def test_more_notes_than_can_wait_are_refused_and_cost_no_other_one_its_answer(pipeline):
    with running(queue=2) as batcher:
        [first] = batcher.submit([Note("first", "")], None)
        assert pipeline.busy.wait(20)
        [second] = batcher.submit([Note("second", "")], None)
        with pytest.raises(Full) as full:
            batcher.submit([Note("x", ""), Note("y", "")], None)
        assert full.value.seconds >= 1 and batcher.waiting == 1
        pipeline.go.set()
        assert [first.result(20)["id"], second.result(20)["id"]] == ["first", "second"]


def test_notes_that_nobody_waits_for_are_left_out(pipeline):
    with running() as batcher:
        [first] = batcher.submit([Note("first", "")], None)
        assert pipeline.busy.wait(20)
        [gone], [stays] = batcher.submit([Note("gone", "")], None), batcher.submit([Note("stays", "")], None)
        assert gone.cancel()
        pipeline.go.set()
        assert stays.result(20) and first.result(20)
    assert pipeline.batches == [["first"], ["stays"]]


def test_a_batch_that_fails_is_told_without_its_notes_and_others_go_on(pipeline):
    pipeline.go.set()
    with running() as batcher:
        with pytest.raises(Unanswered) as told:
            batcher.submit([Note("a", "wrong")], None)[0].result(20)
        assert str(told.value) == "KeyError" and told.value.__context__ is None
        assert batcher.submit([Note("b", "")], None)[0].result(20) and batcher.alive


def test_notes_that_wait_at_the_end_are_answered(pipeline):
    with running() as batcher:
        futures = [batcher.submit([Note(str(number), "")], number)[0] for number in range(5)]
        assert pipeline.busy.wait(20)
        threading.Timer(0.05, pipeline.go.set).start()
        batcher.close()
        assert [future.result(0)["id"] for future in futures] == [*"01234"] and not batcher.alive
        with pytest.raises(Full):
            batcher.submit([Note("late", "")], None)


def test_limits_are_checked():
    with pytest.raises(ValueError, match="`batch_size` is 0"):
        Limits(batch_size=0)
    with pytest.raises(ValueError, match="`budget_ms` is -1"):
        Limits(budget_ms=-1)
    with pytest.raises(ValueError, match="only 8 can wait"):
        Limits(queue=8, max_notes=9)
