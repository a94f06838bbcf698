"""The embedded notes are whole: spans fit, references hold, splits do not overlap."""

import json
from collections import Counter
from pathlib import Path

import pytest

NOTES = Path(__file__).parent.parent / "assets" / "notes"
FILES = {split: (NOTES / f"{split}.jsonl").read_text(encoding="utf-8") for split in ("train", "dev", "test")}
SPLITS = {split: [json.loads(line) for line in text.splitlines()] for split, text in FILES.items()}
ROWS = [row for rows in SPLITS.values() for row in rows]
ENTS = {"Drug", "Dose", "Problem", "Procedure", "Test"}
RELATIONS = {"TREATS", "CAUSES", "DOSE_OF", "REVEALS"}
EVENTS = {"Adverse_event", "Medication_change"}


def spans(row):
    yield from row["ents"]
    for event in row["events"]:
        yield event["trigger"]
        yield from (argument for argument in event["arguments"] if "start" in argument)
        yield from (span for flag in event["flags"].values() for span in flag["spans"])


def test_assets_spans_fit_their_text():
    for row in ROWS:
        for span in spans(row):
            assert row["text"][span["start"] : span["end"]] == span["text"], row["id"]


def test_assets_references_hold():
    for row in ROWS:
        ents = {ent["id"]: ent for ent in row["ents"]}
        assert len(ents) == len(row["ents"]), row["id"]
        assert {ent["label"] for ent in row["ents"]} <= ENTS
        for relation in row["relations"]:
            assert relation["head"] in ents and relation["child"] in ents and relation["label"] in RELATIONS, row["id"]
        for event in row["events"]:
            assert event["label"] in EVENTS
            for argument in event["arguments"]:
                assert argument.get("ent", argument.get("event")) is None or (
                    argument["ent"] in ents if "ent" in argument else argument["event"] < len(row["events"])
                ), row["id"]


def test_assets_splits_do_not_overlap():
    assert len({row["id"] for row in ROWS}) == len({row["text"] for row in ROWS}) == len(ROWS)
    groups = [{row["group"] for row in rows} for rows in SPLITS.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))


@pytest.mark.parametrize("split", SPLITS)
def test_assets_every_label_is_in_every_split(split):
    specialties = Counter(row["specialty"] for row in SPLITS[split])
    assert len(specialties) == 8 and min(specialties.values()) >= 5
    content = Counter(label for row in SPLITS[split] for label, true in row["cats"].items() if true)
    assert len(content) == 5 and min(content.values()) >= 10


def test_assets_notes_share_no_sentence():
    seen = {}
    for row in ROWS:
        for line in row["text"].replace("\n", ". ").split(". "):
            if len(line.split()) > 6:
                assert seen.setdefault(line, row["id"]) == row["id"]


SPECIALTIES = {
    split: [
        json.loads(line) for line in (NOTES.parent / "specialties" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for split in ("train", "dev", "test")
}
OTHERS = [row for rows in SPECIALTIES.values() for row in rows]


def test_assets_notes_about_specialties_are_a_thousand_in_equal_shares():
    assert len(OTHERS) == 1000
    for rows in SPECIALTIES.values():
        assert len(set(Counter(row["specialty"] for row in rows).values())) == 1


def test_assets_notes_about_specialties_do_not_overlap():
    assert len({row["id"] for row in OTHERS}) == len({row["text"] for row in (*OTHERS, *ROWS)}) - len(ROWS) == len(OTHERS)
    groups = [{row["group"] for row in rows} for rows in SPECIALTIES.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_assets_notes_about_specialties_share_no_run_of_words():
    """They are no templates."""
    seen = {}
    for row in (*OTHERS, *ROWS):
        words = row["text"].lower().split()
        for run in zip(*(words[start:] for start in range(9))):
            assert seen.setdefault(run, row["id"]) == row["id"]
