"""What other packages can add: a catalogue for each kind of thing, filled by a decorator or by a group of entry points."""

from importlib.metadata import entry_points
from typing import List

import catalogue

families = catalogue.create("spacy_epee", "families", entry_points=True)
"""From a `model_type` to a function that takes a model and returns its `trunk.families.Family`."""

runtimes = catalogue.create("spacy_epee", "runtimes", entry_points=True)
"""From the name of a runtime to what makes a `trunk.base.Runtime`, without arguments."""

compressors = catalogue.create("spacy_epee", "compressors", entry_points=True)
"""From the name of a method to a function that takes a pipeline, its component and settings, and returns a
`compress.base.Compression`."""

formats = catalogue.create("spacy_epee", "formats", entry_points=True)
"""From the name of a format to its `data.formats.registry.Format`."""


def names(registry: catalogue.Registry) -> List[str]:
    """RETURNS (List[str]): What is registered, in order. Nothing is imported for it."""
    group = entry_points(group=registry.entry_point_namespace)
    added = {name for *namespace, name in list(catalogue.REGISTRY) if tuple(namespace) == tuple(registry.namespace)}
    return sorted({entry.name for entry in group} | added)
