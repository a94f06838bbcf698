"""Teachers that answer documents."""

import json
import re

import numpy
import pytest
import spacy
import typer
from canary import CANARY, assert_silent
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from typer.testing import CliRunner
from util import SENTENCES, make_nlp

from spacy_epee.cli import epee
from spacy_epee.data.readers import JsonlReader
from spacy_epee.data.texts import read_lines
from spacy_epee.teach.documents import Document, gold, read_documents
from spacy_epee.teach.ensemble import gather, teach
from spacy_epee.teach.groups import Group, are_exclusive, divide
from spacy_epee.teach.teachers import LinearTeacher, PipelineTeacher

LABELS = ("A", "B", "C")
RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.9, "patience": 1}


@Language.component("test_breaks")
def breaks(doc):
    raise TypeError(f"not {doc.text}")


@Language.component("test_scores")
def scores(doc):
    doc.cats = {"A": 3.0, "B": -1.0}
    return doc


@Language.component("test_changes")
def changes(doc):
    doc.cats = {"A": 1.0, "B": 0.0} if "fever" not in doc.text else {"A": 1.0}
    return doc


@Language.component("test_words")
def words(doc):
    doc.cats = {token.text: 1.0 for token in doc}
    return doc


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    """Two pipelines of ours with exits, one of spaCy, one for several labels, one with other labels, and broken ones."""
    folder = tmp_path_factory.mktemp("teachers")
    for number in range(2):
        make_nlp(backbone, LABELS, exit=RULE, seed=number, lexical=100).to_disk(folder / f"ours{number}")
    make_nlp(backbone, LABELS, multilabel=True).to_disk(folder / "several")
    make_nlp(backbone, ("A", "B")).to_disk(folder / "others")
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat")
    cats = [{label: float(label == true) for label in LABELS} for true in LABELS]
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc(text), {"cats": own}) for text, own in zip(SENTENCES, cats)])
    nlp.to_disk(folder / "spacy")
    for name in ("breaks", "scores", "changes", "words", "nothing"):
        nlp = spacy.blank("en")
        if name != "nothing":
            nlp.add_pipe(f"test_{name}")
        nlp.to_disk(folder / name)
    return folder


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path):
    return [json.loads(line) for _, line in read_lines(path)]


ROWS = [{"text": text, "cats": LABELS[number % 3], "id": number} for number, text in enumerate(SENTENCES)]


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "data.jsonl", ROWS)


def run(*words):
    return CliRunner().invoke(epee, ["teach", *map(str, words)])


def cats_of(path, texts, exits=False):
    nlp = spacy.load(path)
    for _, pipe in nlp.pipeline:
        if not exits and hasattr(pipe, "exits"):
            pipe.exit = None
    return numpy.array([[doc.cats[label] for label in LABELS] for doc in nlp.pipe(texts)])


def soft_of(rows):
    return numpy.array([[row["teacher"][label] for label in LABELS] for row in rows])


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_teach_writes_the_mean_of_full_depth_beside_what_is_there(folder, data, tmp_path, ending):
    models = [folder / name for name in ("ours0", "ours1", "spacy")]
    out = tmp_path / f"out.{ending}"
    result = run(*models, data, out)
    assert result.exit_code == 0, result.output
    found = rows_of(out)
    assert [{key: value for key, value in row.items() if key != "teacher"} for row in found] == ROWS
    expected = numpy.mean([cats_of(model, SENTENCES) for model in models], axis=0)
    assert numpy.allclose(soft_of(found), expected, atol=1e-5)
    assert not numpy.allclose(cats_of(models[0], SENTENCES, exits=True), cats_of(models[0], SENTENCES), atol=1e-2)
    assert "0.333" in result.output and "3 labels, exclusive" in result.output


def test_teach_writes_what_readers_read(folder, data, tmp_path):
    out = tmp_path / "out.jsonl"
    assert run(folder / "several", data, out, "--field", "soft").exit_code == 0
    examples = list(JsonlReader(out, teacher="soft")(spacy.blank("en")))
    assert [list(eg.reference._.teacher) for eg in examples] == [list(LABELS)] * len(ROWS)


def test_teach_fits_weights_to_dev(folder, data, tmp_path):
    probabilities = cats_of(folder / "ours0", SENTENCES)
    dev = [{"text": text, "cats": LABELS[row.argmax()]} for text, row in zip(SENTENCES, probabilities)]
    out = tmp_path / "out.jsonl"
    result = run(folder / "ours0", folder / "ours1", data, out, "--dev", write(tmp_path / "dev.jsonl", dev))
    assert result.exit_code == 0 and "Equal weights" in result.output, result.output
    mine, other = cats_of(folder / "ours0", SENTENCES), cats_of(folder / "ours1", SENTENCES)
    found = soft_of(rows_of(out))
    share = ((found - other) * (mine - other)).sum() / numpy.square(mine - other).sum()
    assert 0.6 < share <= 1.001 and numpy.allclose(found, share * mine + (1 - share) * other, atol=1e-4)


def test_teach_calibrates_what_it_writes_and_shows_it(folder, data, tmp_path):
    dev = [{"text": f"{text} Note {number}.", "cats": ["B"]} for number in range(4) for text in SENTENCES]
    out = tmp_path / "out.jsonl"
    result = run(folder / "several", data, out, "--dev", write(tmp_path / "dev.jsonl", dev))
    assert result.exit_code == 0, result.output
    assert not numpy.allclose(cats_of(folder / "several", SENTENCES), [0, 1, 0], atol=0.5)
    assert numpy.allclose(soft_of(rows_of(out)), [0, 1, 0], atol=2 / len(dev))
    losses = [float(word) for word in re.search(r"several.* 1\.000 +(\S+) +(\S+)", result.output).groups()]
    assert losses[1] < 0.1 < 0.5 < losses[0] and "Calibrated" in result.output


def test_teach_leaves_what_is_no_better_calibrated(folder, data, tmp_path):
    probabilities = cats_of(folder / "ours0", SENTENCES)
    dev = [{"text": text, "cats": LABELS[row.argmax()]} for text, row in zip(SENTENCES[:1], probabilities)]
    out = tmp_path / "out.jsonl"
    result = run(folder / "ours0", data, out, "--dev", write(tmp_path / "dev.jsonl", dev))
    assert result.exit_code == 0 and "no better" in result.output, result.output
    assert numpy.allclose(soft_of(rows_of(out)), probabilities, atol=1e-5)


def test_teach_says_nothing_about_no_text_and_counts_it(folder, tmp_path):
    rows = [{"text": ""}, {"text": "fever"}, {"text": " \n", "teacher": {"A": 1.0}}, {"text": "rash", "cats": "D"}]
    out = tmp_path / "out.jsonl"
    result = run(folder / "ours0", write(tmp_path / "data.jsonl", rows), out)
    assert ["teacher" in row for row in rows_of(out)] == [False, True, False, True]
    assert "2 of 4 documents have no text" in result.output and "1 of 4 documents have labels" in result.output
    assert "2 with soft labels, 1 with labels" in " ".join(result.output.split())


def test_teach_takes_spacy_files(folder, tmp_path):
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in SENTENCES]
    for doc, row in zip(docs, ROWS):
        doc.cats = {row["cats"]: 1.0}
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    result = run(folder / "ours0", tmp_path / "data.spacy", tmp_path / "out.spacy")
    assert result.exit_code == 0, result.output
    found = list(DocBin().from_disk(tmp_path / "out.spacy").get_docs(nlp.vocab))
    soft = [[doc._.teacher[label] for label in LABELS] for doc in found]
    assert numpy.allclose(soft, cats_of(folder / "ours0", SENTENCES), atol=1e-5)
    assert [doc.cats for doc in found] == [doc.cats for doc in docs] and [doc.text for doc in found] == SENTENCES
    assert not any(str(tmp_path) in str(doc.user_data) for doc in found)


def test_teach_writes_documents_of_spacy_files_that_have_no_text(folder, tmp_path):
    nlp = spacy.blank("en")
    DocBin(docs=[nlp.make_doc(text) for text in ("", "fever")]).to_disk(tmp_path / "data.spacy")
    result = run(folder / "ours0", tmp_path / "data.spacy", tmp_path / "out.spacy")
    assert "1 of 2 documents have no text" in result.output
    assert [doc.text for doc in DocBin().from_disk(tmp_path / "out.spacy").get_docs(nlp.vocab)] == ["", "fever"]


@pytest.mark.parametrize(
    "models, words, problem",
    [
        (["ours0", "others"], [], "has other labels than"),
        (["ours0", "nothing"], [], "writes no `doc.cats`"),
        (["scores"], [], "gives scores that are no probabilities"),
        (["changes"], [], "has written other labels than before"),
        (["breaks"], [], r"cannot answer \(TypeError\)"),
        (["ours0"], ["--field", "text"], "--field is 'text'"),
        (["ours0"], ["--dev", "{dev}"], "None of the documents in"),
        (["scores", "ours0"], [], "no probabilities|other labels"),
    ],
)
def test_teach_refuses_what_cannot_teach_and_writes_nothing(folder, data, tmp_path, models, words, problem):
    out = write(tmp_path / "out.jsonl", [{"text": "before"}])
    dev = write(tmp_path / "dev.jsonl", [{"text": "fever"}])
    result = run(*(folder / name for name in models), data, out, *(word.format(dev=dev) for word in words))
    assert result.exit_code == 1
    assert numpy.any([part in " ".join(result.output.split()) for part in problem.replace("\\", "").split("|")]), result.output
    assert rows_of(out) == [{"text": "before"}] and sorted(path.name for path in tmp_path.iterdir()) == [
        "data.jsonl",
        "dev.jsonl",
        "out.jsonl",
    ]


def test_teach_writes_over_nothing_but_soft_labels(folder, data):
    before = data.read_bytes()
    result = run(folder / "ours0", data, data, "--field", "id")
    assert result.exit_code == 1 and "line 1: the field 'id' has no soft labels in it" in " ".join(result.output.split())
    assert data.read_bytes() == before


@pytest.mark.parametrize("name", ["out.spacy", "out.json", "out"])
def test_teach_refuses_another_format(folder, data, tmp_path, name):
    result = run(folder / "ours0", data, tmp_path / name)
    assert result.exit_code == 1 and "give a name ending in .jsonl or .jsonl.gz" in " ".join(result.output.split())


def test_teach_shows_no_text(folder, tmp_path):
    data = write(tmp_path / "data.jsonl", [{"text": f"{CANARY} fever", "cats": CANARY}, {"text": CANARY}])
    command, codes = typer.main.get_command(epee), []
    for models in (["breaks"], ["changes"], ["ours0"], ["ours0", "words"]):
        arguments = ["teach", *(str(folder / name) for name in models), str(data), str(tmp_path / "out.jsonl")]
        error = assert_silent(lambda arguments=arguments: command(arguments, standalone_mode=True))
        codes.append(getattr(error, "code", None))
    assert codes == [1, 1, 0, 1]


def test_teach_on_a_bad_line_leaves_nothing(folder, tmp_path):
    data = write(tmp_path / "data.jsonl", [*ROWS, {"text": 3}])
    result = run(folder / "ours0", data, tmp_path / "out.jsonl")
    assert result.exit_code == 1 and f"line {len(ROWS) + 1}: the field 'text' is not a string" in " ".join(result.output.split())
    assert not (tmp_path / "out.jsonl").exists()


def test_teach_may_write_over_its_source(folder, data):
    assert run(folder / "ours0", data, data).exit_code == 0
    assert len(rows_of(data)) == len(ROWS) and soft_of(rows_of(data)).shape == (len(ROWS), 3)


@pytest.mark.parametrize("linear", [False, True])
def test_teach_keeps_no_words_of_documents(folder, tmp_path, linear):
    rows = [{"text": f"word{number} fever", "cats": LABELS[number % 3]} for number in range(600)]
    data = write(tmp_path / "data.jsonl", rows)
    nlp = spacy.load(folder / "ours0")
    before = len(nlp.vocab.strings), len([*nlp.vocab])
    ensemble = gather(["ours0"], [nlp], data, ["cats"], data if linear else None)
    assert (len(nlp.vocab.strings), len([*nlp.vocab])) == before
    teach(ensemble, data, tmp_path / "out.jsonl", ["cats"], "teacher")
    assert (len(nlp.vocab.strings), len([*nlp.vocab])) == before


def test_teach_refuses_pipelines_of_images(data, tmp_path):
    pytest.importorskip("PIL")
    from images_util import make_image_backbone, make_image_nlp

    with pytest.raises(ValueError, match="'epee_imagecat' of the pipeline 'films' does not read text"):
        gather(["films"], [make_image_nlp(make_image_backbone(tmp_path / "vit"))], data, ["cats"])


# The linear model


def test_linear_teacher_has_not_seen_what_it_answers(folder):
    """With labels that were drawn by lot it is right as often as chance is, and with those learned by heart far more often."""
    chance = numpy.random.default_rng(0)
    words = [f"w{number}" for number in range(60)]
    documents = [
        Document("", " ".join(chance.choice(words, 12)), {label: float(label == true) for label in LABELS}, {}, frozenset(), None)
        for true in chance.choice(LABELS, 300)
    ]
    group = Group([*LABELS], True, numpy.ones(1), set())
    teacher = LinearTeacher(spacy.blank("en"), lambda: documents, [group])
    truths = gold(documents, LABELS, True, set())[0].argmax(axis=1)
    right = (teacher.answer(documents, LABELS).argmax(axis=1) == truths).mean()
    seen = (teacher.models[0](teacher._make_docs(documents)).logits.argmax(axis=1) == truths).mean()
    assert right < 0.45 < 0.7 < seen


def test_linear_teacher_knows_the_labels_of_words(folder, tmp_path):
    chance = numpy.random.default_rng(0)
    rows = []
    for number in range(120):
        label = LABELS[number % 3]
        words = [f"{label.lower()}word", *chance.choice(["note", "today", "patient", "seen"], 6)]
        rows.append({"text": " ".join([*words, str(number)]), "cats": label} if number < 90 else {"text": " ".join(words)})
    data, out = write(tmp_path / "data.jsonl", rows), tmp_path / "out.jsonl"
    result = run(folder / "ours0", data, out, "--linear", "--dev", data)
    assert result.exit_code == 0 and "TF-IDF" in result.output, result.output
    found = soft_of(rows_of(out))
    assert (found.argmax(axis=1) == numpy.arange(120) % 3).all()


def test_linear_teacher_may_learn_from_other_documents(folder, tmp_path):
    known = write(
        tmp_path / "known.jsonl", [{"text": f"{label.lower()}word {n}", "cats": label} for n in range(40) for label in LABELS]
    )
    data = write(tmp_path / "data.jsonl", [{"text": f"{label.lower()}word once more"} for label in LABELS])
    out = tmp_path / "out.jsonl"
    result = run(folder / "ours0", data, out, "--linear-data", known, "--dev", known)
    assert result.exit_code == 0, result.output
    assert soft_of(rows_of(out)).argmax(axis=1).tolist() == [0, 1, 2]


def test_linear_teacher_needs_labels(folder, tmp_path):
    data = write(tmp_path / "data.jsonl", [{"text": text} for text in SENTENCES])
    result = run(folder / "ours0", data, tmp_path / "out.jsonl", "--linear")
    assert result.exit_code == 1 and "a linear model learns nothing" in " ".join(result.output.split())


# Labels of several tasks


STAYS, OUTCOMES = ("short", "long"), ("died", "back")


@pytest.fixture(scope="module")
def several_tasks(backbone, tmp_path_factory):
    """A pipeline with a task of exclusive labels and one of others."""
    nlp = spacy.blank("en")
    task = {"@misc": "spacy-epee.TextCatTask.v1", "scorer": {"@scorers": "spacy.textcat_scorer.v2"}, "exit": None}
    head = {"@architectures": "spacy-epee.PooledHead.v1", "lexical": 0}
    config = {
        "model": {"trunk": {"name": str(backbone), "window": 48, "overlap": 8}, "heads": {"stay": head, "outcomes": head}},
        "tasks": {"stay": {**task, "exclusive": True}, "outcomes": {**task, "exclusive": False}},
    }
    pipe = nlp.add_pipe("epee", config=config)
    cats = [{**dict.fromkeys((*STAYS, *OUTCOMES), 0.0), stay: 1.0} for stay in STAYS]
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": own}) for text, own in zip(SENTENCES, cats)]
    pipe.initialize(lambda: examples, nlp=nlp, labels={"stay": [*STAYS], "outcomes": [*OUTCOMES]})
    nlp.to_disk(tmp_path_factory.mktemp("several") / "tasks")
    return nlp


@pytest.fixture
def outcomes(tmp_path):
    """Rows of which words tell the stay and that they died; who is back is listed, or nothing is known of it."""
    rows = []
    for number in range(80):
        stay, died = STAYS[number % 2], number % 4 < 2
        text = f"{stay}word {'died' if died else 'alive'}word note {number}"
        rows.append({"text": text, "stay": stay, **({"fate": ["died"] if died else []} if number % 5 else {})})
    return write(tmp_path / "outcomes.jsonl", rows)


def test_labels_of_each_task_have_weights_of_their_own_and_are_as_probable_as_the_task_says(several_tasks, outcomes, tmp_path):
    several_tasks.to_disk(tmp_path / "tasks")
    out = tmp_path / "out.jsonl"
    result = run(tmp_path / "tasks", outcomes, out, "--linear", "--dev", outcomes, "--cats", "stay, fate")
    assert result.exit_code == 0, result.output
    assert "2 labels in stay, exclusive" in result.output and "2 labels in fate, not exclusive" in result.output
    said = [row["teacher"] for row in rows_of(out)]
    for number, soft in enumerate(said):
        assert soft["short"] + soft["long"] == pytest.approx(1, abs=1e-5)
        assert max(STAYS, key=soft.get) == STAYS[number % 2]
        assert (soft["died"] > 0.5) == (number % 4 < 2) and soft["back"] < 0.5


def test_fields_are_those_of_the_groups_whose_labels_they_name(several_tasks, outcomes):
    ensemble = gather(["tasks"], [several_tasks], outcomes, ["stay", "fate"])
    found = {tuple(group.labels): (group.exclusive, group.fields) for group in ensemble.groups}
    assert found == {STAYS: (True, {"stay"}), OUTCOMES: (False, {"fate"})}
    documents = list(read_documents(outcomes, ["stay", "fate"]))
    _, known = gold(documents, OUTCOMES, False, {"fate"})
    assert known[:, 1].tolist() == [float(number % 5 > 0) for number in range(80)]


def test_labels_of_relations_are_no_labels_of_documents(several_tasks):
    pipe = several_tasks.add_pipe("epee_relations")
    try:
        pipe.slot().cfg["labels"] = ["died"]
        assert divide(several_tasks, [*OUTCOMES, *STAYS]) == [[*OUTCOMES], [*STAYS]]
    finally:
        several_tasks.remove_pipe("epee_relations")


def test_weights_are_fitted_to_labels_that_are_false_also_if_what_is_answered_has_none(several_tasks, outcomes, tmp_path):
    bare = write(tmp_path / "bare.jsonl", [{"text": text} for text in SENTENCES])
    losses = []
    for path in (outcomes, bare):
        ensemble = gather(["tasks"], [several_tasks], path, ["stay", "fate"])
        ensemble.fit(outcomes, ["stay", "fate"])
        losses.append([group.losses for group in ensemble.groups])
    assert losses[0] == losses[1]


def test_answers_that_are_there_already_are_joined_as_if_teachers_were_asked(several_tasks, outcomes):
    fields = ["stay", "fate"]
    ensemble = gather(["tasks"], [several_tasks], outcomes, fields, outcomes)
    ensemble.fit(outcomes, fields)
    documents = list(read_documents(outcomes, fields))
    found = ensemble.join([teacher.answer(documents, ensemble.labels) for teacher in ensemble.teachers])
    assert any(group.calibrations for group in ensemble.groups)
    assert (found == ensemble.answer(documents)).all()


def test_fields_may_not_share_labels(folder, tmp_path):
    data = write(tmp_path / "data.jsonl", [{"text": "Fever.", "cats": "A", "more": ["A"]}])
    result = run(folder / "ours0", data, tmp_path / "out.jsonl", "--cats", "cats,more")
    assert result.exit_code == 1 and "two of the fields cats, more have the same label" in " ".join(result.output.split())


# Gold labels


def test_gold_of_every_form(tmp_path):
    values = [["A"], "B", {"A": 1, "B": 0}, {"B": 1}, [], None]
    rows = [{"text": "x", **({} if value is None else {"cats": value})} for value in values]
    documents = list(read_documents(write(tmp_path / "data.jsonl", rows), ["cats"]))
    targets, known = gold(documents, ["A", "B"], False, {"cats"})
    assert targets.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1], [0, 0], [0, 0]]
    assert known.tolist() == [[1, 1], [1, 1], [1, 1], [0, 1], [1, 1], [0, 0]]
    _, known = gold(documents, ["A", "B"], True, {"cats"})
    assert known[:, 0].tolist() == [1, 1, 1, 1, 0, 0]


def test_teacher_of_several_labels_is_told_from_one_of_exclusive_ones(folder, data):
    def kind(name):
        return gather([name], [spacy.load(folder / name)], data, ["cats"]).groups[0].exclusive

    assert kind("ours0") and kind("spacy") and not kind("several")


def test_labels_of_a_teacher_that_is_sure_of_one_are_not_taken_for_exclusive_ones(folder):
    sure, nothing = numpy.eye(3), numpy.zeros((2, 3))
    nlp = {name: spacy.load(folder / name) for name in ("ours0", "spacy", "several", "words")}
    for name in ("ours0", "spacy"):
        assert are_exclusive(nlp[name], LABELS, sure) and are_exclusive(nlp[name], LABELS, nothing)
    assert not are_exclusive(nlp["several"], LABELS, sure)
    assert are_exclusive(nlp["words"], LABELS, sure) and not are_exclusive(nlp["words"], LABELS, nothing)
    assert not are_exclusive(nlp["words"], LABELS[:1], sure[:1, :1])


def test_teacher_says_which_document_is_too_long(folder):
    nlp = spacy.blank("en")
    nlp.add_pipe("test_changes")
    nlp.max_length = 10
    with pytest.raises(ValueError, match="notes, line 3: the text has 20 characters"):
        PipelineTeacher("short", nlp).answer([Document("notes, line 3", "x" * 20, {}, {}, frozenset(), None)], ["A", "B"])
