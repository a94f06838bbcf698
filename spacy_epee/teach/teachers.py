"""Pipelines, and a linear model of words, as teachers."""

from typing import Callable, Iterable, List, Protocol, Sequence

import numpy
from scipy.sparse import vstack
from scipy.special import expit, softmax
from spacy.language import Language
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.util import minibatch

from ..component.pipe import EarlyExitTransformer
from ..data.checks import make_doc
from ..errors import raise_alone
from ..forgetting import forget_words
from ..heads.lexical import LinearModel
from ..inputs.ngrams import choose_ngrams
from ..training.lexical import learn_linear
from .documents import Document, gold

NGRAMS = 50_000
"""The most n-grams that the linear model looks at, as many as before the first layer of our classifiers."""

TOGETHER = 256
"""How many documents are answered together."""

ROUNDED = 1e-4
"""How far probabilities may be from 0, 1, and their sum from 1, by rounding."""


class Teacher(Protocol):
    """What says how probable labels are.

    name (str): What to call it.
    """

    name: str

    def answer(self, documents: Sequence[Document], labels: Sequence[str]) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of labels, (N, K)."""


class PipelineTeacher:
    """A pipeline that writes `doc.cats`. Ours run at full depth.

    name (str): What to call it.
    nlp (Language): The pipeline.
    """

    def __init__(self, name: str, nlp: Language):
        """
        name (str): What to call it.
        nlp (Language): The pipeline. Exit rules are taken from it.
        RAISES ValueError: It reads images.
        """
        self.name, self.nlp = name, nlp
        for _, pipe in nlp.pipeline:
            if isinstance(pipe, EarlyExitTransformer):
                if any(slot.task.reads != "text" for slot in pipe.slots.values()):
                    raise ValueError(
                        f"The component '{pipe.name}' of the pipeline '{name}' does not read text, so that it cannot answer"
                    )
                pipe.exit = None

    def labels(self, documents: Sequence[Document]) -> List[str]:
        """RETURNS (List[str]): The labels that it answers some documents with."""
        with forget_words(self.nlp):
            found = list(dict.fromkeys(label for doc in self._run(documents) for label in doc.cats))
        if not found:
            raise ValueError(f"The pipeline '{self.name}' writes no `doc.cats`, so that it can teach nothing")
        return found

    def answer(self, documents: Sequence[Document], labels: Sequence[str]) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of labels, (N, K).
        RAISES ValueError: It has others, or scores that are no probabilities.
        """
        with forget_words(self.nlp):
            cats = [dict(doc.cats) for doc in self._run(documents)]
        for document, said in zip(documents, cats):
            if said.keys() != set(labels):
                raise ValueError(f"{document.where}: the pipeline '{self.name}' has written other labels than before")
        found = numpy.array([[said[label] for label in labels] for said in cats], dtype="float64").reshape(-1, len(labels))
        wrong = ~((found >= -ROUNDED) & (found <= 1 + ROUNDED)).all(axis=1)
        if wrong.any():
            where = documents[int(wrong.argmax())].where
            raise ValueError(f"{where}: the pipeline '{self.name}' gives scores that are no probabilities from 0 to 1")
        return found.clip(0, 1)

    def _run(self, documents: Sequence[Document]) -> List[Doc]:
        """The documents with answers."""
        docs = [make_doc(self.nlp, document.text, document.where) for document in documents]
        try:
            answered = list(self.nlp.pipe(docs))
        except Exception as error:  # of whatever component, and it may show text
            places = f"{documents[0].where} to {documents[-1].where}" if len(documents) > 1 else documents[0].where
            raise_alone(ValueError(f"{places}: the pipeline '{self.name}' cannot answer ({type(error).__name__})"))
        if len(answered) != len(docs):
            raise ValueError(f"The pipeline '{self.name}' has left out {len(docs) - len(answered)} documents")
        return answered


class LinearTeacher:
    """Logistic regression over n-grams weighted by tf-idf. What it has learned from is answered by models that have not."""

    name = "TF-IDF, logistic regression"

    def __init__(
        self, nlp: Language, read: Callable[[], Iterable[Document]], labels: Sequence[str], exclusive: bool, most: int = NGRAMS
    ):
        """Learn.

        nlp (Language): A pipeline, for its tokenizer.
        read (Callable[[], Iterable[Document]]): Returns the documents. Their n-grams are in memory together.
        labels (Sequence[str]): The labels.
        exclusive (bool): Whether one of them is true.
        most (int): The most n-grams to look at.
        RAISES ValueError: Nothing is annotated.
        """
        self.nlp, self.exclusive = nlp, exclusive
        ngrams = choose_ngrams(map(self._make_docs, minibatch(read(), TOGETHER)), most)
        rows, texts, known = [], [], []
        for batch in minibatch(read(), TOGETHER):
            rows.append(ngrams.count(self._make_docs(batch)))
            texts += [get_string_id(document.text) for document in batch]
            known.append(gold(batch, labels, exclusive))
        targets, label_mask = (numpy.concatenate(parts) for parts in zip(*known)) if known else (numpy.zeros((0, 0)),) * 2
        if not label_mask.any() or not targets.any():
            raise ValueError("No document has one of the labels of the teachers, so that a linear model learns nothing from them")
        every = vstack(rows, format="csr")
        linear, self.held_out = learn_linear(every, targets, label_mask, texts, exclusive=exclusive)
        self.model = LinearModel(ngrams, *linear)
        self.rows = {text: row for row, text in enumerate(texts)}

    def answer(self, documents: Sequence[Document], labels: Sequence[str]) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of labels, (N, K)."""
        logits = self.model(self._make_docs(documents)).logits
        for place, document in enumerate(documents):
            row = self.rows.get(get_string_id(document.text))
            if row is not None:
                logits[place] = self.held_out[row]
        return softmax(logits.astype("float64"), axis=1) if self.exclusive else expit(logits.astype("float64"))

    def _make_docs(self, documents: Sequence[Document]) -> List[Doc]:
        return [make_doc(self.nlp, document.text, document.where) for document in documents]


def are_exclusive(answers: Sequence[numpy.ndarray]) -> bool:
    """RETURNS (bool): Whether the probabilities of each teacher (N, K) say that one label is true: they sum to 1."""
    return all(part.shape[1] > 1 and (abs(part.sum(axis=1) - 1) < ROUNDED * part.shape[1]).all() for part in answers)
