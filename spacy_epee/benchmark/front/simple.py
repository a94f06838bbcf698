"""What a user would do instead: linear models over words, or over vectors of words that know no context."""

from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_union

from ...errors import raise_alone
from ..workspace import Unavailable
from .texts import LabelledTexts

C = 10.0
"""How little the weights are held back, as `LogisticRegression` has it. Fixed, and with balanced classes."""


class Linear:
    """Logistic regression over features of texts.

    title (str): What it is called.
    note (str): What must be known about it.
    """

    title, note = "", f"scikit-learn, C = {C:g}, balanced classes, fixed"

    def features(self) -> Callable[[Sequence[str]], Any]:
        """RETURNS (Callable[[Sequence[str]], Any]): From texts to features (N, F)."""
        raise NotImplementedError

    def learn(self, train: LabelledTexts) -> Callable[[Sequence[str]], Any]:
        """RETURNS (Callable[[Sequence[str]], Any]): The same, fitted to the texts to learn from."""
        return self.features()

    def fit(self, train: LabelledTexts) -> None:
        """Learn.

        train (LabelledTexts): The texts to learn from. Labels without an example are never given.
        RAISES Unavailable: A package is missing.
        """
        self.transform = self.learn(train)
        self.exclusive = train.exclusive
        self.known = numpy.flatnonzero(train.truths.any(axis=0) & (train.exclusive | ~train.truths.all(axis=0)))
        self.labels = len(train.labels)
        features = self.transform(train.texts)
        if train.exclusive:
            model = LogisticRegression(C=C, class_weight="balanced", max_iter=300)
            model.fit(features, train.truths.argmax(axis=1))
            weights, biases = model.coef_, model.intercept_
            if len(self.known) == 2:  # one row of weights, for the second
                weights, biases = (numpy.concatenate([numpy.zeros_like(part), part]) for part in (weights, biases))
        else:
            each = LogisticRegression(C=C, class_weight="balanced", solver="liblinear", dual=True, tol=1e-3, random_state=0)
            models = OneVsRestClassifier(each).fit(features, train.truths[:, self.known].astype(int)).estimators_
            weights = numpy.concatenate([model.coef_ for model in models])
            biases = numpy.concatenate([model.intercept_ for model in models])
        # One product for all labels: scikit-learn's own call for each would make it slower than it need be.
        self.weights, self.biases = numpy.ascontiguousarray(weights.T.astype("float32")), biases.astype("float32")

    def run(self, texts: Sequence[str], size: int) -> Any:
        """Answer texts in batches. RETURNS (Any): What `read` reads."""
        starts = range(0, len(texts), size)
        return numpy.concatenate([self._answer(texts[start : start + size]) for start in starts])

    def read(self, found: Any) -> numpy.ndarray:
        """RETURNS (ndarray): The probabilities, (N, K)."""
        return found

    def _answer(self, texts: Sequence[str]) -> numpy.ndarray:
        logits = self.transform(texts) @ self.weights + self.biases
        found = numpy.zeros((len(texts), self.labels), dtype="float32")
        found[:, self.known] = softmax(logits, axis=1) if self.exclusive else expit(logits)
        return found


class TfIdf(Linear):
    """Words and pairs of words, weighted by how rare they are.

    characters (bool): Whether to look at three to five characters in a row, too.
    """

    def __init__(self, characters: bool = False):
        self.characters = characters
        self.title = "TF-IDF with characters" if characters else "TF-IDF"

    def learn(self, train: LabelledTexts) -> Callable[[Sequence[str]], Any]:
        settings = {"sublinear_tf": True, "min_df": 2 if len(train) > 100 else 1, "dtype": numpy.float32}
        parts = [TfidfVectorizer(ngram_range=(1, 2), **settings)]
        if self.characters:
            parts.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **settings))
        vectorizer = make_union(*parts) if self.characters else parts[0]
        try:
            vectorizer.fit(train.texts)
        except ValueError as error:  # what it says may hold words
            raise_alone(Unavailable(f"the texts have no words ({type(error).__name__})"))
        return vectorizer.transform


class StaticEmbeddings(Linear):
    """The mean of vectors that words have everywhere: WordLlama, whose weights come with its package."""

    title = "WordLlama"
    note = f"vectors of 256 that come with the package, not trained further; {Linear.note}"

    def features(self) -> Callable[[Sequence[str]], Any]:
        try:
            wordllama = import_module("wordllama")
        except ImportError as error:
            raise Unavailable(
                f"it needs the package '{error.name}'; install it with `pip install \"spacy_epee[front]\"`"
            ) from error
        # What is in the package is found as if it had been downloaded: it looks for its tokenizer in a folder of another name.
        model = wordllama.WordLlama.load(cache_dir=Path(str(wordllama.__file__)).parent, disable_download=True)
        return lambda texts: numpy.asarray(model.embed(list(texts), norm=True), dtype="float32")
