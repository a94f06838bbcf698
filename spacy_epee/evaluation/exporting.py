"""Making a trained pipeline run faster, as precisely as its score needs: in ONNX graphs, or in torch."""

from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, cast

import numpy
from spacy.language import Language
from spacy.training import Example

from ..component import EarlyExitTransformer
from ..loop import Answers
from ..model import get_trunk_shim
from ..trunk.loading import TrunkShim
from .compare import prepare

CHOICES: Dict[str, List[str]] = {"onnx": ["int8", "fp32"], "torch": ["int8", "bf16", "fp32"]}
"""The precisions of each runtime, from the fastest."""


def export(
    nlp: Language,
    pipe: EarlyExitTransformer,
    precision: str,
    examples: Optional[Sequence[Example]],
    max_drop: float,
    runtime: str = "onnx",
) -> Dict[str, Any]:
    """Make a pipeline's trunk run in the first precision that keeps the scores.

    nlp (Language): The pipeline.
    pipe (EarlyExitTransformer): Its component, which gets the graphs, or whose config gets the precision.
    precision (str): One of those of the runtime, or "auto": each in turn.
    examples (Optional[Sequence[Example]]): Annotated documents to compare on. None: nothing is compared.
    max_drop (float): By how many points the score of a task may be below that of torch in float32, with its rule and at full
        depth.
    runtime (str): "onnx", or "torch".
    RETURNS (Dict[str, Any]): The precision, and what was tried: scores, and the share of other answers.
    RAISES ValueError: No precision keeps the scores, or none can be run.
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
        tried.append({"precision": choice, "rows": [] if ready is None else _compare(pipe, ready, base, _answers(pipe, ready))})
        if all(row["torch"] - row["found"] <= max_drop / 100 + 1e-9 for row in tried[-1]["rows"]):
            if runtime == "torch":
                nlp.get_pipe_config(pipe.name)["model"]["trunk"].update(runtime="torch", precision=choice)
            return {"precision": choice, "tried": tried}
    worst = max(100 * (row["torch"] - row["found"]) for row in tried[-1]["rows"])
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


def _answers(pipe: EarlyExitTransformer, examples: Sequence[Example]) -> Dict[str, Dict[str, Answers]]:
    """Answers by the rules of the pipeline, and at full depth."""
    docs = [eg.predicted for eg in examples]
    return {"exits": pipe.run(docs, pipe.exits), "full": pipe.run(docs, dict.fromkeys(pipe.exits))}


def _compare(pipe: EarlyExitTransformer, examples: Sequence[Example], base: Any, found: Any) -> List[Dict[str, Any]]:
    rows = []
    for name, answers in found.items():
        for task, own in answers.items():
            kind = pipe.parts[task].task
            torch, here = (pipe.score_answers(examples, part, task).get(kind.main) or 0.0 for part in (base[name][task], own))
            differs = _differ(base[name][task], own)
            rows.append({"task": task, "depth": name, "torch": torch, "found": here, "differs": float(differs.mean())})
    return rows


def _differ(one: Answers, other: Answers) -> numpy.ndarray:
    """Which units, or items if they have no structure, have other answers, (N,) bool."""
    if one.graphs is not None and other.graphs is not None:
        pairs = zip(one.graphs, other.graphs)
        return numpy.array([(a is None) != (b is None) or (a is not None and not a.same(b)) for a, b in pairs], dtype=bool)
    first, second = (
        own.reading.evidence(own.logits, layer=0, units=numpy.arange(len(own.logits))).decision for own in (one, other)
    )
    differ = first != second
    return differ if differ.ndim == 1 else differ.any(axis=1)
