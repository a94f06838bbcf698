"""What comes with a pipeline is what was saved, or is refused when it is loaded: `cfg` and exits."""

import json

import pytest
import srsly
from util import make_nlp

from spacy_epee.tasks.saved import check_saved

NAN = float("nan")
CFG = {"labels": ["A", "B"], "threshold": 0.5}


def test_saved_as_it_should_be():
    check_saved(CFG, "the task")
    fitted = {"uncertain": 1.0, "gate": {"threshold": 0.1}, "types": ["Drug"], "label_weights": {"A": 2}}
    check_saved({**CFG, **fitted, "positive_label": "B"}, "the task")
    check_saved({**CFG, "mix": {"trained": [0, -0.5], "fitted": [1.5, 0.0]}}, "the task")


GATE = {"threshold": 0.1, "recall": 0.99, "confidence": 0.95, "something": 30, "lost": 0}
PROMISE = {
    "max_disagreement": 0.02,
    "confidence": 0.9,
    "documents": 250,
    "settings_tested": 3,
    "settings_passed": 0,
    "kept": True,
}
FIGURES = {
    "score": 0.9,
    "full": 0.91,
    "drop": 0.01,
    "spread": None,
    "disagreement": 0.01,
    "wordpiece_layers": 2.5,
    "speedup": None,
}
TUNED = {"documents": 500, "score_desc": "macro F", "wish": {"max_drop": 0}, "promise": PROMISE, **FIGURES, "rule": "null"}
COUNTS = {"documents": 9, "failed": 0, "uncertain": 2, "layers": {"none": 1, "4": 8}, "labels": {"A": 3, "B": 6}}
REFERENCE = {**COUNTS, "entropy": [0] * 20, "settings": "{}"}


@pytest.mark.parametrize("name, noted", [("gate", GATE), ("tuned", TUNED), ("reference", REFERENCE)])
def test_notes_are_those_that_are_made_or_are_refused(name, noted):
    check_saved({**CFG, name: noted}, "the task")
    for field in set(noted) - {"promise", "something", "lost", "confidence", "recall"}:
        with pytest.raises(ValueError, match=f"`{name}` is not"):
            check_saved({**CFG, name: {other: value for other, value in noted.items() if other != field}}, "the task")
    for field in noted:
        with pytest.raises(ValueError, match=f"`{name}` is not"):
            check_saved({**CFG, name: {**noted, field: ["SECRET"]}}, "the task")


@pytest.mark.parametrize(
    "name, noted",
    [
        ("gate", {**GATE, "lost": None}),
        ("tuned", {**TUNED, "promise": {**PROMISE, "kept": None}}),
        ("reference", {**REFERENCE, "layers": {"x": 1}}),
        ("reference", {**REFERENCE, "entropy": [0] * 19}),
        ("reference", {**REFERENCE, "labels": {"A": -1}}),
    ],
)
def test_notes_whose_parts_are_others_are_refused(name, noted):
    with pytest.raises(ValueError, match=f"`{name}` is not"):
        check_saved({**CFG, name: noted}, "the task")


@pytest.mark.parametrize(
    "field, value",
    [
        ("labels", ["A", "A"]),
        ("labels", ["A", 1]),
        ("labels", "AB"),
        ("labels", {"A": 1, "B": 1}),
        ("types", ["Drug", "Drug"]),
        ("threshold", NAN),
        ("threshold", None),
        ("threshold", True),
        ("threshold", 1.5),
        ("uncertain", NAN),
        ("uncertain", "SECRETNAME"),
        ("gate", "SECRETNAME"),
        ("gate", {"threshold": NAN}),
        ("gate", {"threshold": [0.5]}),
        ("label_weights", {"A": NAN}),
        ("positive_label", "SECRETNAME"),
        ("mix", "SECRETNAME"),
        ("mix", {"trained": [0.5]}),
        ("mix", {"trained": [0.5], "fitted": [0.5, 0.5]}),
        ("mix", {"trained": [NAN], "fitted": [0.5]}),
        ("mix", {"trained": [0.5], "fitted": [float("-inf")]}),
        ("mix", {"trained": ["SECRETNAME"], "fitted": [0.5]}),
    ],
)
def test_saved_as_it_cannot_be(field, value):
    with pytest.raises(ValueError, match=f"the task cannot be: `{field}` is not") as caught:
        check_saved({**CFG, field: value}, "the task")
    assert "SECRET" not in str(caught.value)


@pytest.fixture(scope="module")
def pipe(backbone):
    [(_, pipe)] = make_nlp(backbone, ["A", "B"]).pipeline
    return pipe


def changed(pipe, cfg, attrs):
    """The component as bytes, with something else in it."""
    parts = srsly.msgpack_loads(pipe.to_bytes())
    saved = json.loads(parts["cfg"])
    del saved["digest"]
    cfg(saved["tasks"]["textcat"])
    model = srsly.msgpack_loads(parts["model"])
    attrs(model["attrs"][0])
    return srsly.msgpack_dumps({**parts, "cfg": json.dumps(saved).encode(), "model": srsly.msgpack_dumps(model)})


@pytest.mark.parametrize("field, value", [("labels", ["A", "A"]), ("threshold", NAN), ("uncertain", "x")])
def test_a_component_with_another_cfg_is_refused(pipe, field, value):
    data = changed(pipe, lambda cfg: cfg.update({field: value}), dict)
    with pytest.raises(ValueError, match=f"the component 'epee_textcat' cannot be: `{field}`"):
        pipe.from_bytes(data)


@pytest.mark.parametrize("layers", [[0, 1, 2, 3], [4, 3, 2, 1], [1, 2], [1, 2, 3, 4, 5], "x", {"a": 1}, [1.0, 2.0, 3.0]])
def test_a_component_with_other_exits_is_refused(pipe, layers):
    with pytest.raises(ValueError, match="other layers with an exit"):
        pipe.from_bytes(changed(pipe, dict, lambda attrs: attrs.update(exit_layers=srsly.msgpack_dumps(layers))))


@pytest.mark.parametrize("layers", [[1, 2, 3], [1, 2, 3, 4], None])
def test_a_component_with_its_exits_is_loaded(pipe, layers):
    pipe.from_bytes(changed(pipe, dict, lambda attrs: attrs.update(exit_layers=srsly.msgpack_dumps(layers))))
