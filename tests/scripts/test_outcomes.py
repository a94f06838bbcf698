"""The scripts that make rows of tables with outcomes, on tiny invented tables in the form of each source."""

import csv
import importlib
import json
import sys
import zipfile
from pathlib import Path

import pytest
import spacy
import typer
from typer.testing import CliRunner

from spacy_epee.data.readers import EntityReader, read_jsonl

SCRIPTS = Path(__file__).parents[2] / "scripts"
REPORT = "Two days later the child felt hot and was taken to the emergency room."
SECRET = "zolodrin"


@pytest.fixture
def script(monkeypatch):
    """From a name to the module in the folder of scripts."""
    monkeypatch.syspath_prepend(SCRIPTS)
    yield importlib.import_module
    own = ("sources", "convert_corpora", "derive_outcomes", "convert_mimic")
    for name in [name for name in sys.modules if name.split(".")[0] in own]:
        del sys.modules[name]


def run(module, *arguments):
    app = typer.Typer()
    app.command()(module.main)
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return found.exit_code, " ".join(found.output.split())


def table(path, columns, rows, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as out:
        writer = csv.DictWriter(out, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


# VAERS

SYMPTOM_COLUMNS = ["VAERS_ID", *(f"{name}{number}" for number in range(1, 6) for name in ("SYMPTOM", "SYMPTOMVERSION"))]


@pytest.fixture
def reports(script, tmp_path):
    """Writes the tables of some years, all with a report whose id is the year, and others of the first year."""
    outcomes = script("sources.outcomes")
    columns = ["VAERS_ID", "RECVDATE", "STATE", *outcomes.DATA[1:], "LAB_DATA"]
    every = [*outcomes.TRAIN, *outcomes.DEV, *outcomes.TEST]

    def write(*rows, columns=columns):
        for year in every:
            own = [{"VAERS_ID": str(year), "SYMPTOM_TEXT": REPORT}, *(rows if year == every[0] else ())]
            kept = [{name: cell for name, cell in row.items() if name in columns} for row in own]
            table(tmp_path / f"{year}VAERSDATA.csv", columns, kept, "cp1252")
            symptoms = [
                {"VAERS_ID": str(year), "SYMPTOM1": "Pyrexia", "SYMPTOM2": "Crying"},
                {"VAERS_ID": str(year), "SYMPTOM1": "Rash"},
            ]
            table(tmp_path / f"{year}VAERSSYMPTOMS.csv", SYMPTOM_COLUMNS, symptoms, "cp1252")
        return tmp_path

    write.columns = columns
    return write


def test_reports_become_rows_with_what_is_known(script, reports):
    outcomes = script("sources.outcomes")
    more = {"DIED": "Y", "HOSPITAL": "Y", "HOSPDAYS": "5", "RECOVD": "N", "AGE_YRS": "0.8", "SEX": "F"}
    folder = reports(
        {"VAERS_ID": "7", "SYMPTOM_TEXT": f" The naïve patient died in hospital; an autopsy was done. {SECRET} ", **more},
        {"VAERS_ID": "8", "SYMPTOM_TEXT": "Too few words."},
        {"VAERS_ID": "9", "SYMPTOM_TEXT": REPORT, "HOSPDAYS": "999", "RECOVD": "U"},
    )
    found = list(outcomes.vaers(folder))
    assert [split for split, _ in found] == ["train"] * (14 + 2) + ["dev"] + ["test"] * 2
    rows = {row["id"]: row for _, row in found}
    assert rows["7"]["text_masked"] == f"The naïve patient [MASKED] in [MASKED]; an [MASKED] was done. {SECRET}"
    assert rows["7"]["cats"] == {"DIED": 1, "L_THREAT": 0, "HOSPITAL": 1, "ER_VISIT": 0, "X_STAY": 0, "DISABLE": 0, "RECOVD": 0}
    assert (rows["7"]["los_days"], rows["7"]["los_bucket"], rows["7"]["age"], rows["7"]["symptoms"]) == (5, "4-7", 0.8, [])
    assert "RECOVD" not in rows["9"]["cats"] and rows["9"]["los_bucket"] is None  # not known is not false
    assert rows["2004"]["symptoms"] == ["Pyrexia", "Crying", "Rash"] and "8" not in rows


@pytest.mark.parametrize("days, bucket", [("0", "0-1"), ("1", "0-1"), ("2", "2-3"), ("7", "4-7"), ("8", "8-14"), ("998", "15+")])
def test_days_in_hospital_are_put_in_buckets(script, reports, days, bucket):
    folder = reports({"VAERS_ID": "7", "SYMPTOM_TEXT": REPORT, "HOSPDAYS": days})
    assert [row["los_bucket"] for _, row in script("sources.outcomes").vaers(folder) if row["id"] == "7"] == [bucket]


def test_reports_are_read_from_the_archives_that_are_fetched(script, reports):
    outcomes = script("sources.outcomes")
    folder = reports()
    before = list(outcomes.vaers(folder))
    for year in range(1990, 2007):
        with zipfile.ZipFile(folder / f"{year}VAERSData.zip", "w") as archive:
            for name in (f"{year}VAERSDATA.csv", f"{year}VAERSSYMPTOMS.csv"):
                archive.write(folder / name, name)
                (folder / name).unlink()
    assert list(outcomes.vaers(folder)) == before
    (folder / "1995VAERSData.zip").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match="1995VAERSData.zip: no archive, or a damaged one"):
        list(outcomes.vaers(folder))


def test_conversion_of_reports_writes_all_splits_or_says_why_not(script, reports, tmp_path):
    folder = reports({"VAERS_ID": "7", "SYMPTOM_TEXT": f"{REPORT} {SECRET}", "HOSPDAYS": "many"})
    convert = script("convert_corpora")
    (tmp_path / "corpora" / "vaers").mkdir(parents=True)
    for path in folder.glob("*.csv"):
        path.rename(tmp_path / "corpora" / "vaers" / path.name)
    code, said = run(convert, tmp_path / "corpora")
    assert code == 1 and "1990VAERSDATA.csv, row 2: the column 'HOSPDAYS' has no number" in said and SECRET not in said
    table = tmp_path / "corpora" / "vaers" / "1990VAERSDATA.csv"
    table.write_text(table.read_text(encoding="cp1252").replace("many", "3"), encoding="cp1252")
    assert run(convert, tmp_path / "corpora")[0] == 0
    assert len(read_jsonl(tmp_path / "corpora" / "vaers" / "normalised" / "train.jsonl")) == 15


def test_training_keeps_all_serious_reports_and_some_of_the_others(script, reports, monkeypatch):
    outcomes = script("sources.outcomes")
    monkeypatch.setattr(outcomes, "TRAIN_ROWS", 3)
    folder = reports(*({"VAERS_ID": str(number), "SYMPTOM_TEXT": REPORT, "DISABLE": "Y"} for number in (7, 8)))
    train = [row for split, row in outcomes.vaers(folder) if split == "train"]
    assert len(train) == 3 and [row["id"] for row in train if row["cats"]["DISABLE"]] == ["7", "8"]


BAD_REPORTS = [
    ({"VAERS_ID": "1990"}, "1990VAERSDATA.csv, row 2: the column 'VAERS_ID' has an id that is there twice"),
    ({"VAERS_ID": SECRET}, "1990VAERSDATA.csv, row 2: the column 'VAERS_ID' has no number"),
    ({"HOSPDAYS": SECRET}, "1990VAERSDATA.csv, row 2: the column 'HOSPDAYS' has no number from 0 on"),
    ({"HOSPDAYS": "-3"}, "1990VAERSDATA.csv, row 2: the column 'HOSPDAYS' has no number from 0 on"),
    ({"HOSPDAYS": "2.5"}, "1990VAERSDATA.csv, row 2: the column 'HOSPDAYS' has no whole number of days"),
    ({"HOSPDAYS": "5000"}, "1990VAERSDATA.csv, row 2: the column 'HOSPDAYS' has no whole number of days"),
    ({"AGE_YRS": "nan"}, "1990VAERSDATA.csv, row 2: the column 'AGE_YRS' has no number from 0 on"),
]


@pytest.mark.parametrize("cells, message", BAD_REPORTS)
def test_reports_that_cannot_be_read_are_named_and_not_shown(script, reports, cells, message):
    folder = reports({"VAERS_ID": "7", "SYMPTOM_TEXT": f"{REPORT} {SECRET}", **cells})
    with pytest.raises(ValueError) as caught:
        list(script("sources.outcomes").vaers(folder))
    assert message in str(caught.value) and SECRET not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None


@pytest.mark.parametrize("lacking", ["DIED", "SYMPTOM_TEXT"])
def test_tables_without_a_column_are_refused(script, reports, lacking):
    folder = reports(columns=[name for name in reports.columns if name != lacking])
    with pytest.raises(ValueError, match=f"1990VAERSDATA.csv: the column '{lacking}' is missing"):
        list(script("sources.outcomes").vaers(folder))


def test_tables_that_are_none_are_refused(script, tmp_path):
    tables = script("sources.tables")
    with pytest.raises(ValueError, match="notes, row 2: 1 cells, and the header has 2"):
        list(tables.read_table(["a,b\n", "1,2\n", f"{SECRET}\n"], ["a"], "notes"))
    with pytest.raises(ValueError, match="notes, after row 0"):
        list(tables.read_table(["a\n", f'"{SECRET}" x\n'], ["a"], "notes"))
    with pytest.raises(ValueError, match="the column 'a' is there more than once"):
        list(tables.read_table(["a,a\n"], ["a"], "notes"))


def test_masks_are_harder_on_demand(script):
    masks = script("sources.masks")
    masked = masks.mask("Found in crib, apneic. Was rushed to the ER and the ICU, intubated; IV given. Died. Tired since.")
    assert (
        masked == "Found in crib, apneic. Was [MASKED] the [MASKED] and the [MASKED], intubated; IV given. [MASKED]. Tired since."
    )
    harder = masks.mask_harder(masked)
    assert "MASKED" not in harder and "crib" not in harder and "intubated" not in harder and harder.endswith("Tired since.")


def test_rows_are_derived_for_three_tasks(script, reports, tmp_path):
    folder = reports({"VAERS_ID": "7", "SYMPTOM_TEXT": f"{REPORT} She recovered.", "HOSPDAYS": "2", "RECOVD": "Y"})
    rows = list(script("sources.outcomes").vaers(folder))
    for split in ("train", "dev", "test"):
        lines = [json.dumps(row) + "\n" for own, row in rows if own == split]
        (tmp_path / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    derive = script("derive_outcomes")
    assert run(derive, tmp_path, tmp_path / "out", "--symptoms", 2)[0] == 0
    labels = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert labels["symptoms"] == ["Crying", "Pyrexia"] and labels["stay"] == ["0-1", "2-3", "4-7", "8-14", "15+"]
    assert labels["outcomes"] == sorted(["DIED", "L_THREAT", "HOSPITAL", "ER_VISIT", "X_STAY", "DISABLE", "RECOVD"])
    by_id = {row["id"]: row for row in read_jsonl(tmp_path / "out" / "train.jsonl")}
    assert by_id["7"]["stay"] == "2-3" and "stay" not in by_id["1990"] and "recovered" not in by_id["7"]["text"]
    assert by_id["1990"]["symptoms"] == {"Crying": 1, "Pyrexia": 1} and by_id["7"]["symptoms"] == {"Crying": 0, "Pyrexia": 0}
    read = EntityReader(tmp_path / "out" / "train.jsonl", cats=["outcomes", "stay", "symptoms"])
    docs = {eg.reference.text: eg.reference.cats for eg in read(spacy.blank("en"))}
    assert docs[by_id["7"]["text"]]["2-3"] == 1 and docs[by_id["7"]["text"]]["RECOVD"] == 1
    assert {"2-3", "RECOVD"}.isdisjoint(docs[by_id["1990"]["text"]])  # not known, so that they teach nothing
    assert run(derive, tmp_path, tmp_path / "open", "--text", "open")[0] == 0
    assert "recovered" in {row["id"]: row for row in read_jsonl(tmp_path / "open" / "train.jsonl")}["7"]["text"]
    code, said = run(derive, tmp_path, tmp_path / "none", "--text", "other")
    assert code == 1 and "give one of masked, harder, open" in said


ROW = {"id": "1", "text": SECRET, "text_masked": SECRET, "cats": {"DIED": 0}, "los_bucket": None, "symptoms": []}


@pytest.mark.parametrize(
    "train, dev, message",
    [
        ([ROW], [{**ROW, "id": "2", "text_masked": " "}], "dev.jsonl, line 1: the field 'text_masked' is empty"),
        (
            [ROW],
            [{**ROW, "id": "2", "los_bucket": SECRET}],
            "the field 'los_bucket' is none of 0-1, 2-3, 4-7, 8-14, 15+, and not null",
        ),
        ([ROW], [ROW], "dev.jsonl, line 1: a row with this id is there already, in this split or another"),
        ([ROW, ROW], [], "train.jsonl, line 2: a row with this id is there already"),
        ([{**ROW, "cats": 3}], [], "train.jsonl, line 1: the field 'cats' holds no labels"),
        ([{key: ROW[key] for key in ("id", "text", "cats")}], [], "train.jsonl, line 1: the field 'text_masked' is missing"),
    ],
)
def test_rows_that_cannot_be_derived_are_named_and_not_shown(script, tmp_path, train, dev, message):
    for split, rows in {"train": train, "dev": dev, "test": [{**ROW, "id": "3"}]}.items():
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, said = run(script("derive_outcomes"), tmp_path, tmp_path / "out")
    assert code == 1 and message in said and SECRET not in said
    assert not (tmp_path / "out").exists()


# MIMIC. The notes are invented, in the form in which the benchmark's scripts write them.

NOTE = (
    'CHIEF COMPLAINT: Chest pain\n\nPRESENT ILLNESS: A 71 year old man, "well" until today, with pain.\n\nMEDICAL HISTORY: Gout'
)
COLUMNS = {
    "MP_IN": "hospital_expire_flag",
    "LOS_WEEKS": "los_label",
    "DIA_GROUPS_3_DIGITS": "short_codes",
    "PRO_GROUPS_3_DIGITS": "short_codes",
}
CELLS = {"MP_IN": "0", "LOS_WEEKS": "3", "DIA_GROUPS_3_DIGITS": "038,V458,E879", "PRO_GROUPS_3_DIGITS": "96"}


def put_tables(folder, names=COLUMNS, cells={}, kind="_adm"):  # noqa: B006 - read alone
    """The tables of some tasks, a note a split, whose id is 1, 2 or 3."""
    for name in names:
        for number, split in enumerate(("train", "val", "test"), 1):
            row = {"id": number, "text": f"{NOTE} {number}", COLUMNS[name]: cells.get(name, CELLS[name])}
            table(folder / f"{name}{kind}_{split}.csv", row, [row])
    return folder


@pytest.mark.parametrize("kind", ["_adm", ""])
def test_tables_of_the_benchmark_become_one_row_a_note(script, tmp_path, kind):
    code, said = run(script("convert_mimic"), put_tables(tmp_path / "in", kind=kind), tmp_path / "out")
    assert code == 0 and "train 1, dev 1, test 1" in said
    [row] = read_jsonl(tmp_path / "out" / "dev.jsonl")
    assert row == {
        "id": "2",
        "text": f"{NOTE} 2",
        "mortality": {"died": 0},
        "stay": "more than 14 days",
        "diagnoses": ["038", "V458", "E879"],
        "procedures": ["96"],
    }
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == {
        "mortality": ["died"],
        "stay": ["up to 3 days", "4 to 7 days", "8 to 14 days", "more than 14 days"],
        "diagnoses": ["038", "V458", "E879"],
        "procedures": ["96"],
    }


def test_tables_of_some_tasks_are_enough(script, tmp_path):
    folder = put_tables(tmp_path / "in", ["LOS_WEEKS"])
    assert run(script("convert_mimic"), folder, tmp_path / "out")[0] == 0
    assert read_jsonl(tmp_path / "out" / "test.jsonl")[0].keys() == {"id", "text", "stay"}
    assert list(json.loads((tmp_path / "out" / "labels.json").read_text())) == ["stay"]


def test_codes_that_are_rare_in_training_are_left_out(script, tmp_path):
    folder = put_tables(tmp_path / "in")
    rows = [
        {"id": number, "text": NOTE, "short_codes": codes} for number, codes in ((1, "038,V458"), (7, "V458,V458"), (8, "V458"))
    ]
    table(folder / "DIA_GROUPS_3_DIGITS_adm_train.csv", ["id", "text", "short_codes"], rows)
    assert run(script("convert_mimic"), folder, tmp_path / "out", "--codes", 1)[0] == 0
    assert json.loads((tmp_path / "out" / "labels.json").read_text())["diagnoses"] == ["V458"]
    assert [row["diagnoses"] for row in read_jsonl(tmp_path / "out" / "train.jsonl")] == [["V458"]] * 3


@pytest.mark.parametrize(
    "name, cell, message",
    [
        ("MP_IN", SECRET, "MP_IN_adm_train.csv, row 1: the column 'hospital_expire_flag' has not 0 or 1"),
        ("MP_IN", "", "the column 'hospital_expire_flag' has not 0 or 1"),
        ("LOS_WEEKS", "4", "LOS_WEEKS_adm_train.csv, row 1: the column 'los_label' has not 0, 1, 2 or 3"),
        ("DIA_GROUPS_3_DIGITS", f"038,{SECRET}", "the column 'short_codes' has not ICD-9 codes with commas between them"),
    ],
)
def test_labels_that_are_none_are_named_and_not_shown(script, tmp_path, name, cell, message):
    code, said = run(script("convert_mimic"), put_tables(tmp_path / "in", cells={name: cell}), tmp_path / "out")
    assert code == 1 and message in said and SECRET not in said
    assert not (tmp_path / "out").exists()


def test_notes_of_admission_and_whole_ones_are_not_mixed(script, tmp_path):
    folder = put_tables(put_tables(tmp_path / "in", ["MP_IN"]), ["LOS_WEEKS"], kind="")
    code, said = run(script("convert_mimic"), folder, tmp_path / "out")
    assert code == 1 and "has tables of admission notes" in said and not (tmp_path / "out").exists()


def test_tables_that_do_not_fit_are_refused(script, tmp_path):
    convert = script("convert_mimic")
    code, said = run(convert, tmp_path, tmp_path / "out")
    assert code == 1 and "There is no table such as MP_IN_adm_train.csv" in said
    folder = put_tables(tmp_path / "in")
    columns = ["id", "text", "los_label"]
    for rows, message in (
        ([{"id": 1, "text": NOTE, "los_label": 0}] * 2, "LOS_WEEKS_adm_train.csv, row 2: a row with this id is there already"),
        ([{"id": 1, "text": " ", "los_label": 0}], "LOS_WEEKS_adm_train.csv, row 1: the column 'text' is empty"),
        ([{"id": 2, "text": NOTE, "los_label": 0}], "1 ids are both in 'train' and in 'dev'"),
    ):
        table(folder / "LOS_WEEKS_adm_train.csv", columns, rows)
        code, said = run(convert, folder, tmp_path / "out")
        assert code == 1 and message in said and "Chest pain" not in said
    table(folder / "LOS_WEEKS_adm_train.csv", columns[:2], [])
    code, said = run(convert, folder, tmp_path / "out")
    assert code == 1 and "LOS_WEEKS_adm_train.csv: the column 'los_label' is missing" in said
    (folder / "LOS_WEEKS_adm_train.csv").unlink()
    code, said = run(convert, folder, tmp_path / "out")
    assert code == 1 and "There is no file LOS_WEEKS_adm_train.csv" in said
