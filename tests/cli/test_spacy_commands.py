"""spaCy's own commands on a pipeline of ours. Those that make and check configs are in test_configs.py."""

import re
import subprocess
import sys
from itertools import islice

import pytest
import spacy
from spacy.cli.apply import apply
from spacy.cli.assemble import assemble_cli
from spacy.cli.evaluate import evaluate
from spacy.cli.init_config import init_config
from spacy.cli.package import package
from spacy.tokens import Doc, DocBin
from spacy.training.loggers import console_logger_v3
from util import SENTENCES, make_examples, make_nlp

from spacy_epee.component.initialization import warn_of_rate
from spacy_epee.doc_attributes import exits_of

LABELS = ("ACUTE", "STABLE", "HISTORY")
RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "patience": 2}


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_nlp(backbone, LABELS, exit=RULE)


@pytest.fixture(scope="module")
def model(nlp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline") / "model"
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def dev(nlp, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "dev.spacy"
    DocBin(docs=[eg.reference for eg in make_examples(nlp, LABELS)]).to_disk(path)
    return path


def test_what_apply_writes_is_read_where_no_pipeline_is(nlp, model, dev, tmp_path):
    apply(dev, tmp_path / "out.spacy", str(model), "text", 8, 1)
    code = (
        "import spacy, spacy_epee\n"
        "from spacy.tokens import DocBin\n"
        f"docs = DocBin().from_disk({str(tmp_path / 'out.spacy')!r}).get_docs(spacy.vocab.Vocab())\n"
        "print([(max(doc.cats, key=doc.cats.get), doc._.exits['epee_textcat']['textcat']['layer'], doc._.relations)"
        " for doc in docs])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    expected = [
        (max(doc.cats, key=doc.cats.get), exits_of(doc)["epee_textcat"]["textcat"]["layer"], [])
        for doc in nlp.pipe(SENTENCES, batch_size=8)
    ]
    assert said.strip() == str(expected)


def test_importing_leaves_an_attribute_of_another_package_alone():
    code = (
        "from spacy.tokens import Doc\n"
        "Doc.set_extension('events', getter=len)\n"
        "import spacy_epee\n"
        "print(Doc.get_extension('events')[2] is len, Doc.has_extension('exits'))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split() == [
        "True",
        "True",
    ]
    assert Doc.has_extension("exits")


def test_evaluate_scores_and_draws(model, dev, tmp_path):
    scores = evaluate(str(model), dev, output=tmp_path / "scores.json", displacy_path=tmp_path, silent=True)
    assert 0 <= scores["cats_score"] <= 1 and (tmp_path / "scores.json").exists()


def test_assemble_makes_a_pipeline_of_a_config(model, tmp_path):
    config = spacy.load(model).config
    config["components"]["epee_textcat"] = {"source": str(model)}
    config.to_disk(tmp_path / "config.cfg")
    context = type("Context", (), {"args": []})
    assemble_cli(context, tmp_path / "config.cfg", tmp_path / "made", code_path=None, verbose=False)
    assert spacy.load(tmp_path / "made")(SENTENCES[0]).cats == pytest.approx(spacy.load(model)(SENTENCES[0]).cats)


def test_package_makes_a_package_that_loads(model, tmp_path):
    package(model, tmp_path, create_sdist=False, create_wheel=False, silent=True)
    [folder] = tmp_path.glob("*/*/*/config.cfg")
    assert spacy.load(folder.parent)(SENTENCES[0]).cats == pytest.approx(spacy.load(model)(SENTENCES[0]).cats)
    assert re.search(
        r"spacy[-_]epee", (folder.parents[2] / "setup.py").read_text() + (folder.parents[2] / "meta.json").read_text()
    )


@pytest.mark.parametrize("size, answered", [(128, 128), (32, 128)])
def test_batches_of_128_are_not_read_ahead(nlp, monkeypatch, size, answered):
    """`benchmark speed` times each batch by itself."""
    pipe, sizes = nlp.get_pipe("epee_textcat"), []
    monkeypatch.setattr(pipe, "_answer", lambda docs, answer=pipe._answer: (sizes.append(len(docs)), answer(docs))[1])
    stream = nlp.pipe((nlp.make_doc(text) for text in SENTENCES * 25), batch_size=size)
    assert len(list(islice(stream, size))) == size and sum(sizes) == answered


def test_configs_of_spacy_leave_the_layer_to_our_logger(nlp, capsys):
    config = init_config(lang="en", pipeline=["epee_textcat"], silent=True)
    assert config["training"]["score_weights"]["exit_layer"] is None
    assert config["components"]["epee_textcat"]["model"]["trunk"]["name"] is None
    made = spacy.blank("en")
    made.config["training"]["score_weights"] = config["training"]["score_weights"]
    console_logger_v3()(made)[0](None)
    assert "EXIT" not in capsys.readouterr().out


def test_a_backbone_that_is_not_named_is_asked_for():
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat")
    with pytest.raises(ValueError, match="`model.trunk.name` is not set"):
        nlp.initialize(lambda: make_examples(nlp, LABELS))


@pytest.mark.parametrize(
    "rate, train, said", [(0.001, "train.spacy", True), (0.0001, "train.spacy", False), (0.001, None, False)]
)
def test_a_rate_that_spoils_the_transformer_is_warned_of(nlp, recwarn, monkeypatch, rate, train, said):
    monkeypatch.setitem(nlp.config["paths"], "train", train)
    monkeypatch.setitem(nlp.config["training"]["optimizer"], "learn_rate", rate)
    warn_of_rate(nlp, nlp.get_pipe("epee_textcat").model, "epee_textcat")
    assert any("learn_rate" in str(warning.message) for warning in recwarn) == said
