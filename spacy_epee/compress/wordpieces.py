"""Tokenizers with fewer wordpieces. What is left is cut as before, and the rest into parts that are left."""

import json
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

import numpy
import tqdm
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from ..trunk.saved import ALONE, CONFIG, FILES, TOKENIZER_CONFIG, check_files, plain_config, write_files

TOKENIZER = "tokenizer.json"

VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt")
"""The files in which some families say again which wordpieces there are. They are left out, and made anew from `TOKENIZER`."""

BATCH = 256


def cut(tokenizer: Any, texts: Sequence[str], progress: bool = False) -> Iterator[List[int]]:
    """Cut texts into wordpieces.

    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    texts (Sequence[str]): The texts.
    progress (bool): Whether to show a progress bar.
    YIELDS (List[int]): The numbers of those of each text, without special ones around it.
    """
    plain = _plain(tokenizer)
    for start in tqdm.trange(0, len(texts), BATCH, desc="Wordpieces", disable=not progress, leave=False):
        for encoding in plain.encode_batch(texts[start : start + BATCH], add_special_tokens=False):
            yield encoding.ids


def count_pieces(tokenizer: Any, texts: Sequence[str], progress: bool = False) -> numpy.ndarray:
    """RETURNS (ndarray): How often each wordpiece is used, by its number, (V,); the arguments are those of `cut`."""
    counts = numpy.zeros(max(tokenizer.get_vocab().values(), default=-1) + 1, dtype="int64")  # numbers may be left out
    for ids in cut(tokenizer, texts, progress):
        numpy.add.at(counts, ids, 1)
    return counts


def choose_pieces(tokenizer: Any, wanted: Set[str]) -> List[str]:
    """Find out which wordpieces must stay: those wanted, special ones, and what all others can be cut into.

    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    wanted (Set[str]): The wordpieces that are used.
    RETURNS (List[str]): Those that stay, in the order of their numbers.
    RAISES ValueError: It is of a family that is not understood.
    """
    whole = json.loads(_plain(tokenizer).to_str())
    kind = whole["model"]["type"]
    if kind not in PARTS:
        raise ValueError(
            f"The tokenizer ({type(tokenizer).__name__}) cuts texts by the method '{kind}', and only the vocabularies of "
            f"{', '.join(PARTS)} can be pruned. Leave out the step 'vocabulary'."
        )
    vocabulary = tokenizer.get_vocab()
    special = {token["content"] for token in whole["added_tokens"]} | set(tokenizer.all_special_tokens)
    kept = (wanted | special | PARTS[kind](whole["model"], wanted | special)) & vocabulary.keys()
    return sorted(kept, key=vocabulary.__getitem__)


def _wordpiece_parts(model: Dict[str, Any], wanted: Set[str]) -> Set[str]:
    """Single characters, and pieces that cannot be written with them. The longest piece that fits is taken: a word is cut as
    before as long as its pieces stay."""
    prefix = model["continuing_subword_prefix"]
    single = {piece for piece in model["vocab"] if len(piece.removeprefix(prefix)) == 1}

    def writes(piece: str) -> bool:
        first, rest = (piece[: len(prefix) + 1], piece[len(prefix) + 1 :]) if piece.startswith(prefix) else (piece[:1], piece[1:])
        return first in single and all(prefix + letter in single for letter in rest)

    return single | {piece for piece in model["vocab"] if not writes(piece)}


def _bpe_parts(model: Dict[str, Any], wanted: Set[str]) -> Set[str]:
    """What cannot be merged of others, and all parts of what is wanted: merges are made in the same order, and none that leads to
    a piece that stays is missing."""
    parts: Dict[str, List[str]] = {}
    for left, right in map(_merge, model["merges"]):
        parts.setdefault(left + _inner(model, right), []).extend((left, right))
    found = {piece for piece in model["vocab"] if piece not in parts}
    waiting = list(wanted)
    while waiting:
        more = set(parts.get(waiting.pop(), ())) - found
        found |= more
        waiting += more
    return found


def _unigram_parts(model: Dict[str, Any], wanted: Set[str]) -> Set[str]:
    """Single characters and bytes, and the least likely piece, by which an unknown one is scored. The likeliest way to cut a text
    is so still if its pieces stay."""
    pieces: List[Tuple[str, float]] = [(piece, score) for piece, score in model["vocab"]]
    least = min(pieces, key=lambda piece: piece[1])[0]
    unknown = set() if model["unk_id"] is None else {pieces[model["unk_id"]][0]}
    return {piece for piece, _ in pieces if len(piece) == 1 or (len(piece) == 6 and piece.startswith("<0x"))} | {least} | unknown


PARTS: Dict[str, Callable[[Dict[str, Any], Set[str]], Set[str]]] = {
    "WordPiece": _wordpiece_parts,
    "BPE": _bpe_parts,
    "Unigram": _unigram_parts,
}
"""By the method of a tokenizer, which pieces must stay for others to be written."""


def keep_pieces(tokenizer: Any, config: Any, kept: Sequence[str]) -> Tuple[Any, numpy.ndarray]:
    """Make a tokenizer with some of the wordpieces, in the same order.

    tokenizer (PreTrainedTokenizerFast): The tokenizer, which stays as it is.
    config (PretrainedConfig): The configuration of its model.
    kept (Sequence[str]): What `choose_pieces` returned.
    RETURNS (Tuple[PreTrainedTokenizerFast, ndarray]): The tokenizer, and the number that each of its pieces had, (V',).
    """
    before = tokenizer.get_vocab()
    numbers = {piece: number for number, piece in enumerate(kept)}
    new = {before[piece]: number for piece, number in numbers.items()}
    whole = json.loads(_plain(tokenizer).to_str())
    _renumber(whole, numbers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer.save_pretrained(folder)
        files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name in FILES}
        settings = json.loads(files[TOKENIZER_CONFIG])
        added = settings.get("added_tokens_decoder", {})
        settings["added_tokens_decoder"] = {str(new[int(old)]): token for old, token in added.items()}
        files[TOKENIZER_CONFIG] = json.dumps(settings, indent=2, ensure_ascii=False).encode("utf-8")
        files[TOKENIZER] = json.dumps(whole, ensure_ascii=False).encode("utf-8")
        for file in folder.iterdir():
            file.unlink()
        write_files(check_files({name: own for name, own in files.items() if name not in VOCABULARIES}), folder)
        (folder / CONFIG).write_text(json.dumps(plain_config(config.to_dict())), encoding="utf-8")
        smaller = AutoTokenizer.from_pretrained(folder, use_fast=True, **ALONE)
    if smaller.get_vocab() != numbers:
        raise ValueError(
            f"The tokenizer ({type(tokenizer).__name__}) has other wordpieces than those that it was told to keep, so that its "
            "vocabulary cannot be pruned. Leave out the step 'vocabulary'."
        )
    return smaller, numpy.array([before[piece] for piece in kept], dtype="int64")


def _renumber(whole: Dict[str, Any], numbers: Dict[str, int]) -> None:
    """Give the pieces of a tokenizer other numbers, and drop those without one."""
    model = whole["model"]
    if model["type"] == "Unigram":
        unknown = None if model["unk_id"] is None else model["vocab"][model["unk_id"]][0]
        model["vocab"] = [[piece, score] for piece, score in model["vocab"] if piece in numbers]
        model["unk_id"] = None if unknown is None else [piece for piece, _ in model["vocab"]].index(unknown)
    else:
        kept = sorted(numbers.keys() & model["vocab"].keys(), key=numbers.__getitem__)
        model["vocab"] = {piece: numbers[piece] for piece in kept}
    if model["type"] == "BPE":
        merges = ((pair, _merge(pair)) for pair in model["merges"])
        model["merges"] = [pair for pair, (left, right) in merges if {left, right, left + _inner(model, right)} <= numbers.keys()]
    for token in whole["added_tokens"]:
        token["id"] = numbers[token["content"]]
    if whole.get("padding"):
        whole["padding"]["pad_id"] = numbers[whole["padding"]["pad_token"]]
    _renumber_processor(whole.get("post_processor") or {}, numbers)


def _renumber_processor(processor: Dict[str, Any], numbers: Dict[str, int]) -> None:
    """Give the special pieces that go around a text other numbers."""
    for other in processor.get("processors", ()):
        _renumber_processor(other, numbers)
    for place in ("cls", "sep"):
        if place in processor:
            processor[place][1] = numbers[processor[place][0]]
    special = processor.get("special_tokens")
    for token in special.values() if isinstance(special, dict) else ():
        token["ids"] = [numbers[piece] for piece in token["tokens"]]


def _merge(pair: Any) -> Tuple[str, str]:
    """The parts of a merge. Before tokenizers 0.20 they were saved with a space between them."""
    left, right = pair.split(" ") if isinstance(pair, str) else pair
    return left, right


def _inner(model: Dict[str, Any], piece: str) -> str:
    """What is left of a piece inside a word."""
    prefix = model.get("continuing_subword_prefix") or ""
    return piece.removeprefix(prefix)


def _plain(tokenizer: Any) -> Tokenizer:
    """A copy that neither cuts off texts nor pads them."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    return plain
