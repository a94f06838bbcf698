"""Documents with entities and relations, and pipelines for them."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import spacy
from spacy.tokens import Span
from spacy.training import Example

from spacy_epee.tasks.relations.task import install_extensions

TEXTS = (
    "Aspirin caused a rash, and ibuprofen helped the headache.",
    "No rash on warfarin. The headache was eased by paracetamol within hours.",
    "Metformin for diabetes; lisinopril gave him a dry cough, so losartan instead for hypertension.",
    "Nothing to report today.",
    "Codeine.",
    "She takes digoxin because of fibrillation and stopped verapamil, which had caused constipation.",
)
DRUGS = set("aspirin ibuprofen warfarin paracetamol metformin lisinopril losartan digoxin verapamil codeine".split())
PROBLEMS = {"rash", "headache", "diabetes", "cough", "hypertension", "fibrillation", "constipation"}
# By text: head, child and label.
RELATIONS: Dict[str, List[Tuple[str, str, str]]] = {
    TEXTS[0]: [("Aspirin", "rash", "CAUSES"), ("ibuprofen", "headache", "TREATS")],
    TEXTS[1]: [("paracetamol", "headache", "TREATS")],
    TEXTS[2]: [("Metformin", "diabetes", "TREATS"), ("lisinopril", "cough", "CAUSES"), ("losartan", "hypertension", "TREATS")],
    TEXTS[5]: [("digoxin", "fibrillation", "TREATS"), ("verapamil", "constipation", "CAUSES")],
}


def tag(doc):
    """Give a Doc its entities."""
    found = []
    for token in doc:
        label = "Drug" if token.lower_ in DRUGS else "Problem" if token.lower_ in PROBLEMS else None
        if label:
            found.append(Span(doc, token.i, token.i + 1, label=label))
    doc.set_ents(found)
    return doc


def make_example(nlp, text: str) -> Example:
    """Make an example whose both Docs have the entities."""
    install_extensions()
    reference = tag(nlp.make_doc(text))
    places = {ent.text: [ent.start, ent.end] for ent in reference.ents}
    reference._.relations = [
        {"head": places[head], "child": places[child], "label": label, "score": 1.0}
        for head, child, label in RELATIONS.get(text, [])
    ]
    return Example(tag(nlp.make_doc(text)), reference)


def make_relations_nlp(
    backbone,
    texts: Sequence[str] = TEXTS,
    *,
    exit: Optional[Dict[str, Any]] = None,
    window: int = 48,
    candidates: Optional[Dict[str, Any]] = None,
    head: Optional[Dict[str, Any]] = None,
    trunk: Optional[Dict[str, Any]] = None,
    seed: int = 0,
    spread: bool = True,
    **config: Any,
):
    """Make an initialized pipeline of one component; its classifiers are random but spread out."""
    import torch

    spacy.util.fix_random_seed(seed)
    nlp = spacy.blank("en")
    trunk = {"name": str(backbone), "window": window, "overlap": 8, **(trunk or {})}
    settings = {
        "model": {"trunk": trunk, "head": {"hidden": 16, **(head or {})}, "exit_layers": None},
        "exit": exit,
        "candidates": {"labels": [["Drug", "Problem"]], **(candidates or {})},
        **config,
    }
    pipe = nlp.add_pipe("epee_relations", config=settings)
    examples = [make_example(nlp, text) for text in texts]
    nlp.initialize(lambda: examples)
    if spread:
        heads = pipe.model.get_ref("head").shims[0]._model
        with torch.no_grad():
            (stored,) = pipe.exit_logits([eg.predicted for eg in examples])
            for classifier, logits in zip(heads.classifiers, torch.as_tensor(stored.logits)):
                factor = 2.0 / logits.std(dim=0)
                classifier.weight.mul_(factor[:, None])
                classifier.bias.copy_(-logits.mean(dim=0) * factor)
    return nlp
