import threading
from typing import Any, Dict, List, Tuple

import pytest
import torch
import transformers
from torch import Tensor, nn
from util import BERT, DEPTH, FAMILIES, ROBERTA, WIDE, make_backbone, make_model, make_nlp

from spacy_epee.trunk.stepper import LayerState, LayerStepper
from spacy_epee.trunk.verification import make_stepper

DECODER = dict(
    num_hidden_layers=DEPTH,
    hidden_size=32,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    intermediate_size=64,
    initializer_range=WIDE,
    pad_token_id=0,
)

# Families that nobody promised: stepping is right, or they are refused.
OTHERS: Dict[str, Dict[str, Any]] = {
    "big_bird": dict(BERT, block_size=4, num_random_blocks=1),
    "convbert": dict(BERT, embedding_size=32),
    "megatron-bert": BERT,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "roberta-prelayernorm": ROBERTA,
    "longformer": dict(BERT, attention_window=8),
    "xlnet": dict(d_model=32, n_layer=DEPTH, n_head=4, d_inner=64),
    "fnet": BERT,
    "bloom": dict(hidden_size=32, n_layer=DEPTH, n_head=4, initializer_range=WIDE),
    # One argument has an entry for each of the 4 heads, as many as there are rows here.
    "mpt": dict(d_model=32, n_layers=DEPTH, n_heads=4, max_seq_len=128),
    # Some layers see only the last 8 wordpieces.
    "gemma2": dict(DECODER, sliding_window=8, query_pre_attn_scalar=8),
    "qwen2": dict(DECODER, use_sliding_window=True, sliding_window=8, max_window_layers=2),
}

LEAVE = {1: [0, 1, 3], 3: [0, 2]}
"""After which layer which rows of those still there stay."""


def make_batch(model: nn.Module, longest: int = 31, rows: int = 4, seed: int = 0) -> Tuple[Tensor, Tensor]:
    """Rows of different lengths, more than one of them padded."""
    generator = torch.Generator().manual_seed(seed)
    padding = model.config.pad_token_id or 0
    ids = torch.randint(5, model.config.vocab_size - 1, (rows, longest), generator=generator)
    mask = torch.ones_like(ids)
    for row in range(0, rows, 2):
        length = longest // (row + 2)
        mask[row, length:] = 0
        ids[row, length:] = padding
    return ids, mask


def full_forward(stepper: LayerStepper, ids: Tensor, mask: Tensor) -> Tuple[List[Tensor], Tensor]:
    """What each layer gives in the model's own forward, and its last hidden state."""
    states: List[Tensor] = []

    def record(layer, args, output):
        states.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(record) for layer in dict.fromkeys(stepper.layers)]
    try:
        last = stepper.model(input_ids=ids, attention_mask=mask).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    assert len(states) == DEPTH
    return states, last


def climb(stepper: LayerStepper, ids: Tensor, mask: Tensor) -> LayerState:
    state = stepper.embed(ids, mask)
    for _ in stepper.layers:
        stepper.step(state)
    return state


def count_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


@pytest.fixture(scope="module")
def steppers():
    """From a family to its stepper. To be left in evaluation mode."""
    made: Dict[str, LayerStepper] = {}

    def get(family: str) -> LayerStepper:
        if family not in made:
            made[family] = make_stepper(make_model(family))
        return made[family]

    return get


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_stepper_layers_change_their_input(steppers, family):
    # Otherwise the tests below would pass with layers left out or exchanged.
    states, last = full_forward(steppers(family), *make_batch(steppers(family).model))
    for below, above in zip(states, states[1:]):
        assert (below - above).abs().mean() > 0.1
    assert (last[0, 0] - last[1, 0]).abs().mean() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_stepper_gives_each_layer_of_the_full_forward(steppers, family):
    stepper = steppers(family)
    ids, mask = make_batch(stepper.model)
    states, last = full_forward(stepper, ids, mask)
    state = stepper.embed(ids, mask)
    for depth, expected in enumerate(states, start=1):
        stepper.step(state)
        assert state.layer == depth
        torch.testing.assert_close(state.hidden, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(stepper.final_hidden(state), last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_stepper_gives_the_same_when_rows_leave(steppers, family):
    stepper = steppers(family)
    ids, mask = make_batch(stepper.model)
    states, last = full_forward(stepper, ids, mask)
    state = stepper.embed(ids, mask)
    rows = torch.arange(len(ids))
    for depth, expected in enumerate(states, start=1):
        stepper.step(state)
        real = mask[rows].bool()
        torch.testing.assert_close(state.hidden[real], expected[rows][real], rtol=1e-5, atol=1e-5)
        if depth in LEAVE:
            kept = torch.tensor(LEAVE[depth])
            state.keep(kept)
            rows = rows[kept]
    torch.testing.assert_close(stepper.final_hidden(state)[real], last[rows][real], rtol=1e-5, atol=1e-5)
    assert rows.tolist() == [0, 3]


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2", "modernbert"])
@torch.no_grad()
def test_stepper_gives_the_same_with_eager_attention(family):
    stepper = make_stepper(make_model(family, attn_implementation="eager"))
    assert stepper.model.config._attn_implementation == "eager"
    ids, mask = make_batch(stepper.model)
    _, last = full_forward(stepper, ids, mask)
    torch.testing.assert_close(stepper.final_hidden(climb(stepper, ids, mask)), last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_stepper_gives_the_same_without_padding_and_for_one_row(steppers, family):
    stepper = steppers(family)
    ids, mask = make_batch(stepper.model)
    for rows in ([1, 3], [1], [2]):
        _, last = full_forward(stepper, ids[rows], mask[rows])
        torch.testing.assert_close(stepper.final_hidden(climb(stepper, ids[rows], mask[rows])), last, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family,name", [("gpt2", "ln_f"), ("modernbert", "final_norm")])
@torch.no_grad()
def test_stepper_finds_the_final_norm(steppers, family, name):
    stepper = steppers(family)
    assert stepper.norm is getattr(stepper.model, name)
    state = climb(stepper, *make_batch(stepper.model))
    assert not torch.allclose(stepper.final_hidden(state), state.hidden, atol=0.1)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"gpt2", "modernbert"}))
def test_stepper_finds_no_final_norm_where_there_is_none(steppers, family):
    assert steppers(family).norm is None


def test_stepper_tells_depth_and_width(steppers):
    for family in FAMILIES:
        assert (steppers(family).depth, steppers(family).width) == (DEPTH, 32)


def test_stepper_repeats_the_groups_of_albert(steppers):
    layers = steppers("albert").layers
    assert layers[0] is layers[1] and layers[2] is layers[3] and layers[1] is not layers[2]


@pytest.mark.parametrize("depth,groups", [(5, 2), (3, 3), (4, 1)])
def test_stepper_takes_albert_of_any_groups(depth, groups):
    stepper = make_stepper(make_model("albert", num_hidden_layers=depth, num_hidden_groups=groups))
    assert stepper.depth == depth


@pytest.mark.parametrize("family", FAMILIES)
def test_stepper_gradients_are_those_of_the_full_forward(family):
    stepper = make_stepper(make_model(family))
    model = stepper.model.train()
    ids, mask = make_batch(model)
    scale = torch.randn(DEPTH + 1, *ids.shape, stepper.width, generator=torch.Generator().manual_seed(0))

    def gradients(run) -> Dict[str, Any]:
        model.zero_grad()
        torch.manual_seed(0)
        (torch.stack(run()) * scale).sum().backward()
        return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}

    def full():
        states, last = full_forward(stepper, ids, mask)
        return [*states, last]

    def stepped():
        state, states = stepper.embed(ids, mask), []
        for _ in stepper.layers:
            stepper.step(state)
            states.append(state.hidden)
        return [*states, stepper.final_hidden(state)]

    expected, found = gradients(full), gradients(stepped)
    assert not torch.equal(torch.stack(full()), torch.stack(full()))  # dropout is on
    assert found.keys() == expected.keys()
    assert sum(gradient is not None for gradient in expected.values()) > 10
    for name in expected:
        assert (found[name] is None) == (expected[name] is None), name
        if expected[name] is not None:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-4, msg=lambda text: f"{name}: {text}")


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_stepper_gives_the_same_when_padding_is_trimmed_on_the_way(steppers, family):
    stepper = steppers(family)
    ids, mask = make_batch(stepper.model)
    rows = [0, 2]  # the short ones
    _, last = full_forward(stepper, ids, mask)
    state = stepper.embed(ids, mask)
    stepper.step(state)
    stepper.step(state)
    longest = int(mask[rows].sum(dim=1).max())
    trimmed = stepper.embed(ids[rows, :longest], mask[rows, :longest])
    trimmed.hidden, trimmed.layer = state.hidden[rows, :longest], state.layer
    while trimmed.layer < stepper.depth:
        stepper.step(trimmed)
    real = mask[rows, :longest].bool()
    torch.testing.assert_close(stepper.final_hidden(trimmed)[real], last[rows, :longest][real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_stepper_gradients_go_through_rows_that_leave(family):
    stepper = make_stepper(make_model(family))
    model = stepper.model
    ids, mask = make_batch(model)

    def gradients(loss: Tensor) -> Dict[str, Tensor]:
        model.zero_grad()
        loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    states, last = full_forward(stepper, ids, mask)
    expected = gradients(states[1].square().sum() + last[[0, 2]].square().sum())
    state = stepper.embed(ids, mask)
    stepper.step(state)
    stepper.step(state)
    loss = state.hidden.square().sum()
    state.keep(torch.tensor([0, 2]))
    stepper.step(state)
    stepper.step(state)
    found = gradients(loss + stepper.final_hidden(state).square().sum())
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-3, msg=lambda text: f"{name}: {text}")


def test_stepper_refuses_a_family_with_something_between_the_layers():
    with pytest.raises(ValueError, match="'deberta-v2'.*model.trunk.name"):
        make_stepper(make_model("deberta-v2", conv_kernel_size=3, conv_act="gelu"))


def test_stepper_refuses_an_encoder_decoder():
    with pytest.raises(ValueError, match="'t5'.*encoder-decoder.*model.trunk.name"):
        make_stepper(make_model("t5", d_model=32, num_layers=2, num_heads=4, d_ff=64, d_kv=8))


def test_stepper_refuses_a_model_without_layers():
    with pytest.raises(ValueError, match="'bert'.*no stack of 0 layers.*model.trunk.name"):
        make_stepper(make_model("bert", num_hidden_layers=0))


def test_stepper_refuses_a_model_that_is_no_transformer():
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1])
    with pytest.raises(ValueError, match="'resnet'.*model.trunk.name"):
        make_stepper(transformers.AutoModel.from_config(config))


def test_stepper_refusal_comes_when_a_pipeline_is_initialized(tmp_path):
    pytest.importorskip("spacy_transformers")
    make_backbone(tmp_path, "deberta-v2", conv_kernel_size=3, conv_act="gelu")
    with pytest.raises(ValueError, match="'deberta-v2'"):
        make_nlp(tmp_path)


@pytest.mark.parametrize("family", OTHERS)
@torch.no_grad()
def test_stepper_is_right_or_refuses(family):
    model = make_model(family, **OTHERS[family])
    try:
        stepper = make_stepper(model)
    except ValueError as error:
        assert family in str(error)
        assert count_hooks(model) == 0
        return
    ids, mask = make_batch(model)
    expected = model(input_ids=ids, attention_mask=mask).last_hidden_state[1:]
    state = stepper.embed(ids, mask)
    stepper.step(state)
    state.keep(torch.tensor([1, 2, 3]))
    for _ in range(DEPTH - 1):
        stepper.step(state)
    real = mask[1:].bool()
    torch.testing.assert_close(stepper.final_hidden(state)[real], expected[real], rtol=1e-3, atol=1e-3)


def test_stepper_finds_the_final_norm_among_modules_called_alike():
    # Its encoder and its embeddings have "Norm" in the names of their classes.
    stepper = make_stepper(make_model("roberta-prelayernorm", **ROBERTA))
    assert stepper.norm is stepper.model.LayerNorm


@pytest.mark.parametrize("training", [True, False])
def test_stepper_check_leaves_the_model_as_it_was(training):
    model = make_model("gpt2").train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    make_stepper(model)
    assert all(module.training == training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert count_hooks(model) == 0


@torch.no_grad()
def test_stepper_leaves_no_hook_behind(steppers):
    stepper = steppers("bert")
    ids, mask = make_batch(stepper.model)
    expected = stepper.model(input_ids=ids, attention_mask=mask).last_hidden_state
    stepper.embed(ids, mask)
    assert count_hooks(stepper.model) == 0
    assert torch.equal(stepper.model(input_ids=ids, attention_mask=mask).last_hidden_state, expected)


@torch.no_grad()
def test_stepper_leaves_no_hook_behind_an_exception(steppers):
    stepper = steppers("bert")
    ids, mask = make_batch(stepper.model)
    expected = stepper.model(input_ids=ids, attention_mask=mask).last_hidden_state
    with pytest.raises(IndexError):
        stepper.embed(ids + 10_000, mask)
    assert count_hooks(stepper.model) == 0
    assert torch.equal(stepper.model(input_ids=ids, attention_mask=mask).last_hidden_state, expected)
    assert torch.equal(climb(stepper, ids, mask).hidden, expected)  # and the lock is free


def test_stepper_embeds_in_two_threads(steppers):
    stepper = steppers("bert")
    batches = [make_batch(stepper.model, longest=9 + i, seed=i) for i in range(2)]
    with torch.no_grad():
        expected = [stepper.embed(*batch).hidden for batch in batches]
    start = threading.Barrier(2)
    found: List[List[Tensor]] = [[], []]

    def work(i: int) -> None:
        start.wait(10)
        with torch.no_grad():
            for _ in range(40):
                found[i].append(stepper.embed(*batches[i]).hidden)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for i in range(2):
        assert len(found[i]) == 40
        assert all(torch.equal(hidden, expected[i]) for hidden in found[i])


@pytest.mark.parametrize("family", ["bert", "albert", "modernbert"])
@torch.no_grad()
def test_stepper_steps_while_another_thread_embeds(family):
    stepper = make_stepper(make_model(family))
    ours, theirs = make_batch(stepper.model, seed=1), make_batch(stepper.model, seed=2)
    expected, others = climb(stepper, *ours).hidden, stepper.embed(*theirs).hidden
    state = stepper.embed(*ours)
    inside, go = threading.Event(), threading.Event()
    found: List[Any] = []

    def wait(*_):
        inside.set()
        go.wait(20)

    def embed():
        found.append(stepper.embed(*theirs).hidden)

    def step():
        try:
            for _ in stepper.layers:
                stepper.step(state)
        except BaseException as error:
            found.append(error)

    hook = stepper.model.embeddings.register_forward_hook(wait)
    embedding, stepping = threading.Thread(target=embed), threading.Thread(target=step)
    embedding.start()
    assert inside.wait(20)  # in the middle of `embed`, with its hook on the first layer
    stepping.start()
    stepping.join(0.5)  # to wait for the other thread would be all right, too
    go.set()
    stepping.join(20)
    embedding.join(20)
    hook.remove()
    assert not [error for error in found if isinstance(error, BaseException)]
    assert state.layer == DEPTH
    torch.testing.assert_close(state.hidden, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0], others, rtol=1e-5, atol=1e-5)


def test_stepper_keeps_shared_arguments_whole():
    rows = torch.arange(3.0)
    shared = torch.ones(3, 7)
    arguments = {"attention_mask": rows, "rel_embeddings": shared, "position_bias": None}
    state = LayerState(torch.zeros(3, 5, 2), [arguments], frozenset({"attention_mask", "position_bias"}))
    state.keep(torch.tensor([2, 0]))
    assert arguments["attention_mask"].tolist() == [2, 0]
    assert arguments["rel_embeddings"] is shared and arguments["position_bias"] is None
    assert state.hidden.shape == (2, 5, 2)


def test_stepper_keeps_a_mask_that_is_broadcast():
    mask = torch.ones(1, 1, 5, 5)
    state = LayerState(torch.zeros(3, 5, 2), [{"attention_mask": mask}], frozenset({"attention_mask"}))
    state.keep(torch.tensor([1]))
    assert state.arguments[0]["attention_mask"] is mask


def test_stepper_cuts_what_several_layers_share_once():
    mask = torch.arange(3.0)
    state = LayerState(torch.zeros(3, 5, 2), [{"mask": mask, "layer": 1}, {"mask": mask, "layer": 2}], frozenset({"mask"}))
    state.keep(torch.tensor([2, 0]))
    first, second = state.arguments
    assert first["mask"].tolist() == [2, 0] and second["mask"] is first["mask"]
