"""Making a trained pipeline run faster, as precisely as its score needs: in ONNX graphs, or in torch."""

from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, cast

from spacy.language import Language
from spacy.training import Example

from ..component.pipe import EarlyExitTransformer
from ..engine.results import Predictions
from ..evaluation.scoring import Scoring, differing_docs
from ..evaluation.timing import prepare
from ..model import get_trunk_shim
from ..trunk.transformer import TrunkShim

CHOICES: Dict[str, List[str]] = {"onnx": ["int8", "fp32"], "torch": ["int8", "bf16", "fp32"]}
"""The precisions of each runtime, from the fastest."""


def export(
    nlp: Language,
    pipe: EarlyExitTransformer,
    precision: str,
    examples: Optional[Sequence[Example]],
    max_drop: float,
    runtime: str = "onnx",
    fewest: int = 0,
) -> Dict[str, Any]:
    """Make a pipeline's trunk run in the first precision that keeps the scores.

    nlp (Language): The pipeline.
    pipe (EarlyExitTransformer): Its component, which gets the graphs, or whose config gets the precision.
    precision (str): One of those of the runtime, or "auto": each in turn.
    examples (Optional[Sequence[Example]]): Annotated documents to compare on. None: nothing is compared.
    max_drop (float): By how many points the score of a task may be below that of torch in float32, with its rule and at full
        depth.
    runtime (str): "onnx", or "torch".
    fewest (int): In how many of the documents a label must be to count in a mean over labels; 0 leaves all to the scorer.
    RETURNS (Dict[str, Any]): The precision, and what was tried: scores, None where nothing is annotated; half the 95 % interval
        of their difference; and the share of documents with other answers.
    RAISES ValueError: No precision keeps the scores, none can be run, or there is no score to choose by.
    """
    if precision not in ("auto", *CHOICES[runtime]):
        raise ValueError(f"--precision is '{precision}'; for the runtime '{runtime}' give 'auto' or one of {CHOICES[runtime]}")
    shim = get_trunk_shim(pipe.model)
    if not isinstance(shim, TrunkShim):
        raise ValueError(f"The component '{pipe.name}' has a trunk for images, and only those for text can be exported.")
    shim = cast(TrunkShim, shim)
    if shim.settings.runtime == "torch" and runtime == "onnx":
        raise ValueError(
            f"The setting `components.{pipe.name}.model.trunk.runtime` is 'torch', so that ONNX graphs would not be used. Set it "
            "to 'auto' in the config.cfg of the pipeline."
        )
    shim.settings = replace(shim.settings, runtime="torch", precision="fp32")
    ready = None if examples is None else prepare(nlp, pipe, examples)
    scorings = {} if ready is None else {task: Scoring(pipe, ready, task, fewest) for task in pipe.slots}
    if precision == "auto" and ready is not None and not any(scoring.annotated for scoring in scorings.values()):
        raise ValueError(
            f"None of the {len(ready)} documents is annotated for the component '{pipe.name}', so that there is no score to "
            "choose the precision by. Give annotated documents, or name the --precision."
        )
    base = {} if ready is None else _answers(pipe, ready)
    tried: List[Dict[str, Any]] = []
    for choice in CHOICES[runtime] if precision == "auto" else [precision]:
        try:
            _use(shim, runtime, choice)
        except ValueError as error:
            if precision != "auto" or choice == "fp32":
                raise
            tried.append({"precision": choice, "rows": [], "refused": str(error)})
            continue
        tried.append({"precision": choice, "rows": [] if ready is None else _compare(scorings, base, _answers(pipe, ready))})
        if all(row["difference"] is None or -row["difference"] <= max_drop / 100 + 1e-9 for row in tried[-1]["rows"]):
            if runtime == "torch":
                nlp.get_pipe_config(pipe.name)["model"]["trunk"].update(runtime="torch", precision=choice)
            left_out = {task: scoring.left_out for task, scoring in scorings.items() if scoring.left_out}
            return {"precision": choice, "tried": tried, "left_out": left_out}
    worst = max(-100 * (row["difference"] or 0.0) for row in tried[-1]["rows"])
    raise ValueError(
        f"The score falls by {worst:.2f} points in {tried[-1]['precision']}, more than the {max_drop:g} that --max-drop allows. "
        "Allow more, or give another --precision."
    )


def _use(shim: TrunkShim, runtime: str, precision: Any) -> None:
    """Answer in a precision from now on, if that is possible."""
    if runtime == "torch":
        shim.settings = replace(shim.settings, precision=precision)
    else:
        shim.settings = replace(shim.settings, runtime="torch")
        shim.export(precision)
        shim.settings = replace(shim.settings, runtime="onnx")
    shim.runner  # raises if it is not


def _answers(pipe: EarlyExitTransformer, examples: Sequence[Example]) -> Dict[str, Dict[str, Predictions]]:
    """Answers by the rules of the pipeline, and at full depth."""
    docs = [eg.predicted for eg in examples]
    return {"exits": pipe.run(docs, pipe.exits), "full": pipe.run(docs, dict.fromkeys(pipe.exits))}


def _compare(scorings: Dict[str, Scoring], base: Any, found: Any) -> List[Dict[str, Any]]:
    """Each task with the rule and at full depth, before and now."""
    rows = []
    for name, answers in found.items():
        for task, scoring in scorings.items():
            first, second = (scoring.answered(part[task]) for part in (base[name], answers))
            torch, here = scoring.main(first), scoring.main(second)
            row = {"task": task, "depth": name, "torch": torch, "found": here}
            row["difference"] = None if torch is None or here is None else here - torch
            row["spread"] = scoring.spread(first, second)
            rows.append({**row, "differs": float(differing_docs(base[name][task], answers[task]).mean())})
    return rows
