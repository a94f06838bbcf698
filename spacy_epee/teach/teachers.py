"""Pipelines, and a linear model of words, as teachers."""

from typing import Callable, Dict, Iterable, Iterator, List, Protocol, Sequence

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
from ..inputs.ngrams import choose_keys, hash_ngrams
from ..training.lexical import learn_linear
from .documents import Document, gold
from .groups import ROUNDED, Group

NGRAMS = 50_000
"""The most n-grams that the linear model looks at, as many as before the first layer of our classifiers."""

TOGETHER = 256
"""How many documents are answered together."""


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

    def __init__(self, nlp: Language, read: Callable[[], Iterable[Document]], groups: Sequence[Group], most: int = NGRAMS):
        """Learn.

        nlp (Language): A pipeline, for its tokenizer.
        read (Callable[[], Iterable[Document]]): Returns the documents. Their n-grams are in memory together.
        groups (Sequence[Group]): The labels, of each group a model.
        most (int): The most n-grams to look at.
        RAISES ValueError: Of a group nothing is annotated.
        """
        self.nlp, self.groups = nlp, groups
        ngrams = choose_keys(self._hashed(read()), most)
        rows, texts, known = [], [], []
        for batch in minibatch(read(), TOGETHER):
            with forget_words(nlp):
                rows.append(ngrams.count(self._make_docs(batch)))
            texts += [get_string_id(document.text) for document in batch]
            known.append([gold(batch, group.labels, group.exclusive, group.fields) for group in groups])
        every = vstack(rows, format="csr") if rows else None
        self.models, self.held_out = [], []
        for group, *parts in zip(groups, *known):
            targets, label_mask = (numpy.concatenate(some) for some in zip(*parts))
            if not label_mask.any() or not targets.any():
                raise ValueError(
                    "No document has one of the labels of the teachers, so that a linear model learns nothing from them"
                    + (f": {', '.join(group.labels)}" if len(groups) > 1 else "")
                )
            linear, held_out = learn_linear(every, targets, label_mask, texts, exclusive=group.exclusive)
            self.models.append(LinearModel(ngrams, *linear))
            self.held_out.append(held_out)
        self.rows = {text: row for row, text in enumerate(texts)}

    def answer(self, documents: Sequence[Document], labels: Sequence[str]) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities of labels, (N, K)."""
        with forget_words(self.nlp):
            docs = self._make_docs(documents)
            said = [model(docs).logits.astype("float64") for model in self.models]
            del docs
        seen = [(place, self.rows.get(get_string_id(document.text))) for place, document in enumerate(documents)]
        known = [(place, row) for place, row in seen if row is not None]
        found: Dict[str, numpy.ndarray] = {}
        for group, logits, held_out in zip(self.groups, said, self.held_out):
            for place, row in known:
                logits[place] = held_out[row]
            found.update(zip(group.labels, (softmax(logits, axis=1) if group.exclusive else expit(logits)).T))
        return numpy.stack([found[label] for label in labels], axis=1)

    def _hashed(self, documents: Iterable[Document]) -> Iterator[List[numpy.ndarray]]:
        """YIELDS (List[ndarray]): The n-grams of some documents at a time, none of them twice."""
        for batch in minibatch(documents, TOGETHER):
            with forget_words(self.nlp):
                found = [numpy.unique(hash_ngrams([doc])[0]) for doc in self._make_docs(batch)]
            yield found

    def _make_docs(self, documents: Sequence[Document]) -> List[Doc]:
        return [make_doc(self.nlp, document.text, document.where) for document in documents]
