"""The transformer of an existing spaCy pipeline as a backbone."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Optional

import srsly
from spacy.util import load_config

from ..files import inside
from ..sealing import collecting

ARCHITECTURES = (
    "spacy-transformers.TransformerModel.",
    "spacy-transformers.Tok2VecTransformer.",
    "spacy-epee.TransformerTrunk.",
)
"""How the names of the architectures begin that hold a Hugging Face model."""


_NEEDED = (
    "Give one with a `transformer` of spacy-transformers, or with a component of spacy_epee. A `curated_transformer` keeps its "
    "weights in a form of its own and cannot be taken."
)


def find_pipeline(name: str) -> Optional[Path]:
    """Find a spaCy pipeline: a folder, or an installed package.

    name (str): The path of the folder, or the name of the package.
    RETURNS (Optional[Path]): The folder with its config.cfg. None if the name leads to something else.
    """
    here = Path(name).expanduser()
    if here.exists():
        return here if (here / "config.cfg").exists() and not (here / "config.json").exists() else None
    spec = find_spec(name) if name.isidentifier() else None
    for place in (spec.submodule_search_locations if spec else None) or ():
        meta = Path(place) / "meta.json"
        if meta.exists():
            told = srsly.read_json(meta)
            folder = meta.parent / f"{told.get('lang')}_{told.get('name')}-{told.get('version')}"
            return folder if (folder / "config.cfg").exists() else None
    return None


def take_trunk(name: str, folder: Path, component: Optional[str]) -> Dict[str, Any]:
    """Read the transformer of the one component of a pipeline that has any. The pipeline is not loaded: nothing of it is run, and
    nothing that it needs must be installed.

    name (str): The path of the pipeline, or the name of its package.
    folder (Path): The folder with its config.cfg.
    component (Optional[str]): Which component; None if it is the only one.
    RETURNS (Dict[str, Any]): What `load_trunk` loads.
    RAISES ValueError: There is no such component, or there are several and none is named.
    """
    config = load_config(folder / "config.cfg")
    names = list(config["nlp"]["pipeline"])
    having = [pipe for pipe in names if _has_transformer(config["components"].get(pipe))]
    listed = ", ".join(f"'{pipe}'" for pipe in having) or "none"
    if component is not None and component not in names:
        raise ValueError(
            f"The setting `model.trunk.component` is '{component}', but the pipeline '{name}' has no such component. Those "
            f"with a Hugging Face transformer are: {listed}."
        )
    if component is None and len(having) != 1:
        raise ValueError(
            f"The pipeline '{name}' of the setting `model.trunk.name` has {len(having)} components with a Hugging Face "
            f"transformer ({listed}). " + ("Say which to take in the setting `model.trunk.component`." if having else _NEEDED)
        )
    chosen = component or having[0]
    try:
        saved = inside(folder / chosen / "model", folder).read_bytes() if chosen in having else b""
        with collecting():
            found = _find_trunk(srsly.msgpack_loads(saved)) if saved else None
    except Exception as error:  # whatever is made of a damaged file
        raise ValueError(
            f"The component '{chosen}' of the pipeline '{name}' (setting `model.trunk.name`) could not be loaded "
            f"({type(error).__name__}: {first_line(error)}). Check that `spacy.load` can load the pipeline here."
        ) from error
    if found is None:
        raise ValueError(
            f"The component '{chosen}' of the pipeline '{name}' has no trained Hugging Face transformer of its own. Those with "
            f"one are: {listed}. Name one in the setting `model.trunk.component`."
        )
    return found


def first_line(error: Exception) -> str:
    """RETURNS (str): What an exception says, in one line."""
    return (str(error).strip().splitlines() or ["no details"])[0]


def _has_transformer(block: Any) -> bool:
    """Whether a block of a config names an architecture with a Hugging Face model, at any depth."""
    if not isinstance(block, dict):
        return False
    architecture = block.get("@architectures")
    return (isinstance(architecture, str) and architecture.startswith(ARCHITECTURES)) or any(
        map(_has_transformer, block.values())
    )


def _find_trunk(message: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """What is saved of a Hugging Face model, in what is saved of a model of thinc."""
    for saved in (shim for shims in message["shims"] for shim in shims):
        try:
            found = srsly.msgpack_loads(saved)
            found = srsly.msgpack_loads(found["trunk"]) if "trunk" in found else found
        except Exception:  # of another kind of shim
            continue
        if isinstance(found, dict) and {"config", "state", "tokenizer"} <= set(found) and found["config"]:
            return found
    return None
