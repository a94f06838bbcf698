"""The README is short, and what it says holds."""

import re

import pytest
from docs_util import ROOT, blocks, read_page

README = read_page("README.md")


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
