import numpy
import pytest
import spacy
from relations_util import TEXTS, make_relations_nlp, tag
from sections_util import ASSESSMENT, HISTORY, NOTE, WITHOUT, block, set_sections
from spacy.tokens import DocBin
from spacy.training import Example
from util import make_nlp

from spacy_epee.doc_attributes import exits_of

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.3, "patience": 2}


@pytest.fixture(scope="module")
def plain(backbone):
    """Reads all of a text, and has an exit before the first layer."""
    return make_nlp(backbone, exit=RULE, lexical=500)


@pytest.fixture(scope="module")
def load(plain, tmp_path_factory):
    """Loads the same to read assessments alone."""
    folder = tmp_path_factory.mktemp("plain")
    plain.to_disk(folder)

    def load(missing):
        sections = block("assessment", missing=missing)["trunk"]["sections"]
        nlp = spacy.load(folder, config={"components.epee_textcat.model.trunk.sections": sections})
        nlp.add_pipe("tests_sectionizer", first=True)
        return nlp

    return load


@pytest.fixture(scope="module")
def nlp(load):
    return load("nothing")


def answers(nlp, text):
    doc = nlp(text)
    record = exits_of(doc)["epee_textcat"]["textcat"]
    return {**doc.cats, "layer": record["layer"]}


def test_all_exits_read_the_sections_alone(nlp):
    pipe = nlp.get_pipe("epee_textcat")
    noted, alone = (
        next(pipe.exit_logits([nlp.get_pipe("tests_sectionizer")(nlp.make_doc(text))])) for text in (NOTE, ASSESSMENT)
    )
    assert noted.items.lexical.known.all() and len(noted.logits) == 5
    assert numpy.allclose(noted.logits, alone.logits, atol=1e-5)
    assert answers(nlp, NOTE) == pytest.approx(answers(nlp, ASSESSMENT), abs=1e-5)


def test_notes_without_the_sections_are_answered_as_empty_texts(nlp):
    assert answers(nlp, WITHOUT) == answers(nlp, "")


def test_notes_without_the_sections_can_be_read_whole(load, plain, nlp):
    whole = load("whole")
    assert answers(whole, WITHOUT) == pytest.approx(answers(plain, WITHOUT), abs=1e-5)
    assert answers(whole, WITHOUT) != pytest.approx(answers(nlp, WITHOUT), abs=1e-5)


def test_notes_without_the_sections_are_counted(nlp):
    docs = list(nlp.pipe([NOTE, WITHOUT, ""]))
    assert [exits_of(doc)["epee_textcat"]["textcat"]["sections"] for doc in docs] == [True, False, False]
    cats = {"ACUTE": 1.0, "STABLE": 0.0, "HISTORY": 0.0}
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text in (NOTE, WITHOUT, WITHOUT)]
    assert nlp.evaluate(examples)["without_sections"] == 2


def test_nothing_is_said_of_sections_where_all_is_read(backbone):
    nlp = make_nlp(backbone)
    assert "sections" not in exits_of(nlp(NOTE))["epee_textcat"]["textcat"]


def test_sections_are_found_in_batches_streams_and_after_loading(nlp, tmp_path):
    nlp.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    texts = [NOTE, WITHOUT, ASSESSMENT, HISTORY]
    for docs in (nlp.pipe(texts, batch_size=3), loaded.pipe(texts)):
        for text, doc in zip(texts, docs):
            assert doc.cats == pytest.approx(nlp(text).cats, abs=1e-5)
    stored = DocBin(docs=nlp.pipe(texts), store_user_data=True)
    assert [exits_of(doc)["epee_textcat"]["textcat"]["sections"] for doc in stored.get_docs(nlp.vocab)] == [
        True,
        False,
        True,
        False,
    ]


def test_learning_is_from_the_sections_alone(backbone):
    """Words of a title that stands before the section in every note of a class must not be learned."""

    def train(add: str):
        spacy.util.fix_random_seed(0)
        nlp = spacy.blank("en")
        nlp.add_pipe("tests_sectionizer")
        model = block("assessment", missing="nothing")
        model["trunk"].update(name=str(backbone), window=32, overlap=8)
        nlp.add_pipe("epee_textcat", config={"model": {**model, "head": {"lexical": 500}}, "exit": None})
        texts = [("fever and cough", "ACUTE"), ("stable and well", "STABLE")] * 6
        examples = [
            Example.from_dict(
                nlp.make_doc(f"{add.format(label)}Assessment: {text} {number}"),
                {"cats": {"ACUTE": label == "ACUTE", "STABLE": label == "STABLE"}},
            )
            for number, (text, label) in enumerate(texts)
        ]
        optimizer = nlp.initialize(lambda: examples)
        nlp.update(examples, sgd=optimizer, annotates=["tests_sectionizer"])
        return nlp

    nlp, other = train("History: {0} {0} {0} words\n"), train("")
    assert answers(nlp, NOTE) == pytest.approx(answers(other, NOTE), abs=1e-4)
    lexical, others = (
        own.get_pipe("epee_textcat").slot().heads(own.get_pipe("epee_textcat").model).lexical for own in (nlp, other)
    )
    assert len(lexical.keys) and (lexical.keys == others.keys).all()


def test_entities_outside_the_sections_are_not_related(backbone):
    nlp = make_relations_nlp(backbone, trunk=block("b", missing="nothing")["trunk"], candidates={"labels": None}, spread=False)
    pipe = nlp.get_pipe("epee_relations")
    doc = tag(nlp.make_doc(TEXTS[0]))  # Aspirin caused a rash, and ibuprofen helped the headache.
    for sections, pairs in ([("a", 0, 11)], 0), ([("b", 0, 5)], 2), ([("b", 0, 5), ("a", 5, 11)], 2), ([("b", 0, 11)], 12):
        items = pipe.make_instances([set_sections(doc, *sections)])
        assert len(items) == pairs
        assert pairs != 2 or {*items.head_tokens[:, 0].tolist()} == {0, 3}
