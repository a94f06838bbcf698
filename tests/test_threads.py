"""Several threads and processes that share a pipeline. Whatever may hang here has an end: threads in `together`, processes in
`run`."""

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from spacy.tokens import Doc
from thinc.api import Adam
from threads_util import KINDS, answers_of, make_docs, make_pipeline, together
from util import make_backbone, make_examples, make_nlp

from spacy_epee import doc_attributes
from spacy_epee.runtimes.onnx.stepper import OnnxStepper
from spacy_epee.runtimes.threads import single_torch_thread
from spacy_epee.threads import FIRST_USE, Shared, Turn, cached_property, kept, no_fork

HERE = Path(__file__).parent
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


@pytest.fixture(scope="module", params=KINDS)
def nlp(request, tmp_path_factory):
    pytest.importorskip("onnxruntime" if "onnx" in request.param else "PIL" if request.param == "imagecat" else "spacy")
    return make_pipeline(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def textcat(tmp_path_factory):
    return make_pipeline("textcat", tmp_path_factory.mktemp("textcat"))


def run(*arguments: str, seconds: int = 90) -> None:
    """Run a script in a process of its own."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    env.pop("OMP_NUM_THREADS", None)  # what is to keep to one thread could have more
    found = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=seconds, env=env)
    assert found.returncode == 0, found.stderr[-3000:]


def test_threads_get_the_answers_of_one(nlp):
    docs = make_docs(nlp)
    expected = answers_of(nlp, docs, batch_size=5)
    found = []
    together(lambda number: found.extend(answers_of(nlp, docs, batch_size=5) for _ in range(3)))
    assert found == [expected] * 24


def test_threads_may_all_be_the_first(nlp):
    docs = make_docs(nlp)
    expected = answers_of(nlp, docs, batch_size=5)
    data, found = nlp.to_bytes(), []
    for _ in range(2):
        fresh = make_blank(nlp).from_bytes(data)
        together(lambda number: found.append(answers_of(fresh, docs, batch_size=5)))
    assert found == [expected] * 16


def test_threads_answer_and_save_what_is_not_half_trained(tmp_path):
    """With a rate of 0 weights stay what they are, and dropout is on while they are trained."""
    nlp = make_nlp(make_backbone(tmp_path, hidden_dropout_prob=0.5), lexical=100)
    [(_, pipe)] = nlp.pipeline
    docs, examples, optimizer = make_docs(nlp), make_examples(nlp, pipe.labels), Adam(0.0)
    expected, data = answers_of(nlp, docs, batch_size=5), pipe.to_bytes()
    found, trained = [], []

    def work(number):
        if number == 0:
            trained.extend(nlp.update(examples, sgd=optimizer) for _ in range(20))
        while not trained:
            found.append(answers_of(nlp, docs, batch_size=5))
            assert pipe.to_bytes() == data

    together(work)
    assert len(trained) == 20 and found == [expected] * len(found)


def test_who_trains_is_alone():
    shared, seen, inside = Shared(), [], []

    def work(number):
        for _ in range(50):
            with shared.training() if number % 4 == 0 else shared.answering():
                inside.append(number)
                seen.append(list(inside))
                inside.remove(number)

    together(work)
    assert all(len(numbers) == 1 for numbers in seen if any(number % 4 == 0 for number in numbers)) and len(seen) == 400


def test_who_trains_can_answer_and_train_again():
    shared = copy.deepcopy(Shared())
    with shared.training(), shared.answering(), shared.training(), pickle.loads(pickle.dumps(shared)).training():
        pass
    with shared.answering(), shared.answering():
        pass


def test_who_gives_up_waiting_to_train_lets_others_answer(monkeypatch):
    shared = Shared()

    def interrupt(*_):
        raise KeyboardInterrupt

    def give_up(number):
        monkeypatch.setattr(shared._changed, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt), shared.training():
            pass
        monkeypatch.undo()

    with shared.answering():
        together(give_up, threads=1)

    def answer(number):
        with shared.answering():
            pass

    together(answer, seconds=10)


def make_blank(nlp):
    """A pipeline that has loaded nothing."""
    return type(nlp).from_config(nlp.config)


def test_threads_save_beside_others_that_answer(nlp):
    docs, data = make_docs(nlp), nlp.get_pipe(nlp.pipe_names[0]).to_bytes()
    expected = answers_of(nlp, docs)
    found = []

    def work(number):
        for _ in range(3):
            found.append(nlp.get_pipe(nlp.pipe_names[0]).to_bytes() == data if number % 2 else answers_of(nlp, docs) == expected)

    together(work, threads=6)
    assert found == [True] * 18


def test_threads_of_an_executor(textcat):
    texts = [doc.text for doc in make_docs(textcat)]
    expected = [textcat(text).cats for text in texts]

    async def answer():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*[loop.run_in_executor(None, textcat, text) for text in texts * 3])

    for doc, cats in zip(asyncio.run(asyncio.wait_for(answer(), 60)), expected * 3):
        assert doc.cats == pytest.approx(cats, abs=1e-5)


def test_threads_load_pipelines_at_the_same_time(textcat):
    data, docs = textcat.to_bytes(), make_docs(textcat)
    expected, found = answers_of(textcat, docs), []
    together(lambda number: found.append(answers_of(make_blank(textcat).from_bytes(data), docs)), threads=4)
    assert found == [expected] * 4
    assert torch.nn.init.normal_(torch.zeros(100)).abs().sum() > 0  # transformers puts it aside while it loads


def test_threads_see_the_old_temperatures_or_the_new(textcat):
    pipe = textcat.get_pipe("epee_textcat")
    depth, done, found = len(pipe.reading().temperatures) or 4, threading.Event(), set()
    pipe.set_temperatures([2.0] * depth)

    def work(number):
        if number:
            while not done.is_set():
                found.add(tuple(pipe.reading().temperatures.values()))
        else:
            for turn in range(2000):
                pipe.set_temperatures([2.0 + turn % 2] * depth)
            done.set()

    try:
        together(work, threads=3)
        assert found <= {(2.0,) * depth, (3.0,) * depth}
    finally:
        pipe.set_temperatures(None)


def test_threads_keep_torch_to_one_thread_each_for_itself():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    runner = object.__new__(OnnxStepper)
    inside, go, found = threading.Event(), threading.Event(), {}

    def another():
        inside.wait(20)
        found["meanwhile"] = torch.get_num_threads()
        go.set()

    thread = threading.Thread(target=another)
    thread.start()
    try:
        with single_torch_thread(runner):
            found["inside"] = torch.get_num_threads()
            inside.set()
            assert go.wait(20)
        found["after"] = torch.get_num_threads()
    finally:
        thread.join(20)
        torch.set_num_threads(before)
    assert found == {"inside": 1, "meanwhile": 3, "after": 3}


def test_threads_make_what_is_kept_once():
    class Owner:
        thing = None

    owner, made = Owner(), []
    together(lambda number: kept(owner, "thing", lambda thing: True, lambda: made.append(number) or object()))
    assert len(made) == 1 and owner.thing is not None
    assert kept(owner, "thing", lambda thing: False, lambda: "another") == owner.thing == "another"


def test_threads_need_not_wait_for_each_others_properties():
    class Owner:
        def __init__(self, *events):
            self.mine, self.other = events

        @cached_property
        def value(self):
            """What it is."""
            self.mine.set()
            assert self.other.wait(20)
            return object()

    one, two = threading.Event(), threading.Event()
    owners = [Owner(one, two), Owner(two, one)]
    together(lambda number: owners[number].value, threads=2, seconds=30)
    assert owners[0].value is owners[0].value and Owner.value.__doc__ == "What it is."


def test_threads_take_turns():
    turn, inside = Turn(), []

    @turn
    def work(number):
        with turn:  # again
            inside.append(number)
            assert len(inside) == 1
            inside.remove(number)

    together(work)


@pytest.mark.parametrize("module", ["inputs.images", "tasks.events.docs", "tasks.relations.task"])
def test_threads_register_extensions_at_the_same_time(monkeypatch, module):
    module = import_module(f"spacy_epee.{module}")
    register = getattr(module, "install_extensions" if hasattr(module, "install_extensions") else "install_extension")
    check_late_registration(monkeypatch, register)


def test_threads_register_the_exits_at_the_same_time(monkeypatch):
    check_late_registration(monkeypatch, lambda: doc_attributes.install("exits", default={}))


def check_late_registration(monkeypatch, register):
    """Register as one does that looks before another has registered it."""
    seen = SimpleNamespace(has_extension=lambda name: False, set_extension=Doc.set_extension)
    register()
    monkeypatch.setattr(doc_attributes, "Doc", seen)
    register()


@forks
def test_no_process_is_forked_while_others_are_at_work():
    inside, go, order = threading.Event(), threading.Event(), []

    def work():
        with no_fork, FIRST_USE:
            inside.set()
            go.wait(20)
            order.append("worked")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(20)
    threading.Timer(0.3, go.set).start()
    with no_fork:  # a thread need not wait for itself
        child = os.fork()
        if not child:
            with no_fork, FIRST_USE:
                os._exit(torch.get_num_threads())
        order.append("forked")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    thread.join(20)
    assert order == ["worked", "forked"]
    together(lambda number: no_fork.__enter__() or no_fork.__exit__())  # and all goes on


@pytest.mark.hard
@forks
@pytest.mark.parametrize("kind", ["textcat", "onnx"])
def test_a_process_is_forked_beside_threads_that_answer(kind):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    run(str(HERE / "threads_util.py"), kind, "fork", "4", "80")


@pytest.mark.hard  # each process loads everything anew
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_is_started_anew_beside_threads_that_answer(method):
    if method == "forkserver" and not hasattr(os, "fork"):
        pytest.skip("forks")
    run(str(HERE / "threads_util.py"), "textcat", method, "1", "170", seconds=180)
