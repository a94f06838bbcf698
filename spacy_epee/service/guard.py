"""What stands before the application: limits of a request, and errors and logs that hold nothing of it."""

import asyncio
import json
import logging
import time
from typing import Any, Awaitable, Callable, Collection, Dict, List, Optional, Tuple

from .limits import Limits
from .metrics import Metrics

logger = logging.getLogger("spacy_epee.service")

Message = Dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LEFT = 499
"""What is noted down as the status where the client went away."""


class Refusal(Exception):
    """A request that is refused.

    status (int): The status of the answer.
    retry (Optional[int]): After how many seconds to try again.
    """

    def __init__(self, status: int, reason: str, retry: Optional[int] = None):
        super().__init__(reason)
        self.status, self.retry = status, retry


class Guard:
    """A layer of ASGI around an application. It reads each request whole, within the limits, before anybody is given it."""

    def __init__(self, app: Any, limits: Limits, metrics: Metrics, paths: Collection[str]):
        """
        app (Callable): The application.
        limits (Limits): The limits.
        metrics (Metrics): Where requests are counted.
        paths (Collection[str]): Those that there are. No other one is written anywhere.
        """
        self._app, self._limits, self._metrics, self._paths = app, limits, metrics, paths
        self._inside = 0

    async def __call__(self, scope: Dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start = time.perf_counter()
        answer = _Answer(send)
        self._inside += 1
        try:
            if self._inside > self._limits.queue and scope["method"] == "POST":
                raise Refusal(503, "too many requests are here; try again in 1 s", 1)
            body = await self._read(scope, receive)
            await self._run(scope, body, receive, answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except Exception as error:  # whatever it says may be text of a note
            logger.error("a request failed: %s", type(error).__name__)
            await answer.refuse(Refusal(500, f"it cannot be answered ({type(error).__name__})"))
        finally:
            self._inside -= 1
            path = scope["path"] if scope["path"] in self._paths else "other"
            seconds = time.perf_counter() - start
            self._metrics.request(path, answer.status, seconds)
            logger.info("%s %s %d %.0f ms", path, scope["method"] if path != "other" else "-", answer.status, seconds * 1000)

    async def _read(self, scope: Dict[str, Any], receive: Receive) -> bytes:
        """RETURNS (bytes): The body of a request.
        RAISES Refusal: It is too large, takes too long, or does not come."""
        most = self._limits.max_bytes
        too_large = Refusal(413, f"the request has more than {most} bytes")
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            raise too_large
        parts: List[bytes] = []
        size = 0
        end = time.monotonic() + self._limits.max_seconds
        while True:
            try:
                message = await asyncio.wait_for(receive(), end - time.monotonic())
            except asyncio.TimeoutError:
                raise Refusal(408, f"the request did not arrive in {self._limits.max_seconds:g} s") from None
            if message["type"] == "http.disconnect":
                raise Refusal(LEFT, "the client went away")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise too_large
            if not message.get("more_body"):
                return b"".join(parts)

    async def _run(self, scope: Dict[str, Any], body: bytes, receive: Receive, answer: "_Answer") -> None:
        """Have a request answered, until it is or the client goes away."""
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if not messages:
                await asyncio.Event().wait()  # who leaves is seen below
            return messages.pop()

        work = asyncio.ensure_future(self._app(scope, replay, answer.send))
        leaving = asyncio.ensure_future(receive())  # nothing else can come
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not answer.whole:
                answer.status = LEFT
                return
            await work
        finally:
            work.cancel()
            leaving.cancel()
            await asyncio.gather(work, leaving, return_exceptions=True)


class _Answer:
    """What is sent.

    status (int): Its status.
    whole (bool): Whether all of it is sent.
    """

    def __init__(self, send: Send):
        self._send = send
        self._begun = self.whole = False
        self.status = LEFT

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun, self.status = True, message["status"]
        if message["type"] == "http.response.body":
            self.whole = not message.get("more_body")
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Send why there is no answer, if nothing is sent so far."""
        if self._begun:
            return
        body = json.dumps({"error": str(refusal)}).encode()
        headers: List[Tuple[bytes, bytes]] = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if refusal.retry is not None:
            headers.append((b"retry-after", b"%d" % refusal.retry))
        if refusal.status in (408, 413, 503):
            headers.append((b"connection", b"close"))  # what is left of it may not be read
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
