"""The training table, and how far training has come."""

import io
import json
import re
import time

import pytest
from test_train import CONFIGS, data, short  # noqa: F401
from thinc.api import Config
from util import make_nlp

from spacy_epee.training import logger as logger_module
from spacy_epee.training.logger import ConsoleLogger

SCORES = {"cats_score": 0.5, "cats_full": 0.6, "exit_layer": 2.5}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def nlp(backbone, tmp_path):
    path = tmp_path / "train.jsonl"
    rows = [{"text": f"note {number}", "cats": ["A", "B"][number % 2]} for number in range(35)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    nlp = make_nlp(backbone, ["A", "B"])
    config = Config().from_disk(CONFIGS / "textcat.cfg", interpolate=False)
    config["paths"].update(train=str(path), dev=str(path))
    config["training"].update(max_steps=6, eval_frequency=3)
    nlp.config = config
    return nlp


def run(nlp, scores=SCORES, seconds=0.0, **settings):
    """What is printed in seven steps, and the bar."""
    out, bar = io.StringIO(), Terminal()
    ((name, pipe),) = nlp.pipeline
    log, close = ConsoleLogger(**settings)(nlp, out, bar)
    for step in range(7):
        pipe.wordpieces += 1000
        time.sleep(seconds)
        info = {"epoch": 0, "step": step, "score": 0.5, "other_scores": scores, "losses": {name: 1.0}}
        log(info if step % 3 == 0 else None)
    close()
    return " ".join(out.getvalue().split()), bar.getvalue()


def test_table_says_which_scores_its_columns_are_and_how_many_passes_are_made(nlp):
    out, _ = run(nlp)
    assert "6 steps of 16 = 2.0 passes over 35 documents" in out
    assert "The score is macro F: CATS_SCORE with the exit rule, CATS_FULL at full depth" in out
    assert out.count("50.00 60.00 2.50 0.50") == 3  # the layer is a plain number


def test_end_says_what_chooses_a_rule_and_thresholds(nlp, backbone):
    said = "`python -m spacy epee tune` chooses one"
    assert run(nlp)[0].count(f"{said} on dev") == 1
    several = make_nlp(backbone, ["A", "B"], True)
    several.config = nlp.config
    assert run(several)[0].count(f"{said}, and a threshold for each label, on dev") == 1


def test_table_of_several_tasks_says_which_scores_its_columns_are(backbone):
    from joint_util import make_joint_nlp

    nlp = make_joint_nlp(backbone, steps=0)
    nlp.config["training"]["score_weights"] = {"kind_cats_score": 0.5, "relations_rel_micro_f": 0.5, "exit_layer": 0.0}
    ((_, pipe),) = nlp.pipeline
    found = logger_module._Notes(nlp, [pipe]).of_columns()
    assert "The score is macro F: KIND_CATS_SCORE with the exit rule" in found
    assert "The score is micro F: RELATIONS_REL_MICRO_F with the exit rule" in found


def test_table_tells_columns_of_components_by_their_names(nlp):
    weights = nlp.config["training"]["score_weights"]
    nlp.config["training"]["score_weights"] = {"epee_textcat_cats_score": 0.5, "epee_textcat_exit_layer": 0.0}
    try:
        out, _ = run(nlp, {"epee_textcat_cats_score": 0.5, "epee_textcat_exit_layer": 2.5})
    finally:
        nlp.config["training"]["score_weights"] = weights
    assert "EPEE_TEXTCAT_CATS_SCORE with the exit rule" in out and "2.50" in out


@pytest.mark.parametrize("kind,total", [("train", 6), ("eval", 3)])
def test_bar_shows_wordpieces_a_second_and_the_time_left(nlp, kind, total):
    _, bar = run(nlp, progress_bar=kind, seconds=0.11)
    assert re.search(rf"/{total} \[\d\d:\d\d<", bar) and re.search(r"[\d,]+ wordpieces/s", bar)
    assert "Training" in bar and "Evaluating" in bar


def test_bar_is_left_out_where_nobody_would_see_it(nlp):
    assert run(nlp, progress_bar=None)[1] == ""
    log, close = ConsoleLogger()(nlp, io.StringIO(), stream := io.StringIO())
    close()
    assert stream.getvalue() == ""


def test_nothing_is_printed_where_nothing_is_asked_for(nlp, tmp_path):
    out, bar = run(nlp, console_output=False, output_file=tmp_path / "log.jsonl")
    assert bar == "" and "passes" not in out and "CATS" not in out
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 3, 6] and rows[0]["scores"]["exit_layer"] == 2.5


def test_columns_without_a_score_are_told_once(nlp):
    out, _ = run(nlp, {"cats_score": 0.5, "exit_layer": 2.5})
    assert out.count("0.00 in CATS_FULL is no score") == 1


def test_slow_threads_are_told_once(nlp, monkeypatch):
    found = iter([None, "2 threads take 4.0 times as long", "never asked for"])
    monkeypatch.setattr(logger_module, "describe_slowdown", lambda: next(found))
    out, _ = run(nlp)
    assert out.count("2 threads take 4.0 times as long") == 1 and "never" not in out


def test_another_kind_of_bar_is_refused():
    with pytest.raises(ValueError, match="`training.logger.progress_bar` is 'all'"):
        ConsoleLogger("all")
