"""Teachers, their ensemble, students and what was made smaller of them, in one run: score, size and seconds.

    OMP_NUM_THREADS=1 python benchmarks/students.py TRAIN.jsonl DEV.jsonl TEST.jsonl --cats outcomes,stay,symptoms \
        --teacher mpnet-base=MODEL --teacher e5-small=MODEL --student plain=MODEL --student distilled=MODEL --depths distilled=2,3

Teachers run at full depth in float32 PyTorch; with a linear model of words they are an ensemble, whose weights are fitted on dev.
Students run as they were saved, and with `--depths` also at fixed depths. TF-IDF with logistic regression learns from TRAIN. Of
test some documents are drawn by the hash of their text, the same for all. What was answered is kept in WORK, without any text.
The ensemble joins what its teachers have answered.
"""

import time
import zlib
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy
import spacy
import typer
from linear import Linear, aurocs
from machine import command, machine
from remembered import remember, state
from sklearn.metrics import f1_score
from spacy.util import minibatch
from tables import made_by, table
from threadpoolctl import threadpool_limits
from wasabi import msg
from written import RESULTS, write_results

from spacy_epee.benchmark import memory
from spacy_epee.benchmark.pipelines import answer_texts
from spacy_epee.benchmark.turns import seconds_in_turns
from spacy_epee.compress.measure import measure_folder
from spacy_epee.evaluation.compare import find_component
from spacy_epee.exits.rules import FixedDepth
from spacy_epee.settings import split_list
from spacy_epee.teach.documents import Document, gold, read_documents
from spacy_epee.teach.ensemble import Ensemble, gather
from spacy_epee.teach.groups import Group, by_group

SIZES = (1, 32)
LINEAR, ENSEMBLE = "TF-IDF, logistic regression", "teachers together"


class Student:
    """A pipeline as it was saved, or at a fixed depth."""

    def __init__(self, path: Path, groups: Sequence[Group], depth: Optional[int] = None, full: bool = False):
        self.path, self.nlp, self.groups = path, spacy.load(path), groups
        self.pipe = find_component(self.nlp, None)
        if full:
            self.pipe.exit = None
        elif depth is not None:
            for name, slot in self.pipe.slots.items():
                last = slot.exit_layers(self.pipe.model)[-1]
                self.pipe.set_exit(None if depth == last else FixedDepth(depth), name)

    def run(self, texts: Sequence[str], size: int) -> Any:
        return answer_texts(self.nlp, texts, size)

    def read(self, found: Any) -> numpy.ndarray:
        return numpy.array([[doc.cats[label] for group in self.groups for label in group.labels] for doc in found])

    def layers(self, docs: Any) -> float:
        """RETURNS (float): The layers that ran for a document, in the mean: those of the task that goes highest."""
        return float(numpy.mean([max(own["layer"] for own in doc._.exits[self.pipe.name].values()) for doc in docs]))


class Together:
    """All teachers one after the other, and the mean of what they say."""

    def __init__(self, ensemble: Ensemble):
        self.ensemble = ensemble

    def run(self, texts: Sequence[str], size: int) -> Any:
        documents = [Document("", text, {}, {}, frozenset(), None) for text in texts]
        return numpy.concatenate([self.ensemble.answer(part) for part in minibatch(documents, size)])

    def read(self, found: Any) -> numpy.ndarray:
        return found


class Words:
    """A linear model of words."""

    def __init__(self, path: Path, documents: Sequence[Document], groups: Sequence[Group]):
        self.path = path
        known = [gold(documents, group.labels, group.exclusive, group.fields) for group in groups]
        targets = [(true, mask > 0, group.exclusive) for (true, mask), group in zip(known, groups)]
        self.linear = Linear([document.text for document in documents], targets, min_df=2)

    def run(self, texts: Sequence[str], size: int) -> Any:
        return numpy.concatenate([numpy.concatenate(self.linear(part), axis=1) for part in minibatch(texts, size)])

    def read(self, found: Any) -> numpy.ndarray:
        return found


def ask(contestant: Any, texts: Sequence[str]) -> Dict[str, numpy.ndarray]:
    """RETURNS (Dict[str, ndarray]): The "answers" of a contestant (N, K), and the mean of the "layers" that ran, or -1."""
    parts = [contestant.run(texts[start : start + 256], 32) for start in range(0, len(texts), 256)]
    layers = numpy.array(-1.0)
    if isinstance(contestant, Student):
        layers = numpy.average([contestant.layers(part) for part in parts], weights=[len(part) for part in parts])
    return {"answers": numpy.concatenate([contestant.read(part) for part in parts]), "layers": layers}


def together(ensemble: Ensemble, answers: Sequence[numpy.ndarray], documents: Sequence[Document]) -> numpy.ndarray:
    """RETURNS (ndarray): What teachers say together (N, K), of which all but the last, the model of words, have answered."""
    return ensemble.join([*answers, ensemble.teachers[-1].answer(documents, ensemble.labels)])


def peak_of(path: str, texts: Sequence[str]) -> int:
    """RETURNS (int): The most bytes that a process holds which loads a pipeline and answers texts."""
    list(spacy.load(path).pipe(texts, batch_size=32))
    return memory.read_status("VmHWM")


def draw(path: Path, fields: Sequence[str], limit: int) -> List[Document]:
    """RETURNS (List[Document]): Some documents of a file, or all; those without text are left out."""
    found = [document for document in read_documents(path, fields) if document.text.strip()]
    return sorted(found, key=lambda document: zlib.crc32(document.text.encode()))[: limit or None] if limit else found


def titles(groups: Sequence[Group]) -> List[str]:
    """RETURNS (List[str]): What to call groups: their fields, with a number where several have the same."""
    found = ["/".join(sorted(group.fields)) for group in groups]
    return [name if found.count(name) == 1 and name else f"{name} {number}".strip() for number, name in enumerate(found, 1)]


def score(
    documents: Sequence[Document], groups: Sequence[Group], answers: numpy.ndarray, apart: Sequence[str]
) -> Dict[str, float]:
    """RETURNS (Dict[str, float]): In points, the macro AUROC of each group, macro F of exclusive labels, and the AUROC of some
    labels. Labels that all documents have, or none, are left out, and so are groups without any other."""
    scores: Dict[str, float] = {}
    for name, group, own in zip(titles(groups), groups, by_group(groups, answers)):
        true, known = gold(documents, group.labels, group.exclusive, group.fields)
        each = dict(zip(group.labels, aurocs(true, known > 0, own)))
        found = {label: 100 * value for label, value in each.items() if value is not None}
        if not found:
            continue
        scores[f"{name}, AUROC"] = float(numpy.mean([*found.values()]))
        scores.update({f"{label}, AUROC": found[label] for label in apart if label in found})
        if group.exclusive:
            rows = known[:, 0] > 0
            scores[f"{name}, F"] = 100 * float(f1_score(true[rows].argmax(axis=1), own[rows].argmax(axis=1), average="macro"))
    return scores


def named(option: str, values: Optional[List[str]]) -> Dict[str, str]:
    """RETURNS (Dict[str, str]): NAME=VALUE as a dictionary.
    RAISES ValueError: There is no such sign, or a name twice.
    """
    pairs = [value.partition("=") for value in values or []]
    found = {name: own for name, sign, own in pairs if name and sign and own}
    if len(found) < len(pairs):
        raise ValueError(f"{option} is {', '.join(values or [])}; give NAME=VALUE, each name once")
    return found


def main(
    train: Path,
    dev: Path,
    test: Path,
    work: Path = typer.Option(..., help="Folder for answers"),
    cats: str = typer.Option("cats", help="Fields with labels, with commas"),
    teacher: Optional[List[str]] = typer.Option(None, help="NAME=MODEL"),
    student: Optional[List[str]] = typer.Option(None, help="NAME=MODEL"),
    depths: Optional[List[str]] = typer.Option(None, help="NAME=LAYERS of a student, with commas"),
    apart: str = typer.Option("", help="Labels that are shown by themselves, with commas"),
    limit: int = typer.Option(0, help="The most test documents; 0 for all"),
    timed: int = typer.Option(64, help="How many test documents are timed"),
    rounds: int = typer.Option(3, help="How often"),
    name: str = typer.Option("students", help="What the results are called"),
    folder: Path = typer.Option(RESULTS, help="Where they go"),
):
    work.mkdir(parents=True, exist_ok=True)
    fields, shown = split_list("--cats", cats, "fields"), split_list("--apart", apart, "labels") if apart else []
    teachers, students = named("--teacher", teacher), named("--student", student)
    fixed = {own: [*map(int, split_list("--depths", some, "layers"))] for own, some in named("--depths", depths).items()}
    if not teachers or not fixed.keys() <= students.keys():
        raise ValueError("Give one --teacher or more, and --depths of what is a --student")
    pipelines = [spacy.load(path) for path in teachers.values()]
    started = time.perf_counter()
    ensemble = gather(list(teachers), pipelines, train, fields, train)
    ensemble.fit(dev, fields)
    groups = ensemble.groups
    msg.good(f"Ensemble in {time.perf_counter() - started:.0f} s")
    contestants: Dict[str, Any] = {LINEAR: Words(train, draw(train, fields, 0), groups)}
    contestants |= {f"teacher {own}": Student(Path(path), groups, full=True) for own, path in teachers.items()}
    contestants[ENSEMBLE] = Together(ensemble)
    for own, path in students.items():
        contestants[own] = Student(Path(path), groups)
        for depth in fixed.get(own, ()):
            contestants[f"{own}, layer {depth} for all"] = Student(Path(path), groups, depth)
    documents = draw(test, fields, limit)
    texts = [document.text for document in documents]
    rows: Dict[str, Dict[str, Any]] = {}
    answers: Dict[str, numpy.ndarray] = {}
    for own, contestant in contestants.items():
        if own == ENSEMBLE:
            answers[own], layers = together(ensemble, [answers[f"teacher {name}"] for name in teachers], documents), -1.0
        else:
            of = [state(contestant.path), ensemble.labels, *texts]
            stored = remember(work, own, of, partial(ask, contestant, texts))
            answers[own], layers = stored["answers"], float(stored["layers"])
        rows[own] = {"layers": layers, **score(documents, groups, answers[own], shown)}
        msg.info(f"{own}: " + ", ".join(f"{key} {value:.2f}" for key, value in rows[own].items()))
    for own, contestant in contestants.items():
        if isinstance(contestant, Student):
            rows[own]["MB"] = measure_folder(contestant.nlp) / 1e6
    for own, path in {**{f"teacher {own}": path for own, path in teachers.items()}, **students}.items():
        peak = memory.apart(peak_of, path, texts[:timed])
        if peak is not None:
            rows[own]["peak MB"] = peak / 1e6
    rows[ENSEMBLE]["MB"] = sum(rows[f"teacher {own}"]["MB"] for own in teachers)
    for size in SIZES:
        seconds = seconds_in_turns(contestants, texts[:: max(len(texts) // timed, 1)][:timed], size, rounds)
        for own, values in seconds.items():
            rows[own][f"ms, batch {size}"] = 1000 * float(numpy.median(values)) / min(timed, len(texts))
    figures: Dict[str, Any] = {"command": command(), "machine": machine(), "documents": len(texts), "rows": rows}
    figures["weights"] = {title: group.weights.tolist() for title, group in zip(titles(groups), groups)}
    figures["calibrated"] = {title: sorted(group.calibrations) for title, group in zip(titles(groups), groups)}
    write_results(name, figures, page(figures, [*teachers, "words"]), folder)


def page(figures: Dict[str, Any], asked: Sequence[str]) -> str:
    """The results, in Markdown."""
    rows = figures["rows"]
    scores = [key for key in next(iter(rows.values())) if key.endswith((", AUROC", ", F"))]
    whole = rows[ENSEMBLE]
    header = ["", *scores, "layers", "MB on disk", "smaller", "MB of a process at its peak"]
    header += [cell for size in SIZES for cell in (f"ms, batch {size}", "faster")]
    lines = []
    for name, row in rows.items():
        cells = [name, *(f"{row[key]:.2f}" for key in scores), f"{row['layers']:.2f}" if row["layers"] >= 0 else ""]
        cells += [f"{row['MB']:.1f}", f"{whole['MB'] / row['MB']:.1f}x"] if "MB" in row else ["", ""]
        cells.append(f"{row['peak MB']:.0f}" if "peak MB" in row else "")
        for size in SIZES:
            own = row[f"ms, batch {size}"]
            cells += [f"{own:.3g}", f"{whole[f'ms, batch {size}'] / own:.1f}x"]
        lines.append(cells)
    weights = "; ".join(
        f"{title}: "
        + ", ".join(
            f"{who} {weight:.2f}{' calibrated' * (place in figures['calibrated'][title])}"
            for place, (who, weight) in enumerate(zip(asked, own))
        )
        for title, own in figures["weights"].items()
    )
    return "\n".join(
        [
            "# Teachers and students",
            "",
            *made_by(figures["command"], figures["machine"]),
            f"{figures['documents']:,} test documents. Weights of the teachers, fitted on dev: {weights}.",
            "Smaller and faster than the teachers together, in float32 PyTorch. Milliseconds a document of the whole pipeline,",
            "in turns.",
            "",
            *table(header, lines),
        ]
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        typer.run(main)
