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
    fitted = {"uncertain": 1.0, "gate": {"threshold": 0.1, "recall": 0.99}, "types": ["Drug"], "label_weights": {"A": 2}}
    check_saved({**CFG, **fitted, "positive_label": "B"}, "the task")
    check_saved({**CFG, "mix": {"trained": [0, -0.5], "fitted": [1.5, 0.0]}}, "the task")


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
