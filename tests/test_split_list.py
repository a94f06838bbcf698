"""Settings and options."""

import pytest

from spacy_epee.settings import split_list


@pytest.mark.parametrize(
    "text, parts", [("stay", ["stay"]), ("stay,died", ["stay", "died"]), (" length of stay , died", ["length of stay", "died"])]
)
def test_spaces_around_commas_do_not_count(text, parts):
    assert split_list("--cats", text) == parts


@pytest.mark.parametrize("text", ["", " ", "stay,", ",stay", "stay,,died", "stay, ,died", "stay, stay"])
def test_parts_are_there_and_only_once(text):
    with pytest.raises(ValueError, match=f"--cats is '{text}'; give fields with commas between them, each once"):
        split_list("--cats", text, "fields")
