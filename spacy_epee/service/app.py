"""The application: its paths, and what goes in and out of them."""

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, AsyncIterator, Dict, List, Optional, Sequence, Tuple, Union

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from swagger_ui_bundle import swagger_ui_path

from ..data.texts import HALF
from ..scale.notes import Note
from ..scale.notes import Row as Values
from .batching import Batcher, Full, Unanswered
from .guard import Guard, Refusal
from .limits import Limits
from .metrics import Metrics
from .models import Busy, Models

logger = logging.getLogger("spacy_epee.service")


def whole(text: str) -> str:
    """Refuse what is no text."""
    if HALF.search(text):
        raise ValueError("it holds half of a pair of UTF-16 (\\ud800 to \\udfff), which no text has")
    return text


Text = Annotated[str, AfterValidator(whole)]

STRICT = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
BUDGET = Field(
    None, ge=0, allow_inf_nan=False, description="Milliseconds from its arrival, after which it leaves from where it is"
)


class OneNote(BaseModel):
    """A note."""

    model_config = STRICT
    id: Optional[Union[Text, int]] = Field(None, description="What to call it in the answer")
    text: Text = Field(description="Its text")


class NoteRequest(OneNote):
    """A note, and how long it may take."""

    budget_ms: Optional[float] = BUDGET


class BatchRequest(BaseModel):
    """Some notes, and how long they may take."""

    model_config = STRICT
    notes: List[OneNote] = Field(description="The notes")
    budget_ms: Optional[float] = BUDGET


class Row(BaseModel):
    """What is said about a note, as by `spacy epee annotate`."""

    id: Optional[str] = Field(description="Its id")
    answers: Optional[Dict[str, Any]] = Field(description="`cats` and `labels`, `relations`, `events`; offsets count characters")
    layer: Optional[float] = Field(description="The layer at which it left")
    reason: Optional[str] = Field(description="Why it left: the rule, `deadline` where its time was spent, or `depth`")
    uncertain: bool = Field(description="Whether a person should look at it; true where there is no answer")
    exits: Optional[Dict[str, Any]] = Field(description="Layer, reason and entropy of each unit, by component and task")
    error: Optional[str] = Field(description="Why there is no answer")
    version: str = Field(description="Name and version of the pipeline, and a digest of its files")


class BatchAnswer(BaseModel):
    """What is said about some notes."""

    rows: List[Row] = Field(description="A row for each note, in order")


class ErrorAnswer(BaseModel):
    """Why there is no answer."""

    error: str


KNOWN = {*NoteRequest.model_fields, *BatchRequest.model_fields, "body"}
"""The names that a request can have. No other one is shown: it may be text."""

ERRORS: Dict[Union[int, str], Dict[str, Any]] = {
    413: {"model": ErrorAnswer, "description": "The request, or a note, is too large"},
    422: {
        "model": ErrorAnswer,
        "description": "No JSON, or not that of a request; the place is told, and nothing of what is there",
    },
    503: {"model": ErrorAnswer, "description": "Too many notes are waiting; see the header Retry-After"},
}

PATHS = ("/annotate", "/annotate/batch", "/health", "/ready", "/metrics", "/reload", "/docs", "/openapi.json")


@dataclass
class Service:
    """What a service is made of.

    models (Models): The pipeline.
    limits (Limits): The limits.
    reload (bool): Whether a request can have the pipeline reloaded.
    """

    models: Models
    limits: Limits = Limits()
    reload: bool = False

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.batcher = Batcher(lambda: self.models.current, self.limits, self.metrics.batch)
        self.metrics.watch(lambda: self.batcher.waiting)

    async def answer(self, notes: Sequence[OneNote], budget_ms: Optional[float]) -> List[Values]:
        """RETURNS (List[Dict[str, Any]]): A row for each note.
        RAISES Refusal: They are too many or too long, or cannot be answered."""
        if len(notes) > self.limits.max_notes:
            raise Refusal(413, f"the request has {len(notes)} notes, more than {self.limits.max_notes}")
        for number, note in enumerate(notes, 1):
            if len(note.text) > self.limits.max_characters:
                raise Refusal(413, f"note {number} has {len(note.text)} characters, more than {self.limits.max_characters}")
        named = [Note(None if note.id is None else str(note.id), note.text) for note in notes]
        try:
            waiting = self.batcher.submit(named, budget_ms)
        except Full as full:
            raise Refusal(503, str(full), full.seconds) from None
        try:
            return await asyncio.gather(*map(asyncio.wrap_future, waiting))
        except Unanswered as error:
            raise Refusal(500, f"it cannot be answered ({error})") from None

    def reload_now(self) -> bool:
        """As `Models.reload`, and counted."""
        try:
            replaced = self.models.reload()
        except ValueError:
            self.metrics.reload("failed")
            raise
        self.metrics.reload("replaced" if replaced else "unchanged")
        return replaced


def make_app(service: Service) -> FastAPI:
    """Make the application.

    service (Service): What it is made of.
    RETURNS (FastAPI): The application.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await asyncio.to_thread(service.batcher.close)

    app = FastAPI(
        title="spacy_epee",
        version="1",  # of the requests, not of the pipeline
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.openapi_version = "3.0.3"  # what the page can show
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics, paths=PATHS)
    app.add_exception_handler(RequestValidationError, tell_place)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, tell_status)  # type: ignore[arg-type]
    add_answers(app, service)
    add_state(app, service)
    add_page(app)
    return app


def add_answers(app: FastAPI, service: Service) -> None:
    """Add what answers notes. Rows are sent as they are: checking them against their description would cost time."""

    @app.post("/annotate", response_model=Row, responses=ERRORS)
    async def annotate(request: NoteRequest) -> Response:
        """Answer a note."""
        [row] = await service.answer([request], request.budget_ms)
        return JSONResponse(row)

    @app.post("/annotate/batch", response_model=BatchAnswer, responses=ERRORS)
    async def annotate_batch(request: BatchRequest) -> Response:
        """Answer some notes."""
        return JSONResponse({"rows": await service.answer(request.notes, request.budget_ms)})


def add_state(app: FastAPI, service: Service) -> None:
    """Add what tells of the service, and what has it reloaded."""

    @app.get("/health")
    async def health() -> Response:
        """Whether notes are answered at all. If not, start the service anew."""
        return _state(service.batcher.alive)

    @app.get("/ready")
    async def ready() -> Response:
        """Whether there is room for a note."""
        return _state(service.batcher.alive and service.batcher.waiting < service.limits.queue)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.show(service.models.current.version), media_type="text/plain; version=0.0.4")

    if not service.reload:
        return

    @app.post("/reload", responses={409: {"model": ErrorAnswer}, 500: {"model": ErrorAnswer}})
    async def reload() -> Response:
        """Take the pipeline that is now where the service was told to find it. If it does not load, the one that is there goes
        on."""
        try:
            replaced = await asyncio.to_thread(service.reload_now)
        except Busy:
            raise Refusal(409, "another reload is running") from None
        except ValueError as error:
            raise Refusal(500, f"not reloaded, and the pipeline that was there goes on: {error}") from None
        return JSONResponse({"replaced": replaced, "version": service.models.current.version})


def add_page(app: FastAPI) -> None:
    """Add the page about the paths. What it needs comes from here, and from no other machine."""
    app.mount("/docs/files", StaticFiles(directory=Path(swagger_ui_path)))

    @app.get("/docs", include_in_schema=False)
    async def page(request: Request) -> Response:
        files = {
            "swagger_js_url": "swagger-ui-bundle.js",
            "swagger_css_url": "swagger-ui.css",
            "swagger_favicon_url": "favicon-32x32.png",
        }
        own: Dict[str, Any] = {name: f"docs/files/{file}" for name, file in files.items()}
        return get_swagger_ui_html(openapi_url="openapi.json", title="spacy_epee", **own)


def _state(good: bool) -> Response:
    return JSONResponse({"status": "ok" if good else "unavailable"}, 200 if good else 503)


async def tell_place(request: Request, error: RequestValidationError) -> Response:
    """Say where a request is wrong. What FastAPI says holds the request."""
    first = error.errors()[0]
    return JSONResponse({"error": f"{_place(first['loc'])}: {first['msg']}"}, 422)


def _place(parts: Tuple[Union[str, int], ...]) -> str:
    return ".".join(str(part) if isinstance(part, int) or part in KNOWN else "…" for part in parts)


async def tell_status(request: Request, error: HTTPException) -> Response:
    """Say what the framework refuses, in the form of all errors."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
