"""Installed means usable: every entry point resolves, and none is heavy where spaCy loads it for everybody."""

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import catalogue
import pytest
import spacy
from spacy.util import registry

ROOT = Path(__file__).parent.parent
OURS = list(distribution("spacy_epee").entry_points)


def test_registry_has_entry_points():
    groups = {point.group for point in OURS}
    assert groups == {
        "spacy_factories",
        "spacy_architectures",
        "spacy_misc",
        "spacy_scorers",
        "spacy_readers",
        "spacy_augmenters",
        "spacy_callbacks",
        "spacy_loggers",
        "spacy_cli",
        "spacy_epee_runtimes",
        "spacy_epee_compressors",
        "spacy_epee_formats",
    }


@pytest.mark.parametrize("point", OURS, ids=lambda point: point.name)
def test_registry_resolves(point):
    point.load()
    name = point.group.removeprefix("spacy_")
    if point.group.startswith("spacy_epee_"):
        assert point.name in catalogue.Registry(("spacy_epee", point.group.removeprefix("spacy_epee_")), entry_points=True)
    elif name == "factories":
        assert spacy.blank("en").has_factory(point.name)
    elif name != "cli":
        assert registry.has(name, point.name)
        assert point.name.startswith("spacy-epee.") and point.name.endswith(".v1")


@pytest.mark.parametrize("point", OURS, ids=lambda point: point.name)
def test_registry_names_are_in_the_docs(point):
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")]
    assert any(point.name in page for page in pages)


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_registry_factories_work_without_an_import():
    assert run("import spacy; print(spacy.blank('en').add_pipe('epee_textcat').name)") == "epee_textcat"


def test_registry_factories_are_light():
    """thinc imports torch by itself where it is installed, so both are made unavailable."""
    code = (
        "import sys\n"
        "sys.modules.update({'torch': None, 'transformers': None, 'spacy_transformers': None, 'scipy': None})\n"
        "import spacy_epee.factories\n"
        "print(sorted(m for m in sys.modules if m.startswith('spacy_epee')))"
    )
    light = ["defaults", "doc_attributes", "doc_entries", "factories"]
    assert run(code) == str(["spacy_epee", *(f"spacy_epee.{name}" for name in light)])


def test_registry_defaults_are_valid():
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_textcat")
    nlp.add_pipe("epee_textcat_multilabel")
    assert spacy.util.load_model_from_config(nlp.config, auto_fill=False, validate=True).pipe_names == nlp.pipe_names
