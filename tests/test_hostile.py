"""Folders of somebody who wants to run code, to write files, or to read those of others."""

import builtins
import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest
import safetensors.torch
import spacy
import srsly
import torch
from util import SENTENCES, make_backbone, make_nlp

pytest.importorskip("spacy_transformers")

from spacy_epee.heads.base import dump_heads, load_heads  # noqa: E402
from spacy_epee.trunk.packed import unpack  # noqa: E402
from spacy_epee.trunk.saved import build_config  # noqa: E402
from spacy_epee.trunk.shims import check_sizes  # noqa: E402
from spacy_epee.trunk.transformer import TransformerTrunk, load_backbone  # noqa: E402

SAVED = Path(__file__).parent / "saved" / "v0.1.0"
posix = pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")

EVIL = """
import pathlib
pathlib.Path({marker!r}).write_text("code was run")
from transformers import BertConfig, BertModel, BertTokenizerFast, ViTImageProcessor
class Config(BertConfig): model_type = "evil"
class Model(BertModel): pass
class Tokenizer(BertTokenizerFast): pass
class Processor(ViTImageProcessor): pass
"""

CODE = {
    "auto_map": {
        "AutoConfig": "evil.Config",
        "AutoModel": "evil.Model",
        "AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"],
        "AutoImageProcessor": "evil.Processor",
        "AutoProcessor": "evil.Processor",
    }
}


class Run:
    """Unpickled by anything that allows code, it writes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "code was run")


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """Where code that is run would write. Nobody is asked anything, and nothing is fetched."""
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("asked on the terminal"))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    path = tmp_path / "ran"
    yield path
    assert not path.exists() and not (tmp_path / "modules").exists()


def evil(marker):
    return EVIL.format(marker=str(marker)).encode()


def change(folder, edit, pipe="epee_textcat", onnx=False):
    """Change what is saved of the backbone of a pipeline."""
    path = folder / pipe / "model"
    message = srsly.msgpack_loads(path.read_bytes())
    for shims in message["shims"]:
        for place, saved in enumerate(shims):
            own = srsly.msgpack_loads(saved)
            if "tokenizer" in own:
                edit(own)
                shims[place] = srsly.msgpack_dumps(own)
            elif "processor" in own.get("settings", {}):
                edit(own["settings"])
                shims[place] = srsly.msgpack_dumps(own)
    path.write_bytes(srsly.msgpack_dumps(message))


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(SAVED / "textcat", tmp_path / "nlp")
    return tmp_path / "nlp"


def files_below(path):
    return {found for found in path.rglob("*") if "temporary" not in found.parts}


def try_to_load(folder):
    """Load a pipeline that may be refused. RETURNS (str): The error, or nothing."""
    before = files_below(folder.parent)
    try:
        nlp = spacy.load(folder)
        if "epee_imagecat" not in nlp.pipe_names:
            nlp(SENTENCES[0])
        said = ""
    except ValueError as error:
        said = str(error)
    assert files_below(folder.parent) == before and not list((folder.parent / "temporary").iterdir())
    return said


def test_hostile_tokenizer_settings(folder, marker):
    def edit(own):
        own["tokenizer"]["kwargs"] = {"use_fast": True, "trust_remote_code": True}
        own["tokenizer"]["evil.py"] = evil(marker)
        settings = json.loads(own["tokenizer"]["tokenizer_config.json"])
        own["tokenizer"]["tokenizer_config.json"] = json.dumps({**settings, **CODE}).encode()

    change(folder, edit)
    assert "could not be loaded" in try_to_load(folder)


@pytest.mark.parametrize("setting", ["cache_dir", "gguf_file", "trust_remote_code", "vocab_file"])
def test_hostile_settings_beside_use_fast(folder, marker, setting):
    change(folder, lambda own: own["tokenizer"]["kwargs"].update({setting: str(marker)}))
    assert "could not be loaded" in try_to_load(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "../../evil.txt",
        "{absolute}",
        "sub/evil.txt",
        "evil.py",
        "tokenizer.json/../../evil",
        "..",
        "",
        "config.json",
        "pytorch_model.bin",
        "vocab.pkl",
        "C:\\evil.txt",
    ],
)
def test_hostile_names_of_files(folder, marker, name):
    name = name.format(absolute=marker)
    change(folder, lambda own: own["tokenizer"].update({name: b"written"}))
    assert "could not be loaded" in try_to_load(folder)


def test_hostile_code_in_the_files_of_a_tokenizer(folder, marker):
    def edit(own):
        settings = json.loads(own["tokenizer"]["tokenizer_config.json"])
        own["tokenizer"]["tokenizer_config.json"] = json.dumps({**settings, **CODE}).encode()

    change(folder, edit)
    assert not try_to_load(folder)  # of a tokenizer that transformers knows, it is left out


@pytest.mark.parametrize("name", ["AutoTokenizer", "AutoProcessor", "AutoModel", "Trainer", "PreTrainedModel", "pipeline"])
@pytest.mark.parametrize("place", ["tokenizer", "config"])
def test_hostile_class_of_a_tokenizer(folder, marker, name, place):
    def edit(own):
        settings = json.loads(own["tokenizer"]["tokenizer_config.json"])
        settings.pop("tokenizer_class")
        if place == "tokenizer":
            settings["tokenizer_class"] = name
        else:
            own["config"]["tokenizer_class"] = name
        own["tokenizer"]["tokenizer_config.json"] = json.dumps({**settings, **CODE}).encode()
        own["config"].update(CODE)

    change(folder, edit)
    assert "could not be loaded" in try_to_load(folder)


def test_hostile_files_named_in_a_tokenizer(folder, marker):
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")

    def edit(own):
        settings = json.loads(own["tokenizer"]["tokenizer_config.json"])
        settings.update(vocab_file=str(secret), tokenizer_file=str(secret), fast_tokenizer_files=["../secret.txt"])
        own["tokenizer"]["tokenizer_config.json"] = json.dumps(settings).encode()

    change(folder, edit)
    assert not try_to_load(folder)
    assert b"secret" not in spacy.load(folder).to_bytes()


@pytest.mark.parametrize("family", ["bert", "evil", "encoder-decoder"])
def test_hostile_config(folder, marker, family):
    change(folder, lambda own: own["config"].update(CODE, model_type=family))
    assert ("could not be loaded" in try_to_load(folder)) == (family != "bert")


def test_hostile_config_in_a_config(folder, marker):
    inner = {"model_type": "bert", **CODE}
    change(folder, lambda own: own["config"].update(model_type="encoder-decoder", encoder=inner, decoder=inner))
    assert "could not be loaded" in try_to_load(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"_attn_implementation": "evil/kernel:run"},
        {"attn_implementation": "evil/kernel:run"},
        {"_attn_implementation_internal": "evil/kernel:run", "_name_or_path": "evil/model"},
        {"configuration_files": ["config.4.0.0.json", "../evil.json"]},
    ],
)
def test_hostile_settings_that_are_left_out(folder, marker, settings):
    change(folder, lambda own: own["config"].update(settings))
    assert not try_to_load(folder)


def test_hostile_config_of_a_model_that_fetches_another(folder, marker):
    change(folder, lambda own: own["config"].update(model_type="detr", use_timm_backbone=True, use_pretrained_backbone=True))
    assert "could not be loaded" in try_to_load(folder)


@pytest.mark.parametrize("setting", ["num_hidden_layers", "num_hidden_groups", "inner_group_num"])
def test_hostile_number_of_layers(folder, marker, setting):
    family = "bert" if setting == "num_hidden_layers" else "albert"
    change(folder, lambda own: own["config"].update({"model_type": family, setting: 10**7}))
    began = time.perf_counter()
    assert "could not be loaded" in try_to_load(folder)
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize(
    "family, nested", [("swin", {"depths": [2, 10**7]}), ("clip", {"text_config": {"num_hidden_layers": 10**7}})]
)
def test_hostile_number_of_layers_that_is_not_on_top(family, nested):
    with pytest.raises(ValueError, match="more than 1000 layers"):
        build_config({"model_type": family, **nested})


@pytest.mark.parametrize("setting", ["hidden_size", "vocab_size", "intermediate_size", "max_position_embeddings"])
def test_hostile_sizes_of_weights_are_refused_before_they_take_memory(folder, marker, monkeypatch, setting):
    made = []
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda self, *_, **__: made.append(self))
    change(folder, lambda own: own["config"].update({setting: 2 * own["config"][setting]}))
    assert "could not be loaded" in try_to_load(folder) and not made


def test_hostile_size_of_positions_that_are_not_saved():
    def build():
        module = torch.nn.Linear(2, 2)
        module.register_buffer("positions", torch.arange(2**30), persistent=False)
        return module

    with pytest.raises(ValueError, match="not those of the module"):
        check_sizes(build, torch.nn.Linear(2, 2).state_dict())


def test_hostile_number_of_labels_is_not_heeded(folder, marker):
    names = {str(number): "x" for number in range(7)}
    change(folder, lambda own: own["config"].update(num_labels=10**9, id2label=names, label2id={}))
    assert not try_to_load(folder)
    assert build_config({"model_type": "bert", "num_labels": 7}).num_labels == 2


def test_hostile_size_of_classifiers(backbone):
    [(_, pipe)] = make_nlp(backbone).pipeline
    heads = pipe.model.get_ref("head").shims[0]._model
    heads.settings = {**heads.settings, "width": 10**12}
    data = dump_heads(heads)
    with pytest.raises(ValueError, match="not those of the module"):
        load_heads(type(heads), None, data, torch.device("cpu"))


def test_hostile_number_of_exits(backbone):
    [(_, pipe)] = make_nlp(backbone).pipeline
    shim = pipe.model.get_ref("head").shims[0]
    heads = shim._model
    heads.settings = {**heads.settings, "exits": 10**9}
    data = dump_heads(heads)
    with pytest.raises(ValueError, match="more exits than weights"):
        load_heads(type(heads), None, data, torch.device("cpu"))


def test_hostile_size_of_a_weight():
    zeros = torch.zeros(100, dtype=torch.uint8)
    arrays = safetensors.torch.save({"w:zeros": zeros, "w:values": torch.zeros(0)})
    with pytest.raises(ValueError, match="larger than it is"):
        unpack({"kinds": {"w": ["dense", [10**6, 10**6], True]}, "arrays": arrays})


def test_hostile_weights(folder, marker, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = folder.parent / "weights"
    torch.save({"embeddings.word_embeddings.weight": Run(marker)}, path)
    content = path.read_bytes()
    path.unlink()
    change(folder, lambda own: own.update(state=content))
    assert "could not be loaded" in try_to_load(folder)


def test_hostile_backbone_that_is_loaded_later(folder, marker, backbone):
    hostile = folder.parent / "backbone"
    shutil.copytree(backbone, hostile)
    (hostile / "evil.py").write_bytes(evil(marker))
    settings = json.loads((hostile / "tokenizer_config.json").read_text())
    (hostile / "tokenizer_config.json").write_text(json.dumps({**settings, **CODE, "tokenizer_class": "Evil"}))
    text = (folder / "config.cfg").read_text()
    name = next(line for line in text.splitlines() if line.startswith("name = "))
    (folder / "config.cfg").write_text(text.replace(name, f'name = "{hostile}"'))

    def edit(own):
        own.update(config={}, state=b"", tokenizer={}, _init_tokenizer_config={"trust_remote_code": True})

    change(folder, edit)
    assert "trust_remote_code" in str(try_to_load(folder)) or "could not be loaded" in try_to_load(folder)


@posix
@pytest.mark.parametrize("name", ["model", "cfg"])
def test_hostile_links(folder, marker, name):
    secret = folder.parent / "secret"
    path = folder / "epee_textcat" / name
    shutil.move(path, secret)
    path.symlink_to(secret)
    assert "link that leads out" in try_to_load(folder)


@posix
def test_links_within_a_folder_are_followed(folder, marker):
    path = folder / "epee_textcat" / "model"
    shutil.move(path, folder / "epee_textcat" / "weights")
    path.symlink_to("weights")
    assert not try_to_load(folder)
    os.symlink(folder, folder.parent / "linked")
    assert not try_to_load(folder.parent / "linked")


@pytest.mark.parametrize(
    "edit",
    [
        lambda own, marker: own.update(config=json.dumps({**json.loads(own["config"]), **CODE})),
        lambda own, marker: own.update(processor=json.dumps({**json.loads(own["processor"]), **CODE})),
    ],
)
def test_hostile_images(tmp_path, marker, edit):
    pytest.importorskip("PIL")
    shutil.copytree(SAVED / "imagecat", tmp_path / "nlp")
    change(tmp_path / "nlp", lambda own: edit(own, marker), pipe="epee_imagecat")
    assert not try_to_load(tmp_path / "nlp")


@pytest.mark.parametrize("kind", ["AutoImageProcessor", "AutoProcessor", "Trainer", "Evil"])
def test_hostile_class_of_an_image_processor(tmp_path, marker, kind):
    pytest.importorskip("PIL")
    shutil.copytree(SAVED / "imagecat", tmp_path / "nlp")
    settings = {"image_processor_type": kind, **CODE}
    change(tmp_path / "nlp", lambda own: own.update(processor=json.dumps(settings)), pipe="epee_imagecat")
    assert "could not be loaded" in try_to_load(tmp_path / "nlp")


def hostile_backbone(folder, marker, config=(), tokenizer=()):
    make_backbone(folder)
    (folder / "evil.py").write_bytes(evil(marker))
    for name, settings in (("config.json", config), ("tokenizer_config.json", tokenizer)):
        saved = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**saved, **dict(settings)}))
    return folder


@pytest.mark.parametrize(
    "config,tokenizer,fine",
    [
        (CODE, {}, True),
        ({}, CODE, True),
        ({**CODE, "model_type": "evil"}, {}, False),
        ({}, {**CODE, "tokenizer_class": "Evil"}, False),
        ({}, {**CODE, "tokenizer_class": "AutoProcessor"}, False),
        ({**CODE, "model_type": "vit_mae", "tokenizer_class": "AutoTokenizer"}, {"tokenizer_class": None}, False),
    ],
)
def test_hostile_backbones(tmp_path, marker, config, tokenizer, fine):
    trunk = TransformerTrunk(str(hostile_backbone(tmp_path / "backbone", marker, config, tokenizer)), window=32, overlap=8)
    if fine:
        load_backbone(trunk)
        saved = trunk.shims[0].to_bytes()
        assert b"auto_map" not in saved and b"evil" not in saved
    else:
        with pytest.raises(ValueError, match="model.trunk.name"):
            load_backbone(trunk)


def test_hostile_backbone_with_pickled_weights(tmp_path, marker, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    folder = make_backbone(tmp_path / "backbone")
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Run(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="model.trunk.name"):
        load_backbone(TransformerTrunk(str(folder), window=32, overlap=8))


@pytest.mark.parametrize("factory", ["epee_textcat", "transformer"])
def test_hostile_pipeline_as_a_backbone(tmp_path, marker, backbone, factory):
    if factory == "transformer":
        nlp = spacy.blank("en")
        nlp.add_pipe("transformer", config={"model": {"name": str(backbone)}})
        nlp.initialize()
        nlp.to_disk(tmp_path / "nlp")
    else:
        shutil.copytree(SAVED / "textcat", tmp_path / "nlp")

    def edit(own):
        own["tokenizer"]["kwargs"]["trust_remote_code"] = True
        own["tokenizer"]["../evil.txt"] = b"written"
        own["tokenizer"]["evil.py"] = evil(marker)
        own["config"].update(CODE)

    change(tmp_path / "nlp", edit, pipe=factory)
    before = files_below(tmp_path)
    with pytest.raises(ValueError, match="model.trunk.name"):
        load_backbone(TransformerTrunk(str(tmp_path / "nlp"), window=32, overlap=8))
    assert files_below(tmp_path) == before


def test_hostile_rule(folder, marker):
    spacy.registry.readers("hostile_test.v1", func=lambda: marker.write_text("code was run"))
    cfg = folder / "epee_textcat" / "cfg"
    saved = json.loads(cfg.read_text())
    configured = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.6, "patience": 1}
    rule = {"@readers": "hostile_test.v1"}
    cfg.write_text(json.dumps({**saved, "exit": json.dumps({"config": configured, "rule": rule})}))
    assert "exit rule" in try_to_load(folder)


@pytest.mark.parametrize("name", sorted(path.name for path in SAVED.iterdir()))
def test_loading_asks_nobody(name, marker):
    spacy.load(SAVED / name)
