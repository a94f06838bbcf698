"""Finding files."""

import warnings

import pytest

from spacy_epee.data.texts import find_files


def test_compressed_files_that_are_not_read_are_counted(tmp_path):
    for name in ("a.jsonl", "b.jsonl.gz", "c.JSONL.ZST", "d.jsonl.bz2", ".e.jsonl.zip", "f.txt.gz"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match="2 compressed files in .* are left out, the first is .*c.JSONL.ZST'. Unpack"):
        assert [file.name for file in find_files(tmp_path, [".jsonl", ".jsonl.gz"])] == ["a.jsonl", "b.jsonl.gz"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_files(tmp_path, [".xml"]) == []


def test_a_file_that_is_there_packed_and_unpacked_is_not_read_twice(tmp_path):
    for name in ("a.jsonl", "a.jsonl.gz"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="a.jsonl.gz' lies beside the file that it was made of"):
        find_files(tmp_path, [".jsonl", ".jsonl.gz"])
