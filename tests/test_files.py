import errno

import pytest

from spacy_epee.files import whole_file, whole_folder


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_nothing_is_replaced_by_what_is_not_whole(whole, tmp_path):
    path = tmp_path / "folder" / "out"
    for text in ("old", "new"):
        with whole(path) as part:
            (part if whole is whole_file else part / "file").write_text(text)
    with pytest.raises(KeyError):
        with whole(path) as part:
            (part if whole is whole_file else part / "other").write_text("half")
            raise KeyError
    assert (path if whole is whole_file else path / "file").read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_leaves_nothing_of_the_one_before(tmp_path):
    for name in ("a", "b"):
        with whole_folder(tmp_path / "out") as part:
            (part / name).touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["b"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_full_disk_is_said_in_a_line(whole, tmp_path):
    with pytest.raises(OSError, match="'.*out' was not written, for the disk is full"):
        with whole(tmp_path / "out"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())
