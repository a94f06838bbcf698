"""Early-exiting transformers as ordinary spaCy pipeline components. Importing it registers what they write to documents, so that
files of documents can be read without a pipeline."""

import os
from contextlib import suppress

from .doc_attributes import install, install_annotation

__version__ = "0.1.0"

# From 1.29 on ONNX Runtime tells its makers of every process over the network, unless this is there before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

with suppress(ValueError):  # another package computes something under this name, which a component says when it is made
    install("exits", default={})
for _attribute in ("relations", "events"):
    with suppress(ValueError):
        install_annotation(_attribute)
