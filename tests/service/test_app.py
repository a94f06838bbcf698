"""What the service answers, and what it keeps to itself."""

import gc
import json
import os
import shutil
import sys
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path

import pytest
from canary import CANARY, leaks_of, shows
from typer.testing import CliRunner
from util import SENTENCES

pytest.importorskip("fastapi")
pytest.importorskip("swagger_ui_bundle")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")
from fastapi.testclient import TestClient  # noqa: E402

from spacy_epee.cli import epee  # noqa: E402
from spacy_epee.scale.notes import COLUMNS, Note, annotate_notes  # noqa: E402
from spacy_epee.service import batching, models  # noqa: E402
from spacy_epee.service.app import Row, Service, make_app  # noqa: E402
from spacy_epee.service.limits import Limits  # noqa: E402
from spacy_epee.service.models import Busy, Models  # noqa: E402

SMALL = Limits(wait_ms=0, queue=8, max_notes=8, max_characters=2000, max_bytes=20_000, max_seconds=20)


@contextmanager
def serving(folder, limits=SMALL, **settings):
    service = Service(Models(str(folder)), limits, **settings)
    with TestClient(make_app(service)) as client:
        client.service = service
        yield client


@pytest.fixture(scope="module")
def client(served):
    with serving(served) as client:
        yield client


def test_rows_are_those_of_annotate(client):
    loaded = client.service.models.current
    expected = annotate_notes(loaded.nlp, [Note(str(number), text) for number, text in enumerate(SENTENCES[:8])], loaded.version)
    rows = client.post(
        "/annotate/batch", json={"notes": [{"id": number, "text": text} for number, text in enumerate(SENTENCES[:8])]}
    ).json()["rows"]
    [one] = [client.post("/annotate", json={"id": "3", "text": SENTENCES[3]}).json()]
    for row, other in [*zip(rows, expected), (one, expected[3])]:
        assert list(row) == list(COLUMNS) == list(Row.model_fields)
        assert row["answers"]["labels"] == other["answers"]["labels"]
        assert row["answers"]["cats"] == pytest.approx(other["answers"]["cats"], abs=1e-5)
        assert {name: row[name] for name in ("id", "layer", "reason", "uncertain", "error", "version")} == {
            name: other[name] for name in ("id", "layer", "reason", "uncertain", "error", "version")
        }
    assert client.post("/annotate", json={"text": ""}).json()["id"] is None
    assert client.post("/annotate/batch", json={"notes": []}).json() == {"rows": []}


def test_a_budget_is_that_of_its_request_alone(client):
    found = {}

    def ask(name, body):
        found[name] = [client.post("/annotate", json={"text": text, **body}).json() for text in SENTENCES]

    threads = [
        threading.Thread(target=ask, args=job)
        for job in [("short", {"budget_ms": 0}), ("none", {}), ("long", {"budget_ms": 1e6})]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["layer"] for row in found["short"]} == {1} and "deadline" in {row["reason"] for row in found["short"]}
    assert [row["layer"] for row in found["none"]] == [row["layer"] for row in found["long"]]
    assert not any("deadline" in row["reason"] for row in found["none"]) and any(row["layer"] > 1 for row in found["none"])


WRONG = {
    "no JSON": '{"text": "%s' % CANARY,
    "not UTF-8": b'{"text": "' + CANARY.encode() + b'\xff"}',
    "half of a pair": '{"text": "%s \\ud800"}' % CANARY,
    "nothing": "",
    "a list": json.dumps([CANARY]),
    "no text": json.dumps({"text": {CANARY: CANARY}}),
    "a number": json.dumps({"text": 90210555123}),
    "an unknown name": json.dumps({"text": "", CANARY: CANARY}),
    "a budget that is none": json.dumps({"text": CANARY, "budget_ms": CANARY}),
    "a budget below 0": json.dumps({"text": CANARY, "budget_ms": -1}),
    "an endless budget": '{"text": "%s", "budget_ms": Infinity}' % CANARY,
    "an id that is none": json.dumps({"text": CANARY, "id": [CANARY]}),
    "deep": "[" * 9000 + CANARY,
    "digits": '{"text": %s}' % ("90210555123" * 600),
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_requests_that_are_wrong_are_told_where_and_nothing_of_them_is_shown(body, client):
    answers = []

    def ask():
        for path, kind in (("/annotate", "json"), ("/annotate/batch", "json"), (f"/annotate?q={CANARY}", "text")):
            answers.append(client.post(path, content=body, headers={"content-type": f"application/{kind}"}))

    found, error = leaks_of(ask)
    assert not found and error is None
    assert all(answer.status_code in (400, 422) and list(answer.json()) == ["error"] for answer in answers)
    assert not any(shows(answer.text + str(answer.headers)) for answer in answers)
    assert client.post("/annotate", json={"text": "after it"}).json()["error"] is None


def test_places_that_are_wrong_are_named(client):
    said = client.post("/annotate/batch", json={"notes": [{"text": ""}, {"text": 1, "x": 1}]}).json()["error"]
    assert said == "body.notes.1.text: Input should be a valid string"
    assert client.post("/annotate", json={"text": "", "x": 1}).json()["error"] == "body.…: Extra inputs are not permitted"


def test_requests_that_are_too_large_are_refused(client):
    def said(path, **given):
        answer = client.post(path, **given)
        return answer.status_code, answer.json()["error"]

    pieces = (b" " * 1000 for _ in range(100))  # its length is not told
    assert said("/annotate", json={"text": "x" * 30_000}) == (413, "the request has more than 20000 bytes")
    assert said("/annotate", content=pieces) == (413, "the request has more than 20000 bytes")
    assert said("/annotate", json={"text": "x" * 2001}) == (413, "note 1 has 2001 characters, more than 2000")
    assert said("/annotate/batch", json={"notes": [{"text": ""}] * 9}) == (413, "the request has 9 notes, more than 8")


def test_notes_that_fail_are_rows_with_the_reason(client, monkeypatch):
    monkeypatch.setattr(client.service.models.current.nlp, "max_length", 100)
    rows = client.post("/annotate/batch", json={"notes": [{"text": CANARY * 10}, {"text": "short"}]}).json()["rows"]
    assert "170 characters" in rows[0]["error"] and rows[0]["uncertain"] and rows[1]["error"] is None


def test_whatever_is_raised_shows_nothing_of_a_note(client, monkeypatch):
    answers = []

    def fail(*arguments):
        raise RuntimeError(CANARY)

    def ask(path="/annotate"):
        answers.append(client.post(path, json={"text": CANARY}) if path == "/annotate" else client.get(path))

    with monkeypatch.context() as patch:
        patch.setattr(batching, "annotate_alone", fail)
        assert leaks_of(ask) == ([], None)
    with monkeypatch.context() as patch:
        patch.setattr(client.service.metrics, "show", fail)
        assert leaks_of(lambda: ask("/metrics")) == ([], None)
    assert [(answer.status_code, answer.json()) for answer in answers] == 2 * [
        (500, {"error": "it cannot be answered (RuntimeError)"})
    ]
    assert leaks_of(lambda: client.get(f"/{CANARY}?{CANARY}")) == ([], None)
    assert client.get("/health").status_code == 200


def test_a_full_queue_is_503_and_loses_nothing(served, monkeypatch):
    go, busy, answer = threading.Event(), threading.Event(), batching.annotate_alone

    def slow(*arguments):
        busy.set()
        assert go.wait(20)
        return answer(*arguments)

    with serving(served) as client:
        monkeypatch.setattr(batching, "annotate_alone", slow)
        answers = []

        def ask(count):
            answers.append(client.post("/annotate/batch", json={"notes": [{"text": "x"}] * count}))

        threads = [threading.Thread(target=ask, args=[count]) for count in (1, 8)]
        threads[0].start()
        assert busy.wait(20)
        threads[1].start()
        while client.service.batcher.waiting < 8:
            pass
        refused = client.post("/annotate", json={"text": CANARY})
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1 and not shows(refused.text)
        assert client.get("/ready").status_code == 503 and client.get("/health").status_code == 200
        go.set()
        for thread in threads:
            thread.join()
        assert sorted(len(answer.json()["rows"]) for answer in answers) == [1, 8]
        assert client.get("/ready").json() == {"status": "ok"}


def test_metrics_tell_of_requests_layers_and_uncertain_notes(client):
    def figures():
        lines = client.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    before = figures()
    rows = client.post("/annotate/batch", json={"notes": [{"text": text} for text in SENTENCES[:6]]}).json()["rows"]
    client.get(f"/{CANARY}")
    after = figures()

    def more(name):
        return after.get(name, 0) - before.get(name, 0)

    assert more('spacy_epee_requests_total{path="/annotate/batch",status="200"}') == 1
    assert more('spacy_epee_requests_total{path="other",status="404"}') == 1
    assert more('spacy_epee_request_seconds_count{path="/annotate/batch"}') == 1
    assert more('spacy_epee_notes_total{outcome="answered"}') == 6
    assert more('spacy_epee_notes_total{outcome="uncertain"}') == sum(row["uncertain"] for row in rows)
    exits = [name for name in after if name.startswith("spacy_epee_exits_total")]
    assert sum(map(more, exits)) == 6 and any('layer="' in name and 'reason="' in name for name in exits)
    assert any(rows[0]["version"] in name for name in after) and not any(map(shows, after))


def test_the_page_asks_no_other_machine(client):
    assert "http" not in client.get("/docs").text.replace("http://testserver", "")
    for file in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"):
        assert client.get(f"/docs/files/{file}").status_code == 200 and file in client.get("/docs").text
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/annotate", "/annotate/batch", "/health", "/ready", "/metrics"}


def replace(folder: Path, other: Path) -> None:
    """Have a link lead to another folder, in one step."""
    link = folder.with_name("next")
    link.symlink_to(other)
    os.replace(link, folder)


def test_a_reload_takes_what_is_at_the_place_of_the_pipeline(served, tmp_path):
    other, place = tmp_path / "other", tmp_path / "current"
    shutil.copytree(served, other)
    meta = json.loads((other / "meta.json").read_text())
    (other / "meta.json").write_text(json.dumps({**meta, "version": "2.0.0"}))
    (tmp_path / "damaged").mkdir()
    place.symlink_to(served)
    with serving(place, reload=True) as client:
        before = client.post("/annotate", json={"text": "x"}).json()["version"]
        assert client.post("/reload").json() == {"replaced": False, "version": before}
        replace(place, tmp_path / "damaged")
        refused = client.post("/reload")
        assert refused.status_code == 500 and "goes on" in refused.json()["error"]
        assert client.post("/annotate", json={"text": "x"}).json()["version"] == before
        replace(place, other)
        answer = client.post("/reload").json()
        assert answer["replaced"] and "-2.0.0-" in answer["version"]
        assert client.post("/annotate", json={"text": "x"}).json()["version"] == answer["version"]
        text = client.get("/metrics").text
        for outcome in ("replaced", "unchanged", "failed"):
            assert f'spacy_epee_reloads_total{{outcome="{outcome}"}} 1.0' in text


def test_what_is_loaded_keeps_no_request_waiting_and_goes_when_it_is_replaced(served, monkeypatch):
    found = Models(str(served))
    assert gc.get_freeze_count() > 10_000
    before = weakref.ref(found.current.nlp)
    monkeypatch.setattr(type(found.current), "is_replaced", lambda self: True)
    assert found.reload() and before() is None
    assert gc.get_freeze_count() > 10_000


def test_a_pipeline_that_answers_nothing_takes_no_place(served, monkeypatch):
    found = Models(str(served))
    monkeypatch.setattr(type(found.current), "is_replaced", lambda self: True)
    monkeypatch.setattr(models, "annotate_alone", lambda nlp, notes, version: [{"error": "no weights"}])
    before = found.current
    with pytest.raises(ValueError, match="cannot answer a note: no weights"):
        found.reload()
    assert found.current is before


def test_one_reload_runs_at_a_time(served, monkeypatch):
    found = Models(str(served))
    started, go = threading.Event(), threading.Event()
    monkeypatch.setattr(type(found.current), "is_replaced", lambda self: started.set() or not go.wait(20))
    thread = threading.Thread(target=found.reload)
    thread.start()
    assert started.wait(20)
    with pytest.raises(Busy):
        found.reload()
    go.set()
    thread.join()


def test_a_reload_is_asked_for_at_the_start_or_not_there(client):
    assert client.post("/reload").status_code == 404


@pytest.mark.parametrize("library", ["fastapi", "uvicorn", "prometheus_client", "swagger_ui_bundle"])
def test_serve_says_what_it_lacks(library, served, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    found = CliRunner().invoke(epee, ["serve", str(served)])
    assert found.exit_code == 1
    assert f'needs the library {library}: `pip install "spacy_epee[serve]"`' in " ".join(found.output.split())


def test_serve_refuses_what_is_no_pipeline(tmp_path):
    found = CliRunner().invoke(epee, ["serve", str(tmp_path / "none")])
    assert found.exit_code == 1 and "Traceback" not in found.output and "none" in found.output
    found = CliRunner().invoke(epee, ["serve", str(tmp_path), "--queue", "3", "--max-notes", "4"])
    assert found.exit_code == 1 and "raise --queue" in found.output
