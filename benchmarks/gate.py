"""What the gate before the first layer lets go, and what is lost: sentences without a trigger, and pairs without a relation.

    python benchmarks/gate.py --corpora ../shared/corpora --backbone BACKBONE

No layer is asked: the gate is a linear model of words, learned on train, its threshold is fitted on dev, and the figures are of
test. Of the backbone the tokenizer alone matters, which makes the windows. Every sentence is a document.

- `phee`: the sentences of PHEE, which all hold an event, with sentences of ADE that state no adverse effect: four to each on dev
  and on test, and to train what is left of them, three to each. Those of one article are in one split, and none that PHEE has.
- `genia`: the sentences of GENIA, by rule. It comes without a test: dev is the last quarter of the articles of train, and test is
  its dev.
- `ddi2013`: the pairs of DDI-2013, whose test has texts unlike those of dev.

"Promised" is the threshold that loses at most so many with 95 % confidence, as `tune --gate-recall` sets it; "seen" the highest
that loses no more on dev. Writes benchmarks/results/gate.json and gate.md.
"""

import gzip
import random
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Tuple

import numpy
import spacy
import srsly
import typer
from corpora import CORPORA
from machine import command, machine
from spacy.util import minibatch
from tables import made_by, table
from wasabi import msg
from written import RESULTS, write_results

from spacy_epee.engine.gate import columns_of_something
from spacy_epee.exits.risk_control import tolerance_threshold
from spacy_epee.files import whole_file
from spacy_epee.settings import split_list
from spacy_epee.tasks.gate import find_chances

RECALLS, CONFIDENCE = (0.99, 0.98, 0.95), 0.95
NGRAMS, SEED = 50_000, 0

Rows = List[Dict[str, Any]]


def read(path: Path) -> Rows:
    """The rows of a split."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [srsly.json_loads(line) for line in lines]


def phee(corpora: Path) -> Dict[str, Rows]:
    """PHEE among sentences without an event."""
    folders = corpora / CORPORA["phee"].folder, corpora / CORPORA["ade"].folder
    own, others = ({name: read(folder / f"{name}.jsonl.gz") for name in ("train", "dev", "test")} for folder in folders)
    homes = {row["group"]: name for name, rows in own.items() for row in rows}
    texts = {row["text"] for rows in own.values() for row in rows}
    articles: Dict[str, Rows] = {}
    for row in (row for rows in others.values() for row in rows if row["cats"]["none"] and row["text"] not in texts):
        articles.setdefault(row["group"], []).append({"id": row["id"], "text": row["text"], "events": []})
    order = sorted(articles)
    random.Random(SEED).shuffle(order)
    order.sort(key=lambda article: article not in homes)  # those of PHEE first, where their article is
    added: Dict[str, Rows] = {name: [] for name in own}
    for article in order:
        free = next((name for name in ("test", "dev") if len(added[name]) < 4 * len(own[name])), "train")
        added[homes.get(article, free)] += articles[article]
    return {name: [*own[name], *(rows if name == "train" else rows[: 4 * len(own[name])])] for name, rows in added.items()}


def sentences(rows: Rows) -> Rows:
    """The sentences of documents, with the triggers in each."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    found = []
    for row, doc in zip(rows, nlp.pipe(row["text"] for row in rows)):
        for number, sent in enumerate(doc.sents):
            first, last = sent.start_char, sent.end_char
            events = [
                {**event, "trigger": {**event["trigger"], "start": event["trigger"]["start"] - first,
                                      "end": event["trigger"]["end"] - first}, "arguments": [], "flags": {}}
                for event in row["events"]
                if first <= event["trigger"]["start"] and event["trigger"]["end"] <= last
            ]  # fmt: skip
            found.append({"id": f"{row['id']}-{number}", "text": sent.text, "events": events})
    return found


def genia(corpora: Path) -> Dict[str, Rows]:
    """The sentences of GENIA."""
    train, test = (read(corpora / CORPORA["genia"].folder / f"{name}.jsonl.gz") for name in ("train", "dev"))
    articles = list(dict.fromkeys(row["group"] for row in train))
    first = set(articles[: 3 * len(articles) // 4])
    parts = [row for row in train if row["group"] in first], [row for row in train if row["group"] not in first], test
    return dict(zip(("train", "dev", "test"), map(sentences, parts)))


def ddi2013(corpora: Path) -> Dict[str, Rows]:
    """The rows of DDI-2013."""
    return {name: read(corpora / CORPORA["ddi2013"].folder / f"{name}.jsonl.gz") for name in ("train", "dev", "test")}


def nested(settings: Dict[str, Any]) -> Dict[str, Any]:
    """Settings with dots in their names as blocks."""
    found: Dict[str, Any] = {}
    for name, value in settings.items():
        *path, last = name.split(".")
        block = found
        for part in path:
            block = block.setdefault(part, {})
        block[last] = value
    return found


def look(pipe: Any, examples: Iterable[Any]) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, float]:
    """The chance of each item, which hold something, the unit of each, and the seconds that the gate took."""
    chances, gold, units, seconds, before = [], [], [], 0.0, 0
    slot = pipe.slot()
    for batch in minibatch(examples, 64):
        docs = [eg.predicted for eg in batch]
        items = pipe.make_instances(docs)
        began = time.process_time()
        chances.append(find_chances(slot, pipe.model, docs, items))
        seconds += time.process_time() - began
        targets, known = slot.task.targets(batch, slot.labels, items, strict=False)
        columns = columns_of_something(targets.shape[1], len(slot.labels), slot.task.group)
        gold.append((targets * known)[:, columns].any(axis=1))
        units.append(items.units + before)
        before += items.n_units
    return (*map(numpy.concatenate, (chances, gold, units)), seconds)  # type: ignore[return-value]


def gone(chances: numpy.ndarray, units: numpy.ndarray, threshold: float) -> float:
    """The share of units of which no item climbs."""
    climbing = numpy.zeros(int(units.max()) + 1, dtype=bool)
    there = numpy.zeros_like(climbing)
    there[units], climbing[units[chances >= threshold]] = True, True
    return float((~climbing[there]).mean())


def thresholds(
    chances: numpy.ndarray, gold: numpy.ndarray, units: numpy.ndarray, links: bool
) -> Iterator[Tuple[str, float, Any]]:
    """What is seen and what is promised, for each recall."""
    values = numpy.sort(chances[gold])
    once = values if not links else chances[gold][numpy.unique(units[gold], return_index=True)[1]]
    for recall in RECALLS:
        yield "seen", recall, float(values[int((1 - recall) * len(values))])
        limits = [tolerance_threshold(part, 1 - recall, CONFIDENCE) for part in (values, once)]
        yield "promised", recall, None if None in limits else min(limits)


def measure(name: str, parts: Dict[str, Rows], backbone: Path) -> Dict[str, Any]:
    """All figures of a corpus."""
    plan = CORPORA[name]
    nlp = spacy.blank("en")
    settings = nested({**plan.settings, **({"candidates.spans_key": "entities"} if plan.task == "relations" else {})})
    settings["model"] = {"trunk": {"name": str(backbone), "window": plan.window}, "head": {"gate": NGRAMS}, "exit_layers": [1]}
    pipe = nlp.add_pipe(plan.pipe, config=settings)
    examples = {}
    with tempfile.TemporaryDirectory() as folder:
        for name_of_part, rows in parts.items():
            path = Path(folder) / f"{name_of_part}.jsonl"
            with whole_file(path) as part:
                srsly.write_jsonl(part, rows)
            examples[name_of_part] = list(plan.reader(path)(nlp))
    began = time.process_time()
    nlp.initialize(lambda: examples["train"])
    learned = time.process_time() - began
    dev, (chances, gold, units, seconds) = look(pipe, examples["dev"])[:3], look(pipe, examples["test"])
    report: Dict[str, Any] = {"seconds_to_initialize": learned, "gate_ms": 1000 * seconds / (units.max() + 1)}
    report.update(
        units=int(units.max() + 1), items=len(chances), with_something=len(set(units[gold].tolist())) / len(set(units.tolist()))
    )
    report.update(gold_dev=int(dev[1].sum()), gold_test=int(gold.sum()), rows=[])
    for kind, recall, threshold in thresholds(*dev, pipe.task.has_links):
        row: Dict[str, Any] = {"kind": kind, "recall": recall, "threshold": threshold}
        if threshold is not None:
            row.update(
                dev_recall=float((dev[0][dev[1]] >= threshold).mean()), test_recall=float((chances[gold] >= threshold).mean())
            )
            row.update(units=gone(chances, units, threshold), items=float((chances < threshold).mean()))
        report["rows"].append(row)
    return report


MAKERS = {"phee": phee, "genia": genia, "ddi2013": ddi2013}


def cells(row: Dict[str, Any], pairs: bool) -> List[str]:
    """A row of a table."""
    figures = ["dev_recall", "test_recall", "units", *(["items"] if pairs else [])]
    shares = ["-" if row["threshold"] is None else f"{100 * row[figure]:.1f} %" for figure in figures]
    return [row["kind"], f"{100 * row['recall']:.0f} %", *shares]


def page(reports: Dict[str, Any]) -> str:
    """What was measured, to be read."""
    lines = ["# The gate before the first layer", "", *made_by(command().split(" --only")[0], machine())]
    for name, report in reports.items():
        pairs = CORPORA[name].task == "relations"
        one, several = ("relation", "relations") if pairs else ("trigger", "triggers")
        header = ["threshold", "asked for", "recall on dev", "recall on test", "sentences that leave"]
        lines += [
            f"## {name}",
            "",
            f"{report['units']} sentences of test{' with pairs' if pairs else ''}, {100 * report['with_something']:.1f} % of",
            f"them with a {one}; {report['gold_dev']} {several} on dev and {report['gold_test']} on test.",
            f"Initializing took {report['seconds_to_initialize']:.0f} s; the gate takes {report['gate_ms']:.2f} ms a sentence.",
            "",
            *table([*header, "pairs that leave"] if pairs else header, [cells(row, pairs) for row in report["rows"]]),
            "",
        ]
    return "\n".join(lines)


def main(
    corpora: Path = typer.Option(Path("../shared/corpora"), help="Where the corpora lie"),
    backbone: Path = typer.Option(..., help="A folder with a tokenizer"),
    only: str = typer.Option(",".join(MAKERS), help="Which corpora"),
):
    """Measure what the gate lets go. Corpora that are not named keep their figures."""
    reports = dict(srsly.read_json(RESULTS / "gate.json")) if (RESULTS / "gate.json").exists() else {}
    for name in split_list("--only", only):
        reports[name] = measure(name, MAKERS[name](corpora), backbone)
        msg.good(f"{name}: {reports[name]['rows']}")
        write_results("gate", reports, page(reports))


if __name__ == "__main__":
    typer.run(main)
