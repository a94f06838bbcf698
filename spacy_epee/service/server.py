"""The process that serves: its signals, its log and its end."""

import logging
import signal
import threading
from typing import Any

import uvicorn

from .app import Service, make_app
from .models import Busy

logger = logging.getLogger("spacy_epee.service")


def run(service: Service, host: str, port: int, grace: float) -> None:
    """Serve until SIGTERM or SIGINT. Requests that are there by then are answered. SIGHUP reloads the pipeline.

    service (Service): What answers.
    host (str): The address to listen at.
    port (int): The port; 0 for any that is free.
    grace (float): The most seconds for requests that are there at the end.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logger.setLevel(logging.INFO)
    config = uvicorn.Config(
        make_app(service),
        host=host,
        port=port,
        access_log=False,  # it holds the query
        log_config=None,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=round(grace),
    )
    # uvicorn raises the signal again when it is done, for whoever was there before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=[service], daemon=True).start())
    logger.info("%s answers at %s:%d", service.models.current.version, host, port)
    uvicorn.Server(config).run()


def _reload(service: Service) -> Any:
    try:
        service.reload_now()
    except (Busy, ValueError) as error:  # the log has it
        return error
