"""A faster form of the transformer: in a runtime such as ONNX Runtime, or in a lower precision of torch."""

from dataclasses import replace
from typing import Sequence

from spacy.language import Language
from spacy.tokens import Doc

from ..component.initialization import with_sentences
from ..component.pipe import EarlyExitTransformer
from ..model import get_runner
from ..trunk.base import TORCH, find_runtime
from ..trunk.transformer import MOST_SAMPLED, TrunkShim
from .base import find_text_trunk


class Export:
    """A trunk that can run in the precisions of a runtime."""

    decides = "precision"

    def __init__(self, nlp: Language, pipe: EarlyExitTransformer, shim: TrunkShim, runtime: str, docs: Sequence[Doc]):
        """
        nlp (Language): The pipeline.
        pipe (EarlyExitTransformer): Its component.
        shim (TrunkShim): What holds the trunk.
        runtime (str): The name of the runtime.
        docs (Sequence[Doc]): Docs like those to come.
        RAISES ValueError: There is no such runtime.
        """
        self.docs = with_sentences(nlp, pipe, docs[:: max(1, len(docs) // MOST_SAMPLED)])
        self.nlp, self.pipe, self.shim, self.runtime = nlp, pipe, shim, runtime
        self.choices = list(find_runtime(runtime).precisions)

    def use(self, choice: str) -> None:
        """As `Compression.use`."""
        shim = self.shim
        if self.runtime == TORCH:
            shim.settings = replace(shim.settings, runtime=TORCH, precision=choice)  # type: ignore[arg-type]
        else:
            shim.export(self.runtime, choice, self.docs)
            shim.settings = replace(shim.settings, runtime=self.runtime)
        get_runner(self.pipe.model)  # is made and compared here
        if self.runtime == TORCH:
            self.nlp.get_pipe_config(self.pipe.name)["model"]["trunk"].update(runtime=TORCH, precision=choice)


def export(nlp: Language, pipe: EarlyExitTransformer, runtime: str, docs: Sequence[Doc] = ()) -> Export:
    """Make a trunk ready to run in another runtime. Until one of its precisions is used it runs in torch in float32.

    nlp (Language): The pipeline.
    pipe (EarlyExitTransformer): Its component.
    runtime (str): The name of the runtime.
    docs (Sequence[Doc]): Docs like those to come, for what is measured on them.
    RETURNS (Export): Its precisions.
    RAISES ValueError: The component cannot be exported, or would not use what is exported.
    """
    shim = find_text_trunk(pipe, "exported")
    if runtime != TORCH and shim.settings.runtime not in ("auto", runtime):
        raise ValueError(
            f"The setting `components.{pipe.name}.model.trunk.runtime` is '{shim.settings.runtime}', so that what is exported "
            f"for '{runtime}' would not be used. Set it to 'auto' in the config.cfg of the pipeline."
        )
    shim.settings = replace(shim.settings, runtime=TORCH, precision="fp32")
    return Export(nlp, pipe, shim, runtime, docs)
