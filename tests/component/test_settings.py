"""Settings that mean nothing, that a trained pipeline does not heed, or with which a pipeline could not be loaded again."""

import math
import warnings
from dataclasses import fields
from pathlib import Path

import pytest
import spacy
from util import make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.exits import rules  # noqa: E402
from spacy_epee.exits.rules.composite import AllOf, AnyOf  # noqa: E402
from spacy_epee.exits.rules.depth import Deadline, FixedDepth, FromLayer  # noqa: E402
from spacy_epee.exits.rules.patience import Patience  # noqa: E402
from spacy_epee.exits.rules.thresholds import Entropy  # noqa: E402
from spacy_epee.heads.pooled import PooledHead  # noqa: E402
from spacy_epee.settings import check_number  # noqa: E402
from spacy_epee.tasks.checks import check_settings  # noqa: E402
from spacy_epee.tasks.events.head import EventHead  # noqa: E402
from spacy_epee.tasks.relations.head import PairHead  # noqa: E402
from spacy_epee.tasks.slot import TaskSlot  # noqa: E402
from spacy_epee.training.losses import JointLoss  # noqa: E402
from spacy_epee.trunk.transformer import TransformerTrunk  # noqa: E402

SAVED = Path(__file__).parents[1] / "saved" / "v0.1.0"
BAD = [math.nan, math.inf, -math.inf, -1]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    "make,setting",
    [
        (lambda value: TransformerTrunk("b", lr_decay=value), "model.trunk.lr_decay"),
        (lambda value: TransformerTrunk("b", window=value), "model.trunk.window"),
        (lambda value: TransformerTrunk("b", overlap=value), "model.trunk.overlap"),
        (lambda value: TransformerTrunk("b", context=value), "model.trunk.context"),
        (lambda value: TransformerTrunk("b", max_wordpieces=value), "model.trunk.max_wordpieces"),
        (lambda value: PooledHead(dropout=value), "model.head.dropout"),
        (lambda value: PairHead(dropout=value), "model.head.dropout"),
        (lambda value: EventHead(dropout=value), "model.head.dropout"),
        (lambda value: PooledHead(lr_scale=value), "model.head.lr_scale"),
        (lambda value: JointLoss(temperature=value), "loss.temperature"),
        (lambda value: JointLoss(self_distillation=value), "loss.self_distillation"),
        (lambda value: TaskSlot(None, None, None, threshold=value), "threshold"),
        (lambda value: TaskSlot(None, None, None, weight=value), "weight"),
        (lambda value: check_settings("max", {"A": value}), "label_weights"),
    ],
)
def test_settings_refuse_what_is_out_of_range(make, setting, value):
    with pytest.raises(ValueError, match=f"{setting}.*give"):
        make(value)


def test_settings_refuse_units_that_there_are_not():
    with pytest.raises(ValueError, match="`model.trunk.unit` is 'paragraph'; give 'window' or 'sentence'"):
        TransformerTrunk("b", unit="paragraph")


def test_image_settings_refuse_what_is_out_of_range():
    pytest.importorskip("PIL")
    from spacy_epee.trunk.vision import ImageTrunk

    for setting in ("lr_decay", "max_patches"):
        for value in BAD:
            with pytest.raises(ValueError, match=f"model.trunk.{setting}.*give"):
                ImageTrunk("b", **{setting: value})


@pytest.mark.parametrize("setting,value", [("dropout", 1.0), ("lr_scale", 0.0)])
def test_settings_refuse_bounds_that_stop_learning(setting, value):
    with pytest.raises(ValueError, match=f"model.head.{setting}"):
        PooledHead(**{setting: value})


def test_check_number_says_what_to_give():
    with pytest.raises(ValueError, match="`a` is 2; give a number from 0 to below 1"):
        check_number("a", 2, 0, 1, below=True)
    with pytest.raises(ValueError, match="give a whole number from 1 on"):
        check_number("a", 1.5, 1, whole=True)
    with pytest.raises(ValueError, match=r"give a number above 0\."):
        check_number("a", 0, 0, above=True)
    check_number("a", 0.5, 0, 1)


NUMBERS = [
    (name, setting)
    for name, kind in vars(rules).items()
    if isinstance(kind, type) and getattr(kind, "registered", "")
    for setting in (own.name for own in fields(kind))
    if setting not in ("rules", "rule", "measure") and name != "SettledStructure"  # of which most is fitted
]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name,setting", NUMBERS)
def test_rules_refuse_what_is_no_number(name, setting, value):
    more = {"rule": Patience(1)} if name == "FromLayer" else {}
    with pytest.raises(ValueError, match=f"{name}.v1 has {setting} = "):
        getattr(rules, name)(**{setting: value, **more})


@pytest.mark.parametrize("setting", ["threshold", "layers", "nothing", "found", "links"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_fitted_rule_refuses_what_is_no_number(setting, value):
    good = {"threshold": 0.5, "layers": [1], "nothing": [[0.0] * 8], "found": [[0.0] * 8], "links": [[0.0] * 4]}
    rules.SettledStructure(**good)
    bad = {"threshold": value, "layers": [value]}.get(
        setting, [[value, *good[setting][0][1:]]] if setting in ("nothing", "found", "links") else None
    )
    with pytest.raises(ValueError, match="SettledStructure.v1 (has|needs) .*(give|have)"):
        rules.SettledStructure(**{**good, setting: bad})


def test_all_settings_of_rules_were_tried():
    assert len(NUMBERS) >= 15 and {"Deadline", "Learned", "FromLayer"} <= {name for name, _ in NUMBERS}


@pytest.mark.parametrize("kind", [Entropy, rules.Confidence])
def test_rules_refuse_what_is_no_number_for_an_exit(kind):
    with pytest.raises(ValueError, match="v1 has .*nan"):
        kind([0.5, math.nan, 0.5, 0.5])


@pytest.mark.parametrize("make", [lambda: FixedDepth(1.5), lambda: FromLayer(1.5, Patience(1)), lambda: Patience(1.5)])
def test_rules_refuse_parts_of_layers(make):
    with pytest.raises(ValueError, match="give a"):
        make()


@pytest.fixture(scope="module")
def pipe(backbone):
    return make_nlp(backbone).get_pipe("epee_textcat")


def nested(depth, rule=None):
    rule = rule or Entropy(0.5)
    for _ in range(depth):
        rule = FromLayer(1, rule)
    return rule


@pytest.mark.parametrize(
    "rule",
    [
        nested(200),
        nested(20),
        AnyOf({"@misc": Entropy(0.5)}),
        AnyOf({"a.b": Entropy(0.5), "c": Patience(1)}),
        AllOf({"a": AnyOf({"b.c.d": Entropy(0.5)})}),
        AnyOf({"a\n[b": Entropy(0.5)}),
    ],
    ids=range(6),
)
def test_rules_that_could_not_be_loaded_again_are_refused(pipe, rule):
    pipe.exit = Patience(1)
    with pytest.raises(ValueError, match="cannot be saved"):
        pipe.exit = rule
    assert pipe.exit == Patience(1)


@pytest.mark.parametrize(
    "rule",
    [
        nested(19),
        nested(8, AnyOf({"a": Entropy([0.5, 0.4, 0.3, 0.2]), "b": AllOf({"c": Patience(1), "d": Deadline(1.5)})})),
        AnyOf({"with space": Entropy(0.1 + 0.2), "Ünïcode": Patience(1), "under_score-dash": Patience(2)}),
        AnyOf({"": Entropy(0.5), "a]": Entropy(0.4), "a = b": Patience(1)}),
    ],
    ids=range(4),
)
def test_rules_that_are_taken_can_be_loaded_again(backbone, tmp_path, rule):
    nlp = make_nlp(backbone)
    nlp.get_pipe("epee_textcat").exit = rule
    nlp.to_disk(tmp_path / "set")
    assert spacy.load(tmp_path / "set").get_pipe("epee_textcat").exit == rule
    nlp.get_pipe_config("epee_textcat")["exit"] = rule.to_config()
    nlp.get_pipe("epee_textcat").slot().note_configured()
    nlp.to_disk(tmp_path / "configured")
    assert spacy.load(tmp_path / "configured").get_pipe("epee_textcat").exit.to_config()["@misc"] == rule.registered


@pytest.mark.parametrize("number", [3e-310, 1e-9, 1e9, math.inf, math.nan, 0.0, -1.0])
def test_temperatures_that_mean_nothing_are_refused(pipe, number):
    with pytest.raises(ValueError, match="temperatures.*from 0.001 to 1000"):
        pipe.set_temperatures([1.0, number, 1.0, 1.0])


IGNORED = [
    ("textcat", "exit_layers", [99]),
    ("textcat", "exit_layers", [1, 2]),
    ("textcat_multilabel", "exit_layers", None),
    ("textcat", "head.pooling", "cls"),
    ("textcat", "head.dropout", 0.5),
    ("textcat", "head.learned_exit", True),
    ("textcat", "head.standardize", False),
    ("relations", "head.hidden", 32),
    ("relations", "head.between", False),
    ("events", "head.hidden", 32),
    ("joint", "heads.kind.dropout", 0.5),
    ("joint", "heads.events.hidden", 99),
    ("imagecat", "head.pooling", "mean"),
]


@pytest.mark.parametrize("name,setting,value", IGNORED)
def test_settings_that_a_trained_pipeline_does_not_heed_are_said(name, setting, value):
    pipe = {"joint": "epee", "textcat_multilabel": "epee_textcat_multilabel"}.get(name, f"epee_{name}")
    with pytest.warns(UserWarning, match=rf"components\.{pipe}\.model\.{setting}.*no effect.*trained with"):
        nlp = spacy.load(SAVED / name, config={f"components.{pipe}.model.{setting}": value})
    if name == "textcat":
        assert nlp("Knee swollen.").cats == spacy.load(SAVED / name)("Knee swollen.").cats


@pytest.mark.parametrize("name", sorted(path.name for path in SAVED.iterdir()))
def test_settings_as_they_were_saved_need_no_word(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", r"\[W095\]")  # an older spaCy says that a newer one has saved it
        spacy.load(SAVED / name)
