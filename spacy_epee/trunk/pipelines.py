"""The transformer of an existing spaCy pipeline as a backbone."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, List, Optional, Tuple

import spacy
import srsly
from spacy.util import load_config
from thinc.api import Model

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


def take_shim(name: str, folder: Path, component: Optional[str]) -> Any:
    """Load the one component of a pipeline that has a transformer. The others are left out, and need nothing installed.

    name (str): The path of the pipeline, or the name of its package.
    folder (Path): The folder with its config.cfg.
    component (Optional[str]): Which component; None if it is the only one.
    RETURNS (HFShim): The shim that holds the transformer and its tokenizer.
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
            f"transformer ({listed}). "
            + ("Say which to take in the setting `model.trunk.component`." if having else _NEEDED)
        )
    chosen = component or having[0]
    source = folder if Path(name).expanduser().exists() else name  # a package may bring functions of its own
    try:
        nlp = spacy.load(source, exclude=[pipe for pipe in names if pipe != chosen])
    except Exception as error:  # whatever a component, a callback or a tokenizer of somebody else raises
        raise ValueError(
            f"The component '{chosen}' of the pipeline '{name}' (setting `model.trunk.name`) could not be loaded "
            f"({type(error).__name__}: {first_line(error)}). Check that `spacy.load` can load the pipeline here."
        ) from error
    shim = _find_shim(getattr(nlp.get_pipe(chosen), "model", None))
    if shim is None:
        raise ValueError(
            f"The component '{chosen}' of the pipeline '{name}' has no trained Hugging Face transformer of its own. Those with "
            f"one are: {listed}. Name one in the setting `model.trunk.component`."
        )
    return shim


def tokenizer_files(shim: Any) -> List[Tuple[str, bytes]]:
    """RETURNS (List[Tuple[str, bytes]]): The files of a transformer's tokenizer, by name."""
    saved = srsly.msgpack_loads(shim.to_bytes())["tokenizer"]
    return [(name, content) for name, content in saved.items() if isinstance(content, bytes)]


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


def _find_shim(model: Optional[Model]) -> Any:
    """The shim of a Hugging Face model with its weights, if there is one."""
    nodes = model.walk() if isinstance(model, Model) else ()
    shims = (shim for node in nodes for shim in node.shims if getattr(shim, "_hfmodel", None) is not None)
    return next((shim for shim in shims if shim._model is not None), None)
