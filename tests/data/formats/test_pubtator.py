import re

import pytest
from biored_util import RELATIONS, pubtator
from growth_util import growth

from spacy_epee.data.formats.pubtator import read_pubtator

TEXTS = "{0}|t|Aspirin caused a rash.\n{0}|a|Stop aspirin; SECRET is well.\n"
MENTIONS = "{0}\t0\t7\tAspirin\tDrug\tD1\n{0}\t17\t21\trash\tProblem\tD2\n{0}\t28\t35\taspirin\tDrug\tD1\n"
RELATION = "{0}\tCAUSES\tD1\tD2\n"
WHOLE = TEXTS + MENTIONS + RELATION


def read(folder, content):
    path = folder / "in.PubTator"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [row for _, row in read_pubtator(path)]


def summary(rows):
    return [(row["id"], len(row["text"]), len(row["ents"]), len(row["relations"])) for row in rows]


BOTH = [("1", 52, 3, 2), ("2", 52, 3, 2)]


@pytest.mark.parametrize(
    "content",
    [
        WHOLE.format(1) + "\n" + WHOLE.format(2),
        WHOLE.format(1) + WHOLE.format(2),
        TEXTS.format(1) + TEXTS.format(2) + MENTIONS.format(1) + MENTIONS.format(2) + RELATION.format(1) + RELATION.format(2),
        (TEXTS + MENTIONS).format(1) + "\n" + (TEXTS + MENTIONS).format(2) + "\n" + RELATION.format(2) + RELATION.format(1),
        "\ufeff" + WHOLE.format(1) + "\n" + WHOLE.format(2),
        WHOLE.format(1).replace("\n", "\n\n") + "\n" + WHOLE.format(2).replace("\n", "\n \n"),
        (WHOLE.format(1) + "\n" + WHOLE.format(2)).replace("\n", "\r\n"),
        (WHOLE.format(1) + "\n" + WHOLE.format(2)).replace("\n", "\r"),
    ],
    ids=["usual", "no blank lines", "texts first", "relations last", "mark", "blank lines", "CRLF", "CR"],
)
def test_what_belongs_to_a_document_may_be_anywhere_behind_its_title(content, tmp_path):
    assert summary(read(tmp_path, content)) == BOTH


def test_documents_of_one_id_stay_apart(tmp_path):
    assert summary(read(tmp_path, WHOLE.format(1) + "\n" + WHOLE.format(1))) == [BOTH[0], BOTH[0]]


def test_folders_are_looked_through_for_names_in_any_case(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a.PubTator", "deep/b.PUBTATOR.TXT", "c.txt"):
        (tmp_path / name).write_text(WHOLE.format(name[0]))
    assert [row["id"] for _, row in read_pubtator(tmp_path)] == ["a", "d"]


@pytest.mark.parametrize(
    "line",
    [
        "1\t0\t7\tSECRET",
        "1\t0\tSECRET\tDrug",
        "1\t-1\t7\tSECRET\tDrug",
        "1\t-1\t-1\tSECRET\tDrug\tD1",
        "1\t0\t7\tSECRET\tDrug\tD1\tD1\tmore",
        "1\tCAUSES\tSECRET",
        "1\tCAUSES\t\tSECRET",
        "1\tCAUSES\tSECRET\tD2\tNovel\tmore",
        "1\t" + "9" * 5000 + "\t" + "9" * 5001 + "\tSECRET\tDrug\tD1",
        "2\t0\t7\tSECRET\tDrug\tD1",
        "SECRET",
        "1",
        "1|x|SECRET",
        "1|a|SECRET",
    ],
)
def test_lines_that_are_nothing_are_refused_with_their_number_and_without_a_text(line, tmp_path):
    with pytest.raises(ValueError, match="in.PubTator, line 3: ") as caught:
        read(tmp_path, TEXTS.format(1) + line + "\n")
    assert "SECRET" not in str(caught.value) and caught.value.__context__ is None


def test_a_mention_whose_text_is_elsewhere_is_refused_without_a_text(tmp_path):
    with pytest.raises(ValueError, match="in.PubTator, line 4, T2: .* at 13 to 17 ") as caught:
        read(tmp_path, WHOLE.format(1).replace("17\t21\trash", "13\t17\trash"))
    assert not re.search("rash|SECRET|caused", str(caught.value)) and caught.value.__context__ is None


def test_offsets_may_count_bytes(tmp_path):
    content = WHOLE.format(1).replace("Aspirin caused", "\u03b2spirin caused").replace("0\t7\tAspirin", "0\t8\t\u03b2spirin")
    for old, new in (("17\t21", "18\t22"), ("28\t35", "29\t36")):
        content = content.replace(old, new)
    with pytest.warns(UserWarning, match="bytes of UTF-8: 1,"):
        (row,) = read(tmp_path, content)
    assert [row["text"][ent["start"] : ent["end"]] for ent in row["ents"]] == ["\u03b2spirin", "rash", "aspirin"]


def test_mentions_that_miss_their_text_by_a_letter_are_moved_and_counted(tmp_path):
    with pytest.warns(UserWarning, match="moved to it. mentions: 1, the first in .*line 5"):
        (row,) = read(tmp_path, WHOLE.format(1).replace("28\t35", "27\t34"))
    assert (row["ents"][2]["start"], row["ents"][2]["end"]) == (28, 35)


def test_mentions_of_several_concepts_may_have_a_seventh_column(tmp_path):
    line = "1\t0\t14\tAspirin caused\tDrug\tD1|D3\tAspirin|Aspirin caused\n"
    (row,) = read(tmp_path, TEXTS.format(1) + line)
    assert row["ents"] == [{"id": "T1", "start": 0, "end": 14, "label": "Drug", "kb_id": "D1|D3"}]


def test_relations_have_a_direction_only_if_a_line_names_the_subject(tmp_path):
    (row,) = read(tmp_path, WHOLE.format(1))
    assert row["symmetric"] is True and row["relations"][0]["head"] == "T1"
    for line in ("1\tD1\tD2\tSubject:D2\n", "1\tD2\tD1\tSubject:D2|0.98\n"):
        (row,) = read(tmp_path, WHOLE.format(1) + line)
        assert "symmetric" not in row and {relation["head"] for relation in row["relations"]} == {"T2"}


def test_subjects_of_no_relation_are_counted(tmp_path):
    with pytest.warns(UserWarning, match="no such relation.* lines: 1, .*line 7"):
        read(tmp_path, WHOLE.format(1) + "1\tD1\tD9\tSubject:D1\n")


@pytest.mark.filterwarnings("ignore:Mentions of several concepts")
def test_biored_keeps_all_relations(tmp_path):
    (row,) = read(tmp_path, pubtator())
    assert {relation["label"] for relation in row["relations"]} == {label for label, *_ in RELATIONS}
    concepts = {ent["id"]: ent["kb_id"] for ent in row["ents"]}
    found = {(concepts[relation["head"]], concepts[relation["child"]]) for relation in row["relations"]}
    assert {("4524", "c|SUB|A|1298|C"), ("4524", "c|SUB|A|1298|C,rs1801131"), ("c|SUB|A|1298|C", "D001")} <= found


def test_time_grows_with_the_file_alone(tmp_path):
    def convert(count):
        lines = "".join(f"{i}\t0\t7\tAspirin\tDrug\tD{i}\n" for i in range(count))
        texts = "".join(TEXTS.format(i) for i in range(count))
        one = "".join(f"x\t{8 * i}\t{8 * i + 7}\tAspirin\tDrug\tD{i}\n" for i in range(count))
        content = texts + lines + "x|t|" + "Aspirin " * count + "\n" + one
        read(tmp_path, content)

    assert growth(convert, 2000) < 9
