"""What has changed since a pipeline was tuned is told, and what is luck or too small is not."""

import json

import numpy
import pytest
import spacy
from canary import CANARY, assert_silent, shows
from events_util import TEXTS as EVENT_TEXTS
from events_util import make_events_nlp
from hypothesis import given
from hypothesis import strategies as st
from spacy.strings import StringStore
from typer.testing import CliRunner
from util import make_nlp, make_texts

from spacy_epee.cli import epee
from spacy_epee.component.saving import save_pipeline
from spacy_epee.exits.rules import EntropyPatience
from spacy_epee.monitor.counts import TaskCounts, find_references, store_reference
from spacy_epee.monitor.drift import compare_counts, distance, p_value, pool
from spacy_epee.scale.reading import Columns
from spacy_epee.scale.run import annotate_file
from spacy_epee.scale.version import load_pipeline

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.4, "patience": 2}
TEXTS = make_texts(160, seed=5, longest=30)


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    """A pipeline that has a reference, and one that has none; what they say of the same texts, and of others."""
    folder = tmp_path_factory.mktemp("monitor")
    nlp = make_nlp(backbone, exit=RULE)
    nlp.to_disk(folder / "bare")
    strings = StringStore(nlp.vocab.strings)
    store_reference(nlp, nlp.get_pipe("epee_textcat"), TEXTS)
    save_pipeline(nlp, folder / "model", strings)
    loaded = load_pipeline(str(folder / "model"))
    for name, texts in {"same": TEXTS, "other": ["fever"] * 160, "few": TEXTS[:9]}.items():
        lines = [json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts)]
        (folder / f"{name}.in.jsonl").write_text("".join(lines))
        for suffix in (".jsonl", ".csv", ".parquet") if name == "same" else (".jsonl",):
            if suffix == ".parquet":
                pytest.importorskip("pyarrow")
            annotate_file(loaded, folder / f"{name}.in.jsonl", folder / f"{name}{suffix}", Columns())
    return folder


def monitor(*words, code=0):
    found = CliRunner().invoke(epee, ["monitor", *map(str, words)])
    assert found.exit_code == code, found.output
    return " ".join(found.output.split())


def test_monitor_of_the_same_texts_finds_no_drift(folder, tmp_path):
    for suffix in (".jsonl", ".csv", ".parquet"):
        said = monitor(folder / f"same{suffix}", "--reference", folder / "model", "--output", tmp_path / f"{suffix}.json")
        assert "No drift" in said and "160 answered documents, against 160" in said and "another version" not in said
        figures = json.loads((tmp_path / f"{suffix}.json").read_text())
        assert max(change["effect"] for change in figures["changes"]) < 1e-6 and not figures["drifted"]
        assert {change["what"] for change in figures["changes"]} == {
            *("exit layer", "entropy", "uncertain", "no answer"),
            *("label ACUTE", "label STABLE", "label HISTORY"),
        }


def test_monitor_of_other_texts_ends_with_1(folder):
    said = monitor(folder / "other.jsonl", "-r", folder / "model", code=1)
    assert "Drift:" in said and "entropy" in said.split("Drift:")[1]


def test_monitor_says_nothing_of_few_documents_and_without_a_reference(folder):
    assert "There are 9 answered documents" in monitor(folder / "few.jsonl", "-r", folder / "model", code=2)
    said = monitor(folder / "same.jsonl", "-r", folder / "bare", code=2)
    assert "has no counts to compare with. Run `python -m spacy epee tune" in said


def test_monitor_tells_of_another_version(folder, tmp_path):
    text = (folder / "same.jsonl").read_text().replace("-0.0.0-", "-0.0.1-", 3)
    (tmp_path / "rows.jsonl").write_text(text)
    assert "3 of 160 rows are of another version" in monitor(tmp_path / "rows.jsonl", "-r", folder / "model")


@pytest.mark.parametrize(
    "content",
    [
        f'{{"{CANARY}": 1}}',
        f'{{"answers": {{}}, "exits": {{"{CANARY}": 1}}, "error": null, "version": "x"}}',
        f'{{"answers": null, "exits": "{CANARY}", "error": null, "version": "x"}}',
        f'{{"answers": {{"labels": ["{CANARY}"]}}, "exits": {{"epee_textcat": {{"textcat": 1}}}}, "error": null, "version": ""}}',
        '{"answers": {}, "exits": {"epee_textcat": {"textcat": {"units": [{"layer": 1e999, "entropy": 0}], '
        f'"uncertain": false}}}}}}, "error": null, "version": "{CANARY}"}}',
        CANARY,
        "[1]",
    ],
)
def test_monitor_of_something_else_ends_with_2_and_shows_nothing(content, folder, tmp_path):
    (tmp_path / "rows.jsonl").write_text(content + "\n")
    said = []
    assert_silent(lambda: said.append(monitor(tmp_path / "rows.jsonl", "-r", folder / "model", code=2)))
    assert not shows(said[0]) and "rows.jsonl, line 1" in said[0] and "Traceback" not in said[0]
    (tmp_path / "rows.csv").write_text(f'id,answers\n1,"{CANARY}\n')
    assert not shows(monitor(tmp_path / "rows.csv", "-r", folder / "model", code=2))


@pytest.mark.parametrize(
    "table, problem",
    [
        (f'answers,exits,error,version\n{{}},{{}},,x,"{CANARY}"\n', "line 2: the row has 5 values, and there are 4 columns"),
        (f"answers,exits,error,version\n{CANARY}\n", "line 2: the row has 1 values"),
        (f"answers,exits,error,version,error\n{{}},{{}},,x,{CANARY}\n", "line 1: the column 'error' is there 2 times"),
    ],
)
def test_monitor_of_a_csv_file_that_is_none_says_where(table, problem, folder, tmp_path):
    (tmp_path / "rows.csv").write_text(table)
    said = monitor(tmp_path / "rows.csv", "-r", folder / "model", code=2)
    assert problem in " ".join(said.split()) and not shows(said)


def test_a_reference_holds_counts_alone_and_is_gone_when_they_are_of_something_else(folder):
    nlp = spacy.load(folder / "model")
    pipe = nlp.get_pipe("epee_textcat")
    saved = pipe.slot().cfg["reference"]
    assert saved["documents"] == sum(saved["layers"].values()) == sum(saved["entropy"]) == len(TEXTS)
    assert set(saved["labels"]) == set(pipe.labels) and sum(saved["labels"].values()) == len(TEXTS)
    assert find_references([pipe]).counts
    pipe.exit = EntropyPatience(0.2, 3)
    assert find_references([pipe]) == ({}, ["epee_textcat"])
    pipe.slot().drop_fitted()
    assert find_references([pipe]) == ({}, [])


def test_a_reference_is_outdated_by_another_gate_or_threshold_of_unknown_labels(folder, backbone):
    nlp = spacy.load(folder / "model")
    pipe = nlp.get_pipe("epee_textcat")
    pipe.task.unknown_threshold = 0.9
    assert find_references([pipe]) == ({}, ["epee_textcat"])
    nlp = make_events_nlp(backbone, head={"gate": 100})
    pipe = nlp.get_pipe("epee_events")
    pipe.set_gate(0.4)
    store_reference(nlp, pipe, EVENT_TEXTS)
    assert find_references([pipe]).counts
    for threshold in (0.5, None):
        pipe.set_gate(threshold)
        assert find_references([pipe]) == ({}, ["epee_events"])


def counted(layers, given, documents):
    counts = TaskCounts(["A"])
    for number in range(documents):
        units = [{"layer": layers[0] if number < layers[1] * documents else 4, "entropy": 0.5}]
        counts.add({"units": units, "uncertain": False}, ["A"] if number < given * documents else [])
    return {("epee", "task"): counts}


def drifted(before, now):
    return [change.what for change in compare_counts(before, now) if change.drifted]


def test_drift_is_large_and_no_luck():
    before = counted((2, 0.5), 0.02, 1000)
    assert drifted(before, counted((2, 0.5), 0.02, 20_000)) == []
    assert drifted(before, counted((2, 0.9), 0.02, 20_000)) == ["exit layer"]
    assert drifted(before, counted((2, 0.5), 0.1, 20_000)) == ["label A"]
    # Surer than luck, and too small to matter
    many = counted((2, 0.5), 0.02, 100_000)
    changes = {change.what: change for change in compare_counts(many, counted((2, 0.53), 0.02, 99_999))}
    assert changes["exit layer"].p < 1e-9 and not changes["exit layer"].drifted
    # Large, and perhaps luck
    changes = {change.what: change for change in compare_counts(counted((2, 0.5), 0.02, 1000), counted((2, 0.65), 0.02, 51))}
    assert changes["exit layer"].effect > 0.2 and not changes["exit layer"].drifted


def test_labels_that_are_no_labels_are_not_counted():
    counts = TaskCounts(["A"])
    counts.add({"units": [], "uncertain": True}, [CANARY, "A"])
    assert not shows(counts.to_saved()) and counts.to_saved()["layers"] == {"none": 1}


def test_the_distance_of_two_shares_is_cohens_h():
    expected = 2 * abs(numpy.arcsin(numpy.sqrt(0.1)) - numpy.arcsin(numpy.sqrt(0.3)))
    assert distance(numpy.array([[10.0, 90.0], [600.0, 1400.0]])) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=25))
def test_any_counts_have_a_distance_and_a_p_value(columns):
    table = numpy.array(columns, dtype="float64").T
    pooled = pool(table.copy())
    assert (pooled.sum(axis=1) == table.sum(axis=1)).all() and pooled.shape[1] <= table.shape[1]
    assert 0 <= p_value(pooled) <= 1 and 0 <= distance(pooled) <= numpy.pi + 1e-9


def test_tune_stores_what_monitor_and_card_read(folder, tmp_path):
    nlp = spacy.load(folder / "bare")
    labels = list(nlp.get_pipe("epee_textcat").labels)
    rows = [{"text": text, "cats": max(doc.cats, key=doc.cats.get)} for text, doc in zip(TEXTS, nlp.pipe(TEXTS))]
    rows[:3] = [{"text": text, "cats": label} for text, label in zip(TEXTS, labels)]
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["tune", folder / "bare", tmp_path / "dev.jsonl", "--cats", "cats", "--max-drop", 5, "--steps", 3, "--no-time"]
    found = CliRunner().invoke(epee, [*map(str, command), "--missing-labels", "--output-model", str(tmp_path / "tuned")])
    assert found.exit_code == 0, found.output
    assert not any(text in (tmp_path / "tuned" / "epee_textcat" / "cfg").read_text() for text in TEXTS if len(text) > 20)
    loaded = load_pipeline(str(tmp_path / "tuned"))
    annotate_file(loaded, folder / "same.in.jsonl", tmp_path / "rows.jsonl", Columns())
    assert "No drift" in monitor(tmp_path / "rows.jsonl", "-r", tmp_path / "tuned")
    card = CliRunner().invoke(epee, ["card", str(tmp_path / "tuned")]).output
    assert "Of 160 documents that it was tuned on" in card and "on 160 documents (max_drop 5)" in card
    assert "Nothing is promised for other documents" in card
