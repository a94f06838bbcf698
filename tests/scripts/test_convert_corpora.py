"""The scripts that turn fetched corpora into JSONL, on tiny invented files in the form of each source."""

import gzip
import importlib
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from xml.etree.ElementTree import ParseError

import pytest
import spacy

from spacy_epee.data.docs import annotate_doc
from spacy_epee.data.readers import read_jsonl

SCRIPTS = Path(__file__).parents[2] / "scripts"
CORPORA = SCRIPTS.parent.parent / "shared" / "corpora"
NLP = spacy.blank("en")


@pytest.fixture
def script(monkeypatch):
    """From a name to the module in the folder of scripts."""
    monkeypatch.syspath_prepend(SCRIPTS)
    yield importlib.import_module
    for name in [name for name in sys.modules if name.split(".")[0] in ("sources", "convert_corpora", "derive_corpora")]:
        del sys.modules[name]


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def pack(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def check(rows):
    """The rows, which the reader takes."""
    for row in rows:
        annotate_doc(NLP, {"id": "", **row}, "row", spans_key="entities")
    return rows


def mentions(row):
    return {ent["id"]: (row["text"][ent["start"] : ent["end"]], ent["label"]) for ent in row["ents"]}


def related(row):
    names = {name: text for name, (text, _) in mentions(row).items()}
    return [(names[relation["head"]], relation["label"], names[relation["child"]]) for relation in row["relations"]]


def test_convert_textcat_sources(script, tmp_path):
    textcat = script("sources.textcat")
    put(tmp_path / "annotations_structured_abstract.csv", 'pmid,sentence,label\n7," Rest, and drink. ",2\n')
    ((_, row),) = textcat.health_advice(tmp_path)
    assert row == {"group": "7", "text": "Rest, and drink.", "cats": {"none": 0, "weak": 0, "strong": 1}}
    put(tmp_path / "DRUG-AE.rel", "7|A drug  hurt.|hurt|0|4|drug|0|4\n7|A DRUG hurt.|hurt|0|4|drug|0|4\n7|Both.|a|0|1|b|0|1\n")
    put(tmp_path / "ADE-NEG.txt", "8 NEG No NEG here.\n8 NEG Both.\n")
    assert [(row["text"], row["cats"]["ade"]) for _, row in textcat.ade(tmp_path)] == [("A drug hurt.", 1), ("No NEG here.", 0)]
    for key in textcat.HALLMARKS:
        for source in ("train", "devel", "test"):
            put(tmp_path / f"label-{key}" / f"{source}.pos", "Cells spread .\n" if key in "1a" and source == "devel" else "\n")
            put(tmp_path / f"label-{key}" / f"{source}.neg", "Cells spread .\n" if key not in "1a" and source == "devel" else "")
    ((split, row),) = textcat.hoc_doc10(tmp_path)
    named = [name for name, value in row["cats"].items() if value]
    assert (split, named) == ("dev", ["invasion_and_metastasis", "tumor_promoting_inflammation"]) and len(row["cats"]) == 10


def test_convert_ade_relations_finds_offsets_in_the_sentence(script, tmp_path):
    # The sentence starts at 100 of its abstract. "ache" alone could be in two places; "rash" says which.
    lines = [
        "7|Ache:  Zolodrin gave a rash and ache.|ache|131|135|Zolodrin|106|114",
        "7|Ache: Zolodrin gave a rash and ache.|rash|122|126|Zolodrin|106|114",
        "7|Ache: Zolodrin gave a rash and ache.| rash|121|126|Zolodrin|106|114",
    ]
    put(tmp_path / "DRUG-AE.rel", "\n".join(lines) + "\n")
    [row] = check([row for _, row in script("sources.relations").ade(tmp_path)])
    assert related(row) == [("Zolodrin", "ADE", "ache"), ("Zolodrin", "ADE", "rash")]
    assert list(mentions(row).values()) == [("Zolodrin", "Drug"), ("ache", "Effect"), ("rash", "Effect")]


DDI = """<?xml version="1.0" encoding="UTF-8"?>%s
<document id="D1"><sentence id="D1.s0" text="Avoid zolodrin with red or blue pills."%s>
<entity id="D1.s0.e0" charOffset="6-13" type="drug" text="zolodrin"/>
<entity id="D1.s0.e1" charOffset="20-22;32-36" type="group" text="red pills"/>
<entity id="D1.s0.e2" charOffset="27-36" type="group" text="blue pills"/>
<pair id="p0" e1="D1.s0.e0" e2="D1.s0.e1" ddi="true" type="advise"/>
<pair id="p1" e1="D1.s0.e0" e2="D1.s0.e2" ddi="true"/>
<pair id="p2" e1="D1.s0.e1" e2="D1.s0.e2" ddi="false"/></sentence><sentence id="D1.s1" text=""/></document>"""


def test_convert_ddi(script, tmp_path):
    folder = "DDICorpus/Test/Test for DDI Extraction task/DrugBank"
    pack(
        tmp_path / "DDICorpus-2013.zip",
        {
            "DDICorpus/Train/MedLine/a.xml": DDI % ("", ""),
            f"{folder}/b.xml": DDI % ("", ""),
            "DDICorpus/Test/Test for DrugNER task/c.xml": "",
            "DDICorpus/Train/readme.txt": "",
        },
    )
    found = list(script("sources.relations").ddi2013(tmp_path))
    assert [split for split, _ in found] == ["test", script("sources.files").by_abstract("D1").replace("test", "train")]
    row, _ = check([row for _, row in found])
    assert (row["id"], row["group"]) == ("D1.s0", "D1")
    assert related(row) == [("zolodrin", "advise", "red or blue pills")]
    assert row["ents"][1]["parts"] == [{"start": 20, "end": 23}, {"start": 32, "end": 37}]


def test_convert_ddi_reads_no_other_file(script, tmp_path):
    (tmp_path / "other.txt").write_text("SECRET")
    kind = f'<!DOCTYPE document [<!ENTITY other SYSTEM "{(tmp_path / "other.txt").as_uri()}">]>'
    text = DDI.replace("</sentence>", "&other;</sentence>", 1) % (kind, "")
    pack(tmp_path / "DDICorpus-2013.zip", {"DDICorpus/Train/a.xml": text})
    with pytest.raises(ParseError, match="undefined entity"):
        list(script("sources.relations").ddi2013(tmp_path))


BIOC = """<?xml version='1.0' encoding='UTF-8'?>
<collection><source></source><date></date><key></key><document><id>7</id>
<passage><infon key="type">title</infon><offset>0</offset><text>Zolodrin and its risks</text>%s</passage>
<passage><infon key="type">abstract</infon><offset>23</offset><text>Liver and kidney damage came of zolodrin.</text>
%s%s%s%s</passage>
<relation id="R0"><infon key="relation">CID</infon><infon key="Chemical">C1</infon><infon key="Disease">D2</infon></relation>
</document></collection>"""


def bioc_mention(number, label, concept, *places):
    locations = "".join(f'<location offset="{start}" length="{length}"/>' for start, length in places)
    infons = f'<infon key="type">{label}</infon><infon key="MESH">{concept}</infon>'
    text = "Zolodrin and its risks Liver and kidney damage came of zolodrin."
    words = " ".join(text[start : start + length] for start, length in places)
    return f'<annotation id="{number}">{infons}{locations}<text>{words}</text></annotation>'


def test_convert_bc5cdr_relates_all_mentions(script, tmp_path):
    text = BIOC % (
        bioc_mention(0, "Chemical", "C1", (0, 8)),
        bioc_mention(1, "Disease", "D1|D2", (23, 23)),
        bioc_mention(2, "Disease", "D1", (23, 5), (40, 6)),
        bioc_mention(3, "Disease", "D2", (33, 13)),
        bioc_mention(4, "Chemical", "C1", (55, 8)),
    )
    for part in ("Training", "Development", "Test"):
        put(tmp_path / f"CDR_{part}Set.BioC.xml", text)
    found = list(script("sources.relations").bc5cdr(tmp_path))
    assert [split for split, _ in found] == ["train", "dev", "test"]
    row = check([row for _, row in found])[0]
    assert row["concept_relations"] == [{"head": "C1", "child": "D2", "label": "CID"}]
    # The first part of the disease reaches as far as the whole, and is united with it.
    assert [ent["kb_id"] for ent in row["ents"]] == ["C1", "D1|D2", "D2", "C1"]
    expected = {(drug, harm) for drug in ("Zolodrin", "zolodrin") for harm in ("Liver and kidney damage", "kidney damage")}
    assert {(head, child) for head, _, child in related(row)} == expected and len(row["relations"]) == 4
    derived = script("derive_corpora").of_concepts(row)
    assert derived == row


def test_reports_of_one_kind_are_kept(script):
    module = script("derive_corpora")
    rows = [
        {"cats": {name: float(name in given) for name in (*module.KINDS.values(), "Urology")}}
        for given in (
            ["Surgery", "Urology"],
            ["Urology"],
            ["Surgery", "Radiology"],
            ["Discharge Summary"],
        )
    ]
    found = list(map(module.kind_of_report, rows))
    assert [own and [kind for kind, value in own["cats"].items() if value] for own in found] == [
        ["surgery"],
        None,
        None,
        ["discharge"],
    ]
    assert set(found[0]["cats"]) == set(module.KINDS)


def test_mentions_at_one_place_keep_all_their_concepts(script):
    place = {"start": 0, "end": 8, "label": "Disease"}
    ents = [
        {"id": "T1", **place, "kb_id": "D1"},
        {"id": "T2", **place, "kb_id": "D2|D1"},
        {"id": "T3", "start": 9, "end": 12, "label": "Chemical", "kb_id": "C1"},
    ]
    row = {"ents": ents, "concept_relations": [{"head": "C1", "child": "D1", "label": "CID"}]}
    derived = script("derive_corpora").of_concepts(row)
    assert [ent["kb_id"] for ent in derived["ents"]] == ["D1|D2", "C1"]
    assert derived["relations"] == [{"head": "T3", "child": "T1", "label": "CID"}]


def test_convert_phee(script, tmp_path):
    text = "A boy on zolodrin  and vexamil possibly had red itchy spots."

    def spans(*mentions, **more):
        return {"text": [list(mention) for mention in mentions], "start": [[at for at in map(find, m)] for m in mentions], **more}

    def find(part):
        return text.index(part.split()[0])

    drugs = [{"Drug": spans(["zolodrin"], ["vexamil"]), "event_id": "E2"}]
    event = {
        "event_id": "E1",
        "event_type": "Adverse_event",
        "Trigger": spans(["had"]),
        "Subject": spans(["A boy"]),
        "Treatment": spans(["zolodrin and vexamil"], Drug=spans(["zolodrin"], ["vexamil"]), Combination=drugs),
        "Effect": spans(["red", "spots"]),
        "Speculated": spans(["possibly"], value=True),
    }
    lines = json.dumps({"id": "7_1", "context": text, "is_mult_event": False, "annotations": [{"events": [event]}]})
    for split in ("train", "dev", "test"):
        put(tmp_path / f"{split}.json", lines)
    found = list(script("sources.events").phee(tmp_path))
    assert [(split, row["id"], row["group"]) for split, row in found] == [(s, "7_1", "7") for s in ("train", "dev", "test")]
    [event] = check([row for _, row in found])[0]["events"]
    assert [(entry["role"], text[entry["start"] : entry["end"]], entry["parent"]) for entry in event["arguments"]] == [
        ("Subject", "A boy", None),
        ("Treatment", "zolodrin  and vexamil", None),
        ("Drug", "zolodrin", "Treatment"),
        ("Drug", "vexamil", "Treatment"),
        ("Combination.Drug", "zolodrin", "Treatment"),
        ("Combination.Drug", "vexamil", "Treatment"),
        ("Effect", "red", None),
        ("Effect", "spots", None),
    ]
    place = text.index("possibly")
    assert event["flags"] == {"Speculated": {"value": True, "spans": [{"start": place, "end": place + len("possibly")}]}}


GENIA = {
    "txt": "Abc1 induces Xyz2 at site S.",
    "a1": "T1\tProtein 0 4\tAbc1\nT2\tProtein 13 17\tXyz2\n",
    "a2": "T3\tPositive_regulation 5 12\tinduces\nT4\tGene_expression 5 12\tinduces\nT5\tEntity 21 27\tsite S\n"
    "E1\tGene_expression:T4 Theme:T2\nE2\tPositive_regulation:T3 Theme:E1 Cause:T1 Site:T5\nM1\tNegation E2\n"
    "R1\tCoreference Subject:T3 Object:T2\n",
}


def test_convert_genia_and_its_dev_set(script, tmp_path):
    files = {f"repo-1/original-data/devel/PMC-9-00-X.{suffix}": text for suffix, text in GENIA.items()}
    for number in range(20):
        name = f"repo-1/original-data/train/PMC-{number // 2 + 10}-0{number % 2}-Y"
        files.update({f"{name}.{suffix}": text for suffix, text in GENIA.items()})
    pack(tmp_path / "genia_ge13" / "source.zip", {**files, "repo-1/original-data/test/PMC-8-00-Z.txt": "", "repo-1/README": ""})
    script("convert_corpora").main(tmp_path)
    folder = tmp_path / "genia_ge13" / "normalised"
    rows = {split: check(read_jsonl(folder / f"{split}.jsonl")) for split in ("train", "dev")}
    assert [len(rows[split]) for split in ("train", "dev")] == [20, 1]
    [row] = rows["dev"]
    assert (row["id"], row["group"]) == ("PMC-9-00-X", "PMC-9")
    # T3 is a trigger that a relation names, and so an entity.
    assert set(mentions(row)) == {"T1", "T2", "T3", "T5"}
    first, second = row["events"]
    assert (second["label"], second["flags"]) == ("Positive_regulation", {"Negation": True})
    assert [(entry["role"], entry.get("event"), entry.get("ent")) for entry in second["arguments"]] == [
        ("Theme", 0, None),
        ("Cause", None, "T1"),
        ("Site", None, "T5"),
    ]
    script("derive_corpora").main("genia", folder, tmp_path / "derived")
    derived = {split: check(read_jsonl(tmp_path / "derived" / f"{split}.jsonl")) for split in ("train", "dev", "test")}
    assert [len(derived[split]) for split in ("train", "dev", "test")] == [18, 2, 1]
    assert {row["group"] for row in derived["dev"]} == {"PMC-10"} and derived["test"][0]["group"] == "PMC-9"
    assert set(mentions(derived["test"][0])) == {"T1", "T2", "T5"} and derived["test"][0]["relations"] == []


def test_convert_maccrobat_and_its_events_alone(script, tmp_path):
    lines = "T1\tMedication 8 16\tzolodrin\nE1\tMedication:T1 \nT2\tDosage 17 19;23 25\t10 mg\nA1\tTREND E1 UP\n"
    lines += "R1\tMODIFY Arg1:T2 Arg2:E1\t\n*\tOVERLAP E1 T2\n"
    pack(
        tmp_path / "maccrobat" / "source.zip",
        {
            "repo-1/MACCROBAT2020/7.txt": "She had zolodrin 10 or mg.\n",
            "repo-1/MACCROBAT2020/7.ann": lines,
            "repo-1/elsewhere/8.ann": "T1\tbroken",
        },
    )
    ((_, row),) = script("sources.events").maccrobat(tmp_path / "maccrobat")
    check([row])
    assert (row["id"], row["group"]) == ("7", "7")
    assert related(row) == [("10 or mg", "MODIFY", "zolodrin")]
    [event] = row["events"]
    assert (event["label"], event["flags"], event["trigger"]["ent"]) == ("Medication", {"TREND": "UP"}, "T1")
    [derived] = check([script("derive_corpora").events_alone(row)])
    assert (derived["ents"], derived["relations"]) == ([], [])
    assert derived["events"][0]["trigger"] == {"start": 8, "end": 16}


def test_convert_leaves_alone_what_is_not_there_or_not_made_here(script, tmp_path, capsys):
    put(tmp_path / "ade_v2" / "DRUG-AE.rel", "7|Zolodrin gave a rash.|rash|16|20|Zolodrin|0|8\n")
    (tmp_path / "ade_v2" / "normalised" / "sentences").mkdir(parents=True)
    (tmp_path / "ade_v2" / "normalised" / "sentences" / "train.jsonl.gz").write_bytes(b"")
    script("convert_corpora").main(tmp_path)
    written = [path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("*.jsonl")]
    assert written == [("ade_v2", "normalised", "relations")]
    shown = "".join(capsys.readouterr().out.split())
    assert "leftasitis" in shown and "ddi2013/DDICorpus-2013.zip;fetchit" in shown


def test_convert_names_a_folder_that_an_archive_lacks(script, tmp_path):
    pack(tmp_path / "source.zip", {"repo-1/README": ""})
    with pytest.raises(ValueError, match="no folder 'MACCROBAT2020'"):
        list(script("sources.events").maccrobat(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(not CORPORA.exists(), reason=f"there are no corpora in {CORPORA}")
@pytest.mark.parametrize(
    "name,part,files",
    [
        ("ade_v2", "normalised/relations", ["DRUG-AE.rel.gz"]),
        ("ddi2013", "normalised", ["DDICorpus-2013.zip"]),
        ("bc5cdr", "normalised", ["CDR_TrainingSet.BioC.xml.gz", "CDR_DevelopmentSet.BioC.xml.gz", "CDR_TestSet.BioC.xml.gz"]),
        ("phee_v2", "normalised", ["train.json.gz", "dev.json.gz", "test.json.gz"]),
        ("genia_ge13", "normalised", ["bionlp-st-2013-ge.tar.gz"]),
        ("maccrobat", "normalised", ["MACCROBAT2020.tar.gz"]),
    ],
)
def test_convert_real_corpora(name, part, files, script, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    for file in files:
        source = CORPORA / name / file
        if file.endswith(".tar.gz"):
            with tarfile.open(source) as archive:
                members = [member for member in archive if member.isfile()]
                pack(folder / "source.zip", {f"repo-1/{m.name}": archive.extractfile(m).read() for m in members})
        else:
            (folder / file.removesuffix(".gz")).write_bytes(
                gzip.decompress(source.read_bytes()) if file.endswith(".gz") else source.read_bytes()
            )
    script("convert_corpora").main(tmp_path)

    def summary(row):
        # In BC5CDR the pairs of concepts are the same, and those of mentions differ.
        links = sorted(relation["label"] for relation in row.get("concept_relations") or row.get("relations") or [])
        events = [(event["label"], len(event["arguments"]), sorted(event["flags"])) for event in row.get("events") or []]
        return row["group"], row["text"], links, events

    for split in ("train", "dev") if name == "genia_ge13" else ("train", "dev", "test"):
        rows = check(read_jsonl(folder / part / f"{split}.jsonl"))
        assert [*map(summary, rows)] == [*map(summary, read_jsonl(CORPORA / name / part / f"{split}.jsonl"))]


def test_phee_has_kinds_and_relations(script):
    def event(label, drug, effect):
        return {
            "trigger": {"start": 0, "end": 1},
            "label": label,
            "arguments": [
                {"role": "Treatment", "start": drug, "end": drug + 3, "parent": None},
                {"role": "Drug", "start": drug, "end": drug + 2, "parent": "Treatment"},
                {"role": "Effect", "start": effect, "end": effect + 2, "parent": None},
            ],
        }

    of_effects = script("derive_corpora").of_effects
    row = of_effects({"events": [event("Adverse_event", 2, 6), event("Adverse_event", 2, 9)]})
    assert row["cats"] == {"adverse": 1.0, "therapeutic": 0.0}
    places = [(ent["start"], ent["end"], ent["label"]) for ent in row["ents"]]
    assert places == [(2, 4, "Drug"), (6, 8, "Effect"), (9, 11, "Effect")]
    assert [(found["head"], found["child"], found["label"]) for found in row["relations"]] == [
        ("E0", "E1", "adverse"),
        ("E0", "E2", "adverse"),
    ]
    both = of_effects({"events": [event("Adverse_event", 2, 6), event("Potential_therapeutic_event", 2, 6)]})
    assert "cats" not in both and [found["label"] for found in both["relations"]] == ["adverse"]
