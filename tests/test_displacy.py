"""Pictures of relations."""

import spacy
from relations_util import RELATIONS, TEXTS, make_example
from spacy.tokens import Span

from spacy_epee.displacy import parse_relations, render_relations

NLP = spacy.blank("en")


def test_displacy_entities_are_words_and_relations_arcs():
    doc = make_example(NLP, TEXTS[0]).reference
    parsed = parse_relations(doc)
    tags = {word["text"]: word["tag"] for word in parsed["words"]}
    assert tags["Aspirin"] == "Drug" and tags["rash"] == "Problem" and tags["caused"] == ""
    words = [word["text"] for word in parsed["words"]]
    arcs = {(words[arc["start"]], words[arc["end"]], arc["label"], arc["dir"]) for arc in parsed["arcs"]}
    assert arcs == {(head, child, label, "right") for head, child, label in RELATIONS[TEXTS[0]]}


def test_displacy_arcs_point_to_the_child():
    doc = make_example(NLP, TEXTS[1]).reference  # the drug comes after the problem
    (arc,) = parse_relations(doc)["arcs"]
    assert arc["dir"] == "left" and arc["start"] < arc["end"]


def test_displacy_draws_long_entities_as_one_word_and_the_longest_of_those_that_overlap():
    doc = NLP.make_doc("acute renal failure after gentamicin")
    doc.spans["all"] = [Span(doc, 0, 3, "Problem"), Span(doc, 1, 2, "Organ"), Span(doc, 4, 5, "Drug")]
    doc._.relations = [{"head": [4, 5], "child": [0, 3], "label": "CAUSES"}, {"head": [1, 2], "child": [0, 3], "label": "IN"}]
    parsed = parse_relations(doc, spans_key="all")
    assert [word["text"] for word in parsed["words"]] == ["acute renal failure", "after", "gentamicin"]
    assert [(arc["start"], arc["end"], arc["label"], arc["dir"]) for arc in parsed["arcs"]] == [(0, 2, "CAUSES", "left")]


def test_displacy_draws_a_part_and_some_labels():
    doc = make_example(NLP, TEXTS[2]).reference
    assert {arc["label"] for arc in parse_relations(doc, labels=["CAUSES"])["arcs"]} == {"CAUSES"}
    parsed = parse_relations(doc, start=4)
    assert parsed["words"][0]["text"] == doc[4].text and len(parsed["arcs"]) == 2


def test_displacy_renders_svg_of_any_doc():
    svg = render_relations(make_example(NLP, TEXTS[0]).reference)
    assert svg.startswith("<svg") and "CAUSES" in svg and "Aspirin" in svg
    assert render_relations(NLP.make_doc("Nothing here.")).startswith("<svg")
