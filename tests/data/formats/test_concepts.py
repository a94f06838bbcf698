import pytest

from spacy_epee.data.formats.concepts import MOST, ConceptRelation, Concepts, relate_mentions


def ents(*concepts, label="Gene"):
    return [{"id": f"T{i}", "start": 2 * i, "end": 2 * i + 1, "label": label, "kb_id": name} for i, name in enumerate(concepts)]


def pairs(relations):
    return [(relation["head"], relation["child"], relation["label"]) for relation in relations]


@pytest.mark.parametrize(
    "concept,mention",
    [
        ("c|SUB|A|1298|C", "c|SUB|A|1298|C"),
        ("c|SUB|A|1298|C", "c|SUB|A|1298|C,rs1801131"),
        ("rs1801131", "tmVar:c|SUB|A|1298|C;rs1801131"),
        ("D1", "D1|D2"),
        ("D2", "D1;D2"),
        ("D2", "D1, D2"),
        ("D1,D2", "D1,D2"),
        ("A|B", "A|B"),
        ("D1", "*D1"),
        ("Gene|672", "672"),
        ("Gene|c|SUB|A|1|C", "c|SUB|A|1|C"),
        ("D1,D9", "D1"),
    ],
)
def test_concepts_are_found_as_a_whole_and_among_several(concept, mention):
    (found,) = Concepts(ents("999", mention)).of(concept)
    assert found["id"] == "T1"


def test_parts_of_a_variant_are_no_concepts():
    assert not Concepts(ents("c|SUB|A|1298|C", "p|SUB|V|7|G,rs7")).of("1298")


@pytest.mark.parametrize("name", ["-", "-1", ""])
def test_mentions_without_a_concept_are_not_those_of_one(name):
    assert not Concepts(ents(name)).of(name)


def test_whole_ids_come_before_parts_of_the_id_of_a_relation():
    assert [ent["id"] for ent in Concepts(ents("D1", "D1,D2")).of("D1,D2")] == ["T1"]


def test_relations_without_a_mention_are_counted_once_with_the_place_and_the_id():
    relations = [ConceptRelation("D1", "D7", "A", "line 9"), ConceptRelation("D1", "D8", "A", "line 10")]
    with pytest.warns(UserWarning, match="left out. relations: 2, the first in line 9, concept D7") as caught:
        assert relate_mentions(ents("D1"), relations) == []
    assert len(caught) == 1


def test_a_concept_that_may_be_a_text_is_not_shown():
    with pytest.warns(UserWarning) as caught:
        relate_mentions(ents("D1"), [ConceptRelation("D1", "Mr. SECRETNAME, 7", "A", "line 9"), ("SECRETNAME", "D1", "A")])
    assert "SECRETNAME" not in str(caught[0].message) and "line 9" in str(caught[0].message)


def test_pairs_have_several_labels_only_if_the_file_relates_their_concepts_several_times():
    mentions = ents("C1", "D1|D2", "D1")
    relations = [("C1", "D1", "Up"), ("C1", "D2", "Down"), ("D1", "C1", "Up"), ("C1", "D1", "Bind")]
    with pytest.warns(UserWarning, match="first in the file is kept.* pairs: 1,"):
        found = pairs(relate_mentions(mentions, relations))
    expected = [("C1", "D1", "Up"), ("D1", "C1", "Up"), ("C1", "D1", "Bind")]
    names = {"T0": ["C1"], "T1": ["D1"], "T2": ["D1"]}
    assert sorted(found) == sorted(
        (head, child, label)
        for one, other, label in expected
        for head in names
        for child in names
        if one in names[head] and other in names[child]
    )


def test_relations_of_one_place_are_counted():
    with pytest.warns(UserWarning, match="same places.* relations: 1,"):
        assert relate_mentions(ents("D1"), [("D1", "D1", "A")]) == []


def test_a_flood_of_pairs_is_an_error_that_names_the_relation():
    mentions = ents(*["A1"] * 600, *["B1"] * 600)
    assert 600 * 600 > MOST
    with pytest.raises(ValueError, match=f"^line 7: .*360001 pairs of mentions, 360000 of them .* at most {MOST} "):
        relations = [ConceptRelation("C1", "C2", "A"), ConceptRelation("A1", "B1", "A", "line 7")]
        relate_mentions([*mentions, *ents("C1", "C2")], relations)
