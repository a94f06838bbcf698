"""The README is short, and what it says holds."""

import json
import re

import numpy
import pytest
from docs_util import ROOT, blocks, read_page

README = read_page("README.md")


COLUMNS = (
    "TF-IDF with characters",
    "spacy-transformers, ",
    "cut at its best layer, ONNX Runtime, int8",
    "ours, .*int8: .*drop 0.3",
)
CORPORA = ("health_advice", "ade", "hoc_doc10", "mtsamples_kinds", "mtsamples")


def test_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_readme_ten_lines_are_those_of_the_first_page():
    [own] = blocks("README.md", "python")
    assert own.code in [block.code for block in blocks("docs/get-started.md", "python")]


def test_readme_links_to_every_page():
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in ("index.md", "security.md") or f"(docs/{page.name})" in README


@pytest.mark.parametrize("name", re.findall(r"`make (\w+)`", README))
def test_readme_commands_are_there(name):
    assert re.search(rf"^{name}:", read_page("Makefile"), flags=re.MULTILINE)


def test_readme_picture_is_there():
    assert "(docs/images/savings.svg)" in README and (ROOT / "docs" / "images" / "savings.svg").exists()


def test_readme_table_has_the_figures_of_the_benchmark():
    rows = re.findall(r"^\| [^|]+ \|((?: [\d.]+, [\d.]+ ms \|){4})$", README, flags=re.MULTILINE)
    assert len(rows) == len(CORPORA)
    for row, corpus in zip(rows, CORPORA):
        measured = json.loads((ROOT / "benchmarks" / "results" / f"front-{corpus}.json").read_text(encoding="utf-8"))["rows"]
        for cell, title in zip(row.split("|"), COLUMNS):
            found = [own for own in measured if re.match(title, own["title"])]
            assert cell.strip() in [f"{own['score']:.2f}, {two_digits(own['ms']['1'])} ms" for own in found]


def two_digits(value):
    return numpy.format_float_positional(value, precision=2, fractional=False, trim="-")
