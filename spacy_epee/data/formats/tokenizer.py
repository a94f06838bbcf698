"""The tokenizer of a language."""

import sys
from typing import Any, Callable

from spacy.language import DEFAULT_CONFIG
from spacy.tokens import Doc
from spacy.util import get_lang_class, registry
from spacy.vocab import create_vocab


class Tokenizer:
    """Makes Docs as `spacy.blank(lang)` does, which imports the components of all installed packages first, and takes seconds.

    max_length (int): The most characters that it takes: a tokenizer has no limit, unlike the components that pipelines may have.
    """

    max_length = sys.maxsize

    def __init__(self, lang: str):
        """
        lang (str): The code of the language.
        RAISES ValueError: spaCy does not have it.
        """
        try:
            language = get_lang_class(lang)
        except ImportError:
            raise ValueError(f"spaCy has no language '{lang}'. Give a code such as 'en', or 'xx' for any language.") from None
        settings = DEFAULT_CONFIG.merge(language.default_config)["nlp"]["tokenizer"]
        make: Callable[[Any], Callable[[str], Doc]] = registry.resolve({"tokenizer": settings})["tokenizer"]
        self.Defaults = language.Defaults
        self.vocab = create_vocab(lang, language.Defaults)
        self._tokenize = make(self)

    def make_doc(self, text: str) -> Doc:
        """RETURNS (Doc): The tokens of a text."""
        return self._tokenize(text)
