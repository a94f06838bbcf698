"""The command that compares, on events."""

import json

import pytest
from events_util import EVENTS, TEXTS, make_events_nlp
from typer.testing import CliRunner
from wasabi import Printer

from spacy_epee.cli import epee
from spacy_epee.cli.evaluate import tell_costs


@pytest.fixture(scope="module")
def model(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("events") / "model"
    make_events_nlp(backbone, exit={"@misc": "spacy-epee.FixedDepth.v1", "layer": 2}, steps=40).to_disk(folder)
    return folder


def make_row(text):
    """A row with events, and with entities that overlap."""
    events = []
    for trigger, label, arguments, flags in EVENTS.get(text, []):
        found = []
        for role, part, *more in arguments:
            start = text.index(part)
            entry = {"role": role, "start": start, "end": start + len(part), "parent": None}
            if more and isinstance(more[0], int):
                entry["parent"] = more[0]
            elif more:
                entry = {"role": role, "event": int(more[0].split()[1])}
            found.append(entry)
        start = text.index(trigger)
        place = {"start": start, "end": start + len(trigger)}
        events.append({"trigger": place, "label": label, "arguments": found, "flags": flags})
    ents = [
        {"id": "T1", "start": 0, "end": text.index("."), "label": "All"},
        {"id": "T2", "start": 0, "end": len(text), "label": "All"},
    ]
    return {"text": text, "ents": ents, "events": events}


def run(model, tmp_path, *args, code=0):
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(make_row(text)) + "\n" for text in TEXTS))
    output = ["--output", tmp_path / "figures.json", "--batch-sizes", "1,4", "--rounds", "1"]
    found = CliRunner().invoke(epee, ["evaluate", *map(str, (model, tmp_path / "notes.jsonl", *output, *args))])
    assert found.exit_code == code, found.output
    return found.output, json.loads((tmp_path / "figures.json").read_text()) if code == 0 else None


def test_evaluate_events_with_predicted_triggers(model, tmp_path):
    output, report = run(model, tmp_path)
    assert report["triggers"] == "predicted" and "With predicted triggers" in output
    assert report["unit"] == "window" and report["exits"]["histogram"][1] >= len(TEXTS)
    assert set(report["full"]["per_label"]) == {"Harm", "Change"}
    assert {"ev_trigger_f", "ev_arg_f", "ev_role_f"} <= set(report["exits"]["scores"])


def test_evaluate_events_tells_precision_recall_and_f_of_each_part(model, tmp_path):
    output, report = run(model, tmp_path)
    for name in ("full", "exits"):
        parts, scores = report[name]["parts"], report[name]["scores"]
        assert list(parts) == ["Triggers", "Arguments", "Main arguments", "Events as arguments", "Attributes", "Whole events"]
        assert parts["Events as arguments"] == {key: scores[f"ev_nested_{key}"] for key in "prf"}
        assert parts["Triggers"]["p"] == scores["ev_trigger_p"] and parts["Attributes"]["r"] == scores["ev_attr_r"]
    row = next(line for line in output.splitlines() if line.startswith("Triggers"))
    assert f"{100 * report['exits']['parts']['Triggers']['r']:.2f}" in row.split()


@pytest.mark.parametrize("ratio,rule,said", [(0.7, {"@misc": "x"}, True), (0.99, {"@misc": "x"}, False), (0.7, None, False)])
def test_evaluate_says_when_exits_cost_time(ratio, rule, said, capsys):
    tell_costs({"speedup_seconds": {"1": ratio, "32": 1.2}, "rule": rule}, Printer())
    output = " ".join(capsys.readouterr().out.split())
    assert ("Early exit costs time here: it takes 1.43 times the seconds of the full depth at batch size 1." in output) == said


def test_evaluate_events_with_gold_triggers(model, tmp_path):
    output, report = run(model, tmp_path, "--triggers", "gold")
    assert report["triggers"] == "gold" and "With gold triggers" in output
    assert report["full"]["scores"]["ev_trigger_f"] == report["exits"]["scores"]["ev_trigger_f"] == 1.0
    # Two texts have no trigger, and are not run.
    assert sum(report["exits"]["histogram"]) < sum(run(model, tmp_path)[1]["exits"]["histogram"])


def test_evaluate_events_with_triggers_from_nowhere(model, tmp_path):
    output, _ = run(model, tmp_path, "--triggers", "some", code=1)
    assert "--triggers" in output
