"""The pipeline that answers, and how another one takes its place."""

import gc
import logging
import threading

from ..errors import raise_alone
from ..scale.notes import Note, annotate_alone
from ..scale.version import Loaded, load_pipeline

logger = logging.getLogger("spacy_epee.service")

FIRST = Note("0", "The first note.")
"""What each pipeline answers before it is given others: what it makes at its first use is there then."""


class Busy(Exception):
    """Another reload is running."""


class Models:
    """The pipeline of a service. Batches that are being answered keep the one that they began with.

    current (Loaded): The pipeline for the next batch.
    """

    def __init__(self, model: str):
        """
        model (str): A folder or an installed package. What is there later on can take its place, and nothing else.
        RAISES ValueError: It is no pipeline that answers texts.
        """
        self._model = model
        self._turn = threading.Lock()
        self.current = load_answering(model)
        leave_in_place()

    def reload(self) -> bool:
        """Take what is at the place of the pipeline now. If that does not load, or answers nothing, the one that is there stays.

        RETURNS (bool): Whether it is another one.
        RAISES Busy: Another thread is at it.
        RAISES ValueError: It does not load.
        """
        if not self._turn.acquire(blocking=False):
            raise Busy
        try:
            if not self.current.is_replaced():
                return False
            self.current = load_answering(self._model)
            leave_in_place()
            logger.info("reloaded: %s", self.current.version)
            return True
        except Exception as error:
            told = str(error) if isinstance(error, (ValueError, OSError)) else type(error).__name__
            logger.error("not reloaded, and %s goes on: %s", self.current.version, told)
            raise_alone(ValueError(told))
        finally:
            self._turn.release()


def load_answering(model: str) -> Loaded:
    """Load a pipeline, and see that it answers.

    model (str): A folder or an installed package.
    RETURNS (Loaded): The pipeline.
    RAISES ValueError: It does not.
    """
    loaded = load_pipeline(model)
    [row] = annotate_alone(loaded.nlp, [FIRST], loaded.version)
    if row["error"]:
        raise ValueError(f"The pipeline '{model}' cannot answer a note: {row['error']}")
    return loaded


def leave_in_place() -> None:
    """Have Python no longer look for garbage among what is there now, a pipeline and all libraries: that keeps every request
    waiting for a third of a second and more, again and again."""
    gc.unfreeze()  # or a pipeline that was replaced would stay
    gc.collect()
    gc.freeze()
