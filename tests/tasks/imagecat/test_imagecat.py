"""Classification of images, as a spaCy user meets it."""

import logging
import pickle
import sys

import numpy
import pytest
import spacy
import torch
from images_util import (
    EPEE,
    FAMILIES,
    LABELS,
    LAYERS,
    make_image_backbone,
    make_image_docs,
    make_image_examples,
    make_image_nlp,
    make_pixels,
)
from PIL import Image
from spacy.tokens import Doc
from spacy.training import Example
from transformers import AutoImageProcessor, AutoModel

from spacy_epee.inputs.images import open_image
from spacy_epee.model import get_heads, get_stepper

NAME = "epee_imagecat"


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """From a family to a folder with a tiny backbone of it."""
    return {family: make_image_backbone(tmp_path_factory.mktemp(family), family) for family in FAMILIES}


@pytest.fixture(scope="module")
def nlp(folders):
    return make_image_nlp(folders["vit"], EPEE)


def answers_of(nlp, docs=None, **settings):
    docs = make_image_docs(nlp, 12) if docs is None else docs
    return [(doc.cats, doc._.exits) for doc in nlp.pipe(docs, **settings)]


def assert_same(found, expected):
    for (cats, exits), (other_cats, other_exits) in zip(found, expected, strict=True):
        assert cats == pytest.approx(other_cats, abs=1e-5)
        units, others = exits[NAME]["imagecat"]["units"], other_exits[NAME]["imagecat"]["units"]
        assert [(u["layer"], u["reason"]) for u in units] == [(u["layer"], u["reason"]) for u in others]


def test_imagecat_writes_cats_and_exits(nlp):
    layers = set()
    for cats, exits in answers_of(nlp, make_image_docs(nlp, 24)):
        assert sum(cats.values()) == pytest.approx(1, abs=1e-5) and set(cats) == set(LABELS)
        entry = exits[NAME]["imagecat"]
        assert entry["depth"] == LAYERS and 1 <= entry["layer"] <= LAYERS
        layers.add(entry["layer"])
    assert len(layers) > 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_imagecat_at_full_depth_is_the_model_itself(folders, family, pooling):
    nlp = make_image_nlp(folders[family], model={"head": {"pooling": pooling, "standardize": False}})
    model = AutoModel.from_pretrained(folders[family]).eval()
    processor = AutoImageProcessor.from_pretrained(folders[family], use_fast=False)
    for doc in nlp.pipe(make_image_docs(nlp, 5)):
        pixels = processor(open_image(doc._.image), return_tensors="pt")
        with torch.no_grad():
            hidden = model(**pixels).last_hidden_state[0]
        pooled = hidden[0] if pooling == "cls" else hidden.mean(dim=0)
        expected = torch.softmax(get_heads(nlp.get_pipe(NAME).model)[0].classifiers[-1](pooled), dim=0)
        assert list(doc.cats.values()) == pytest.approx(expected.tolist(), abs=1e-4)
        assert doc._.exits[NAME]["imagecat"]["layer"] == LAYERS


@pytest.mark.parametrize("family", FAMILIES)
def test_imagecat_batch_equals_one_by_one(folders, family):
    nlp = make_image_nlp(folders[family], EPEE)
    docs = make_image_docs(nlp, 12)
    expected = answers_of(nlp, [doc.copy() for doc in docs], batch_size=1)
    for size in (5, 12):
        assert_same(answers_of(nlp, [doc.copy() for doc in docs], batch_size=size), expected)
    assert_same(answers_of(nlp, [doc.copy() for doc in docs[::-1]], batch_size=12), expected[::-1])


def test_imagecat_packs_of_images_give_the_same(nlp, folders):
    small = make_image_nlp(folders["vit"], EPEE, model={"trunk": {"max_patches": 40}})
    assert_same(answers_of(small), answers_of(nlp))


@pytest.mark.parametrize("family", FAMILIES)
def test_imagecat_survives_disk_bytes_and_pickle(folders, family, tmp_path):
    nlp = make_image_nlp(folders[family], EPEE)
    expected = answers_of(nlp)
    nlp.to_disk(tmp_path)
    assert_same(answers_of(spacy.load(tmp_path)), expected)
    blank = spacy.blank("en")
    blank.add_pipe(NAME, config={"exit": EPEE})
    assert_same(answers_of(blank.from_bytes(nlp.to_bytes())), expected)
    assert_same(answers_of(pickle.loads(pickle.dumps(nlp))), expected)


def test_imagecat_size_can_be_changed_on_load(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={f"components.{NAME}.model.trunk.image_size": 48})
    assert get_stepper(loaded.get_pipe(NAME).model).length == 37
    assert answers_of(loaded)


def test_imagecat_before_initialize_survives_bytes(folders):
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"model": {"trunk": {"name": str(folders["vit"])}}})
    loaded = spacy.blank("en")
    loaded.add_pipe(NAME, config={"model": {"trunk": {"name": str(folders["vit"])}}})
    loaded.from_bytes(nlp.to_bytes())
    with pytest.raises(ValueError, match="E109"):
        loaded("A film.")
    examples = make_image_examples(loaded)
    loaded.initialize(lambda: examples)
    assert loaded.get_pipe(NAME).labels == tuple(LABELS)


@pytest.mark.parametrize("keep", [0, 1000])
def test_imagecat_damaged_pipeline(nlp, tmp_path, keep):
    nlp.to_disk(tmp_path)
    file = tmp_path / NAME / "model"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"{NAME}.*damaged"):
        spacy.load(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_imagecat_gives_the_same_in_two_processes(nlp, tmp_path):
    docs = make_image_docs(nlp, 7)
    Image.fromarray((make_pixels(1, 5)[0] * 255).astype("uint8")).save(tmp_path / "film.png")
    docs[3]._.image = tmp_path / "film.png"
    expected = answers_of(nlp, [doc.copy() for doc in docs])
    assert_same(answers_of(nlp, docs, n_process=2, batch_size=3), expected)


def test_imagecat_without_preprocessor_takes_the_size_of_the_backbone(tmp_path):
    nlp = make_image_nlp(make_image_backbone(tmp_path, processor=False))
    assert get_stepper(nlp.get_pipe(NAME).model).length == 17


@pytest.mark.parametrize("family", ["vit", "dinov2"])
def test_imagecat_learns(folders, family):
    nlp = make_image_nlp(folders[family], EPEE, spread=None)
    examples = make_image_examples(nlp, 12)
    optimizer = nlp.resume_training()
    optimizer.learn_rate = 1e-3
    losses = [nlp.update(examples, sgd=optimizer, losses={})[NAME] for _ in range(15)]
    assert losses[-1] < 0.3 * losses[0]
    scores = nlp.evaluate(make_image_examples(nlp, 12, seed=1))
    assert scores["cats_micro_f"] == scores["cats_macro_auc"] == scores["cats_full"] == 1.0
    assert 1 <= scores["exit_layer"] < LAYERS


@pytest.mark.parametrize("freeze", [True, False])
def test_imagecat_freezes_the_projection_of_patches(folders, freeze):
    nlp = make_image_nlp(folders["vit"], model={"trunk": {"freeze_embeddings": freeze}})
    weight = get_stepper(nlp.get_pipe(NAME).model).model.embeddings.patch_embeddings.projection.weight
    before = weight.detach().clone()
    nlp.update(make_image_examples(nlp), sgd=nlp.resume_training())
    assert torch.equal(weight, before) == freeze


def test_imagecat_lower_layers_learn_more_slowly(folders):
    nlp = make_image_nlp(folders["vit"], model={"trunk": {"lr_decay": 0.01}})
    layers = get_stepper(nlp.get_pipe(NAME).model).layers
    before = [layer.output.dense.weight.detach().clone() for layer in layers]
    nlp.update(make_image_examples(nlp), sgd=nlp.resume_training())
    moved = [(layer.output.dense.weight - old).abs().max().item() for layer, old in zip(layers, before)]
    assert moved[0] < 0.1 * moved[1] < 0.01 * moved[2]


def test_imagecat_multilabel(folders):
    nlp = make_image_nlp(folders["vit"], exclusive=False, threshold=0.3)
    doc = next(nlp.pipe(make_image_docs(nlp, 1)))
    assert all(0 <= score <= 1 for score in doc.cats.values()) and sum(doc.cats.values()) != pytest.approx(1, abs=1e-4)
    examples = make_image_examples(nlp, 6)
    assert nlp.evaluate(examples, scorer_cfg={"threshold": 0.0})["cats_micro_r"] == 1.0
    assert nlp.evaluate(examples)["cats_score_desc"] == "macro AUC"


def test_imagecat_document_without_an_image_gets_no_answer(nlp):
    docs = make_image_docs(nlp, 3)
    docs[1]._.image = None
    found = list(nlp.pipe(docs))
    assert found[1].cats == {"bright": 0.0, "dark": 0.0}
    assert found[1]._.exits[NAME]["imagecat"] == {"layer": 0.0, "depth": LAYERS, "uncertain": False, "units": []}
    assert nlp("A report alone.").cats == found[1].cats
    assert sum(found[2].cats.values()) == pytest.approx(1, abs=1e-5)


def test_imagecat_no_answer_counts_as_a_wrong_one(nlp):
    examples = make_image_examples(nlp, 4)
    for eg in examples:
        eg.predicted._.image = None
    assert nlp.evaluate(examples)["cats_micro_f"] == nlp.evaluate(examples)["cats_full"] == 0.0
    assert nlp.evaluate(examples)["exit_layer"] == 0.0


def test_imagecat_update_leaves_out_documents_without_an_image(nlp, folders):
    nlp = make_image_nlp(folders["vit"])
    examples = make_image_examples(nlp, 2)
    for eg in examples:
        eg.predicted._.image = None
    assert nlp.update(examples, sgd=nlp.resume_training()) == {NAME: 0.0}


def test_imagecat_data_without_images(folders):
    nlp = spacy.blank("en")
    nlp.add_pipe(NAME, config={"model": {"trunk": {"name": str(folders["vit"])}}})
    examples = [Example.from_dict(nlp.make_doc("x"), {"cats": {"bright": i, "dark": 1 - i}}) for i in (0, 1)]
    with pytest.raises(ValueError, match=f"2 examples.*'{NAME}'.*spacy-epee.ImageReader.v1"):
        nlp.initialize(lambda: examples)


def test_imagecat_unreadable_image_is_an_error_that_does_not_name_it(nlp, caplog, capfd, recwarn):
    docs = make_image_docs(nlp, 3)
    docs[2]._.image = "/films/Secretname.png"
    with caplog.at_level(logging.DEBUG):
        for run in (lambda: list(nlp.pipe(docs)), lambda: nlp(docs[2].copy())):
            with pytest.raises(ValueError, match="does not exist") as error:
                run()
            assert "Secretname" not in str(error.value)
    captured = capfd.readouterr()
    assert "Secretname" not in caplog.text + captured.out + captured.err


def test_imagecat_unreadable_image_loses_no_other_document(folders):
    nlp = make_image_nlp(folders["vit"], EPEE)
    docs = make_image_docs(nlp, 9)
    expected = answers_of(nlp, [docs[i].copy() for i in (0, 2, 3, 4, 6, 8)])
    for i, image in ((1, "none.png"), (5, numpy.zeros((1, 2, 3, 4))), (7, 3)):
        docs[i]._.image = image
    failed = []
    nlp.set_error_handler(lambda name, proc, batch, error: failed.append((name, batch, error)))
    found = list(nlp.pipe(docs, batch_size=6))
    assert [id(doc) for doc in found] == [id(docs[i]) for i in (0, 2, 3, 4, 6, 8)]
    assert_same([(doc.cats, doc._.exits) for doc in found], expected)
    assert [(name, [id(doc) for doc in batch]) for name, batch, _ in failed] == [(NAME, [id(docs[i]) for i in (1, 5, 7)])]
    assert list(nlp.pipe([docs[1]])) == []


@pytest.mark.parametrize("factory", ["epee_textcat", "epee_textcat_multilabel", "epee_relations", "epee_events"])
def test_imagecat_trunk_is_refused_by_tasks_that_need_text(folders, factory):
    trunk = {"@architectures": "spacy-epee.ImageTrunk.v1", "name": str(folders["vit"])}
    fix = rf"'{factory}' needs text.*reads images.*components.{factory}.model.trunk.@architectures.*TransformerTrunk"
    with pytest.raises(ValueError, match=fix):
        spacy.blank("en").add_pipe(factory, config={"model": {"trunk": trunk}})


def test_imagecat_refuses_a_trunk_for_text(backbone):
    trunk = {"@architectures": "spacy-epee.TransformerTrunk.v1", "name": str(backbone)}
    with pytest.raises(ValueError, match=f"'{NAME}' needs images.*reads text.*spacy-epee.ImageTrunk.v1"):
        spacy.blank("en").add_pipe(NAME, config={"model": {"trunk": trunk}})


def test_imagecat_refuses_classifiers_of_pairs(folders):
    with pytest.raises(ValueError, match="model.head.*'pairs'.*'document'"):
        make_image_nlp(folders["vit"], model={"head": {"@architectures": "spacy-epee.PairHead.v1"}})


def test_imagecat_takes_a_report_along(nlp):
    """An image is looked at, whatever text comes with it."""
    (doc,) = make_image_docs(nlp, 1)
    other = Doc(nlp.vocab, words=["Another", "report"])
    other._.image = doc._.image
    assert nlp(other).cats == nlp(doc).cats
