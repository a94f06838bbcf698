"""`python -m spacy epee serve`"""

from importlib import import_module
from typing import Any, Optional

from spacy.cli._util import import_code, setup_gpu
from typer import Option
from wasabi import Printer

from ..scale.tables import require
from ..service.limits import Limits
from ..service.models import Models
from . import epee
from .options import CodeOpt, GpuOpt, ModelArg
from .tables import tell_slowdown

OWN = Limits()
"""The limits if nothing else is said."""


@epee.command("serve")
def serve_cli(
    model: ModelArg,
    host: str = Option("127.0.0.1", "--host", help="Address to listen at; 0.0.0.0 for all"),
    port: int = Option(8000, "--port", min=0, max=65535, help="Port to listen at"),
    batch_size: int = Option(OWN.batch_size, "--batch-size", "-b", min=1, help="The most notes that are answered together"),
    wait_ms: float = Option(OWN.wait_ms, "--wait-ms", min=0, help="Milliseconds that the first note of a batch waits for others"),
    queue: int = Option(OWN.queue, "--queue", min=1, help="The most notes that wait; more are refused with 503"),
    budget_ms: Optional[float] = Option(None, "--budget-ms", min=0, help="Milliseconds for a request that names none"),
    max_notes: int = Option(OWN.max_notes, "--max-notes", min=1, help="The most notes of a request"),
    max_characters: int = Option(OWN.max_characters, "--max-characters", min=1, help="The most characters of a note"),
    max_bytes: int = Option(OWN.max_bytes, "--max-bytes", min=1, help="The most bytes of a request"),
    max_seconds: float = Option(OWN.max_seconds, "--max-seconds", help="The most seconds for a request to arrive in"),
    reload: bool = Option(False, "--reload", help="Let POST /reload take what is at MODEL by then; SIGHUP always does"),
    grace: float = Option(30, "--grace", min=0, help="The most seconds, when it is stopped, for requests that are there"),
    code: CodeOpt = None,
    gpu_id: GpuOpt = -1,
):
    """Answer notes over HTTP, those of several requests together."""
    msg = Printer()
    try:
        run, make = load_server()
        limits = Limits(batch_size, wait_ms, queue, budget_ms, max_notes, max_characters, max_bytes, max_seconds)
        import_code(code)
        setup_gpu(gpu_id)
        tell_slowdown(gpu_id, msg)
        service = make(Models(model), limits, reload)
    except (ValueError, OSError) as error:
        msg.fail(str(error), exits=1)
    run(service, host, port, grace)


def load_server() -> Any:
    """RETURNS (Any): What runs a service, and what makes one.
    RAISES ValueError: A library is not installed.
    """
    for library in ("fastapi", "uvicorn", "prometheus_client", "swagger_ui_bundle"):
        require(library, "The service", "serve")
    return import_module("spacy_epee.service.server").run, import_module("spacy_epee.service.app").Service
