"""Tiny backbones, tokenizers, texts and pipelines for the tests. Nothing is downloaded, nothing outside the tests is read."""

import copy
import hashlib
import random
import string
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import spacy
import torch
import transformers
from spacy.training import Example
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from spacy_epee.files import whole_file

DEPTH = 4
"""The number of layers of the tiny backbones."""

POSITIONS = 128
"""The most wordpieces that they take at once, special ones included."""

WIDE = 0.12
"""The standard deviation of their weights. With the usual 0.02 a layer hardly changes what it is given, and errors would not
show; from 0.2 on all wordpieces become the same after some layers, and wrong masks and positions would not show."""

SENTENCES = [
    "Patient denies chest pain and shortness of breath.",
    "The nurse noted fever, chills and a dry cough overnight.",
    "No evidence of pneumonia on the film of the thorax.",
    "Started amoxicillin 500 mg twice daily for ten days.",
    "History of diabetes, hypertension and chronic kidney disease.",
    "Wound is clean and dry without redness or swelling.",
    "Discharged home in stable condition with follow-up next week.",
    "Mother reports asthma; father died of a stroke.",
    "Blood pressure 140/90, pulse 88, temperature 38.2.",
    "Allergic to penicillin: rash after the second dose.",
    "Knee swollen after a fall on ice, fracture ruled out.",
    "She sleeps poorly and has lost her appetite since May.",
]
"""Invented for these tests."""

SPECIAL = {
    "bert": dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"),
    "roberta": dict(cls_token="<s>", pad_token="<pad>", sep_token="</s>", unk_token="<unk>", mask_token="<mask>"),
    "gpt2": dict(unk_token="<|endoftext|>"),
}


def make_words() -> List[str]:
    """RETURNS (List[str]): The lower-case words of the sentences, in order of appearance."""
    words = [word.strip(string.punctuation).lower() for sentence in SENTENCES for word in sentence.split()]
    return [word for word in dict.fromkeys(words) if word.isalpha()]


def make_tokenizer(special: str = "bert", kind: str = "wordpiece") -> PreTrainedTokenizerFast:
    """Put together a fast tokenizer. Not trained, because ties in training are broken at random.

    special (str): Whose special wordpieces: "bert", "roberta" (padding is not 0) or "gpt2" (none around the text).
    kind (str): "wordpiece" (lower-cased, some words are one piece), "bytes" (bytes and some merges,
        as in RoBERTa and GPT-2) or "metaspace" (as from SentencePiece, cased).
    RETURNS (PreTrainedTokenizerFast): The tokenizer.
    """
    names = SPECIAL[special]
    marks = list(names.values())
    unknown = names["unk_token"]
    if kind == "wordpiece":
        letters = string.ascii_lowercase + string.digits + string.punctuation + "µ°äß日病"
        words = make_words()
        stems = [word[:4] for word in words[::3] if len(word) > 5]
        endings = ["##ed", "##ing", "##s", "##tion", "##ness", "##ure", "##itis", "##emia"]
        pieces = marks + sorted(letters) + ["##" + letter for letter in sorted(letters)] + words[::2] + stems + endings
        backend = Tokenizer(models.WordPiece(_number(pieces), unk_token=unknown))
        backend.normalizer = normalizers.BertNormalizer(lowercase=True)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
    elif kind == "bytes":
        merges = []
        for word in make_words()[::3]:
            word = "Ġ" + word
            merges += [(word[:i], word[i]) for i in range(1, len(word))]
        merges = list(dict.fromkeys(merges))
        pieces = marks + sorted(pre_tokenizers.ByteLevel.alphabet()) + [left + right for left, right in merges]
        backend = Tokenizer(models.BPE(_number(pieces), merges))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
    else:
        pieces = [*marks, *("▁" + word for word in make_words()), "▁", *string.ascii_letters, *string.digits, *string.punctuation]
        backend = Tokenizer(models.Unigram([(piece, -1.0 - len(piece) / 8) for piece in pieces], marks.index(unknown)))
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
    if kind == "bytes" and "cls_token" in names:
        first, last = ((mark, marks.index(mark)) for mark in (names["cls_token"], names["sep_token"]))
        backend.post_processor = processors.RobertaProcessing(last, first, add_prefix_space=False)
    elif "cls_token" in names:
        first, last = names["cls_token"], names["sep_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}", special_tokens=[(mark, marks.index(mark)) for mark in (first, last)]
        )
    elif kind == "bytes":
        backend.post_processor = processors.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def _number(pieces: Sequence[str]) -> Dict[str, int]:
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}


BERT = dict(
    num_hidden_layers=DEPTH,
    hidden_size=32,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=POSITIONS,
    initializer_range=WIDE,
)

ROBERTA = dict(BERT, max_position_embeddings=POSITIONS + 2, pad_token_id=1, bos_token_id=0, eos_token_id=2)

FAMILIES: Dict[str, Dict[str, Any]] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "electra": dict(BERT, embedding_size=16),
    "albert": dict(BERT, embedding_size=16, num_hidden_groups=2, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1),
    "distilbert": dict(
        n_layers=DEPTH, dim=32, n_heads=4, hidden_dim=64, max_position_embeddings=POSITIONS, initializer_range=WIDE
    ),
    "deberta-v2": dict(
        BERT,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        position_buckets=8,
        max_relative_positions=-1,
        type_vocab_size=0,
    ),
    "mpnet": ROBERTA,
    "gpt2": dict(n_layer=DEPTH, n_embd=32, n_head=4, n_inner=64, n_positions=POSITIONS, initializer_range=WIDE),
    "modernbert": dict(
        BERT,
        initializer_range=0.4,
        local_attention=8,
        global_attn_every_n_layers=2,
        initializer_cutoff_factor=1.0,
        attention_dropout=0.1,
        embedding_dropout=0.1,
        mlp_dropout=0.1,
        pad_token_id=0,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=2,
        eos_token_id=3,
        reference_compile=False,
    ),
}
"""Settings of the tiny models."""


def make_model(family: str, seed: int = 0, **settings: Any) -> PreTrainedModel:
    """Make a tiny model with random weights.

    family (str): The model type.
    seed (int): The seed of its weights.
    settings (Any): More settings of its configuration, or others.
    RETURNS (PreTrainedModel): The model, in evaluation mode.
    """
    config = transformers.AutoConfig.for_model(family, **{"vocab_size": 300, **FAMILIES.get(family, {}), **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModel.from_config(config).eval()
        # Norms and biases start as ones and zeros, and would hide that one is left out.
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, mean=float("norm" in name.lower() or "ln_" in name), std=0.1)
    return model


def make_backbone(folder: Path, family: str = "bert", seed: int = 0, **settings: Any) -> Path:
    """Save a tiny model with its tokenizer as an ordinary Hugging Face folder.

    folder (Path): Where.
    family (str): The model type.
    seed (int): The seed of its weights.
    settings (Any): Settings of its configuration.
    RETURNS (Path): The folder.
    """
    special = {"roberta": "roberta", "mpnet": "roberta", "gpt2": "gpt2"}.get(family, "bert")
    tokenizer = make_tokenizer(special, "bytes" if family in ("roberta", "gpt2") else "wordpiece")
    tokenizer.save_pretrained(folder)
    make_model(family, seed, vocab_size=len(tokenizer), **settings).save_pretrained(folder)
    return Path(folder)


def make_texts(count: int = 24, longest: int = 120, seed: int = 0) -> List[str]:
    """Invent notes.

    count (int): How many.
    longest (int): The most words in one. Most are much shorter.
    seed (int): The seed.
    RETURNS (List[str]): Notes of very different lengths, in random order.
    """
    chance = random.Random(seed)
    words = [word for sentence in SENTENCES for word in sentence.split()]
    lengths = [1 + int((longest - 1) * (i / max(count - 1, 1)) ** 3) for i in range(count)]
    chance.shuffle(lengths)
    return [" ".join(chance.choice(words) for _ in range(length)) for length in lengths]


def make_examples(nlp, labels: Sequence[str], multilabel: bool = False) -> List[Example]:
    """Invent annotated examples, each label at least once.

    nlp (Language): A pipeline, for its tokenizer.
    labels (Sequence[str]): The labels.
    multilabel (bool): Whether labels are not exclusive.
    RETURNS (List[Example]): An example for each sentence.
    """
    examples = []
    for i, sentence in enumerate(SENTENCES):
        true = {labels[i % len(labels)]} | ({labels[(i // 2) % len(labels)]} if multilabel else set())
        cats = {label: float(label in true) for label in labels}
        examples.append(Example.from_dict(nlp.make_doc(sentence), {"cats": cats}))
    return examples


def answered_examples(nlp, labels: Sequence[str]) -> List[Example]:
    """RETURNS (List[Example]): The sentences with the answers of a pipeline as labels, of which one is true."""
    found = []
    for doc in nlp.pipe(SENTENCES):
        best = max(doc.cats, key=doc.cats.get)
        found.append(Example.from_dict(nlp.make_doc(doc.text), {"cats": {label: float(label == best) for label in labels}}))
    return found


def make_nlp(
    backbone: Path,
    labels: Sequence[str] = ("ACUTE", "STABLE", "HISTORY"),
    multilabel: bool = False,
    exit: Optional[Dict[str, Any]] = None,
    *,
    spread: Optional[float] = 2.0,
    seed: int = 0,
    lexical: int = 0,
    **config: Any,
):
    """Make an initialized pipeline with one component. Its classifiers are random, but spread out: see `spread_heads`.

    backbone (Path): The folder of the backbone.
    labels (Sequence[str]): The labels.
    multilabel (bool): Whether to make "epee_textcat_multilabel" instead of "epee_textcat".
    exit (Optional[Dict[str, Any]]): The block of the exit rule; None runs the full depth.
    spread (Optional[float]): The standard deviation of the logits; None leaves the classifiers as initialized.
    seed (int): The seed.
    lexical (int): The most n-grams to look at before the first layer. 0: no exit there.
    config (Any): More settings of the component, such as `model={"exit_layers": [2, 4]}`.
    RETURNS (Language): The pipeline.
    """
    spacy.util.fix_random_seed(seed)
    nlp = spacy.blank("en")
    trunk = {"name": str(backbone), "window": 32, "overlap": 8}
    settings = {"model": {"trunk": trunk, "head": {"lexical": lexical}}, "exit": exit}
    pipe = nlp.add_pipe("epee_textcat_multilabel" if multilabel else "epee_textcat", config=_merge(settings, config))
    examples = make_examples(nlp, labels, multilabel)
    nlp.initialize(lambda: examples)
    if spread is not None:
        spread_heads(pipe, list(nlp.pipe(make_texts(24, seed=99), disable=nlp.pipe_names)), spread, seed)
    return nlp


TRAINED: List[Path] = []
"""The folder, if there is one, in which the processes that run the tests share weights of components that were trained."""


def train_once(nlp, key: Any, train: Callable[[], None]) -> None:
    """Train a pipeline of one component, or give it the weights of one that was trained in the same way before.

    nlp (Language): The pipeline, initialized.
    key (Any): All that its weights depend on beside those that it begins with. Exit rules are none of it.
    train (Callable[[], None]): Trains it.
    """
    [(_, pipe)] = nlp.pipeline
    if not TRAINED:
        train()
        return
    known = pipe.model.to_bytes() + repr(key).encode()
    path = TRAINED[0] / f"{hashlib.sha256(known).hexdigest()}.weights"
    if path.exists():
        pipe.model.from_bytes(path.read_bytes())
        return
    train()
    with whole_file(path) as part:
        part.write_bytes(pipe.model.to_bytes())


def _merge(base: Dict[str, Any], other: Dict[str, Any]) -> Dict[str, Any]:
    merged = copy.copy(base)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


@torch.no_grad()
def spread_heads(pipe, docs: Sequence[Any], spread: float = 2.0, seed: int = 0) -> None:
    """Give a component classifiers whose answers differ from document to document and from exit to exit.

    pipe (EarlyExitTransformer): The component.
    docs (Sequence[Doc]): Some documents; over them each logit gets a mean of 0.
    spread (float): The standard deviation that each logit gets over them.
    seed (int): The seed of the weights.
    """
    from spacy_epee.model import get_heads

    heads = get_heads(pipe.model)[0]
    generator = torch.Generator().manual_seed(seed)
    for classifier in (*heads.classifiers, *([] if heads.doubt is None else [heads.doubt])):
        classifier.weight.copy_(torch.randn(classifier.weight.shape, generator=generator))
        classifier.bias.zero_()
    (outputs,) = pipe.exit_logits(docs, batch_size=len(docs))
    for classifier, logits in zip(heads.classifiers, torch.as_tensor(outputs.logits)):
        factor = spread / logits.std(dim=0)
        classifier.weight.mul_(factor[:, None])
        classifier.bias.copy_(-logits.mean(dim=0) * factor)
    if heads.doubt is not None:
        doubt = torch.as_tensor(outputs.doubt)
        factor = spread / doubt.std()
        heads.doubt.weight.mul_(factor)
        heads.doubt.bias.fill_(-float(doubt.mean() * factor))
