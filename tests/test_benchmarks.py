"""Benchmarks start, and their results appear whole or not at all."""

import json
import os
import re
import runpy
import sys
from pathlib import Path

import numpy
import pytest
import spacy
from spacy.training import Example
from util import SENTENCES

from spacy_epee.teach.ensemble import PROBED
from spacy_epee.teach.teachers import PipelineTeacher

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMMANDS = [
    path
    for path in sorted(BENCHMARKS.glob("*.py"))
    if re.search(r"typer\.run\(main\)|^    app\(\)", path.read_text("utf-8"), re.M)
]
NAMES = {path.stem for path in BENCHMARKS.glob("*.py")}


@pytest.fixture
def importable(monkeypatch):
    """What benchmarks share can be imported by its name, and nothing else of that name is meant afterwards."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    others = {name: sys.modules.pop(name) for name in NAMES & set(sys.modules)}
    yield
    for name in NAMES & set(sys.modules):
        del sys.modules[name]
    sys.modules.update(others)


@pytest.fixture
def written(importable):
    import written

    return written


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_benchmarks_say_what_they_are_given(path, importable, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert ended.value.code in (0, None) and "Usage" in capsys.readouterr().out


def test_what_a_teacher_is_not_sure_of_is_picked_first(importable, tmp_path):
    import unlabelled

    def rows(name, chances):
        some = [{"text": f"{name} {n}", "teacher": {"none": chance, "weak": 1 - chance}} for n, chance in enumerate(chances)]
        unlabelled.write(tmp_path / name, some)
        return tmp_path / name

    unlabelled.pick(rows("own", [0.9] * 3), rows("some", [0.9] * 6 + [0.3, 0.7]), tmp_path / "out", most=3, sure=0.8, seed=0)
    picked = [json.loads(line)["text"] for line in (tmp_path / "out").read_text("utf-8").splitlines()]
    assert len(picked) == 6 and {"own 0", "own 1", "own 2", "some 6", "some 7"} < set(picked)


def test_conclusions_are_the_last_sentences(importable):
    import unlabelled

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    text = "One is first. Two is second. Three is last."
    assert unlabelled.cut(nlp, text, 2) == ["Two is second.", "Three is last."]
    assert len(unlabelled.cut(nlp, text, 0)) == 3


def test_pages_say_how_they_were_made(importable, monkeypatch):
    from machine import command, machine
    from tables import made_by, table

    monkeypatch.setattr(sys, "argv", ["benchmarks/rules.py", "--name", "textcat"])
    made = made_by(command(), machine())
    assert made[0] == "Made by `python benchmarks/rules.py --name textcat`"
    assert re.fullmatch(r"on .+, \d+ cores, \d+ threads, Python \S+, torch \S+, transformers \S+, spacy .+\.", made[1])
    assert table(["", "a"], [["b", 1]]) == ["|  | a |", "|---|---|", "| b | 1 |"]


def test_results_are_a_json_file_and_a_page(written, tmp_path):
    written.write_results("speed", {"seconds": 1.5}, "# Speed\n", folder=tmp_path / "new")
    assert json.loads((tmp_path / "new" / "speed.json").read_text()) == {"seconds": 1.5}
    assert (tmp_path / "new" / "speed.md").read_text() == "# Speed\n"
    written.write_results("score", {}, folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "score.json"]


def test_a_benchmark_that_is_stopped_leaves_the_last_results(written, tmp_path, monkeypatch):
    written.write_results("speed", {"seconds": 1.5}, "# Speed", folder=tmp_path)

    def stop(path, figures):
        path.write_text('{"seco')
        raise KeyboardInterrupt

    monkeypatch.setattr(written.srsly, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        written.write_results("speed", {"seconds": 2}, "# Other", folder=tmp_path)
    assert json.loads((tmp_path / "speed.json").read_text()) == {"seconds": 1.5}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speed.json", "speed.md"]


def test_what_further_notes_cost_is_told_apart_from_the_start(importable):
    from bulk import costs_of

    assert costs_of([8.0 + 10.0, 8.0 + 20.0], [5_000, 10_000]) == pytest.approx((0.0028, 0.002, 8.0))


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_benchmarks_write_nothing_in_place(path):
    """A pipeline is saved whole by `to_disk`."""
    content = path.read_text(encoding="utf-8")
    writes = re.findall(r"write_(?:json|jsonl)\((\w+)|(\S+)\.write_(?:text|bytes)\(|savefig\((\w+)", content)
    allowed = {"part", "path"} if "whole_file" in content else set()
    assert {name for groups in writes for name in groups if name} <= allowed


def test_encoders_of_clinicians_are_those_of_the_page_and_step(importable):
    from clinical import SHAPES, make, windows

    from spacy_epee.trunk.verification import make_stepper

    page = (BENCHMARKS.parent / "docs" / "choosing-a-backbone.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\S+)` \|", page, flags=re.MULTILINE) == [*SHAPES]
    for name, shape in SHAPES.items():
        narrow = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4, "vocab_size": 60, "pad_token_id": 1}
        model = make(shape, **narrow)
        sizes = re.search(rf"`{name}` .*\| (\d+) x (\d+) \|", page)
        assert make_stepper(model).depth == int(sizes[1])
        assert shape.settings.get("hidden_size", 768) == int(sizes[2])
    assert windows(1000, 256) == (5, 256) and windows(100, 256) == (1, 100)


# Students, and outcomes


def make_tasks(backbone, tasks, rows, lexical):
    """A pipeline with tasks, by their names: labels, and whether they are exclusive. It is ready for rows."""
    nlp = spacy.blank("en")
    head = {"@architectures": "spacy-epee.PooledHead.v1", "lexical": lexical}
    task = {"@misc": "spacy-epee.TextCatTask.v1", "scorer": {"@scorers": "spacy.textcat_scorer.v2"}, "exit": None}
    trunk = {"name": str(backbone), "window": 48, "overlap": 8}
    config = {
        "model": {"trunk": trunk, "heads": dict.fromkeys(tasks, head)},
        "tasks": {name: {**task, "exclusive": exclusive} for name, (_, exclusive) in tasks.items()},
    }
    pipe = nlp.add_pipe("epee", config=config)
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text, cats in rows]
    pipe.initialize(lambda: examples, nlp=nlp, labels={name: labels for name, (labels, _) in tasks.items()})
    return nlp


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def students(importable, backbone, tmp_path, monkeypatch):
    """The benchmark, with a pipeline that has two tasks and documents with labels of both in one field. Nothing is timed."""
    import students

    rows = [
        {"text": f"{text} {n}", "cats": {"short": n % 2, "long": 1 - n % 2, "died": int(n % 3 > 0), "back": int(n % 3 > 1)}}
        for n, text in enumerate(2 * SENTENCES)
    ]
    tasks = {"stay": (["short", "long"], True), "fate": (["died", "back"], False)}
    make_tasks(backbone, tasks, [(row["text"], row["cats"]) for row in rows], 0).to_disk(tmp_path / "model")
    write_rows(tmp_path / "data.jsonl", rows)
    monkeypatch.setattr(students.memory, "apart", lambda function, path, texts: 1)
    monkeypatch.setattr(students, "seconds_in_turns", lambda contestants, *rest: dict.fromkeys(contestants, [1.0]))
    return students


def run_students(students, folder, **options):
    """Run it with what the folder has, and return the figures and the page."""
    data, model = folder / "data.jsonl", folder / "model"
    given = {
        "cats": "cats",
        "teacher": [f"large={model}"],
        "student": [f"small={model}"],
        "depths": ["small=1, 2"],
        "apart": "died",
    }
    given |= {"limit": 0, "timed": 2, "rounds": 1, "name": "students", "folder": folder, "work": folder / "work", **options}
    students.main(data, data, data, **given)
    return json.loads((folder / "students.json").read_text()), (folder / "students.md").read_text()


def test_the_ensemble_of_students_joins_what_its_teachers_have_answered(students, tmp_path, monkeypatch):
    asked, answer = [], PipelineTeacher.answer

    def count(self, documents, labels):
        asked.append(len(documents))
        return answer(self, documents, labels)

    monkeypatch.setattr(PipelineTeacher, "answer", count)
    figures, page = run_students(students, tmp_path)
    assert asked == [PROBED, 2 * len(SENTENCES)]  # to find its labels, and dev
    rows = figures["rows"]
    names = ["small", "small, layer 1 for all", "small, layer 2 for all"]
    assert list(rows) == ["TF-IDF, logistic regression", "teacher large", "teachers together", *names]
    assert all({"cats 1, AUROC", "cats 2, AUROC", "cats 2, F", "died, AUROC"} <= set(row) for row in rows.values())
    assert rows["small"]["layers"] == 4 and rows["small, layer 1 for all"]["layers"] == 1
    assert "cats 1: large" in page and "| teachers together |" in page


def test_answers_of_students_are_kept_until_something_is_another_one(students, tmp_path, monkeypatch):
    asked, run = [], students.Student.run

    def count(self, texts, size):
        asked.append(len(texts))
        return run(self, texts, size)

    monkeypatch.setattr(students.Student, "run", count)
    first, _ = run_students(students, tmp_path, depths=[])
    every = 2 * len(SENTENCES)
    assert asked == [every] * 2
    assert run_students(students, tmp_path, depths=[])[0]["rows"] == first["rows"] and len(asked) == 2
    run_students(students, tmp_path, depths=[], limit=every - 1)
    assert asked[2:] == [every - 1] * 2
    os.utime(tmp_path / "model" / "config.cfg", (1, 1))
    run_students(students, tmp_path, depths=[])
    assert asked[4:] == [every] * 2


@pytest.mark.parametrize(
    "options, problem",
    [
        ({"teacher": ["model"]}, "--teacher is model; give NAME=VALUE"),
        ({"student": ["small=a", "small=b"]}, "each name once"),
        ({"depths": ["big=1"]}, "--depths of what is a --student"),
        ({"teacher": []}, "Give one --teacher or more"),
    ],
)
def test_students_are_named(importable, tmp_path, options, problem):
    import students

    with pytest.raises(ValueError, match=problem):
        run_students(students, tmp_path, **options)


def test_outcomes_of_fewer_reports_are_not_those_that_are_kept(importable, backbone, tmp_path):
    import outcomes

    labels = {"outcomes": ["died", "back"], "stay": ["short", "long"], "symptoms": ["rash", "fever"]}
    rows, cats = [], []
    for n, text in enumerate(3 * SENTENCES):
        found = {"outcomes": [n % 2, n % 3 > 0], "stay": [n % 3 == 0, n % 3 > 0], "symptoms": [n % 5 > 2, n % 4 > 1]}
        named = {task: {label: int(value) for label, value in zip(labels[task], found[task])} for task in labels}
        rows.append({"id": str(n), "text": f"{text} {n}", **named, "stay": labels["stay"][n % 3 > 0]})
        cats.append({label: value for own in named.values() for label, value in own.items()})
    tasks = {task: (own, task == "stay") for task, own in labels.items()}
    make_tasks(backbone, tasks, [*zip((row["text"] for row in rows), cats)], 100).to_disk(tmp_path / "model")
    for split in ("train", "dev", "test"):
        write_rows(tmp_path / f"{split}.jsonl", rows)
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    found = []
    for limit, name in ((0, "one"), (20, "two"), (20, "three")):
        outcomes.main(tmp_path / "model", tmp_path, tmp_path / "work", limit, 30, tmp_path / name, False)
        found.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert [one["test reports"] for one in found] == [len(rows), 20, 20]
    assert found[1]["macro AUROC"] == found[2]["macro AUROC"] != found[0]["macro AUROC"]
    assert len([*(tmp_path / "work").iterdir()]) == 4  # linear, dev, and test twice


def test_a_run_that_is_stopped_keeps_no_part(importable, tmp_path, monkeypatch):
    import remembered

    def stop(file, **found):
        file.write(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(remembered.numpy, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        remembered.remember(tmp_path, "small, layer 2", [], lambda: {"answers": numpy.zeros(2)})
    assert not [*tmp_path.iterdir()]


# The linear model


def test_labels_that_no_document_has_are_improbable_and_in_their_places(importable):
    from linear import Linear

    texts = ["much fever", "no cough", "fever today", "cough today"] * 3
    exclusive = numpy.tile(numpy.eye(4)[[1, 3, 1, 3]], (3, 1))
    several = numpy.tile([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]], (3, 1))
    known = [numpy.ones(own.shape, dtype=bool) for own in (exclusive, several)]
    linear = Linear(texts, [(exclusive, known[0], True), (several, known[1], False)], min_df=1)
    one, other = linear(["fever", "cough"])
    assert one.argmax(axis=1).tolist() == [1, 3] and (one[:, [0, 2]] == 0).all() and numpy.allclose(one.sum(axis=1), 1)
    assert other.shape == (2, 3) and (other[:, 1] == 0).all() and other[0, 0] > 0.5 > other[1, 0]
