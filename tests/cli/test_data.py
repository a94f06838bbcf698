"""The data that commands are given."""

import json

import pytest
from util import make_nlp

from spacy_epee.cli.data import read_data, read_sizes

ROWS = [{"text": "Fever.", "stay": "short", "fate": ["died"]}, {"text": "No fever.", "stay": "long", "fate": []}]


@pytest.fixture(scope="module")
def nlp(backbone):
    return make_nlp(backbone, ("short", "long", "died"), multilabel=True)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def cats_of(nlp, data, cats):
    return [eg.reference.cats for eg in read_data(nlp, nlp.pipeline[0][1], data, cats).examples]


@pytest.mark.parametrize("one, other", [("stay,fate", " stay , fate"), ("stay", "stay ")])
def test_spaces_around_fields_do_not_count(nlp, data, one, other):
    found = cats_of(nlp, data, one)
    assert found == cats_of(nlp, data, other) and found[0]["short"] == 1 and ("died" in found[0]) == ("fate" in one)


@pytest.mark.parametrize("cats", ["stay,", "stay,stay", ""])
def test_fields_without_a_name_and_twice_are_refused(nlp, data, cats):
    with pytest.raises(ValueError, match=f"--cats is '{cats}'; give fields"):
        cats_of(nlp, data, cats)


def test_batch_sizes():
    assert read_sizes(" 8, 1") == [8, 1]


@pytest.mark.parametrize("text", ["", "1,", "0", "1,-1", "1.5", "two", "4,4"])
def test_batch_sizes_are_whole_numbers(text):
    with pytest.raises(ValueError, match="--batch-sizes is '.*'; give whole numbers from 1 on"):
        read_sizes(text)
