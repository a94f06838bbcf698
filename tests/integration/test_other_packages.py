"""Components beside those of other packages: each section of docs/pipelines.md, with the real package (`make test-medspacy`)."""

import json
import shutil
from importlib.util import find_spec

import pytest
import spacy
from docs_util import BESIDE, read_page, run_blocks
from spacy.cli.train import train
from spacy.tokens import DocBin

from spacy_epee.doc_attributes import exits_of

PACKAGES = {
    "medSpaCy": "medspacy",
    "EDS-NLP": "edsnlp",
    "negspacy": "negspacy",
    "scispaCy": "scispacy",
    "Components of spaCy": "spacy",
}
"""The package that each section with a pipeline needs."""


@pytest.fixture
def run(backbone, tmp_path, monkeypatch):
    """Runs a section of the page."""

    def run(title):
        package = PACKAGES[title]
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make test-medspacy")
        shutil.copytree(backbone, tmp_path / "backbones" / "minilm-l6")
        monkeypatch.chdir(tmp_path)
        return run_blocks(BESIDE, title)

    return run


def asked(nlp, doc):
    """RETURNS (List[Tuple[str, str]]): The pairs of entities that are asked about."""
    items = nlp.get_pipe("epee_relations").make_instances([doc])
    return [(doc[a:b].text, doc[c:d].text) for (a, b), (c, d) in zip(items.head_tokens.tolist(), items.child_tokens.tolist())]


def test_every_section_with_a_pipeline_is_run():
    titles = [part.split("\n")[0] for part in read_page(BESIDE).split("\n## ")[1:] if "```python" in part]
    assert titles == [*PACKAGES]


def test_medspacy(run, capfd):
    found = run("medSpaCy")
    nlp, scores, docs = found["nlp"], found["scores"], found["docs"]
    assert "amoxicillin" not in "".join(capfd.readouterr()).lower()  # no token of a note is shown
    assert scores["without_sections"] == 0 and {"rel_micro_f", "cats_score"} <= {*scores}
    first, second = docs
    assert asked(nlp, first) == [("amoxicillin", "pneumonia")]  # fever is historical, and negated
    for doc in docs:
        items = nlp.get_pipe("epee_relations").make_instances([doc])
        left_out = {ent.start for ent in doc.ents if ent._.is_negated or ent._.is_historical}
        assert left_out and len(items) and left_out.isdisjoint([*items.head_tokens[:, 0], *items.child_tokens[:, 0]])
    entries = [exits_of(doc)["epee_textcat"]["textcat"] for doc in docs]
    assert all(entry["sections"] and entry["layer"] == 4 for entry in entries)
    # What comes before the plan says nothing about its kind.
    other = nlp(first.text.replace("Past medical history: fever", "Past medical history: stroke"))
    assert other.cats == pytest.approx(first.cats, abs=1e-6)
    read = list(DocBin().from_bytes(found["stored"]).get_docs(nlp.vocab))
    again = list(nlp.pipe(found["notes"], n_process=2))
    assert len(docs) == len(read) == len(again)
    for doc, *copies in zip(docs, read, again):
        for copy in copies:
            assert copy.cats == pytest.approx(doc.cats) and json.dumps(copy._.relations) == json.dumps(doc._.relations)
            assert [ent._.is_negated for ent in copy.ents] == [ent._.is_negated for ent in doc.ents]


def test_medspacy_without_pyrush_is_saved(run, tmp_path):
    run("medSpaCy")
    import medspacy

    nlp = medspacy.load(medspacy_disable=["medspacy_pyrush"])
    nlp.add_pipe("sentencizer", first=True)
    nlp.add_pipe("epee_plain")
    nlp.to_disk(tmp_path / "saved")
    assert spacy.load(tmp_path / "saved").pipe_names == nlp.pipe_names


def test_spacy_train_learns_relations_from_what_medspacy_finds(run, tmp_path):
    found = run("medSpaCy")
    nlp = spacy.blank("en")
    for name in ("sentencizer", "medspacy_target_matcher", "medspacy_context"):
        nlp.add_pipe(name)
    before = list(nlp.pipe_names)
    trunk = {"name": str(tmp_path / "backbones" / "minilm-l6")}
    nlp.add_pipe("epee_relations", config={"model": {"trunk": trunk}, "candidates": found["candidates"], "exit": None})
    nlp.config.merge(found["config"]).to_disk(tmp_path / "config.cfg")
    references = [found["nlp"].get_pipe("epee_plain")(eg.reference) for eg in found["examples"]]
    DocBin(docs=references, store_user_data=True).to_disk(tmp_path / "train.spacy")
    settings = {"training.annotating_components": before, "training.max_steps": 40, "training.eval_frequency": 20}
    settings.update({"paths.train": str(tmp_path / "train.spacy"), "paths.dev": str(tmp_path / "train.spacy")})
    settings["training.optimizer.learn_rate"] = 0.001
    train(tmp_path / "config.cfg", tmp_path / "trained", overrides=settings)
    trained = spacy.load(tmp_path / "trained" / "model-last")
    doc = trained(found["docs"][0].text)
    assert asked(trained, doc) == [("amoxicillin", "pneumonia")]
    assert [relation["label"] for relation in doc._.relations] == ["TREATS"]


def test_edsnlp(run, tmp_path):
    found = run("EDS-NLP")
    nlp, doc = found["nlp"], found["doc"]
    assert asked(nlp, doc) == [("Amoxicilline", "Fièvre"), ("Amoxicilline", "pneumonie")]
    assert exits_of(doc)["epee_textcat"]["textcat"]["sections"]
    # What comes before the conclusion says nothing about its kind.
    other = nlp(found["text"].replace("Fièvre", "Grippe"))
    assert other.cats == pytest.approx(doc.cats, abs=1e-6)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")(found["text"])
    assert loaded.cats == pytest.approx(doc.cats, abs=1e-6) and loaded._.relations == doc._.relations


def test_negspacy(run, tmp_path):
    found = run("negspacy")
    nlp, doc = found["nlp"], found["doc"]
    assert asked(nlp, doc) == [("Amoxicillin", "pneumonia")]
    assert [ent._.negex for ent in doc.ents] == [False, False, True]
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert [other._.relations for other in loaded.pipe([found["text"]] * 2, n_process=2)] == [doc._.relations] * 2


def test_scispacy(run, tmp_path):
    found = run("scispaCy")
    nlp, doc = found["nlp"], found["doc"]
    with nlp.select_pipes(disable=["epee_plain"]):
        whole = nlp(found["text"])
    assert asked(nlp, whole) == [("tiotropium", "Chronic obstructive pulmonary disease")]
    assert [ent.text for ent in doc.ents if ent.label_ == "PROBLEM"] == ["Chronic obstructive pulmonary disease", "COPD"]
    [read] = DocBin().from_bytes(found["stored"]).get_docs(nlp.vocab)
    assert json.dumps(read._.relations) == json.dumps(doc._.relations) == json.dumps(whole._.relations)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert [other._.relations for other in loaded.pipe([found["text"]] * 2, n_process=2)] == [doc._.relations] * 2


def test_entities_of_spacy(run, tmp_path):
    found = run("Components of spaCy")
    nlp, doc = found["nlp"], found["doc"]
    assert nlp.get_pipe("entity_ruler").patterns == found["patterns"]
    assert asked(nlp, doc) == [("Amoxicillin", "pneumonia")] and "rel_micro_f" in found["scores"]
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert loaded(found["text"])._.relations == doc._.relations
    assert [other._.relations for other in loaded.pipe([found["text"]] * 2, n_process=2)] == [doc._.relations] * 2


def test_a_transformer_of_spacy_stands_beside(backbone):
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-transformers.TransformerModel.v3", "name": str(backbone)}
    nlp.add_pipe("transformer", config={"model": model})
    nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(backbone)}}, "exit": None})
    examples = [spacy.training.Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text, cats in TEXTS.items()]
    optimizer = nlp.initialize(lambda: examples)
    assert nlp.update(examples, sgd=optimizer)["epee_textcat"] > 0
    [doc] = nlp.pipe(["fever"])
    assert doc._.trf_data is not None and len(doc.cats) == 2


TEXTS = {"fever and cough": {"A": 1.0, "B": 0.0}, "knee swollen": {"A": 0.0, "B": 1.0}}
