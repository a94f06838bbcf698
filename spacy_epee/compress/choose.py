"""Compressing a trained pipeline as far as its score allows."""

from typing import Any, Dict, List, Optional, Sequence

from spacy.language import Language
from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from ..engine.results import Predictions
from ..evaluation.scoring import Scoring, differing_docs
from ..evaluation.timing import prepare
from ..registry import compressors, names
from .base import Compression, Smaller
from .restore import unchanged_if_refused

Answers = Dict[str, Dict[str, Predictions]]
"""The answers of each task, with the rules of the pipeline and at full depth."""


class Reference:
    """What a component answers before anything is done to it.

    scorings (Dict[str, Scoring]): How the answers of each task are scored.
    """

    def __init__(self, nlp: Language, pipe: EarlyExitTransformer, examples: Sequence[Example], fewest: int = 0):
        """
        nlp (Language): The pipeline.
        pipe (EarlyExitTransformer): Its component.
        examples (Sequence[Example]): Annotated documents.
        fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 leaves all to the scorer.
        """
        self.pipe = pipe
        self.examples = prepare(nlp, pipe, examples)
        self.scorings = {task: Scoring(pipe, self.examples, task, fewest) for task in pipe.slots}
        self.answers = self._run()

    @property
    def annotated(self) -> bool:
        """RETURNS (bool): Whether there is anything to score against."""
        return any(scoring.annotated for scoring in self.scorings.values())

    def compare(self) -> List[Dict[str, Any]]:
        """RETURNS (List[Dict[str, Any]]): Each task with the rule and at full depth, before and now."""
        rows = []
        for depth, answers in self._run().items():
            for task, scoring in self.scorings.items():
                one, other = (scoring.answered(each[task]) for each in (self.answers[depth], answers))
                first, second = scoring.main(one), scoring.main(other)
                row = {"task": task, "depth": depth, "before": first, "after": second}
                row["difference"] = None if first is None or second is None else second - first
                row["spread"] = scoring.spread(one, other)
                rows.append({**row, "differs": float(differing_docs(self.answers[depth][task], answers[task]).mean())})
        return rows

    def _run(self) -> Answers:
        docs = [eg.predicted for eg in self.examples]
        return {"exits": self.pipe.run(docs, self.pipe.exits), "full": self.pipe.run(docs, dict.fromkeys(self.pipe.exits))}


def compress(
    nlp: Language,
    pipe: EarlyExitTransformer,
    method: str,
    choice: str = "auto",
    examples: Optional[Sequence[Example]] = None,
    max_drop: float = 0.3,
    fewest: int = 0,
    reference: Optional[Reference] = None,
    **settings: Any,
) -> Dict[str, Any]:
    """Compress a component by the first choice that keeps the scores.

    nlp (Language): The pipeline.
    pipe (EarlyExitTransformer): Its component.
    method (str): The name of what is registered in `registry.compressors`.
    choice (str): One of those of the method, or "auto": each in turn.
    examples (Optional[Sequence[Example]]): Annotated documents to compare on. None: nothing is compared.
    max_drop (float): By how many points the score of a task may be below that before, with its rule and at full depth.
    fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 leaves all to the scorer.
    reference (Optional[Reference]): What to compare with, in place of the component as it is now, on documents of its own.
    settings (Any): Those of the method.
    RETURNS (Dict[str, Any]): The choice, whether all is as it was before, and what was tried: scores, None where nothing is
        annotated; half the 95 % interval of their difference; and the share of documents with other answers.
    RAISES ValueError: There is no such method or choice, none keeps the scores or is possible, or there is no score to choose by.
        The component is then as it was before.
    """
    with unchanged_if_refused(nlp, pipe):
        return _choose(nlp, pipe, method, choice, examples, max_drop, fewest, reference, settings)


def _choose(
    nlp: Language,
    pipe: EarlyExitTransformer,
    method: str,
    choice: str,
    examples: Optional[Sequence[Example]],
    max_drop: float,
    fewest: int,
    reference: Optional[Reference],
    settings: Dict[str, Any],
) -> Dict[str, Any]:
    """As `compress`; what it refuses it leaves as it has become."""
    if method not in compressors:
        raise ValueError(f"There is no compression method '{method}'; there are {', '.join(names(compressors))}.")
    compression: Compression = compressors.get(method)(nlp, pipe, **settings)
    decides = compression.decides
    if choice not in ("auto", *compression.choices):
        raise ValueError(f"The {decides} '{choice}' is none of {method}; give 'auto' or one of {list(compression.choices)}.")
    if reference is None and examples is not None:
        reference = Reference(nlp, pipe, examples, fewest)
    if choice == "auto" and reference is not None and not reference.annotated:
        raise ValueError(
            f"None of the {len(reference.examples)} documents is annotated for the component '{pipe.name}', so that there is no "
            f"score to choose the {decides} by. Give annotated documents, or name the {decides}."
        )
    tried: List[Dict[str, Any]] = []
    for each in compression.choices if choice == "auto" else [choice]:
        try:
            compression.use(each)
        except ValueError as error:
            if choice != "auto" or each == compression.choices[-1]:
                raise
            tried.append({"choice": each, "rows": [], "refused": str(error)})
            continue
        tried.append({"choice": each, "rows": [] if reference is None else reference.compare()})
        if all(row["difference"] is None or -row["difference"] <= max_drop / 100 + 1e-9 for row in tried[-1]["rows"]):
            scorings = {} if reference is None else reference.scorings
            left_out = {task: scoring.left_out for task, scoring in scorings.items() if scoring.left_out}
            unchanged = isinstance(compression, Smaller) and each == compression.choices[-1]
            if each != compression.choices[-1]:
                for slot in pipe.slots.values():
                    slot.cfg.pop("tuned", None)  # figures and promises of what it was before
            return {"choice": each, "decides": decides, "unchanged": unchanged, "tried": tried, "left_out": left_out}
    worst = max(-100 * (row["difference"] or 0.0) for row in tried[-1]["rows"])
    raise ValueError(
        f"The score falls by {worst:.2f} points in {tried[-1]['choice']}, more than the {max_drop:g} that are allowed. Allow "
        f"more, or give another {decides}."
    )
