"""Backbones as they are kept in pipelines. What is read may come from anybody: no code of it is run, nothing is fetched, and no
file is written but the known ones of tokenizers, to a temporary folder.
"""

import copy
import io
import json
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import srsly
import torch
from thinc.api import get_torch_default_device
from transformers import AutoModel, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ..files import NotWritten
from .packed import pack, unpack
from .quantized import quantize_embedding
from .shims import check_sizes

FILES = frozenset(
    {
        "added_tokens.json",
        "bpe.codes",
        "dict.txt",
        "entity_vocab.json",
        "merges.txt",
        "normalizer.json",
        "prophetnet.tokenizer",
        "sentencepiece.bpe.model",
        "sentencepiece.model",
        "special_tokens_map.json",
        "spiece.model",
        "spm.model",
        "spm_char.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)
"""The files of tokenizers. None of them can carry code."""

ALONE: Dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""What transformers is told wherever it reads what was saved."""

FOREIGN = frozenset(
    {
        "auto_map",
        "custom_pipelines",
        "configuration_files",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "_attn_implementation_autoset",
        "_name_or_path",
        "name_or_path",
        "_commit_hash",
        "num_labels",
        "id2label",
        "label2id",
    }
)
"""Settings that name code, files elsewhere, the machine that a model comes from, or labels of a classifier that it had, of which
transformers makes as many as are claimed. No answer depends on them."""

CLASSES = ("Tokenizer", "TokenizerFast", "Backend")
"""How the names of tokenizers' classes end."""

MOST_LAYERS = 1000
"""To make more of them takes minutes, or all memory, before it is seen that they have no weights."""

COUNTED = ("layer", "group", "depth")
"""What is in the names of settings that say how many layers there are."""

ATTENTION = ("attention", "attn")
"""What is in the names of weights that heads have a part of."""

CONFIG, TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"


def plain_config(value: Any) -> Any:
    """RETURNS (Any): A configuration without what is foreign, at any depth, and in one order."""
    if isinstance(value, dict):
        return {name: plain_config(value[name]) for name in sorted(value, key=str) if name not in FOREIGN}
    return [plain_config(own) for own in value] if isinstance(value, (list, tuple)) else value


def build_config(settings: Dict[str, Any]) -> Any:
    """Make the configuration of a saved model.

    settings (Dict[str, Any]): What was saved.
    RETURNS (PretrainedConfig): The configuration.
    RAISES ValueError: Of a family that transformers does not know, one that would fetch another model, or of too many layers.
    """
    family = settings.get("model_type", "")
    if family not in CONFIG_MAPPING:
        raise ValueError("The family of the saved model is unknown to the installed version of transformers.")
    settings = plain_config(settings)
    if _most_layers(settings) > MOST_LAYERS:
        raise ValueError(f"A saved model says that it has more than {MOST_LAYERS} layers.")
    config = CONFIG_MAPPING[family].from_dict(settings)
    if any(getattr(config, name, False) for name in ("use_pretrained_backbone", "use_timm_backbone")):
        raise ValueError(f"A saved model of the family '{family}' would fetch another one.")
    return config


def _most_layers(value: Any, counts: bool = False) -> int:
    """RETURNS (int): The largest number of layers, or groups of them, that a configuration names at any depth."""
    if isinstance(value, dict):
        own = [_most_layers(part, any(word in str(name) for word in COUNTED)) for name, part in value.items()]
    elif isinstance(value, (list, tuple)):
        own = [_most_layers(part, counts) for part in value]
    else:
        return value if counts and isinstance(value, int) else 0
    return max(own, default=0)


def dump_trunk(tokenizer: Any, model: Any, vocabulary: Optional[bytes]) -> bytes:
    """Serialize a backbone, in the form of spacy-transformers.

    tokenizer (PreTrainedTokenizerBase): Its tokenizer.
    model (PreTrainedModel): The model.
    vocabulary (Optional[bytes]): The vocabulary that a tokenizer keeps as a file.
    RETURNS (bytes): The backbone. The same for the same backbone, wherever it came from. Weights that were rounded, or of which
        many are zero, have a form of our own.
    """
    packed, state = pack(model.state_dict()), io.BytesIO()
    if packed is None:
        torch.save(model.state_dict(), state)
    with temporary_folder({}) as folder:
        if hasattr(tokenizer, "vocab_file") and vocabulary is not None:
            tokenizer = copy.copy(tokenizer)
            tokenizer.vocab_file = str(folder / tokenizer.vocab_files_names["vocab_file"])
            Path(tokenizer.vocab_file).write_bytes(vocabulary)
        tokenizer.save_pretrained(folder)
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name in FILES}
    return srsly.msgpack_dumps(
        {
            "config": plain_config(model.config.to_dict()),
            "state": state.getvalue(),
            **({} if packed is None else {"packed": packed}),
            "tokenizer": {"kwargs": {"use_fast": tokenizer.is_fast}, **check_files(files)},
            "_init_tokenizer_config": {},
            "_init_transformer_config": {},
        }
    )


def load_trunk(message: Dict[str, Any]) -> Tuple[Any, Any, Optional[bytes]]:
    """Undo `dump_trunk`.

    message (Dict[str, Any]): What it serialized. The weights are taken out of it.
    RETURNS (Tuple[Any, Any, Optional[bytes]]): The tokenizer, the model and the vocabulary.
    RAISES ValueError: It holds something else than a model and a tokenizer.
    """
    config = build_config(message["config"])
    files = dict(message["tokenizer"])
    settings = files.pop("kwargs", {})
    if set(settings) - {"use_fast"}:
        raise ValueError("The tokenizer of the saved model comes with settings that are not used to load one.")
    files = check_files(files)
    check_class(config.tokenizer_class)
    with temporary_folder({**files, CONFIG: json.dumps(plain_config(message["config"])).encode("utf-8")}) as folder:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=bool(settings.get("use_fast", True)), **ALONE)
        vocabulary = files.get(tokenizer.vocab_files_names["vocab_file"]) if hasattr(tokenizer, "vocab_file") else None
    device = get_torch_default_device()
    # Before the model takes as much memory: what they were read from is given up.
    packed, saved = message.pop("packed", None), message.pop("state")
    grids: Dict[str, str] = {}
    if packed is not None:
        state, grids = unpack(packed)
    else:
        state = torch.load(io.BytesIO(saved), map_location=device, weights_only=True)
    del packed, saved
    whole = copy.copy(config)  # heads are pruned by numbers, which cannot be done without memory
    whole.pruned_heads = {}
    pruned = ATTENTION if getattr(config, "pruned_heads", None) else ()
    check_sizes(lambda: AutoModel.from_config(whole, trust_remote_code=False), state, pruned)
    model = AutoModel.from_config(config, trust_remote_code=False)
    model.load_state_dict(state)
    if grids:
        _quantize_as_saved(model, grids)
    return tokenizer, model.to(device), vocabulary


def _quantize_as_saved(model: Any, grids: Dict[str, str]) -> None:
    """Keep embeddings of words in whole numbers that were saved so. Other weights are multiplied as they are loaded."""
    words = model.get_input_embeddings()
    [name] = [name for name, module in model.named_modules() if module is words]
    kind = grids.get(f"{name}.weight")
    if kind is not None:
        quantize_embedding(model, kind)


def check_files(files: Dict[str, bytes]) -> Dict[str, bytes]:
    """Check the files of a tokenizer.

    files (Dict[str, bytes]): The files, by name.
    RETURNS (Dict[str, bytes]): The same, with no file or code named in them.
    RAISES ValueError: There is another file among them.
    """
    files = {name: content for name, content in files.items() if not name.endswith(".jinja")}  # for chats alone
    if not all(name in FILES and isinstance(content, bytes) for name, content in files.items()):
        raise ValueError("Among the files of a saved tokenizer is one that no tokenizer has.")
    if TOKENIZER_CONFIG in files:
        settings = json.loads(files[TOKENIZER_CONFIG])
        check_class(settings.get("tokenizer_class"))
        kept = {name: own for name, own in plain_config(settings).items() if not name.endswith(("_file", "_files"))}
        if kept != settings:
            files[TOKENIZER_CONFIG] = json.dumps(kept, indent=2, ensure_ascii=False).encode("utf-8")
    return files


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of a tokenizer.

    files (Mapping[str, bytes]): What `check_files` returned.
    folder (Path): Where to.
    """
    for name, content in files.items():
        (folder / name).write_bytes(content)


@contextmanager
def temporary_folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Have files in a folder for as long as they are read.

    files (Mapping[str, bytes]): The files, by name, as of `write_files`.
    YIELDS (Path): The folder.
    RAISES NotWritten: There is no place for it.
    """
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            write_files(files, folder)
        except OSError as error:
            raise NotWritten(
                "Tokenizers and image processors are read and saved through a temporary folder, and there is no place for one "
                f"({error.strerror or type(error).__name__}). Make room in /tmp, or name another folder in the environment "
                "variable TMPDIR; in a container that is read-only, give it one (`docker run --tmpfs /tmp`)."
            ) from None
        yield folder


def check_class(name: Optional[str]) -> None:
    """Check the class that a tokenizer's files name. Transformers takes any of its own, even those that ask whether to run code.

    name (Optional[str]): The class.
    RAISES ValueError: It is none of a tokenizer.
    """
    if name is not None and (name.startswith("Auto") or not name.endswith(CLASSES)):
        raise ValueError("The class that is named for the tokenizer is none of a tokenizer.")
