"""spaCy's own text classifiers, trained as spaCy trains them."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import make_tempdir

from ...errors import raise_alone
from ...files import whole_folder
from ..pipelines import answer_texts
from ..workspace import Unavailable

FIRST, GROWTH = 100, 1.001
"""The words in spaCy's first batch, and how much larger each is than the one before."""

CHECKS = 5
"""How often the score on dev is looked at in a training that the limit of words ends."""


@dataclass
class Training:
    """How long spaCy trains.

    epochs (int): The most passes over the training data.
    words (int): The most words, passes counted.
    folder (Optional[Path]): Where what was trained is kept, and taken from if it is there. None trains anew.
    """

    epochs: int = 5
    words: int = 1_500_000
    folder: Optional[Path] = None


class SpacyTextcat:
    """A text classifier of spaCy with the settings that its factory has, and the training settings of a new config.

    title (str): What it is called.
    note (str): How long it was trained.
    """

    def __init__(
        self, bag: bool, examples: Mapping[str, Sequence[Example]], labels: Sequence[str], exclusive: bool, plan: Training
    ):
        """
        bag (bool): Whether to take the bag of words, not the ensemble that is the default.
        examples (Mapping[str, Sequence[Example]]): The documents of "train" and "dev".
        labels (Sequence[str]): The labels.
        exclusive (bool): Whether one of them is true.
        plan (Training): How long to train.
        """
        self.name = "bow" if bag else "ensemble"
        self.title = "spaCy, bag of words" if bag else "spaCy, ensemble"
        self.bag, self.examples, self.labels, self.exclusive, self.plan = bag, examples, list(labels), exclusive, plan
        self.note = ""
        self.nlp: Language

    def fit(self) -> None:
        """Train, or load what was trained.

        RAISES Unavailable: It cannot be trained on these documents.
        """
        kept = None if self.plan.folder is None else self.plan.folder / f"spacy-{self.name}"
        if kept is not None and kept.exists():
            self.nlp = spacy.load(kept)
        else:
            with make_tempdir() as temporary:
                self.nlp = self._train(temporary)
            if kept is not None:
                with whole_folder(kept) as part:
                    self.nlp.to_disk(part)
        score = self.nlp.meta["performance"].get("cats_score") or 0.0
        self.note = f"{self.nlp.meta.get('trained', 'trained before')}; {100 * score:.1f} on dev by spaCy's own score"

    def _train(self, folder: Path) -> Language:
        for split in ("train", "dev"):
            docs = [eg.reference for eg in self.examples[split]]
            DocBin(attrs=["ORTH", "SPACY"], docs=[_bare(doc) for doc in docs]).to_disk(folder / f"{split}.spacy")
        words = sum(len(eg.reference) for eg in self.examples["train"])
        most = min(self.plan.words, self.plan.epochs * words)
        nlp = spacy.blank(self.examples["train"][0].reference.lang_ or "xx")
        settings: Dict[str, Any] = {}
        if self.bag:
            settings = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": self.exclusive, "ngram_size": 1}
            settings = {"model": {**settings, "no_output_layer": False}}
        nlp.add_pipe("textcat" if self.exclusive else "textcat_multilabel", config=settings)
        config = nlp.config.copy()
        config["paths"].update({split: str(folder / f"{split}.spacy") for split in ("train", "dev")})
        steps = _steps(most)
        config["training"].update(max_epochs=0, max_steps=steps, eval_frequency=max(steps // CHECKS, 1))
        try:
            trained = init_nlp(config)
            train(trained, folder, stdout=io.StringIO(), stderr=io.StringIO())
        except Exception as error:  # whose message may hold text
            raise_alone(Unavailable(f"it cannot be trained on these documents ({type(error).__name__})"))
        best = spacy.load(folder / "model-best")
        best.meta["trained"] = f"trained on {most} words, {most / max(words, 1):.1f} passes"
        return best

    def run(self, texts: Sequence[str], size: int) -> Any:
        """Answer texts in batches. RETURNS (Any): What `read` reads."""
        return answer_texts(self.nlp, texts, size)

    def read(self, found: Any) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities, (N, K). None for labels that it has not seen."""
        return numpy.array([[doc.cats.get(label, 0.0) for label in self.labels] for doc in found], dtype="float32")


def _bare(doc: Doc) -> Doc:
    """The tokens and the labels alone."""
    bare = Doc(doc.vocab, words=[token.text for token in doc], spaces=[bool(token.whitespace_) for token in doc])
    bare.cats = dict(doc.cats)
    return bare


def _steps(words: int) -> int:
    """How many of spaCy's growing batches hold so many words, before they have reached their full size of 1000."""
    growing = math.log(10) / math.log(GROWTH)  # steps until then
    grown = FIRST * 9 / (GROWTH - 1)
    if words >= grown:
        return int(growing + (words - grown) / (10 * FIRST))
    return max(int(math.log1p(words * (GROWTH - 1) / FIRST) / math.log(GROWTH)), 1)
