"""Docs that cannot be answered: found among others that can, and marked."""

from typing import Any, Callable, Iterable, List, Sequence

from spacy.tokens import Doc

from ..doc_attributes import EXITS
from ..inputs.windows import FailedDocs

Answer = Callable[[List[Doc]], None]
"""Answers Docs and writes that to them, all or none."""

Refuse = Callable[[List[Doc], Exception], None]
"""Is given Docs that cannot be answered. If it does not raise, work goes on."""


def answer_all(docs: List[Doc], answer: Answer, refuse: Refuse) -> List[Doc]:
    """Answer some Docs. What is wrong with one of them is found by trying halves, so that it is refused alone and the others are
    answered.

    docs (List[Doc]): The Docs.
    answer (Callable[[List[Doc]], None]): What answers them.
    refuse (Callable[[List[Doc], Exception], None]): What is given those that cannot be answered.
    RETURNS (List[Doc]): Those that are answered.
    """
    try:
        answer(docs)
        return docs
    except FailedDocs as error:
        failed = set(error.docs)
        refuse([doc for i, doc in enumerate(docs) if i in failed], error)
        parts = [[doc for i, doc in enumerate(docs) if i not in failed]]
    except Exception as error:
        if len(docs) == 1:
            refuse(docs, error)
        half = len(docs) // 2
        parts = [docs[:half], docs[half:]] if half else []
    return [doc for part in parts if part for doc in answer_all(part, answer, refuse)]


def mark_unanswered(docs: Sequence[Any], component: str, tasks: Iterable[str]) -> None:
    """Have Docs say that there is no answer, to those that hold them.

    docs (Sequence[Doc]): The Docs, or what was given in the place of Docs.
    component (str): The component.
    tasks (Iterable[str]): Its tasks.
    """
    for doc in docs:
        theirs = doc.user_data.get(EXITS) if isinstance(doc, Doc) else ()
        if theirs is None or isinstance(theirs, dict):  # it may be what is wrong
            entry = {task: {"layer": 0.0, "depth": 0, "uncertain": True, "units": []} for task in tasks}
            doc.user_data[EXITS] = {**(theirs or {}), component: entry}


def check_docs(docs: Sequence[Any], component: str) -> None:
    """Refuse what is no Doc. An error about what it lacks would hold it, and it may be a text.

    docs (Sequence[Any]): What was given.
    component (str): The component.
    RAISES ValueError: One is no Doc.
    """
    other = next((type(doc).__name__ for doc in docs if not isinstance(doc, Doc)), None)
    if other is not None:
        raise ValueError(f"The component '{component}' was given a {other}, not a Doc. `nlp.make_doc` makes one of a text.")
