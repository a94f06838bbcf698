"""Corpora for events."""

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from spacy_epee.data.formats.bionlp import read_bionlp
from spacy_epee.data.formats.brat import read_brat

from .files import Rows, by_abstract, unpacked

Place = Dict[str, int]


def phee(folder: Path) -> Rows:
    """Adverse and therapeutic effects of drugs in sentences (Sun et al. 2022; the second version), official split."""
    for split in ("train", "dev", "test"):
        for line in (folder / f"{split}.json").read_text(encoding="utf-8").split("\n"):
            if line:
                source = json.loads(line)
                text = source["context"]
                events = [_phee_event(text, event) for part in source["annotations"] for event in part["events"]]
                row = {"id": source["id"], "group": source["id"].split("_")[0], "text": text}
                yield split, {**row, "ents": [], "relations": [], "events": events}


def _phee_event(text: str, event: Dict[str, Any]) -> Dict[str, Any]:
    arguments: List[Dict[str, Any]] = []
    flags = {}
    for name, node in event.items():
        if name == "Trigger" or not isinstance(node, dict):
            continue
        if "value" in node:
            flags[name] = {"value": node["value"], "spans": list(_phee_places(text, node))}
        else:
            arguments += _phee_arguments(text, name, node, None)
    [trigger] = _phee_places(text, event["Trigger"])
    return {"trigger": trigger, "label": event["event_type"], "arguments": arguments, "flags": flags}


def _phee_arguments(text: str, role: str, node: Dict[str, Any], parent: Optional[str]) -> Iterator[Dict[str, Any]]:
    """An argument and, with it as their parent, its parts. Each segment of one that is not in one piece is an argument."""
    for place in _phee_places(text, node):
        yield {"role": role, **place, "parent": parent}
    for name, part in node.items():
        if isinstance(part, dict):
            yield from _phee_arguments(text, name, part, role)
        elif name == "Combination":  # drugs that are given together
            for kind, member in (item for drugs in part for item in drugs.items()):
                if isinstance(member, dict):
                    yield from _phee_arguments(text, f"Combination.{kind}", member, role)


def _phee_places(text: str, node: Dict[str, Any]) -> Iterator[Place]:
    """The segments of all mentions, which may differ from the text in white space."""
    for segments, starts in zip(node["text"], node["start"]):
        for segment, start in zip(segments, starts):
            found = re.compile(r"\s+".join(map(re.escape, segment.split()))).match(text, start)
            if found is None:
                raise ValueError(f"A span of PHEE is not at character {start} of its sentence.")
            yield {"start": found.start(), "end": found.end()}


def genia(folder: Path) -> Rows:
    """Nested molecular events in sections of papers (BioNLP 2013, task GE). The official test set has no answers."""
    for part, split in (("train", "train"), ("devel", "dev")):
        with unpacked(folder / "source.zip", f"original-data/{part}") as files:
            for _, row in read_bionlp(files):
                # Sections are named after their article: PMC-1234567-00-TIAB
                yield split, {**row, "group": "-".join(row["id"].split("-")[:2])}


def maccrobat(folder: Path) -> Rows:
    """Events, entities and relations in case reports (Caufield et al. 2019)."""
    with unpacked(folder / "source.zip", "MACCROBAT2020") as files:
        for _, row in read_brat(files):
            yield by_abstract(row["id"]), {**row, "group": row["id"]}
