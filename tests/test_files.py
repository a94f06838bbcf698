import errno
import os
import stat
import time
from pathlib import Path

import pytest
from kills_util import contents, fails_at_each_call, fork, kills_at_each_call, left_behind, wait

from spacy_epee import files
from spacy_epee.files import whole_file, whole_folder

WHOLE = [whole_file, whole_folder]
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")


def write(whole, path, text, **settings):
    with whole(path, **settings) as part:
        if whole is whole_file:
            part.write_text(text)
        else:
            (part / "inner").mkdir()
            for name in ("file", "inner/file", "inner/other"):
                (part / name).write_text(text)


def read(whole, path):
    found = path if whole is whole_file else path / "file"
    return found.read_text() if found.exists() else None


@pytest.mark.parametrize("whole", WHOLE)
def test_nothing_is_replaced_by_what_is_not_whole(whole, tmp_path):
    path = tmp_path / "folder" / "out"
    for text in ("old", "new"):
        write(whole, path, text)
    with pytest.raises(KeyError):
        with whole(path) as part:
            (part if whole is whole_file else part / "other").write_text("half")
            raise KeyError
    assert read(whole, path) == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_leaves_nothing_of_the_one_before(tmp_path):
    for name in ("a", "b"):
        with whole_folder(tmp_path / "out") as part:
            (part / name).touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["b"]


@posix
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("whole", WHOLE)
def test_a_kill_at_any_call_leaves_the_old_or_the_new(whole, there, tmp_path):
    path = tmp_path / "out"
    write(whole, path, "new")
    new = contents(path)
    files._remove(path)
    if there:
        write(whole, path, "old")
    old = contents(path)
    found = []
    for _ in kills_at_each_call(lambda: write(whole, path, "new")):
        found.append(contents(path))
        if found[-1] == new and there:
            write(whole, path, "old")
        elif found[-1] == new:
            files._remove(path)
    assert set(found) == {old, new} and found[0] == old and found[-1] == new and len(found) > 4
    write(whole, path, "new")
    assert list(tmp_path.iterdir()) == [path]


@posix
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("whole", WHOLE)
def test_an_error_of_any_call_leaves_the_old_or_the_new(whole, number, tmp_path):
    path = tmp_path / "out"
    write(whole, path, "new")
    new = contents(path)
    write(whole, path, "old")
    old = contents(path)
    codes = []
    for code in fails_at_each_call(lambda: write(whole, path, "new"), OSError(number, os.strerror(number))):
        codes.append(code)
        assert contents(path) == (old if code else new)
        write(whole, path, "old")
    assert codes.count(3) > (2 if whole is whole_file else 4)
    assert list(tmp_path.iterdir()) == [path]


@posix
@pytest.mark.parametrize("keep", [True, False])
def test_systems_that_cannot_exchange_names(keep, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    path = tmp_path / "out"
    write(whole_folder, path, "new", keep=keep)
    new = contents(path)
    write(whole_folder, path, "old", keep=keep)
    old = contents(path)
    found = []
    for _ in kills_at_each_call(lambda: write(whole_folder, path, "new", keep=keep)):
        found.append(contents(path))
        if found[-1] is None:  # the moment between: both are there under other names
            with pytest.raises(KeyError):
                with whole_folder(path, keep=keep):
                    assert contents(path) == old
                    raise KeyError
        write(whole_folder, path, "old", keep=keep)
        assert list(tmp_path.iterdir()) == [path]
    assert set(found) == {old, new, None} and found.count(None) == 1


def test_the_old_comes_back_where_the_new_cannot_take_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    write(whole_folder, tmp_path / "out", "old")
    rename = os.rename

    def refuse(source, target):
        if files._is_part(Path(source).name) and not str(source).endswith(files.OLD):
            raise OSError(errno.EIO, "broken")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="broken"):
        write(whole_folder, tmp_path / "out", "new")
    assert read(whole_folder, tmp_path / "out") == "old" and list(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize("whole", WHOLE)
@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("25600 requested and 12288 written"),  # numpy
    ],
)
def test_a_full_disk_is_said_in_a_line(error, whole, tmp_path):
    with pytest.raises(OSError) as found:
        with whole(tmp_path / "out"):
            raise error
    assert str(found.value) == f"'{tmp_path / 'out'}' was not written, for the disk is full; what was there before is as it was"
    assert found.value.errno == error.errno and found.value.__context__ is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("whole", WHOLE)
def test_a_limit_of_the_size_of_files_is_said_in_a_line(whole, tmp_path):
    with pytest.raises(files.NotWritten, match="was not written, for a file would be larger than the .* allows; what was there"):
        with whole(tmp_path / "out"):
            raise OSError(errno.EFBIG, "File too large")
    assert not list(tmp_path.iterdir())


@posix
@pytest.mark.parametrize("number", files.UNABLE)
@pytest.mark.parametrize("whole", WHOLE)
def test_file_systems_that_cannot_tell_what_is_on_the_disk(whole, number, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "chmod", refuse)  # some have one mode for all files
    for text in ("old", "new"):
        write(whole, tmp_path / "out", text)
        assert read(whole, tmp_path / "out") == text
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_other_errors_are_their_own(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        with whole_folder(tmp_path / "out"):
            open(tmp_path / "nowhere" / "file")


@pytest.mark.parametrize("whole", WHOLE)
def test_a_folder_that_cannot_be_written_to_is_named(whole, tmp_path, monkeypatch):
    write(whole, tmp_path / "out", "old")

    def refuse(place, path, folder):  # tests may run as root, whom nothing refuses
        raise PermissionError(errno.EACCES, "Permission denied", str(place / ".out.00000000.part"))

    with monkeypatch.context() as patch:
        patch.setattr(files, "_make", refuse)
        with pytest.raises(PermissionError, match=f"'.*out' was not written, for the folder '{tmp_path}' cannot be written to"):
            write(whole, tmp_path / "out", "new")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "out")
    with pytest.raises(PermissionError, match="'.*out' was not written, for it cannot be written to"):
        write(whole, tmp_path / "out", "new")
    assert read(whole, tmp_path / "out") == "old" and not left_behind(tmp_path)


@pytest.mark.parametrize("whole", WHOLE)
def test_a_file_is_no_folder_and_a_folder_no_file(whole, tmp_path):
    write(whole_folder if whole is whole_file else whole_file, tmp_path / "out", "old")
    before = contents(tmp_path / "out")
    with pytest.raises(OSError, match="give another name"):
        write(whole, tmp_path / "out", "new")
    assert contents(tmp_path / "out") == before


@posix
def test_devices_are_not_replaced():
    with whole_file(os.devnull) as place:
        place.write_text("gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@posix
@pytest.mark.parametrize("whole", WHOLE)
def test_links_go_on(whole, tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link"
    link.symlink_to(Path("there") / "out")
    for text in ("old", "new"):  # at first it leads to nothing
        write(whole, link, text)
        assert link.is_symlink() and read(whole, tmp_path / "there" / "out") == text
    assert not left_behind(tmp_path)


@posix
@pytest.mark.parametrize("whole", WHOLE)
def test_permissions_go_on(whole, tmp_path):
    path = tmp_path / "out"
    before = os.umask(0o027)
    try:
        write(whole, path, "old")
        assert stat.S_IMODE(path.stat().st_mode) == (0o640 if whole is whole_file else 0o750)
        places = [path] if whole is whole_file else [path, path / "inner", path / "inner" / "file"]
        for place in places:
            place.chmod(0o600 if place.is_file() else 0o2700)
        with whole(path) as part:
            assert stat.S_IMODE(part.stat().st_mode) & 0o077 == 0  # nobody reads in it who could not before
        write(whole, path, "old")
        for place in places:
            place.chmod(0o600 if place.is_file() else 0o2700)
        write(whole, path, "new")
        assert all(stat.S_IMODE(place.stat().st_mode) == (0o600 if place.is_file() else 0o2700) for place in places)
        assert read(whole, path) == "new"
    finally:
        os.umask(before)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("whole", WHOLE)
def test_owners_go_on(whole, tmp_path):
    write(whole, tmp_path / "out", "old")
    os.chown(tmp_path / "out", 1234, 2345)
    write(whole, tmp_path / "out", "new")
    found = (tmp_path / "out").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)


def other_files(path):
    (path / "README.md").write_text("notes")
    (path / ".git" / "objects").mkdir(parents=True)
    (path / ".git" / "objects" / "one").write_text("object")
    (path / "inner" / "more").write_text("more")
    (path / ".out.00000000.part").mkdir()


def test_other_files_are_kept_where_that_is_asked_for(tmp_path):
    path = tmp_path / "out"
    write(whole_folder, path, "old")
    other_files(path)
    if os.name == "posix":
        (path / "link").symlink_to("nowhere")
    write(whole_folder, path, "new", keep=True)
    assert (path / "README.md").read_text() == "notes" and (path / ".git" / "objects" / "one").read_text() == "object"
    assert (path / "inner" / "more").read_text() == "more" and (path / "inner" / "other").read_text() == "new"
    assert os.name != "posix" or os.readlink(path / "link") == "nowhere"
    # they are nobody else's
    assert (path / "README.md").stat().st_nlink == 1 and not left_behind(tmp_path)
    write(whole_folder, path, "newer")
    assert sorted(place.name for place in path.iterdir()) == ["file", "inner"]


def test_other_files_are_copied_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(*paths, **settings):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write(whole_folder, tmp_path / "out", "old")
    other_files(tmp_path / "out")
    write(whole_folder, tmp_path / "out", "new", keep=True)
    assert (tmp_path / "out" / "README.md").read_text() == "notes"


@posix
@pytest.mark.parametrize("whole", WHOLE)
def test_what_killed_processes_leave_does_not_pile_up(whole, tmp_path):
    path = tmp_path / "out"
    (tmp_path / ".other.00000000.part").touch()  # is not ours

    def killed():
        with whole(path):
            os.kill(os.getpid(), 9)

    for _ in range(5):
        assert wait(fork(killed)) == -9
        assert len(left_behind(tmp_path)) == 2
    write(whole, path, "new")
    assert left_behind(tmp_path) == [".other.00000000.part"]


@pytest.mark.parametrize("whole", WHOLE)
def test_what_is_within_something_unfinished_is_written_there(whole, tmp_path, monkeypatch):
    with whole_folder(tmp_path / "out") as part:
        inside = os.stat(part).st_ino
        with whole(part / "deep" / "inner" if whole is whole_folder else part / "inner") as inner:
            assert not files._is_part(inner.name)
            (inner if whole is whole_file else inner / "file").write_text("new")
        with whole_folder(part):
            pass
        assert os.stat(part).st_ino == inside  # other processes still see that it has a writer
    assert [file.read_text() for file in (tmp_path / "out").rglob("*") if file.is_file()] == ["new"]


@pytest.mark.parametrize("whole", WHOLE)
def test_what_has_a_writer_is_left_alone(whole, tmp_path):
    path = tmp_path / "out"
    with whole(path) as part:
        write(whole, path, "new")
        assert part.exists()
        (part if whole is whole_file else part / "file").write_text("newer")
    assert read(whole, path) == "newer" and not left_behind(tmp_path)


@pytest.mark.parametrize("whole", WHOLE)
def test_without_locks_what_is_old_is_left_behind(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    path = tmp_path / "out"
    with whole(path) as part:
        write(whole, path, "new")
        assert part.exists()
        os.utime(part, (time.time() - 2 * files.LONG_AGO,) * 2)
        write(whole, path, "newer")
        assert not part.exists()
        (part.touch if whole is whole_file else part.mkdir)()
    assert not left_behind(tmp_path)


@posix
def test_the_current_folder_is_replaced_file_by_file(tmp_path, monkeypatch):
    path = tmp_path / "out"
    write(whole_folder, path, "old")
    other_files(path)
    monkeypatch.chdir(path)
    with pytest.raises(OSError, match="cannot be replaced"):
        write(whole_folder, ".", "new")
    found = set()
    for _ in kills_at_each_call(lambda: write(whole_folder, ".", "new", keep=True, key="file")):
        texts = {Path(name).read_text() for name in ("file", "inner/file", "inner/other") if Path(name).exists()}
        found.add(tuple(texts) if Path("file").exists() else "refused")
        assert Path("README.md").read_text() == "notes"
        write(whole_folder, ".", "old", keep=True, key="file")
    assert found == {("old",), ("new",), "refused"}
    assert Path.cwd() == path and Path("inner/file").read_text() == "old" and not left_behind(tmp_path)


def test_folders_that_cannot_be_renamed_are_replaced_file_by_file(tmp_path, monkeypatch):
    path = tmp_path / "out"
    write(whole_folder, path, "old")
    rename = os.rename

    def refuse(source, target):  # as overlay file systems do with the folders of an image
        if path in (Path(source), Path(target)):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    with pytest.raises(OSError, match="cross-device"):
        write(whole_folder, path, "new")
    write(whole_folder, path, "new", key="file")
    assert {file.read_text() for file in path.rglob("*") if file.is_file()} == {"new"} and not left_behind(tmp_path)
