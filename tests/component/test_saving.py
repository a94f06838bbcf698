"""What a component saves, and what loading does with files that are not those that were saved."""

import errno
import gc
import json
import os
import random
import shutil
import threading
from functools import lru_cache
from pathlib import Path

import pytest
import spacy
import srsly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from saved.make import answers
from util import SENTENCES, make_backbone, make_examples, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.exits.rules.depth import FixedDepth  # noqa: E402
from spacy_epee.exits.rules.thresholds import Entropy  # noqa: E402
from spacy_epee.model import get_heads, get_stepper  # noqa: E402

SAVED = Path(__file__).parents[1] / "saved" / "v0.1.0"
KINDS = sorted(path.name for path in SAVED.iterdir())


def component(nlp):
    return nlp.get_pipe(nlp.pipe_names[-1])


def load(name):
    if name == "exported":
        pytest.importorskip("onnxruntime")
    return spacy.load(SAVED / name)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Every kind of pipeline, saved by this version."""
    place = tmp_path_factory.mktemp("now")
    for name in KINDS:
        load(name).to_disk(place / name)
    return place


def state_of(pipe):
    """All that answers depend on."""
    weights = [get_stepper(pipe.model).model, *get_heads(pipe.model)]
    return {
        "cfg": json.dumps(pipe.cfg, sort_keys=True),
        "rules": pipe.exits,
        "joint": pipe.joint,
        "weights": [(id(module), {name: value.clone() for name, value in module.state_dict().items()}) for module in weights],
        "attrs": {name: value for name, value in pipe.model.attrs.items()},
        "dims": pipe.model.get_dim("nO"),
        "tokenizer": id(getattr(pipe.model.get_ref("trunk").shims[0], "_hfmodel", None)),
    }


def assert_same(found, expected):
    for name, value in expected.items():
        if name != "weights":
            assert found[name] == value
    for (number, own), (other, others) in zip(found["weights"], expected["weights"]):
        assert number == other and own.keys() == others.keys()
        assert all(torch.equal(own[key], others[key]) for key in own)


@pytest.mark.parametrize("name", KINDS)
def test_saving_twice_gives_the_same(folders, tmp_path, name):
    nlp = spacy.load(folders / name)
    nlp.to_disk(tmp_path / "one")
    answers(nlp)
    nlp.to_disk(tmp_path / "two")
    spacy.load(tmp_path / "two").to_disk(tmp_path / "three")
    for path in (folders / name / nlp.pipe_names[-1]).iterdir():
        for place in ("one", "two", "three"):
            assert (tmp_path / place / nlp.pipe_names[-1] / path.name).read_bytes() == path.read_bytes()
    alone = {"exclude": ["vocab"]}
    assert component(nlp).to_bytes(**alone) == component(spacy.load(tmp_path / "one")).to_bytes(**alone)


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "deberta-v2"])
def test_saving_keeps_no_path_of_the_backbone(tmp_path, family):
    contents = []
    for name in ("one", "two"):
        backbone = make_backbone(tmp_path / f"patients-of-{name}", family)
        nlp = make_nlp(backbone)
        contents.append(nlp.get_pipe("epee_textcat").to_bytes(exclude=["vocab"]))
        assert b"patients-of" not in contents[-1] and str(tmp_path).encode() not in contents[-1]
    assert contents[0] == contents[1]


def test_saving_images_keeps_no_path_of_the_backbone(tmp_path):
    pytest.importorskip("PIL")
    from images_util import make_image_backbone, make_image_nlp

    pipe = make_image_nlp(make_image_backbone(tmp_path / "patients-of-one")).get_pipe("epee_imagecat")
    assert b"patients-of" not in pipe.to_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_loading_what_was_saved_gives_the_same_answers(folders, name):
    assert answers(spacy.load(folders / name)) == answers(load(name))


@pytest.mark.parametrize("name", KINDS)
def test_loading_notices_any_flipped_bit(folders, tmp_path, name):
    nlp = spacy.load(folders / name)
    pipe, chance = component(nlp), random.Random(1)
    place = tmp_path / pipe.name
    shutil.copytree(folders / name / pipe.name, place)
    content = (place / "model").read_bytes()
    for _ in range(150):
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (place / "model").write_bytes(changed)
        with pytest.raises(ValueError, match=f"{pipe.name}.*damaged"):
            pipe.from_disk(place, exclude=["vocab"])
    (place / "model").write_bytes(content)
    pipe.from_disk(place, exclude=["vocab"])


def test_loading_notices_what_changed_in_cfg(folders, tmp_path):
    shutil.copytree(folders / "fitted", tmp_path / "nlp")
    path = tmp_path / "nlp" / "epee_textcat" / "cfg"
    saved = json.loads(path.read_text())
    own = saved["tasks"]["textcat"]
    for name, value in (("labels", own["labels"][::-1]), ("threshold", 0.4), ("temperatures", [1.0, 1.0, 1.0]), ("more", 1)):
        path.write_text(json.dumps({**saved, "tasks": {"textcat": {**own, name: value}}}))
        with pytest.raises(ValueError, match="epee_textcat.*not what was saved together"):
            spacy.load(tmp_path / "nlp")
    for name in set(saved) - {"digest"}:
        path.write_text(json.dumps({key: value for key, value in saved.items() if key != name}))
        with pytest.raises(ValueError, match="epee_textcat.*damaged"):
            spacy.load(tmp_path / "nlp")


@pytest.mark.parametrize("name", KINDS)
def test_one_form_is_saved_that_older_versions_refuse(folders, name):
    pipe = component(load(name))
    saved = json.loads((folders / name / pipe.name / "cfg").read_text())
    assert saved["format"] == 2 and saved.keys() <= {"tasks", "format", "joint", "digest"}
    assert saved["tasks"].keys() == pipe.slots.keys() and all(own["labels"] for own in saved["tasks"].values())


def test_the_old_form_of_one_task_is_refused_by_a_component_of_several():
    joint, old = component(load("joint")), SAVED / "textcat" / "epee_textcat"
    with pytest.raises(ValueError, match="'epee' was saved with the tasks.*Load it with the config"):
        joint.from_disk(old)


def test_loading_notices_files_of_two_pipelines(folders, tmp_path):
    for name in ("model", "cfg"):
        shutil.copytree(folders / "fitted", tmp_path / name)
        shutil.copy(folders / "exported" / "epee_textcat" / name, tmp_path / name / "epee_textcat" / name)
        with pytest.raises(ValueError, match="epee_textcat.*of another save"):
            spacy.load(tmp_path / name)


def test_loading_parts_alone_needs_no_digest(folders, tmp_path):
    pipe = component(spacy.load(folders / "fitted"))
    before = state_of(pipe)
    pipe.to_disk(tmp_path / "one", exclude=["model", "vocab"])
    pipe.from_disk(tmp_path / "one", exclude=["model", "vocab"])
    pipe.to_disk(tmp_path / "two", exclude=["vocab"])
    pipe.set_temperatures(None)
    pipe.from_disk(tmp_path / "two", exclude=["cfg", "vocab"])
    assert "temperatures" not in pipe.cfg
    pipe.from_bytes(pipe.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    pipe.from_disk(tmp_path / "two", exclude=["vocab"])
    assert pipe.cfg["temperatures"] == json.loads(before["cfg"])["temperatures"]


def rename(state):
    first, *rest = state
    return {f"{first}x": state[first], **{name: state[name] for name in rest}}


@pytest.mark.parametrize(
    "edit",
    [
        rename,
        lambda state: {name: state[name] for name in list(state)[1:]},
        lambda state: {**state, "more.weight": torch.zeros(3)},
        lambda state: {**state, list(state)[0]: torch.zeros(3, 3)},
    ],
)
@pytest.mark.parametrize("where", ["trunk", "head"])
def test_loading_refuses_missing_and_unexpected_tensors(tmp_path, where, edit):
    import io

    import safetensors.torch

    shutil.copytree(SAVED / "textcat", tmp_path / "nlp")  # without a digest
    path = tmp_path / "nlp" / "epee_textcat" / "model"
    message = srsly.msgpack_loads(path.read_bytes())
    place = 1 if where == "trunk" else 2
    own = srsly.msgpack_loads(message["shims"][place][0])
    if where == "trunk":
        file = io.BytesIO()
        torch.save(edit(torch.load(io.BytesIO(own["state"]))), file)
        own["state"] = file.getvalue()
    else:
        heads = srsly.msgpack_loads(own["state"])
        heads["state"] = safetensors.torch.save(edit(safetensors.torch.load(heads["state"])))
        own["state"] = srsly.msgpack_dumps(heads)
    message["shims"][place][0] = srsly.msgpack_dumps(own)
    path.write_bytes(srsly.msgpack_dumps(message))
    with pytest.raises(ValueError, match="epee_textcat.*could not be loaded"):
        spacy.load(tmp_path / "nlp")


@pytest.fixture
def pipe():
    nlp = load("fitted")
    return component(nlp)


def bad_bytes(pipe):
    """Bytes that fail at different places."""
    whole = srsly.msgpack_loads(pipe.to_bytes())
    cfg, model = json.loads(whole["cfg"]), srsly.msgpack_loads(whole["model"])
    plain = {name: value for name, value in cfg.items() if name != "digest"}
    own = plain["tasks"]["textcat"]

    def packed(cfg, model=whole["model"]):
        return srsly.msgpack_dumps({**whole, "cfg": json.dumps(cfg).encode(), "model": model})

    def changed(**settings):
        return packed({**plain, "tasks": {"textcat": {**own, **settings}}})

    cut = {**model, "shims": [model["shims"][0], model["shims"][1], [model["shims"][2][0][:-50]]]}
    yield b"garbage"
    yield b""
    yield pipe.to_bytes()[:-100]
    yield packed(plain, whole["model"][:-100])
    yield changed(labels=["ONE", "TWO"], temperatures=None, threshold=0.9)
    yield packed(plain, srsly.msgpack_dumps(cut))
    yield changed(temperatures=[1.0])
    yield changed(temperatures="warm")
    yield changed(exit="not json")
    yield changed(exit=json.dumps({"config": json.loads(own["exit"])["config"], "rule": {"@misc": "none.v1"}}))
    yield packed({**plain, "format": 99})
    yield changed(labels=3)
    yield packed({**plain, "tasks": [own]})
    yield packed({**plain, "tasks": {"textcat": own, "other": own}})
    yield packed({**own, "format": 2})
    yield packed({**plain, "joint": {"config": "all", "now": "some"}})
    yield packed([])
    yield srsly.msgpack_dumps({**whole, "vocab": b"garbage"})


@pytest.mark.parametrize("number", range(18))
def test_a_failed_load_changes_nothing(pipe, tmp_path, number):
    data = list(bad_bytes(pipe))[number]
    pipe.exit = FixedDepth(2)
    before, strings = state_of(pipe), set(pipe.vocab.strings)
    assert gc.isenabled()
    with pytest.raises(ValueError, match="epee_textcat"):
        pipe.from_bytes(data)
    assert_same(state_of(pipe), before)
    assert set(pipe.vocab.strings) == strings and gc.isenabled()
    if number > 2:
        parts = srsly.msgpack_loads(data)
        for name in ("cfg", "model"):
            (tmp_path / name).write_bytes(parts[name])
        pipe.vocab.to_disk(tmp_path / "vocab")
        if number == 17:
            (tmp_path / "vocab" / "strings.json").write_text("garbage")
        with pytest.raises(ValueError, match="epee_textcat"):
            pipe.from_disk(tmp_path)
        assert_same(state_of(pipe), before)


def test_a_failed_load_of_graphs_keeps_those_that_are_there():
    pipe = component(load("exported"))
    shim = pipe.model.get_ref("trunk").shims[0]
    runner, exported = shim.runner, shim.exported
    with pytest.raises(ValueError, match="damaged"):
        pipe.from_bytes(pipe.to_bytes()[:-5])
    assert shim.runner is runner and shim.exported is exported


def test_a_failed_load_of_an_empty_component_leaves_it_empty(backbone):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(backbone)}}})
    before = pipe.to_bytes()
    with pytest.raises(ValueError, match="damaged"):
        pipe.from_bytes(component(load("textcat")).to_bytes()[:-1])
    assert pipe.to_bytes() == before
    nlp.initialize(lambda: make_examples(nlp, ["A", "B"]))


def test_a_load_takes_all_of_the_other_pipeline(pipe):
    other = component(load("textcat"))
    pipe.from_bytes(other.to_bytes())
    assert "temperatures" not in pipe.cfg
    docs = [spacy.blank("en").make_doc(text) for text in SENTENCES]
    assert pipe.answer(docs, None).logits.tolist() == other.answer(docs, None).logits.tolist()


def test_a_load_keeps_the_model_that_others_hold(pipe):
    model, shim = pipe.model, pipe.model.get_ref("trunk").shims[0]
    backbone = shim._model
    pipe.from_bytes(pipe.to_bytes())
    assert pipe.model is model and model.get_ref("trunk").shims[0] is shim and shim._model is not backbone


@pytest.mark.hard
def test_failed_loads_beside_answers(pipe):
    data = [content for content in bad_bytes(pipe) if len(content) > 100][:6]
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(text) for text in SENTENCES[:4]]
    expected = pipe.run(docs, pipe.exits)["textcat"]
    wrong, done = [], threading.Event()

    def answer():
        while not done.is_set():
            found = pipe.run(docs, pipe.exits)["textcat"]
            if found.logits.tolist() != expected.logits.tolist() or found.layers.tolist() != expected.layers.tolist():
                wrong.append(found)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        for content in data * 4:
            with pytest.raises(ValueError):
                pipe.from_bytes(content)
    finally:
        done.set()
        thread.join()
    assert not wrong


@settings(max_examples=25)
@given(st.binary(max_size=200))
def test_a_load_of_anything_says_which_component(data):
    pipe = _one()
    with pytest.raises(ValueError, match="epee_textcat"):
        pipe.from_bytes(data)


@lru_cache(maxsize=1)
def _one():
    return component(load("textcat"))


def test_numbers_of_cfg_are_read_as_they_were_written(pipe, tmp_path):
    pipe.set_temperatures([0.1, 0.3, 1.23456])
    pipe.exit = Entropy(0.1 + 0.2)
    pipe.to_disk(tmp_path, exclude=["vocab"])
    pipe.from_disk(tmp_path, exclude=["vocab"])
    assert pipe.cfg["temperatures"] == [0.1, 0.3, 1.23456] and pipe.exit == Entropy(0.1 + 0.2)


@pytest.mark.parametrize("name", ["textcat", "imagecat"])
def test_without_a_temporary_folder_nothing_is_said_to_be_damaged(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OSError, match="TMPDIR") as caught:
        spacy.load(SAVED / name)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOSPC, errno.EROFS])
def test_saving_without_a_temporary_folder_says_so(number, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    pipe = component(load("textcat"))
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(OSError, match="TMPDIR") as caught:
        pipe.to_disk(tmp_path / "out")
    assert os.strerror(number) in str(caught.value) and not (tmp_path / "out").exists()
