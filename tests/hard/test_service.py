"""A service over real sockets: rough clients, signals, and another pipeline under load."""

import http.client
import json
import logging
import os
import random
import shutil
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from canary import CANARY, shows
from util import SENTENCES, make_nlp, make_texts

from spacy_epee.cli import epee

pytestmark = [pytest.mark.hard, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a POSIX system")]
for library in ("fastapi", "uvicorn", "prometheus_client", "swagger_ui_bundle"):
    pytest.importorskip(library)

RULE = {"@misc": "spacy-epee.EntropyPatience.v1", "entropy": 0.4, "patience": 2}


@pytest.fixture(scope="module")
def pipelines(backbone, tmp_path_factory):
    """Two pipelines that differ in their version."""
    folder = tmp_path_factory.mktemp("pipelines")
    nlp = make_nlp(backbone, exit=RULE)
    for name in ("one", "two"):
        nlp.meta["name"] = name
        nlp.to_disk(folder / name)
    return folder


class Server:
    """A process that serves. It is forked, as importing takes longer than all else."""

    def __init__(self, port, log, words):
        self.port, self.log = port, log
        self.pid = os.fork()
        if not self.pid:
            self._serve(words)

    def _serve(self, words):
        code = 99
        try:
            file = os.open(self.log, os.O_WRONLY | os.O_CREAT)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)
            logging.getLogger().handlers.clear()
            epee(words)
        except SystemExit as error:
            code = error.code or 0
        finally:
            sys.stderr.flush()
            os._exit(code)

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, seconds=120):
        """RETURNS (int): Its exit code, of a killed one that of the signal, less than 0."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        raise AssertionError("it does not end")

    def ask(self, body, path="/annotate", connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        own.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), {"Content-Type": "application/json"})
        answer = own.getresponse()
        status, content = answer.status, json.loads(answer.read())
        if connection is None:
            own.close()
        return status, content

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()


@contextmanager
def serving(model, tmp_path, *options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(port, tmp_path / "log", ["serve", str(model), "--port", str(port), *options])
    try:
        end = time.monotonic() + 240
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end and not os.waitpid(server.pid, os.WNOHANG)[0], server.log.read_text()
                time.sleep(0.2)
        yield server
    finally:
        if server.pid:
            server.signal(signal.SIGKILL)
            server.wait()


def test_service_survives_rough_clients(pipelines, tmp_path):
    with serving(pipelines / "one", tmp_path) as server:
        chance = random.Random(0)
        whole = json.dumps({"text": CANARY * 20}).encode()
        head = b"POST /annotate?q=%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        for number in range(60):
            with socket.create_connection(("127.0.0.1", server.port), 20) as client:
                sent = head % (CANARY.encode(), len(whole)) + whole
                client.sendall(sent[: chance.randint(0, len(sent))] if number % 2 else sent)  # and goes away
        for body in (b"{", b"[]", b'{"text": "%s"' % CANARY.encode(), b"\xff" * 1000, b"[" * 100_000):
            status, said = server.ask(body)
            assert status in (400, 422) and not shows(said)
        with socket.create_connection(("127.0.0.1", server.port), 20) as client:
            client.sendall(b"%s\r\n\r\n" % CANARY.encode())
            assert b"400" in client.recv(1000)
        with socket.create_connection(("127.0.0.1", server.port), 20) as client:
            client.sendall(head % (b"x", 10_000_000) + b"x" * 1000)
            assert b" 413 " in client.recv(1000)
        assert server.ask({"text": SENTENCES[0]})[1]["error"] is None
        assert server.stop() == 0
        log = server.log.read_text()
        assert not shows(log) and "Traceback" not in log and "/annotate POST 200" in log


def load(server, count, seen, stop, lost):
    """Ask again and again, over one connection as long as it is kept."""
    texts = make_texts(20, seed=count, longest=40)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    number = 0
    while not stop.is_set():
        number += 1
        name = f"{count}-{number}"
        budget = {"budget_ms": [None, 20, 1000][number % 3]}
        try:
            status, row = server.ask({"id": name, "text": texts[number % 20], **budget}, connection=connection)
        except (OSError, http.client.HTTPException) as error:
            lost.append((name, type(error).__name__))
            return
        if status != 200 or row["id"] != name or row["error"]:
            lost.append((name, status))
        seen.append((row.get("version"), row.get("reason"), budget["budget_ms"]))
    connection.close()


def test_service_loses_no_request_of_32_threads_while_its_pipeline_is_replaced(pipelines, tmp_path):
    place = tmp_path / "current"
    place.symlink_to(pipelines / "one")
    with serving(place, tmp_path, "--reload") as server:
        seen, lost, stop = [], [], threading.Event()
        threads = [threading.Thread(target=load, args=(server, number, seen, stop, lost)) for number in range(32)]
        for thread in threads:
            thread.start()
        for number, name in enumerate(["two", "damaged", "one", "two"]):
            if name == "damaged":
                shutil.copytree(pipelines / "one", tmp_path / name)
                (tmp_path / name / "epee_textcat" / "model").write_bytes(b"x")
            link = tmp_path / f"next{number}"
            link.symlink_to(tmp_path / name if name == "damaged" else pipelines / name)
            os.replace(link, place)
            if number % 2:
                status, said = server.ask(b"", "/reload")
                assert status == (500 if name == "damaged" else 200), said
            else:
                before = len(server.log.read_text().split("reloaded: "))
                server.signal(signal.SIGHUP)
                while len(server.log.read_text().split("reloaded: ")) == before:
                    time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join()
        assert not lost and {version.split("-")[1] for version, _, _ in seen} == {"one", "two"}
        assert all("deadline" not in reason for _, reason, budget in seen if budget is None)
        assert server.stop() == 0
        assert "not reloaded" in server.log.read_text() and "Traceback" not in server.log.read_text()


def test_service_answers_at_its_end_what_is_there(pipelines, tmp_path):
    """Each request is sent before the signal, and read after it."""
    with serving(pipelines / "one", tmp_path, "--batch-size", "4") as server:
        connections = []
        for number in range(24):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            notes = [
                {"id": f"{number}-{place}", "text": text} for place, text in enumerate(make_texts(10, seed=number, longest=60))
            ]
            body = json.dumps({"notes": notes})
            connection.request("POST", "/annotate/batch", body, {"Content-Type": "application/json"})
            connections.append(connection)
        time.sleep(0.3)  # the last of them has arrived
        server.signal(signal.SIGTERM)
        for number, connection in enumerate(connections):
            answer = connection.getresponse()
            rows = json.loads(answer.read())["rows"]
            assert answer.status == 200 and [row["id"] for row in rows] == [f"{number}-{place}" for place in range(10)]
        assert server.wait() == 0
