"""The simplest model that labels of documents are compared with, and what it is compared by."""

from typing import Any, List, Optional, Sequence, Tuple

import numpy
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

Known = Tuple[numpy.ndarray, numpy.ndarray, bool]
"""1 for labels that are true (N, K), where they are known (N, K) bool, and whether they are exclusive."""


class Linear:
    """TF-IDF of words and pairs of words, and logistic regression: each label by itself, exclusive ones together."""

    def __init__(self, texts: Sequence[str], groups: Sequence[Known], min_df: int):
        self.vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=min_df, sublinear_tf=True, dtype=numpy.float32)
        words = self.vectorizer.fit_transform(texts)
        self.models: List[List[Any]] = []
        for true, known, exclusive in groups:
            columns = [true.argmax(axis=1)] if exclusive else true.T
            self.models.append([_fit(words[rows], one[rows].astype(int)) for one, rows in zip(columns, known.T)])
        self.labels = [true.shape[1] if exclusive else 0 for true, _, exclusive in groups]

    def __call__(self, texts: Sequence[str]) -> List[numpy.ndarray]:
        """RETURNS (List[ndarray]): The probabilities of the labels of each group, (N, K)."""
        words = self.vectorizer.transform(texts)
        found = []
        for models, labels in zip(self.models, self.labels):
            columns = [_answer(model, words, labels or 2) for model in models]
            found.append(columns[0] if labels else numpy.stack([own[:, 1] for own in columns], axis=1))
        return found


def _fit(words: Any, truths: numpy.ndarray) -> Any:
    """RETURNS (Any): A model; where all documents are alike, one that says so."""
    model = LogisticRegression(C=1.0, max_iter=300) if len(set(truths)) > 1 else DummyClassifier(strategy="prior")
    return model.fit(words, truths)


def _answer(model: Any, words: Any, classes: int) -> numpy.ndarray:
    """RETURNS (ndarray): The probabilities of all classes, also of those that no document had, (N, classes)."""
    found = numpy.zeros((words.shape[0], classes))
    found[:, model.classes_] = model.predict_proba(words)
    return found


def aurocs(true: numpy.ndarray, known: numpy.ndarray, scores: numpy.ndarray) -> List[Optional[float]]:
    """RETURNS (List[Optional[float]]): AUROC of each label over what is known of it; None if all have it, or none."""
    found: List[Optional[float]] = []
    for column, rows, own in zip(true.T, known.T, scores.T):
        positives = column[rows].sum()
        found.append(float(roc_auc_score(column[rows], own[rows])) if 0 < positives < rows.sum() else None)
    return found
