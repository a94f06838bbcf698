import copy
import errno
import os
import pickle
import shutil

import pytest
import spacy
from kills_util import Marks, contents, fails_at_each_call, kills_at_each_call, left_behind, mark
from spacy.language import Language
from spacy.training import loop
from util import make_nlp

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")


@pytest.fixture(scope="module")
def made(backbone):
    return make_nlp(backbone)


@pytest.fixture
def nlp(made):
    return copy.deepcopy(made)


@pytest.fixture
def old(nlp, tmp_path):
    """A folder with a pipeline. The one in memory is another one by now."""
    mark(nlp, 1)
    nlp.to_disk(tmp_path / "model")
    mark(nlp, 2)
    return tmp_path / "model"


def put_back(kept, path):
    shutil.rmtree(path, ignore_errors=True)
    if kept.exists():
        shutil.copytree(kept, path)


@pytest.mark.hard
@posix
def test_a_kill_leaves_the_old_pipeline_or_the_new(nlp, old, tmp_path):
    shutil.copytree(old, tmp_path / "kept")
    marks, found = Marks(), []
    for _ in kills_at_each_call(lambda: nlp.to_disk(old)):
        found.append(marks(old))
        if found[-1] == 2:
            put_back(tmp_path / "kept", old)
    assert set(found) == {1, 2} and len(found) > 30
    nlp.to_disk(old)
    assert not left_behind(tmp_path)


@pytest.mark.hard
@posix
def test_a_kill_leaves_the_old_component_or_the_new(nlp, old, tmp_path):
    ((name, pipe),) = nlp.pipeline
    before = contents(old / name)
    found = set()
    for _ in kills_at_each_call(lambda: pipe.to_disk(old / name)):
        found.add(contents(old / name))
    assert len(found) == 2 and before in found and not left_behind(old)
    assert spacy.load(old).get_pipe(name).cfg["temperatures"][0] == 2


@pytest.mark.hard
@posix
def test_a_full_disk_leaves_the_old_pipeline(nlp, old, tmp_path):
    shutil.copytree(old, tmp_path / "kept")
    marks, codes = Marks(), []
    for code in fails_at_each_call(lambda: nlp.to_disk(old), OSError(errno.ENOSPC, "No space left on device")):
        codes.append(code)
        assert marks(old) == (1 if code else 2)
        if code:
            assert not left_behind(tmp_path)
        else:
            put_back(tmp_path / "kept", old)
    assert len(codes) > 30 and codes.count(3) > 15  # what loses nothing, such as modes that cannot be set, is let go


@pytest.mark.hard
@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_kill_in_a_checkpoint_leaves_whole_ones(there, nlp, old, tmp_path):
    last, best = tmp_path / "model-last", tmp_path / "model-best"
    kept = old if there else tmp_path / "none"

    def train():  # what spaCy's loop does
        loop.clean_output_dir(tmp_path)
        nlp.to_disk(last)
        if best.exists():
            loop.shutil.rmtree(best)
        loop.shutil.copytree(last, best)

    put_back(kept, last)
    put_back(kept, best)
    marks, found = Marks(), []
    for _ in kills_at_each_call(train, step=4):
        found.append((marks(last), marks(best)))
        if found[-1] != found[0]:
            put_back(kept, last)
            put_back(kept, best)
    before = 1 if there else None
    assert set(found) == {(before, before), (2, before), (2, 2)} and len(found) > 10


def test_a_training_run_starts_without_the_files_of_the_one_before(nlp, old, tmp_path):
    for name in ("model-last", "model-best"):
        shutil.copytree(old, tmp_path / name)
        (tmp_path / name / "ner").mkdir()
    loop.clean_output_dir(tmp_path)
    assert (tmp_path / "model-best" / "ner").exists()  # until there is another one
    nlp.to_disk(tmp_path / "model-last")
    loop.shutil.copytree(tmp_path / "model-last", tmp_path / "model-best")
    assert not list(tmp_path.glob("*/ner")) and Marks()(tmp_path / "model-best") == 2
    (tmp_path / "model-last" / "notes").touch()
    nlp.to_disk(tmp_path / "model-last")
    assert (tmp_path / "model-last" / "notes").exists()


def test_spacy_trains_with_what_is_whole():
    assert loop.shutil is not shutil and loop.shutil.disk_usage is shutil.disk_usage
    names = loop.train.__code__.co_consts
    inner = next(code for code in names if getattr(code, "co_name", "") == "save_checkpoint")
    assert {"to_disk", "rmtree", "copytree"} <= set(inner.co_names)
    assert "rmtree" in loop.clean_output_dir.__code__.co_names


def test_other_files_of_a_pipelines_folder_are_kept(nlp, old):
    (old / "README.md").write_text("notes")
    strings = (old / "vocab" / "strings.json").read_text()
    nlp.to_disk(old, exclude=["vocab"])
    assert (old / "README.md").read_text() == "notes"
    assert (old / "vocab" / "strings.json").read_text() == strings
    assert spacy.load(old).batch_size == 2


@pytest.mark.parametrize("how", ["sourced", "copied", "pickled"])
def test_pipelines_are_saved_whole_however_they_were_made(how, nlp, old):
    if how == "sourced":
        other = spacy.blank("en")
        other.add_pipe(nlp.pipe_names[0], source=nlp)
    else:
        other = copy.deepcopy(nlp) if how == "copied" else pickle.loads(pickle.dumps(nlp))
    before = contents(old)

    def fail(path, exclude):
        raise OSError(errno.ENOSPC, "No space left on device")

    other.add_pipe("sentencizer").to_disk = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="'.*model' was not written, for the disk is full"):
        other.to_disk(old)
    assert contents(old) == before


def test_pipelines_of_others_are_saved_as_ever(tmp_path):
    nlp = spacy.blank("en")
    nlp.to_disk(tmp_path / "model-last")
    (tmp_path / "model-last" / "notes").touch()
    before = (tmp_path / "model-last" / "meta.json").stat().st_ino
    nlp.to_disk(tmp_path / "model-last")
    assert (tmp_path / "model-last" / "meta.json").stat().st_ino == before
    assert (tmp_path / "model-last" / "notes").exists()
    loop.clean_output_dir(tmp_path)
    nlp.to_disk(tmp_path / "model-last")
    assert not (tmp_path / "model-last" / "notes").exists()
    assert Language.to_disk.__doc__ and Language.to_disk.__name__ == "to_disk"


@posix
def test_the_current_folder_can_be_saved_to(nlp, old, monkeypatch):
    monkeypatch.chdir(old)
    nlp.to_disk(".")
    assert Marks()(old) == 2 and os.path.samefile(".", old)
