"""Who is beaten on a front."""

import pytest

from spacy_epee.benchmark.front.verdict import front_of, judge, mean_times


def row(name, kind, score, ms, title=""):
    return {"name": name, "kind": kind, "score": score, "ms": {"1": ms}, "title": title or name, "group": name}


ROWS = [
    row("words", "simple", 80.0, 1.0),
    row("deep", "fixed", 90.0, 20.0),
    row("int8", "cut", 89.8, 8.0, "cut, ONNX Runtime, int8"),
    row("bold", "ours", 85.0, 2.0),
    row("careful", "ours", 89.75, 4.0),
]


def test_the_front_is_what_no_other_beats():
    assert [own["name"] for own in front_of(ROWS, "1")] == ["words", "bold", "careful", "int8", "deep"]
    assert [own["name"] for own in front_of([*ROWS, row("slow", "cut", 80.0, 1.1)], "1")][:2] == ["words", "bold"]


def test_ours_is_compared_with_the_fastest_that_is_as_good_as_the_best():
    found = judge(ROWS, "1")
    assert (found["best"], found["best_score"], found["fastest"]) == ("deep", 90.0, "int8")
    assert (found["ours"], found["our_score"], found["speedup"]) == ("careful", 89.75, 2.0)
    assert found["contestants"]["words"] == {"gain": None, "beaten": False, "times": 0.25}
    assert found["contestants"]["int8"]["gain"] == pytest.approx(-0.05) and found["contestants"]["int8"]["beaten"]
    assert found["contestants"]["deep"] == {"gain": -0.25, "beaten": True, "times": 5.0}


def test_there_is_no_speed_up_without_the_score():
    rows = [own if own["name"] != "careful" else row("careful", "ours", 89.6, 4.0) for own in ROWS]
    found = judge(rows, "1")
    assert found["fastest"] == "int8" and found["ours"] is None and found["speedup"] is None
    assert not found["contestants"]["deep"]["beaten"] and found["contestants"]["deep"]["times"] is None


def test_the_exit_before_the_first_layer_is_no_contestant():
    first = {**row("tiny@0", "fixed", 95.0, 0.5), "layers": 0.0}
    assert judge([first, *ROWS], "1") == judge(ROWS, "1")


def test_nothing_is_judged_without_both_sides():
    assert judge(ROWS[:3], "1")["best"] is None and judge(ROWS[3:], "1")["speedup"] is None and judge(ROWS, "32")["ours"] is None


def test_means_are_over_corpora_that_all_have_the_contestant():
    report = {"rows": ROWS, "verdict": {"1": judge(ROWS, "1")}}
    twice = [row("int8", "cut", 89.8, 16.0, "cut, ONNX Runtime, int8") if own["name"] == "int8" else own for own in ROWS]
    other = {"rows": twice, "verdict": {"1": judge(twice, "1")}}
    assert mean_times([report, other], "ONNX Runtime, int8", "1") == 3.0
    without = {"rows": ROWS[:2] + ROWS[3:], "verdict": {"1": judge(ROWS[:2] + ROWS[3:], "1")}}
    assert mean_times([report, without], "ONNX Runtime, int8", "1") is None
    assert mean_times([], "ONNX Runtime, int8", "1") is None
