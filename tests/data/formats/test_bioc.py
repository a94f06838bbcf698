import re

import pytest
from biored_util import RELATIONS, bioc

from spacy_epee.data.formats.bioc import read_bioc
from spacy_epee.data.formats.mentions import ROOM

TITLE, ABSTRACT = "Aspirin caused a rash.", "Stop aspirin; SECRET is well."
NODES = '<relation id="R1"><infon key="type">CAUSES</infon>%s</relation>'
INFONS = '<relation id="R1"><infon key="type">CAUSES</infon>%s</relation>'


def mention(number, words, at, label="Drug", concept="D1", length=None, more=""):
    infons = f'<infon key="type">{label}</infon><infon key="MESH">{concept}</infon>'
    place = f'<location offset="{at}" length="{len(words) if length is None else length}"/>{more}'
    return f'<annotation id="{number}">{infons}{place}<text>{words}</text></annotation>\n'


def passage(offset, text, *inside):
    return f"<passage><offset>{offset}</offset><text>{text}</text>\n{''.join(inside)}</passage>\n"


def read(folder, *inside):
    path = folder / "in.BioC.XML"
    path.write_text(f"<collection><document><id>7</id>\n{''.join(inside)}</document></collection>", encoding="utf-8")
    ((_, row),) = read_bioc(folder)
    return row


def usual(*relations, shift=0, second=23):
    """The title with the mentions 1 and 2, the abstract with the mention 3, and relations."""
    first = [mention(1, "Aspirin", 0), mention(2, "rash", 17, "Problem", "D2")]
    return [passage(0, TITLE, *first), passage(second, ABSTRACT, mention(3, "aspirin", 28 - shift)), *relations]


def words(row):
    return [row["text"][ent["start"] : ent["end"]] for ent in row["ents"]]


def related(row):
    return [(relation["head"], relation["child"]) for relation in row["relations"]]


def node(number, role):
    return f'<node refid="{number}" role="{role}"/>'


def refused(folder, *inside):
    with pytest.raises(ValueError) as caught:
        read(folder, *inside)
    assert caught.value.__context__ is None and not re.search("rash|SECRET|spirin", str(caught.value))
    assert re.search(r"in.BioC.XML, document 1 \(line 1\)", str(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("shift,second", [(23, 23), (23, 0)], ids=["with offsets of passages", "passages at 0"])
def test_offsets_may_begin_anew_in_each_passage(shift, second, tmp_path):
    with pytest.warns(UserWarning, match="characters that begin anew in each passage: 1,"):
        row = read(tmp_path, *usual(shift=shift, second=second))
    assert row["text"] == f"{TITLE} {ABSTRACT}" and words(row) == ["Aspirin", "rash", "aspirin"]


@pytest.mark.parametrize("sign,counting", [("\u03b2", "bytes of UTF-8"), ("\U0001f600", "UTF-16 units"), ("\n", "ends as two")])
def test_offsets_of_passages_and_mentions_may_count_something_else(sign, counting, tmp_path):
    units = 2
    title = f"Old{sign}aspirin"
    first = passage(0, title, mention(1, "aspirin", 3 + units))
    second = passage(len(title) + units, ABSTRACT, mention(2, "aspirin", len(title) + units + 5))
    with pytest.warns(UserWarning, match=f"{counting}.*: 1,"):
        row = read(tmp_path, first, second)
    assert row["text"] == f"{title} {ABSTRACT}" and words(row) == ["aspirin", "aspirin"]


def test_offsets_within_passages_may_count_bytes(tmp_path):
    with pytest.warns(UserWarning, match="bytes of UTF-8 that begin anew in each passage"):
        row = read(tmp_path, passage(0, TITLE), passage(23, "\u03b2, aspirin", mention(1, "aspirin", 4)))
    assert words(row) == ["aspirin"]


def test_a_text_that_is_elsewhere_is_refused_without_a_text(tmp_path):
    assert "annotation at line 7, id 3: " in refused(tmp_path, *usual(shift=11))


def test_mentions_of_several_parts_keep_them(tmp_path):
    text = "liver and kidney damage"
    part = mention(1, "liver damage", 0, length=5, more='<location offset="17" length="6"/>')
    row = read(tmp_path, passage(0, text, part))
    (ent,) = row["ents"]
    assert (ent["start"], ent["end"]) == (0, 23) and ent["parts"] == [{"start": 0, "end": 5}, {"start": 17, "end": 23}]


def test_parts_that_miss_their_text_by_a_letter_are_moved(tmp_path):
    part = mention(1, "liver damage", 0, length=5, more='<location offset="16" length="6"/>')
    with pytest.warns(UserWarning, match="moved to it. mentions: 1"):
        row = read(tmp_path, passage(0, "liver and kidney damage", part))
    assert row["ents"][0]["parts"][1] == {"start": 17, "end": 23}


def test_passages_may_have_sentences_with_a_text_of_their_own_or_with_theirs(tmp_path):
    sentences = "".join(
        f"<sentence><offset>{at}</offset><text>{text}</text>{inside}</sentence>"
        for at, text, inside in ((0, TITLE, mention(1, "rash", 17)), (23, ABSTRACT, mention(2, "aspirin", 28)))
    )
    for whole in ("", f"<text>{TITLE} {ABSTRACT}</text>"):
        row = read(tmp_path, f"<passage><offset>0</offset>{whole}{sentences}</passage>")
        assert row["text"] == f"{TITLE} {ABSTRACT}" and words(row) == ["rash", "aspirin"]


@pytest.mark.parametrize(
    "inside,named",
    [
        ([passage(0, TITLE, '<annotation id="1"><infon key="type">A</infon><text>rash</text></annotation>')], "no <location"),
        ([passage(0, TITLE, mention(1, "rash", "SECRET"))], "expected a <location> with an offset"),
        ([passage(0, TITLE, mention(1, "rash", "9" * 5000))], "expected a <location> with an offset"),
        ([passage(0, TITLE, mention(1, "rash", "9" * 18))], "annotation at line 3, id 1: "),
        ([passage("SECRET", TITLE)], "expected an <offset>"),
        ([passage("9" * 18, TITLE)], f"more than {ROOM} characters"),
        ([passage(0, TITLE), passage(5, ABSTRACT, mention(1, "rash", 0))], "cover each other"),
    ],
)
def test_what_is_not_of_the_form_is_refused_with_what_was_expected(inside, named, tmp_path):
    assert named in refused(tmp_path, *inside)


def test_annotations_without_a_location_are_of_a_text_and_counted(tmp_path):
    index = '<annotation id="9"><infon key="type">MeSH_Indexing_Chemical</infon><text/></annotation>'
    with pytest.warns(UserWarning, match="without a location and a text, which are .* left out. annotations: 1, the"):
        row = read(tmp_path, passage(0, TITLE, index, mention(1, "rash", 17)))
    assert words(row) == ["rash"]


@pytest.mark.parametrize(
    "one,other,turned",
    [
        ("Arg2", "Arg1", True),
        ("Arg1", "Arg2", False),
        ("tail", "head", True),
        ("Object", "Subject", True),
        ("target", "source", True),
        ("effect", "Cause", True),
        ("theme", "cause", True),
        ("object", "thing", True),
        ("ARG-2_ID", "arg-1-id", True),
        ("", "", False),
    ],
)
def test_roles_of_nodes_say_what_is_the_head(one, other, turned, tmp_path):
    row = read(tmp_path, *usual(NODES % (node(1, one) + node(2, other))))
    assert related(row) == [("2", "1") if turned else ("1", "2")]
    assert ("symmetric" in row) == (one == "")


def test_roles_that_are_not_known_leave_the_order_and_are_counted(tmp_path):
    with pytest.warns(UserWarning, match="do not say which of the two is the head.* relations: 1,"):
        row = read(tmp_path, *usual(NODES % (node(2, "enzyme") + node(1, "substrate"))))
    assert related(row) == [("2", "1")] and "symmetric" not in row


@pytest.mark.parametrize(
    "infons,directed",
    [
        ({"entity2": "D1", "entity1": "D2", "novel": "No"}, False),
        ({"Arg2": "D1", "Arg1": "D2", "note": "SECRET", "more": "SECRET"}, True),
        ({"Object_ID": "D1", "Subject_ID": "D2"}, True),
        ({"role2": "Drug|D1", "role1": "Problem|D2", "score": "0.9"}, False),
    ],
)
def test_infons_say_what_is_the_head(infons, directed, tmp_path):
    text = "".join(f'<infon key="{key}">{value}</infon>' for key, value in infons.items())
    row = read(tmp_path, *usual(INFONS % text))
    assert related(row) == [("2", "1"), ("2", "3")] and ("symmetric" in row) != directed


def test_the_roles_of_pubtator_may_have_a_role_and_its_nodes_are_no_mentions(tmp_path):
    text = '<infon key="role1" role="Object">Drug|D1</infon><infon key="role2" role="Subject">Problem|D2</infon>'
    row = read(tmp_path, *usual(INFONS % (text + node(0, "1,2") + node(1, "3,2"))))
    assert related(row) == [("2", "1"), ("2", "3")] and "symmetric" not in row


def test_infons_without_a_known_role_are_those_that_name_concepts(tmp_path):
    infons = '<infon key="Drug">D1</infon><infon key="page">7</infon><infon key="Problem">D2</infon>'
    with pytest.warns(UserWarning, match="do not say"):
        assert related(read(tmp_path, *usual(INFONS % infons))) == [("1", "2"), ("3", "2")]


def test_relations_of_passages_whose_ids_begin_anew_are_of_these_passages(tmp_path):
    first, second = (
        passage(at, "Aspirin: rash", mention(1, "Aspirin", at), mention(2, "rash", at + 9), NODES % (node(1, "") + node(2, "")))
        for at in (0, 14)
    )
    row = read(tmp_path, first, second)
    names = [ent["id"] for ent in row["ents"]]
    assert len({*names}) == 4 and related(row) == [(names[0], names[1]), (names[2], names[3])]


def test_relations_of_more_than_two_are_left_out_and_counted(tmp_path):
    three = NODES % (node(1, "a") + node(2, "b") + node(3, "c"))
    of_relations = '<relation id="R2"><infon key="type">X</infon><node refid="1"/><node refid="R1"/></relation>'
    two = NODES % (node(1, "") + node(2, ""))
    with pytest.warns(UserWarning, match="left out.* of 3 nodes: 1, .* of relations: 1, "):
        row = read(tmp_path, *usual(three, of_relations, two))
    assert related(row) == [("1", "2")]


@pytest.mark.parametrize(
    "relation,named",
    [
        (NODES % node(1, "") + "", "does not say what it relates"),
        (NODES % "", "does not say what it relates"),
        (INFONS % '<infon key="SECRET">SECRET</infon>', "does not say what it relates"),
        (NODES % (node(1, "") + node("SECRET", "")), "no annotation has"),
        ('<relation><node refid="1"/><node refid="2"/></relation>', "has no type"),
    ],
)
def test_relations_of_nothing_are_refused_with_their_line(relation, named, tmp_path):
    found = refused(tmp_path, *usual(relation))
    assert named in found and "relation at line 9" in found


def test_an_id_that_several_annotations_have_is_refused_where_it_is_doubtful(tmp_path):
    parts = [passage(0, "Aspirin", mention(1, "Aspirin", 0)), passage(8, "rash", mention(1, "rash", 8))]
    assert "several annotations have" in refused(tmp_path, *parts, NODES % (node(1, "") + node(1, "")))


@pytest.mark.filterwarnings("ignore:Mentions of several concepts")
def test_biored_keeps_all_relations(tmp_path):
    (tmp_path / "Train.BioC.XML").write_text(bioc("1", "2"), encoding="utf-8")
    rows = [row for _, row in read_bioc(tmp_path / "Train.BioC.XML")]
    assert [row["id"] for row in rows] == ["1", "2"]
    for row in rows:
        labels = {relation["label"] for relation in row["relations"]}
        assert row["symmetric"] is True and labels == {label for label, *_ in RELATIONS}
