"""Finding pretrained backbones."""

import os
from pathlib import Path
from typing import Any, Dict, Union

from .spacy_pipelines import first_line


def refuse_code(*configs: Dict[str, Any]) -> None:
    """Refuse settings that would run code from a model folder.

    configs (Dict[str, Any]): What is passed on to Hugging Face.
    RAISES ValueError: They would.
    """
    if any("trust_remote_code" in config for config in configs):
        raise ValueError(
            "`trust_remote_code` runs code from a model folder and is refused. Remove it from `model.trunk.tokenizer_config` and "
            "`model.trunk.transformer_config`."
        )


def find_backbone(name: str, needs: str) -> Union[str, Path]:
    """Find out whether a name is that of a folder.

    name (str): The setting `model.trunk.name`.
    needs (str): What must be in the folder beside a config.json.
    RETURNS (Union[str, Path]): The folder, or the name of a model on a hub.
    RAISES ValueError: It can only be a folder, and there is none.
    """
    if not name:
        raise ValueError(
            f"The setting `model.trunk.name` is not set. Give a folder with a config.json, {needs}, or the name of a model on a "
            "hub."
        )
    here = Path(name).expanduser()
    if not here.exists() and _looks_like_path(name):
        raise ValueError(
            f"The setting `model.trunk.name` is '{name}', and there is no such folder (looked from {Path.cwd()}). Give a folder "
            f"with a config.json, {needs}, or the name of a model on a hub."
        )
    return here.absolute() if here.exists() else name


def not_loaded(name: str, error: Exception, kind: str, needs: str) -> ValueError:
    """Say that a backbone could not be loaded.

    name (str): The setting `model.trunk.name`.
    error (Exception): What went wrong.
    kind (str): What kind of model it must be.
    needs (str): What must be in its folder beside a config.json and weights.
    RETURNS (ValueError): The error to raise.
    """
    return ValueError(
        f"The backbone '{name}' of the setting `model.trunk.name` could not be loaded ({type(error).__name__}: "
        f"{first_line(error)}). It must be a Hugging Face {kind}: a complete folder with config.json, model.safetensors {needs}, "
        "or a hub name that this machine can reach."
    )


def _looks_like_path(name: str) -> bool:
    """Whether a name can only be meant as a folder: hub names are 'model' or 'owner/model'."""
    parts = name.replace(os.sep, "/").split("/")
    return len(parts) > 2 or parts[0] in ("", ".", "..", "~") or name.endswith("/")


def longest_window(model) -> int:
    """How many wordpieces a backbone can take at once.

    model (PreTrainedModel): The backbone.
    RETURNS (int): The number, special wordpieces included.
    """
    limit = getattr(model.config, "max_position_embeddings", None) or 512
    # RoBERTa and its kin count positions from behind the padding index.
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return int(limit - (padding + 1 if padding is not None else 0))
