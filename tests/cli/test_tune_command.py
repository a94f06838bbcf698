"""`python -m spacy epee tune`"""

import contextlib
import io
import json

import numpy
import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner
from util import SENTENCES, make_examples, make_nlp, make_texts

from spacy_epee.cli import epee
from spacy_epee.cli.tables import change

LABELS = ["ACUTE", "STABLE", "HISTORY"]
FAST = ["--steps", "3", "--rounds", "1", "--timed", "4", "--batch-sizes", "4"]


def save(nlp, folder, count=60):
    """Documents whose labels are those of the full depth, but for some."""
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    docs = list(nlp.pipe([*SENTENCES, *make_texts(count - len(SENTENCES), seed=3)]))
    for number, doc in enumerate(docs):
        best = max(doc.cats, key=doc.cats.get) if number % 5 else LABELS[number % 3]
        doc.cats = {label: float(label == best) for label in pipe.labels}
    DocBin(docs=docs).to_disk(folder / "dev.spacy")
    nlp.to_disk(folder / "model")


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    save(make_nlp(backbone, LABELS, spread=4.0), folder)
    return folder


def run(folder, *arguments, code=0, model=None, data=None):
    command = ["tune", model or folder / "model", data or folder / "dev.spacy", *FAST, *arguments]
    found = CliRunner().invoke(epee, [str(part) for part in command])
    assert found.exit_code == code, found.output
    return found.output


def test_tune_prints_what_it_saves(folder, tmp_path):
    output = run(folder, "--max-drop", "2", "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["documents"] == 60 and report["depth"] == 4 and report["score_desc"] == "macro F"
    for row in [report["full"], *report["front"]]:
        assert f"{100 * row['score']:.2f}" in output and f"{row['wordpiece_layers']:.2f}" in output
        assert f"{row['ms']['4']:.2f}" in output
    for exit in report["calibration"]["exits"]:
        assert f"{exit['temperature']:.2f}" in output and f"{exit['ece'][0]:.3f}" in output
    assert report["chosen"]["rule"] in [row["rule"] for row in report["front"]]
    assert report["chosen"]["drop"] <= 0.02 and report["chosen"]["speedup"] >= 1
    assert not any(sentence in output for sentence in SENTENCES)


def test_tune_fits_a_hundred_columns(folder):
    from wasabi import Printer

    import spacy_epee.cli.tune as command

    rule = {
        "@misc": "spacy-epee.AnyOf.v1",
        "rules": {
            "entropy": {"@misc": "spacy-epee.Entropy.v1", "entropy": [0.1 + layer / 1000 for layer in range(24)]},
            "patience": {"@misc": "spacy-epee.Patience.v1", "patience": 12},
        },
    }
    row = {"name": "flexible patience (F-PABEE, SymKD)", "rule": rule, "score": 0.98765, "drop": 0.0123, "spread": 0.0456}
    row.update(disagreement=0.1234, wordpiece_layers=11.25, speedup=10.12, ms={"1": 1234.5, "32": 1234.5})
    row["on_time_front"] = {"1": True, "32": False}
    report = {
        "calibration": {"exits": [], "fitted": False, "kept": False},
        "gate": None,
        "thresholds": {"labels": {"LABEL " * 20: 0.123}, "fitted": True, "documents": 9, "threshold": 0.5, "macro_f": [0.5, 0.6]},
        "score_desc": "mean F of triggers and arguments, predicted triggers",
        "front": [row],
        "full": {**row, "rule": None, "name": "full depth"},
        "chosen": row,
        "documents": 1,
        "settings": 1,
        "front_settings": 1,
        "timed_documents": 1,
        "left_out": [],
        "absent": [],
    }
    with contextlib.redirect_stdout(io.StringIO()) as out:
        command.show(report, Printer())
    assert max(map(len, out.getvalue().split("\n"))) <= 100
    for word in ("SymKD)", "0.123,", "12", "-1.23 ± 4.56", "12.34 %", "98.77", "11.25", "10.12x", "1234.50*"):
        assert word in out.getvalue()


def test_tune_shows_other_answers_and_luck_beside_scores(folder, tmp_path):
    output = run(folder, "--max-drop", "2", "--no-time", "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    for row in [report["full"], *report["front"]]:
        assert f"{100 * row['disagreement']:.2f} %" in output
        assert change(-row["drop"], row["spread"]) in output
    assert report["full"]["spread"] == 0 and any(row["spread"] > 0 for row in report["front"])
    assert "of the documents with other answers" in " ".join(output.split())


def test_tune_of_some_documents_draws_them(folder, tmp_path):
    run(folder, "--max-drop", "2", "--no-time", "--limit", "40", "--output", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["documents"] == 40


def test_tune_writes_a_copy_whose_config_has_the_rule(folder, tmp_path):
    run(
        folder,
        "--max-drop",
        "3",
        "--calibrate",
        "--coverage",
        "0.8",
        "--no-time",
        "--output-model",
        tmp_path / "new",
        "--output",
        tmp_path / "figures.json",
    )
    report = json.loads((tmp_path / "figures.json").read_text())
    nlp = spacy.load(tmp_path / "new")
    pipe = nlp.get_pipe("epee_textcat")
    rule = report["chosen"]["rule"]
    assert rule is not None and pipe.exit.to_config() == rule
    assert nlp.config["components"]["epee_textcat"]["exit"]["@misc"] == rule["@misc"]
    assert rule["@misc"] in (tmp_path / "new" / "config.cfg").read_text()
    assert pipe.cfg["temperatures"] == [exit["temperature"] for exit in report["calibration"]["exits"]]
    assert pipe.cfg["uncertain"] == pytest.approx(report["uncertain"]["threshold"])
    assert "exit" not in json.loads((tmp_path / "new" / "epee_textcat" / "cfg").read_text())
    changed = spacy.load(tmp_path / "new", config={"components.epee_textcat.exit": None})
    assert changed.get_pipe("epee_textcat").exit is None
    # the given pipeline is as it was
    assert spacy.load(folder / "model").get_pipe("epee_textcat").exit is None


def test_tuned_pipeline_does_what_was_said(folder, tmp_path):
    run(folder, "--max-drop", "3", "--no-time", "--output-model", tmp_path / "new", "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    nlp = spacy.load(tmp_path / "new")
    gold = list(DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab))
    examples = [spacy.training.Example(nlp.make_doc(doc.text), doc) for doc in gold]
    scores = nlp.evaluate(examples)
    assert scores["cats_score"] == pytest.approx(report["chosen"]["score"])
    assert scores["cats_full"] == pytest.approx(report["full"]["score"])
    assert scores["exit_layer"] == pytest.approx(report["chosen"]["layers"])


def test_tune_in_place(folder, tmp_path, backbone):
    save(make_nlp(backbone, LABELS, spread=4.0), tmp_path)
    run(tmp_path, "--min-speedup", "1.5", "--in-place", "--no-time", "--no-calibrate")
    pipe = spacy.load(tmp_path / "model").get_pipe("epee_textcat")
    assert pipe.exit is not None and "temperatures" not in pipe.cfg


def test_tune_coverage_flags_about_as_many_as_asked_for(folder, tmp_path):
    run(
        folder,
        "--max-drop",
        "0",
        "--coverage",
        "0.8",
        "--no-time",
        "--output-model",
        tmp_path / "new",
        "--output",
        tmp_path / "figures.json",
    )
    report = json.loads((tmp_path / "figures.json").read_text())
    nlp = spacy.load(tmp_path / "new")
    docs = [doc.text for doc in DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab)]
    flagged = numpy.mean([doc._.exits["epee_textcat"]["textcat"]["uncertain"] for doc in nlp.pipe(docs)])
    assert flagged == pytest.approx(report["uncertain"]["flagged"], abs=1 / 60) and 0 < flagged <= 0.2


@pytest.mark.parametrize("place", ["--in-place", "--output-model"])
def test_tune_coverage_alone_writes_the_threshold_and_the_rule_stays(tmp_path, backbone, place):
    rule = {"@misc": "spacy-epee.Entropy.v1", "entropy": 0.3}
    nlp = make_nlp(backbone, LABELS, spread=4.0, exit=rule)
    pipe = nlp.get_pipe("epee_textcat")
    pipe.set_temperatures([1.5, 1.25, 2.0, 3.0])
    pipe.exit = pipe.exit.__class__(entropy=0.4)  # set on the pipeline, and not in its config
    save(nlp, tmp_path)
    target = tmp_path / "model" if place == "--in-place" else tmp_path / "new"
    places = [place] if place == "--in-place" else [place, target]
    output = run(tmp_path, "--coverage", "0.8", "--no-time", *places, "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    loaded = spacy.load(target)
    tuned = loaded.get_pipe("epee_textcat")
    assert tuned.cfg["uncertain"] == pytest.approx(report["uncertain"]["threshold"]) and "chosen" not in report
    assert tuned.exit.to_config() == pipe.exit.to_config() and tuned.cfg["temperatures"] == [1.5, 1.25, 2.0, 3.0]
    assert loaded.config["components"]["epee_textcat"]["exit"] == rule
    assert "The rule stays" in output and "Flagged as uncertain" in output


def test_tune_promise_that_cannot_be_kept_keeps_the_full_depth(folder, tmp_path):
    output = run(
        folder,
        "--max-disagreement",
        "0.1",
        "--confidence",
        "0.9",
        "--no-time",
        "--output-model",
        tmp_path / "new",
        "--output",
        tmp_path / "figures.json",
    )
    report = json.loads((tmp_path / "figures.json").read_text())
    promise = report["promise"]
    assert promise["documents"] == 30
    if not promise["kept"]:
        assert "the full depth stays" in output and report["chosen"]["rule"] is None
        assert spacy.load(tmp_path / "new").get_pipe("epee_textcat").exit is None
    else:
        assert "documents like these" in output


def test_tune_temperatures_of_a_promise_come_from_the_other_half(folder, tmp_path):
    run(folder, "--max-disagreement", "0.1", "--confidence", "0.9", "--no-time", "--calibrate", "--output", tmp_path / "f.json")
    assert json.loads((tmp_path / "f.json").read_text())["calibration"]["documents"] == 30


def test_tune_of_a_task_of_several(backbone, tmp_path):
    from joint_util import RULES, make_example, make_joint_nlp
    from joint_util import TEXTS as JOINT_TEXTS

    nlp = make_joint_nlp(backbone, steps=10)
    DocBin(docs=[make_example(nlp, text).reference for text in JOINT_TEXTS], store_user_data=True).to_disk(tmp_path / "dev.spacy")
    nlp.to_disk(tmp_path / "model")
    name = nlp.pipe_names[0]
    output = run(tmp_path, "--no-time", "--missing-labels", "--max-drop", "100", code=1)
    assert "--task" in output
    run(tmp_path, "--no-time", "--missing-labels", "--max-drop", "100", "--task", "relations", "--output-model", tmp_path / "new")
    pipe = spacy.load(tmp_path / "new").get_pipe(name)
    assert pipe.exits["relations"] is not None and set(pipe.exits) == set(RULES)


def test_tune_of_events(backbone, tmp_path):
    from events_util import TEXTS, make_events_nlp
    from test_evaluate_events import make_row

    make_events_nlp(backbone, steps=40).to_disk(tmp_path / "model")
    (tmp_path / "dev.jsonl").write_text("".join(json.dumps(make_row(text)) + "\n" for text in TEXTS))
    files = ["--output", tmp_path / "f.json"]
    run(tmp_path, "--max-drop", "50", "--no-time", "--coverage", "0.5", *files, data=tmp_path / "dev.jsonl")
    report = json.loads((tmp_path / "f.json").read_text())
    assert report["score_desc"].startswith("mean F") and report["unit"] == "window"


BAD = [
    (["--max-drop", "1", "--min-speedup", "2"], "one of"),
    (["--max-drop", "-1"], "--max-drop"),
    (["--min-speedup", "0.5"], "--min-speedup"),
    (["--max-disagreement", "2"], "--max-disagreement"),
    (["--max-disagreement", "0.1", "--confidence", "1"], "--confidence"),
    (["--max-disagreement", "0.01", "--confidence", "0.95"], "598"),
    (["--coverage", "2"], "--coverage"),
    (["--batch-sizes", "x"], "--batch-sizes"),
    (["--in-place"], "wish"),
    (["--max-drop", "1", "--output-model", "{folder}"], "exists already"),
    (["--max-drop", "1", "--output", "{folder}"], "exists already"),
    (["--max-drop", "1", "--in-place", "--output-model", "x"], "not both"),
    (["--component", "other"], "--component"),
    (["--task", "other"], "--task"),
    (["--entities", "some"], "--entities"),
    (["--min-speedup", "100"], "times fewer layers"),
]


@pytest.mark.parametrize("arguments,problem", BAD, ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_tune_bad_input(folder, arguments, problem):
    output = run(folder, "--no-time", *(part.format(folder=folder) for part in arguments), code=1)
    assert problem in " ".join(output.split())


@pytest.mark.parametrize("cats,problem", [({}, "None of the"), ({"ACUTE": 1.0}, "'STABLE'")])
def test_tune_without_labels(folder, tmp_path, cats, problem):
    nlp = spacy.load(folder / "model")
    docs = [nlp.make_doc(sentence) for sentence in SENTENCES]
    for doc in docs:
        doc.cats = dict(cats)
    DocBin(docs=docs).to_disk(tmp_path / "dev.spacy")
    assert problem in run(folder, "--no-time", data=tmp_path / "dev.spacy", code=1)


def test_tune_without_exits(backbone, tmp_path):
    make_nlp(backbone, LABELS, model={"exit_layers": [4]}, spread=1.0).to_disk(tmp_path)
    assert "without exits" in run(tmp_path, model=tmp_path, code=1)


@pytest.mark.parametrize("kind", ["exclusive", "several", "relations", "events"])
def test_scores_are_those_of_the_scorer(kind, backbone):
    from events_util import make_events_nlp
    from events_util import make_example as make_event
    from relations_util import make_example as make_relation
    from relations_util import make_relations_nlp

    from spacy_epee.evaluation.stored_outputs import StoredOutputs
    from spacy_epee.exits.rules.depth import FixedDepth
    from spacy_epee.exits.rules.thresholds import Entropy

    if kind in ("relations", "events"):
        import events_util
        import relations_util

        util, maker, make = (
            (relations_util, make_relation, make_relations_nlp)
            if kind == "relations"
            else (events_util, make_event, make_events_nlp)
        )
        nlp = make(backbone, **({"steps": 60} if kind == "events" else {}))
        examples = [maker(nlp, text) for text in util.TEXTS]
    else:
        nlp = make_nlp(backbone, LABELS, kind == "several", spread=3.0)
        examples = make_examples(nlp, LABELS, kind == "several")
    pipe = nlp.get_pipe(nlp.pipe_names[0])
    stored = StoredOutputs(pipe, examples)
    replay = stored.replay()
    score = stored.scorer(replay)
    for rule in (None, FixedDepth(1), FixedDepth(2), Entropy(0.5), Entropy(0.8)):
        answers = pipe.answer([eg.predicted for eg in examples], rule)
        scores = pipe.score_answers(examples, answers)
        assert score(replay.run(rule)) == pytest.approx(scores[pipe.task.main] or 0.0, abs=1e-6)
        assert stored.describe() == pipe.task.describe(scores)


@pytest.fixture(scope="module")
def several(backbone, tmp_path_factory):
    """Two of three labels say too little, so that they need a threshold of their own."""
    folder = tmp_path_factory.mktemp("several")
    nlp = make_nlp(backbone, LABELS, multilabel=True, spread=4.0)
    docs = list(nlp.pipe([*SENTENCES, *make_texts(80 - len(SENTENCES), seed=3)]))
    for doc in docs:
        doc.cats = {label: float(doc.cats[label] >= threshold) for label, threshold in zip(LABELS, (0.1, 0.5, 0.95))}
    DocBin(docs=docs).to_disk(folder / "dev.spacy")
    nlp.to_disk(folder / "model")
    return folder


def test_tune_fits_thresholds_where_they_help(several, tmp_path):
    output = run(
        several, "--max-drop", "2", "--no-time", "--output", tmp_path / "figures.json", "--output-model", tmp_path / "tuned"
    )
    found = json.loads((tmp_path / "figures.json").read_text())["thresholds"]
    assert found["fitted"] and found["macro_f"][1] > found["macro_f"][0] and found["documents"] == 80
    assert found["labels"]["ACUTE"] < found["labels"]["HISTORY"]
    tuned = spacy.load(tmp_path / "tuned").get_pipe("epee_textcat_multilabel")
    assert tuned.label_thresholds() == pytest.approx(found["labels"], rel=1e-5)
    assert "Thresholds are fitted to 80" in output
    again = run(several, "--no-thresholds", "--no-time", model=tmp_path / "tuned")
    assert "Thresholds are those that were there" in again


def test_tune_goes_by_the_figure_that_is_asked_for(several, tmp_path):
    output = run(several, "--score", "macro-f", "--max-drop", "2", "--no-time", "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["score_desc"] == "macro F" and "macro F" in output and report["thresholds"]["fitted"]
    wrong = " ".join(run(several, "--score", "accuracy", "--no-time", code=1).split())
    assert "cannot be tuned by 'accuracy'" in wrong and "`--score`" in wrong


def test_tune_without_thresholds_leaves_the_setting(several, tmp_path):
    run(several, "--no-thresholds", "--no-time", "--output", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["thresholds"] == {"fitted": False, "labels": {}}


def test_tune_refuses_thresholds_that_it_cannot_fit(folder, several, backbone, tmp_path):
    assert "they exclude each other" in " ".join(run(folder, "--thresholds", "--no-time", code=1).split())
    few = DocBin(docs=list(DocBin().from_disk(several / "dev.spacy").get_docs(spacy.blank("en").vocab))[:6])
    few.to_disk(tmp_path / "few.spacy")
    output = run(several, "--thresholds", "--no-time", "--missing-labels", data=tmp_path / "few.spacy", code=1)
    assert "too few to fit thresholds to" in " ".join(output.split())
    assert run(several, "--no-time", "--missing-labels", data=tmp_path / "few.spacy")


def test_tune_shows_what_is_simpler_than_a_rule(folder, tmp_path):
    output = run(folder, "--max-drop", "2", "--train", folder / "dev.spacy", "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    linear, fixed = report["linear"], report["fixed"]
    assert linear["score"] > 0.9 and linear["drop"] == pytest.approx(report["full"]["score"] - linear["score"])
    assert fixed["score"] >= report["full"]["score"] and fixed["ms"]["4"] > 0 < linear["ms"]["4"]
    shown = " ".join(output.split())
    assert "TF-IDF," in shown and "fixed depth," in shown
    for row in (linear, fixed):
        assert f"{100 * row['score']:.2f}" in shown and f"{row['ms']['4']:.2f}" in shown


def test_tune_shows_the_fixed_depth_without_training_data(folder, tmp_path):
    output = run(folder, "--no-time", "--output", tmp_path / "figures.json")
    report = json.loads((tmp_path / "figures.json").read_text())
    depths = [report["full"]["score"]] + [score for _, score in report["curves"]["fixed depth"]]
    assert report["fixed"]["score"] == max(depths) and "linear" not in report and "TF-IDF" not in output


def test_tune_refuses_what_no_linear_model_learns_from(folder, tmp_path):
    empty = tmp_path / "train.jsonl"
    empty.write_text('{"text": "pain", "cats": {"ACUTE": 1, "STABLE": 0, "HISTORY": 0}}\n')
    assert "--train have too few of the labels" in " ".join(run(folder, "--train", empty, code=1).split())
    assert "no.jsonl" in run(folder, "--train", tmp_path / "no.jsonl", code=1)


def test_tune_shows_a_linear_model_of_labels_that_are_not_exclusive(backbone, tmp_path):
    nlp = make_nlp(backbone, LABELS, True, spread=4.0)
    save(nlp, tmp_path)
    run(tmp_path, "--train", tmp_path / "dev.spacy", "--no-time", "--output", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["linear"]["score"] > 0.9  # macro AUC
