"""Families that nobody has thought of, and models without a padding wordpiece."""

import re
from pathlib import Path

import catalogue
import numpy
import pytest
import torch
import transformers
from spacy.tokens import Doc
from spacy.vocab import Vocab
from torch import nn
from util import DEPTH, SENTENCES, make_model, make_tokenizer

from spacy_epee.engine.loop import TaskRun, run_exits
from spacy_epee.engine.results import Predictions
from spacy_epee.exits.evidence import EvidenceBuilder
from spacy_epee.exits.rules.depth import FixedDepth
from spacy_epee.heads.pooled import PooledHeads
from spacy_epee.inputs.instances import whole_docs
from spacy_epee.inputs.windows import Windower
from spacy_epee.trunk.families import Family, families
from spacy_epee.trunk.verification import make_stepper


class ToyConfig(transformers.PretrainedConfig):
    model_type = "toy"

    def __init__(self, kind="plain", **settings):
        super().__init__(**settings)
        self.kind = kind
        self.vocab_size = 50
        self.num_hidden_layers = 3


class ToyLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, states, seen, shift=0.0, gate=0.0):
        context = (states * seen).sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True) if states.dim() == 3 else 0.0
        return states + torch.tanh(2 * self.linear(states) + context + shift + gate)


class Last(nn.Module):
    def forward(self, states):
        return 3 * states


class Toy(transformers.PreTrainedModel):
    """An encoder whose layers get an argument of a name of their own, and which has a peculiarity beside."""

    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, 8)
        layers = [ToyLayer() for _ in range(config.num_hidden_layers)]
        if config.kind == "elsewhere":
            self.blocks = nn.ModuleDict({f"block_{i}": layer for i, layer in enumerate(layers)})
            self.last = Last()
        else:
            self.blocks = nn.ModuleList(layers)
        self.post_init()

    def forward(self, input_ids, attention_mask, **_):
        kind = self.config.kind
        states, seen = self.words(input_ids), attention_mask[:, :, None].float()
        if kind == "unpadded":
            states = states[attention_mask > 0]
        for number, layer in enumerate(self.blocks.values() if kind == "elsewhere" else self.blocks):
            settings = {}
            if kind == "alternating":
                settings["shift"] = float(number % 2)
            if kind == "below":
                settings["gate"] = states.mean(dim=1, keepdim=True)
            if kind == "between" and number == 1:
                states = 2 * states
            states = layer(states, seen, **settings)
        if kind == "elsewhere":
            states = self.last(states)
        if kind == "behind":
            states = 3 * states
        return transformers.modeling_outputs.BaseModelOutput(last_hidden_state=states)


def make_toy(kind):
    torch.manual_seed(0)
    model = Toy(ToyConfig(kind)).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


@torch.no_grad()
def assert_steps_right(stepper):
    ids = torch.randint(0, 50, (4, 9), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(9) < torch.tensor([9, 4, 7, 2])[:, None]).long()
    expected = stepper.model(ids, mask).last_hidden_state[[1, 3]]
    state = stepper.embed(ids, mask)
    stepper.step(state)
    state.keep(torch.tensor([1, 2, 3]))
    stepper.step(state)
    state.keep(torch.tensor([0, 2]))
    stepper.step(state)
    torch.testing.assert_close(stepper.final_hidden(state), expected)


@pytest.fixture(autouse=True)
def forget_registrations(monkeypatch):
    monkeypatch.setattr(catalogue, "REGISTRY", dict(catalogue.REGISTRY))


def test_families_with_layers_elsewhere_are_refused_with_what_is_missing():
    with pytest.raises(ValueError, match="'toy' has no stack of 3 layers.*model.trunk.name.*docs/extending.md"):
        make_stepper(make_toy("elsewhere"))


def test_families_with_layers_elsewhere_can_be_registered():
    @families("toy")
    def toy_family(model):
        return Family(layers=list(model.blocks.values()), norm=model.last)

    stepper = make_stepper(make_toy("elsewhere"))
    assert stepper.depth == 3 and isinstance(stepper.norm, Last)
    assert_steps_right(stepper)


def test_families_are_registered_as_the_docs_say():
    page = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "@families" in block)
    exec(code.replace("my_model_type", "toy"), {})
    assert_steps_right(make_stepper(make_toy("elsewhere")))


@pytest.mark.parametrize(
    "layers,norm,missing",
    [
        ("block_2 block_1 block_0", Last(), "does not call the 3 layers"),
        ("block_0 block_1 block_2", nn.LayerNorm(8), "behind its last layer"),
        ("block_0 block_1 block_2", None, "behind its last layer"),
    ],
)
def test_families_registered_wrong_are_refused(layers, norm, missing):
    families("toy", func=lambda model: Family([model.blocks[name] for name in layers.split()], norm))
    with pytest.raises(ValueError, match=f"'toy'.*{missing}.*docs/extending.md"):
        make_stepper(make_toy("elsewhere"))


def test_families_need_no_help_for_a_row_argument_of_any_name():
    stepper = make_stepper(make_toy("plain"))
    assert stepper.plan.row_args == {"seen"} and stepper.plan.alike
    assert_steps_right(stepper)


def test_families_need_no_help_for_arguments_that_differ_by_layer():
    stepper = make_stepper(make_toy("alternating"))
    assert not stepper.plan.alike
    assert_steps_right(stepper)


def test_families_are_as_before_when_layers_have_passed_on_their_states():
    stepper = make_stepper(make_toy("alternating"))
    ids = torch.ones(2, 3, dtype=torch.long)
    expected = stepper.model(ids, ids).last_hidden_state
    stepper.embed(ids, ids)
    with pytest.raises(IndexError):
        stepper.embed(ids + 100, ids)
    assert all("forward" not in vars(layer) and not layer._forward_pre_hooks for layer in stepper.layers)
    assert torch.equal(stepper.model(ids, ids).last_hidden_state, expected)


@pytest.mark.parametrize(
    "kind,missing",
    [
        ("between", "between its layers 1 and 2"),
        ("behind", "behind its last layer"),
        ("below", "layer 2.*given gate, seen"),
        ("unpadded", "not given a row for each text.*transformer_config"),
    ],
)
def test_families_that_cannot_be_stepped_are_refused_with_what_is_missing(kind, missing):
    with pytest.raises(ValueError, match=f"'toy' cannot exit early.*{missing}.*model.trunk.name"):
        make_stepper(make_toy(kind))


@pytest.mark.parametrize("padding", [None, -1, 300])
@torch.no_grad()
def test_families_need_no_padding_wordpiece(padding):
    model = make_model("gpt2")
    model.config.pad_token_id = padding
    stepper = make_stepper(model)
    assert model.config.pad_token_id is None
    ids = torch.tensor([[7, 8, 9, 10], [11, 12, 0, 0]])
    state = stepper.embed(ids, (ids > 0).long())
    for _ in stepper.layers:
        stepper.step(state)
    alone = model(ids[1:, :2]).last_hidden_state
    torch.testing.assert_close(stepper.final_hidden(state)[1:, :2], alone, rtol=1e-5, atol=1e-5)


def test_families_of_decoders_keep_no_cache():
    stepper = make_stepper(make_model("gpt2", use_cache=True))
    state = stepper.embed(torch.ones(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.long))
    assert not any("Cache" in type(value).__name__ for value in state.arguments[0].values())


@pytest.mark.parametrize("layer", range(1, DEPTH + 1))
@torch.no_grad()
def test_families_causal_documents_leave_by_their_last_wordpiece(layer):
    tokenizer = make_tokenizer("gpt2", "bytes")
    assert tokenizer.pad_token is None
    model = make_model("gpt2", vocab_size=len(tokenizer))
    docs = [Doc(Vocab(), words=sentence.split()) for sentence in SENTENCES[:6]]
    items = whole_docs(Windower(tokenizer, 64, 8)(docs))
    assert len(set(items.windows.lengths)) > 1
    heads = PooledHeads(
        width=32, exits=DEPTH, labels=3, pooling="last", dropout=0.0, learned_exit=False, standardize=False
    ).eval()
    stepper = make_stepper(model)
    answers = Predictions.empty(items, 3, DEPTH, EvidenceBuilder())
    run = TaskRun(heads, answers, FixedDepth(layer), 0.0, device=stepper.device)
    rows = numpy.arange(len(items.windows))
    run_exits(stepper, [run], rows, exit_layers=list(range(1, DEPTH + 1)), wordpieces=4096)
    assert answers.layers.tolist() == [layer] * len(docs)
    for unit, ids in enumerate(items.windows.ids):
        state = model(torch.from_numpy(ids)[None], output_hidden_states=True).hidden_states[layer][0, -1]
        state = state if layer == DEPTH else model.ln_f(state)
        numpy.testing.assert_allclose(answers.logits[unit], heads.classifiers[layer - 1](state), rtol=1e-4, atol=1e-4)
