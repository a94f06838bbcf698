"""Clients that are slow, or go away."""

import asyncio

import pytest

pytest.importorskip("prometheus_client")
from spacy_epee.service.guard import LEFT, Guard  # noqa: E402
from spacy_epee.service.limits import Limits  # noqa: E402
from spacy_epee.service.metrics import Metrics  # noqa: E402

SCOPE = {"type": "http", "method": "POST", "path": "/annotate", "headers": []}


class Client:
    """A client that sends some messages, and then nothing or that it goes away."""

    def __init__(self, *messages, leaves=False):
        self.messages, self.leaves, self.answers = [*messages], leaves, []

    async def receive(self):
        await asyncio.sleep(0)
        if not self.messages:
            await asyncio.sleep(0.01 if self.leaves else 60)
            return {"type": "http.disconnect"}
        return {"type": "http.request", **self.messages.pop(0)}

    async def send(self, message):
        self.answers.append(message)


def ask(client, app, **limits):
    """RETURNS (float): How many requests of the status are counted."""
    metrics = Metrics()
    guard = Guard(app, Limits(**limits), metrics, ["/annotate"])
    asyncio.run(asyncio.wait_for(guard(SCOPE, client.receive, client.send), 20))
    return lambda status: metrics.registry.get_sample_value(
        "spacy_epee_requests_total", {"path": "/annotate", "status": str(status)}
    )


def test_a_client_that_goes_away_ends_the_work_for_it():
    ended = []

    async def work(scope, receive, send):
        try:
            assert (await receive())["body"] == b"ab"
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    client = Client({"body": b"a", "more_body": True}, {"body": b"b"}, leaves=True)
    assert ask(client, work)(LEFT) == 1 and ended == ["cancelled"] and not client.answers


def test_a_client_that_goes_away_while_it_sends_is_no_request():
    async def never(scope, receive, send):
        raise AssertionError

    assert ask(Client({"body": b"a", "more_body": True}, leaves=True), never)(LEFT) == 1


def test_a_client_that_takes_too_long_is_told_so():
    async def never(scope, receive, send):
        raise AssertionError

    client = Client({"body": b"a", "more_body": True})
    assert ask(client, never, max_seconds=0.05)(408) == 1
    assert client.answers[0]["status"] == 408 and b"0.05 s" in client.answers[1]["body"]


def test_an_answer_that_is_whole_stays_although_its_client_goes_away():
    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})
        await asyncio.sleep(0.1)

    client = Client({"body": b""}, leaves=True)
    assert ask(client, answer)(200) == 1 and client.answers[-1]["body"] == b"x"
