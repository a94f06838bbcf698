"""Steps of training and passes over the data."""

import json

import pytest
import spacy
from test_train import CONFIGS, data, short  # noqa: F401
from thinc.api import Config
from util import make_nlp

from spacy_epee.training.passes import Passes, count_passes, set_steps, steps_of


@pytest.fixture
def nlp(backbone, tmp_path):
    """A pipeline whose config trains on 35 notes."""
    path = tmp_path / "train.jsonl"
    rows = [{"text": f"note {number}", "cats": ["A", "B"][number % 2]} for number in range(35)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    nlp = make_nlp(backbone, ["A", "B"])
    config = Config().from_disk(CONFIGS / "textcat.cfg", interpolate=False)
    config["paths"].update(train=str(path), dev=str(path))
    nlp.config = config
    return nlp


def settings(nlp, **values):
    nlp.config["training"].update(values)
    return nlp


def test_passes_are_counted_as_training_cuts_them(nlp):
    assert count_passes(nlp) == Passes(documents=35, steps=3, largest=16)


@pytest.mark.parametrize(
    "passes,steps,said",
    [
        (Passes(6957, 435, 16), 1000, "1,000 steps of 16 = 2.3 passes over 6,957 documents"),
        (Passes(35, 3, 16), 3, "3 steps of 16 = 1.0 passes over 35 documents"),
        (Passes(100, 9, 30), 18, "18 steps of about 11 = 2.0 passes over 100 documents"),
    ],
)
def test_passes_are_described(passes, steps, said):
    assert passes.describe(steps) == said


@pytest.mark.parametrize("epochs,steps,expected", [(2, 0, 6), (0, 4, 4), (2, 4, 4), (2, 1000, 6), (0, 0, 0)])
def test_what_is_over_first_counts(nlp, epochs, steps, expected):
    settings(nlp, max_epochs=epochs, max_steps=steps)
    assert steps_of(nlp, count_passes(nlp)) == expected


def test_data_that_are_streamed_are_not_counted(nlp):
    assert count_passes(settings(nlp, max_epochs=-1)) is None and steps_of(nlp, None) == 1000


def test_steps_are_set_by_passes_and_the_learning_rate_follows(nlp):
    set_steps(settings(nlp, max_epochs=2, max_steps=0))
    training = nlp.config.interpolate()["training"]
    assert training["max_steps"] == training["optimizer"]["learn_rate"]["total_steps"] == 6


def test_steps_stay_where_there_are_no_passes(nlp):
    before = nlp.config.interpolate()
    set_steps(nlp)
    assert nlp.config.interpolate() == before


def test_steps_stay_where_the_data_are_gone(nlp):
    nlp.config["paths"]["train"] = "gone.jsonl"
    set_steps(settings(nlp, max_epochs=2, max_steps=7))
    assert nlp.config.interpolate()["training"]["max_steps"] == 7


@pytest.mark.parametrize("name", ["textcat", "textcat_multilabel"])
def test_training_by_passes_ends_after_them_with_a_learning_rate_of_nothing(name, data, backbone, tmp_path, capsys):  # noqa: F811
    from spacy.cli.train import train

    overrides = {**short(data, backbone), "training.max_steps": 0, "training.max_epochs": 3, "training.eval_frequency": 1}
    train(CONFIGS / f"{name}.cfg", tmp_path / "out", overrides=overrides)
    printed = capsys.readouterr().out
    assert "3 steps of 12 = 3.0 passes over 12 documents" in " ".join(printed.split())
    assert [words[1] for words in map(str.split, printed.splitlines()) if words and words[0].isdecimal()] == ["0", "1", "2"]
    config = spacy.load(tmp_path / "out" / "model-last").config["training"]
    assert config["max_steps"] == 3 and config["optimizer"]["learn_rate"]["total_steps"] == 3


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.cfg")), ids=lambda path: path.stem)
def test_every_config_takes_passes(path):
    config = Config().from_disk(path, interpolate=False)
    assert config["initialize"]["before_init"] == {"@callbacks": "spacy-epee.steps_from_passes.v1"}
    assert config["training"]["logger"]["progress_bar"] == "train"
