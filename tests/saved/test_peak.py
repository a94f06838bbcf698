"""How much memory it takes to load a pipeline."""

import subprocess
import sys
from pathlib import Path

import pytest
from util import make_nlp

from spacy_epee.model import get_trunk_shim

WORDS = 500_000
LOAD = """
import sys, spacy
from spacy_epee.benchmark.memory import read_status
nlp = spacy.load(sys.argv[1])
print(read_status("VmHWM") - read_status("VmRSS"))
"""


def test_loading_gives_up_each_copy_of_the_weights_when_the_next_is_there(backbone, tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("the system does not tell how much memory a process holds")
    nlp = make_nlp(backbone)
    model = get_trunk_shim(nlp.get_pipe("epee_textcat").model)._model
    model.resize_token_embeddings(WORDS, mean_resizing=False)
    weights = sum(own.numel() * own.element_size() for own in model.parameters())
    nlp.to_disk(tmp_path)
    found = subprocess.run([sys.executable, "-c", LOAD, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 2.5 * weights  # beside those of the model: as they were read, and as tensors
