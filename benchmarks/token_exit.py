"""Would it pay to let single tokens leave (TOKEE, Li et al. 2021), and not windows?

    python benchmarks/token_exit.py MODELS/e5-small/phee/exits/model-best --corpora ../shared/corpora

A token whose tags are settled halts: its state is copied upward and serves as key and value, but it asks no queries and passes no
feed-forward layer. This needs the insides of a layer, so it is written here for BERT alone. Thresholds are those of the window's
entropy rule; both run on the same dev windows in turns, in float32, trunk and tagging alone. Links are made from the states that
the tokens were left with. Prints F1 of triggers and main arguments, layers by token, and seconds.
"""

import time
from pathlib import Path
from typing import Dict, List, Tuple

import numpy
import spacy
import torch
import typer
from corpora import CORPORA, split
from spacy.training import Example
from torch.nn import functional as F

from spacy_epee.evaluation.compare import find_component
from spacy_epee.exits.rules import Entropy
from spacy_epee.exits.structure import StructureEvidence
from spacy_epee.loop import Answers, Climb, TaskRun, run_exits
from spacy_epee.model import get_exit_layers, get_heads, get_stepper
from spacy_epee.spans import locate

NEIGHBOURS = 3
"""A token halts if its neighbours within this width are settled too (k in the paper)."""


@torch.inference_mode()
def halt(layer, hidden: torch.Tensor, keys: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """One layer of BERT for the tokens that go on, (W, T) bool."""
    attention = layer.attention.self
    heads, size = attention.num_attention_heads, attention.attention_head_size
    most = int(active.sum(dim=1).max())
    order = torch.argsort((~active).int(), dim=1, stable=True)[:, :most]  # the active ones first
    chosen = torch.gather(hidden, 1, order[..., None].expand(-1, -1, hidden.shape[2]))

    def apart(states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (heads, size)).transpose(1, 2)

    query, key, value = apart(attention.query(chosen)), apart(attention.key(hidden)), apart(attention.value(hidden))
    context = F.scaled_dot_product_attention(query, key, value, attn_mask=keys[:, None, None])
    context = context.transpose(1, 2).flatten(2)
    live = torch.gather(active, 1, order)
    context, chosen = context[live], chosen[live]
    middle = layer.attention.output(context, chosen)
    found = layer.output(layer.intermediate(middle), middle)
    hidden = hidden.clone()
    hidden[active] = found[_places(active, order, live)]
    return hidden


def _places(active: torch.Tensor, order: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """From the order of `active` to that of the gathered tokens."""
    rows = torch.arange(len(active))[:, None].expand_as(order)[live]
    flat = rows * active.shape[1] + order[live]
    return torch.argsort(flat)


@torch.inference_mode()
def run_tokens(pipe, items, units: numpy.ndarray, threshold: float) -> Tuple[Dict[int, object], float]:
    """Let tokens halt. RETURNS: the graph of each window, and the mean layer of a token."""
    stepper, heads = get_stepper(pipe.model), get_heads(pipe.model)[0]
    climb = Climb(stepper, items.windows, numpy.flatnonzero(items.windows_of(units)), 4096)
    graphs: Dict[int, object] = {}
    layers_run = tokens_seen = 0
    for pack in climb.packs:
        hidden, lengths = pack.state.hidden, pack.lengths
        keys = torch.arange(hidden.shape[1])[None] < lengths[:, None]
        active = keys.clone()
        tokens = items.of_units(numpy.sort(items.window_units[pack.rows]))
        here, rows = locate(pack, numpy.column_stack((items.units[tokens], items.first[tokens])))
        tokens, rows = tokens[here], torch.from_numpy(rows)
        places = torch.from_numpy(items.first[tokens])
        logits = torch.zeros(len(tokens), heads.n_labels)
        for number, layer in enumerate(stepper.layers):
            hidden = halt(layer, hidden, keys, active)
            layers_run += int(active.sum())
            going = active[rows, places]
            vectors = heads.standardize(number, hidden[rows[going], places[going]])
            logits[going] = heads.classifiers[number](vectors)
            if number + 1 == len(stepper.layers):
                break
            entropy = torch.distributions.Categorical(logits=logits.unflatten(1, (-1, 3))).entropy().amax(dim=1) / numpy.log(3)
            unsettled = torch.zeros(hidden.shape[:2])
            unsettled[rows, places] = entropy
            unsettled = F.max_pool1d(unsettled[:, None], NEIGHBOURS, stride=1, padding=NEIGHBOURS // 2)[:, 0]
            wanted = unsettled >= threshold
            active = active & wanted
            # Pieces inside a word, and special ones, go on while the window has a token that does.
            inner = keys.clone()
            inner[rows, places] = False
            active = active | (inner & active.any(dim=1)[:, None] & wanted.any(dim=1)[:, None])
            if not active.any():
                break
        tokens_seen += int(keys.sum())
        pack.state.hidden = hidden
        members = numpy.unique(items.units[tokens])
        order = numpy.argsort(tokens)
        evidence = StructureEvidence(
            logits[torch.from_numpy(order)].numpy(),
            asked=items,
            link=lambda a, b, pack=pack, hidden=hidden: heads._link(number, [pack], [hidden], items, a, b).numpy(),
            reduce="max",
            layer=number + 1,
            units=members,
            threshold=0.5,
            items=tokens[order],
            counts=items.counts[members],
        )
        for place, unit in enumerate(members):
            graphs[int(unit)] = evidence.graph(place)
    return graphs, layers_run / max(tokens_seen, 1)


def score(pipe, examples: List[Example], answers: Answers) -> str:
    scores = pipe.score_answers(examples, answers)
    return f"triggers {100 * scores['ev_trigger_f']:.2f}, main arguments {100 * scores['ev_main_f']:.2f}"


def main(
    model: Path,
    corpora: Path = typer.Option(...),
    corpus: str = "phee",
    documents: int = 320,
    rounds: int = 3,
    batch: int = 32,
):
    nlp = spacy.load(model)
    pipe = find_component(nlp)
    examples = list(CORPORA[corpus].reader(split(corpora, corpus, "dev"))(nlp))[:documents]
    docs = [eg.predicted for eg in examples]
    items = next(iter(pipe._ask(docs).values()))
    stepper, heads = get_stepper(pipe.model), get_heads(pipe.model)[0]
    parts = [items.live[start : start + batch] for start in range(0, len(items.live), batch)]
    for module in (stepper.model, heads):
        module.eval()

    def blank() -> Answers:
        return Answers.empty(items, heads.n_labels, stepper.depth, pipe.reading())

    def windows(threshold: float) -> Tuple[Answers, float]:
        answers = blank()
        rule = Entropy(threshold) if threshold else None
        for part in parts:
            run = TaskRun(heads, answers, rule, 0.0, device=stepper.device)
            rows = numpy.flatnonzero(items.windows_of(part))
            run_exits(stepper, [run], rows, exit_layers=get_exit_layers(pipe.model), wordpieces=4096)
        lengths = items.lengths
        return answers, float(lengths @ answers.layers / lengths.sum())

    def tokens(threshold: float) -> Tuple[Answers, float]:
        answers, total = blank(), []
        answers.graphs = [None] * items.n_units
        for part in parts:
            graphs, layers = run_tokens(pipe, items, part, threshold)
            total.append(layers)
            for unit, graph in graphs.items():
                answers.graphs[unit] = graph  # type: ignore[call-overload]
        return answers, float(numpy.mean(total))

    for name, run, thresholds in (("windows", windows, (0.0, 0.05, 0.2, 0.5)), ("tokens", tokens, (0.0, 0.01, 0.05, 0.2, 0.5))):
        for threshold in thresholds:
            seconds = []
            for _ in range(rounds):
                started = time.perf_counter()
                answers, layers = run(threshold)
                seconds.append(time.perf_counter() - started)
            shown = score(pipe, examples, answers)
            print(f"{name}, threshold {threshold}: {shown}, {layers:.2f} layers, {numpy.median(seconds):.2f} s", flush=True)


if __name__ == "__main__":
    typer.run(main)
