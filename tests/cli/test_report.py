"""`python -m spacy epee report`"""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from test_tune_command import LABELS, save
from typer.testing import CliRunner
from util import SENTENCES, make_nlp

from spacy_epee.cli import epee

pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="module")
def folder(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    nlp = make_nlp(backbone, LABELS, exit={"@misc": "spacy-epee.Entropy.v1", "entropy": 0.4}, spread=4.0)
    nlp.get_pipe("epee_textcat").set_temperatures([2.0, 1.5, 1.5, 1.2])
    save(nlp, folder)
    assert run(folder, "plain", "--no-time").exit_code == 0
    return folder


def run(folder, name, *arguments):
    command = ["report", folder / "model", folder / "dev.spacy", folder / name, "--steps", "3", *arguments]
    return CliRunner().invoke(epee, [str(part) for part in command])


class Page(HTMLParser):
    """What a page refers to, and what it says."""

    def __init__(self, html):
        super().__init__()
        self.links, self.words, self.tags = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action", "poster")]

    def handle_data(self, data):
        self.words.append(data)


def test_report_refers_to_nothing_outside_itself(folder):
    html = (folder / "plain" / "report.html").read_text()
    page = Page(html)
    assert len(page.links) == 4 and all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "@import" not in html and "url(" not in html and "http" not in html


def test_report_has_pictures_beside_it(folder):
    names = {"curves", "histogram", "calibration", "lengths"}
    for name in names:
        assert (folder / "plain" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in (folder / "plain").glob("*.png")} == names


def test_report_shows_the_figures_it_saves(folder):
    report = json.loads((folder / "plain" / "report.json").read_text())
    text = " ".join(Page((folder / "plain" / "report.html").read_text()).words)
    for row in [report["chosen"], report["full"], *report["front"]]:
        assert f"{100 * row['score']:.2f}" in text and f"{row['wordpiece_layers']:.2f}" in text
    assert report["chosen"]["rule"]["entropy"] == pytest.approx(0.4)
    assert [exit["temperature"] for exit in report["calibration"]["exits"]] == [2.0, 1.5, 1.5, 1.2]
    assert sum(map(sum, report["histogram"].values())) == report["documents"]
    assert sum(group["units"] for group in report["lengths"]) == report["documents"]


def test_report_shows_no_text_unless_asked(folder):
    for path in (folder / "plain").iterdir():
        assert not any(sentence.encode() in path.read_bytes() for sentence in SENTENCES)


def test_report_shows_documents_when_asked(folder):
    found = run(folder, "shown", "--examples", "60", "--rounds", "1", "--timed", "2", "--batch-sizes", "2")
    assert found.exit_code == 0, found.output
    words = Page((folder / "shown" / "report.html").read_text()).words
    assert all(sentence in words for sentence in SENTENCES) and "ms, batch 2" in words
    assert not any(sentence in (folder / "shown" / "report.json").read_text() for sentence in SENTENCES)


def test_report_refuses_a_folder_that_exists(folder):
    found = run(folder, "model", "--no-time")
    assert found.exit_code == 1 and "exists already" in " ".join(found.output.split())


def test_report_without_matplotlib_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "spacy_epee.report.plots", raising=False)
    found = run(folder, "none", "--no-time")
    assert found.exit_code == 1 and "spacy_epee[report]" in " ".join(found.output.split())
    assert not (folder / "none").exists()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_report_opens_in_a_browser(folder, tmp_path):
    page, picture = folder / "plain" / "report.html", tmp_path / "page.png"
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    size = ["--window-size=1000,2600", f"--screenshot={picture}"]
    subprocess.run([*command, *size, page.as_uri()], check=True, capture_output=True, timeout=120)
    dom = subprocess.run([*command, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True, timeout=120).stdout
    assert picture.stat().st_size > 20_000 and "Score against layers" in dom


def test_report_shows_what_is_simpler_than_the_rule(folder):
    found = run(folder, "simpler", "--train", folder / "dev.spacy", "--rounds", "1", "--timed", "4", "--batch-sizes", "2")
    assert found.exit_code == 0, found.output
    report = json.loads((folder / "simpler" / "report.json").read_text())
    words = " ".join(Page((folder / "simpler" / "report.html").read_text()).words)
    for name in ("linear", "fixed"):
        assert report[name]["name"] in words and f"{100 * report[name]['score']:.2f}" in words
        assert f"{report[name]['ms']['2']:.2f}" in words
    assert "a linear model of the words" in words
