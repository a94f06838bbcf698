"""The exit before the first layer, by words alone."""

import numpy
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_util import make_joint_nlp
from relations_util import tag
from scipy.special import expit
from spacy.training import Example
from thinc.api import Adam
from util import SENTENCES, make_backbone, make_examples, make_nlp, make_texts

from spacy_epee.engine.replay import simulate
from spacy_epee.exits import rules
from spacy_epee.inputs.windows import Windower
from spacy_epee.model import get_heads, get_trunk_shim
from spacy_epee.tuning.tuner import Tuner

STRANGE = ["", " \n ", "日本語", "\x00\x01", "§§§§", "zzqx"]
NOTES = [*SENTENCES, *make_texts(20, seed=7), *STRANGE]
RULES = [
    rules.Entropy(0.9),
    rules.Entropy([0.8, 0.5, 0.6, 0.3, 0.0]),
    rules.Confidence(0.5),
    rules.Confidence([0.5, 0.9, 0.6, 0.8, 1.0]),
    rules.Margin(0.2),
    rules.Patience(1),
    rules.FlexiblePatience(0.05, 1, "JSKD"),
    rules.EntropyPatience(0.7, 1),
    rules.Voting(2.0),
    rules.Learned(0.5),
    rules.FixedDepth(0),
    rules.FixedDepth(1),
    rules.FromLayer(0, rules.EntropyPatience(0.7, 1)),
    rules.FromLayer(1, rules.EntropyPatience(0.4, 1)),
    rules.FromLayer(2, rules.Patience(1)),
    rules.AnyOf({"a": rules.FromLayer(1, rules.Patience(1)), "b": rules.Entropy(0.8)}),
    rules.AllOf({"a": rules.Entropy(0.9), "b": rules.Confidence(0.4)}),
    None,
]


def pipe_of(nlp):
    return nlp.get_pipe(nlp.pipe_names[0])


@pytest.fixture(scope="module", params=[False, True], ids=["exclusive", "multilabel"])
def nlp(request, backbone):
    nlp = make_nlp(backbone, multilabel=request.param, lexical=500, model={"head": {"learned_exit": True}})
    pipe_of(nlp).slot().set_mix([1.0, 0.8, 0.5, 0.3], pipe_of(nlp).model)
    return nlp


@pytest.fixture(scope="module")
def stored(nlp):
    docs = [nlp.make_doc(text) for text in NOTES]
    return docs, list(pipe_of(nlp).exit_logits(docs, batch_size=len(docs)))[0]


def replayed(pipe, outputs, rule):
    items = outputs.items
    live = items.live
    return live, simulate(
        outputs.logits[:, live],
        rule,
        exit_layers=pipe.slot().exit_layers(pipe.model),
        reading=pipe.reading(),
        doubt=expit(outputs.doubt[:, live]),
        blind=~items.lexical.known[live],
    )


def test_layers_with_an_exit_begin_with_0(nlp, stored):
    pipe = pipe_of(nlp)
    assert pipe.slot().exit_layers(pipe.model) == [0, 1, 2, 3, 4]
    assert len(stored[1].logits) == 5


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_replay_equals_the_loop(nlp, stored, rule):
    pipe, (docs, outputs) = pipe_of(nlp), stored
    live, found = replayed(pipe, outputs, rule)
    answers = pipe.answer(docs, rule)
    assert answers.layers[live].tolist() == found.layers.tolist()
    assert numpy.allclose(answers.logits[live], found.logits, atol=1e-3, rtol=1e-3)
    assert [answers.reasons[unit] for unit in live] == ["depth" if not c else rule.reasons[c - 1] for c in found.codes]


@settings(max_examples=20)
@given(st.floats(0.01, 1.2), st.lists(st.integers(0, len(NOTES) - 1), min_size=1, max_size=12))
def test_answers_do_not_depend_on_the_batch(nlp, entropy, chosen):
    pipe, rule = pipe_of(nlp), rules.EntropyPatience(entropy, 2)
    docs = [nlp.make_doc(NOTES[place]) for place in chosen]
    together = pipe.answer(docs, rule)
    for place, doc in enumerate(docs):
        alone = pipe.answer([doc], rule)
        assert alone.layers[0] == together.layers[place] and alone.reasons[0] == together.reasons[place]
        rounded = 1e-4 * max(abs(alone.logits[0]).max(), 1)
        assert numpy.allclose(alone.logits[0], together.logits[place], atol=rounded)


def test_what_leaves_is_never_cut_into_wordpieces(nlp, monkeypatch):
    pipe, shim = pipe_of(nlp), get_trunk_shim(pipe_of(nlp).model)
    cut, windower = [], shim.windower
    monkeypatch.setattr(
        type(shim), "windower", property(lambda self: lambda docs, wanted: cut.append(wanted) or windower(docs, wanted))
    )
    docs = [nlp.make_doc(text) for text in [*SENTENCES[:3], "日本語"]]
    answers = pipe.answer(docs, rules.FixedDepth(0))
    assert cut == [[False, False, False, True]]
    assert answers.layers.tolist() == [0, 0, 0, 1]


@pytest.fixture
def tokenized(monkeypatch):
    """The texts that are given to the backbone's tokenizer."""
    texts, encode = [], Windower._encode
    monkeypatch.setattr(Windower, "_encode", lambda self, asked: texts.extend(asked) or encode(self, asked))
    return texts


@pytest.mark.parametrize("way", ["alone", "stream", "joint"])
def test_what_leaves_is_given_to_no_tokenizer(nlp, joint, tokenized, way):
    own = joint if way == "joint" else nlp
    pipe = pipe_of(own)
    before = pipe.exits
    pipe.exit = rules.FixedDepth(0)
    pipe.joint = "any" if way == "joint" else "all"
    texts = [*SENTENCES[:5], "日本語"]
    docs = [own(text) for text in texts] if way == "alone" else [*own.pipe(texts, batch_size=4)]
    pipe.joint = "all"
    for task, rule in before.items():
        pipe.set_exit(rule, task)
    assert tokenized == ["日本語"]
    layers = [{entry["layer"] for entry in doc._.exits[pipe.name].values()} for doc in docs]
    assert layers[:5] == [{0.0}] * 5 and 0.0 not in layers[5]


def test_docs_say_that_they_left_before_the_first_layer(nlp):
    pipe = pipe_of(nlp)
    pipe.exit = rules.FixedDepth(0)
    doc = nlp(SENTENCES[0])
    pipe.exit = None
    entry = doc._.exits[pipe.name]["textcat"]
    assert entry["layer"] == 0.0 and [(unit["layer"], unit["reason"]) for unit in entry["units"]] == [(0, "fixed_depth")]
    lexical = pipe.slot().heads(pipe.model).lexical.look([doc])
    assert list(doc.cats.values()) == pytest.approx(
        pipe.reading().evidence(lexical.logits, layer=0, units=numpy.arange(1)).probabilities[0].tolist(), abs=1e-5
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("text", STRANGE)
def test_a_text_without_a_known_ngram_is_not_settled_by_words(nlp, text, rule):
    answers = pipe_of(nlp).answer([nlp.make_doc(text)], rule)
    assert answers.layers[0] > 0 or not answers.ran[0]
    assert numpy.isfinite(answers.probabilities).all()


def test_words_count_at_each_exit(nlp, stored):
    pipe, (docs, outputs) = pipe_of(nlp), stored
    heads = get_heads(pipe.model)[0]
    before = heads.lexical.mix.detach().clone()
    assert before.all()
    with_words = outputs.logits[1:]
    try:
        heads.lexical.mix.data.zero_()
        heads._layers.clear()
        without = list(pipe.exit_logits(docs, batch_size=len(docs)))[0].logits[1:]
    finally:
        heads.lexical.mix.data.copy_(before)
        heads._layers.clear()
    live = outputs.items.live
    difference = (with_words - without)[:, live]
    assert numpy.allclose(difference, before[:, None, None].numpy() * outputs.items.lexical.logits[live], atol=1e-4)


def test_saved_pipelines_answer_the_same_and_hold_no_words(nlp, tmp_path):
    pipe = pipe_of(nlp)
    pipe.exit = rules.Entropy(0.9)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    for text in NOTES:
        one, other = nlp(text), loaded(text)
        assert one.cats == pytest.approx(other.cats, abs=1e-6) and one._.exits == other._.exits
    pipe.exit = None
    data = b"".join(layer.to_bytes() for layer in pipe.model.layers[1:])
    words = {word for sentence in SENTENCES for word in sentence.split() if len(word) > 5}
    assert not [word for word in words if word.encode() in data or word.lower().encode() in data]


def test_learning_is_from_what_models_say_that_have_not_seen_a_document(nlp):
    heads = get_heads(pipe_of(nlp).model)[0].lexical
    docs = [nlp.make_doc(text) for text in [*SENTENCES, "not seen"]]
    said = heads.look_unseen(docs)
    assert said.known.tolist() == [True] * len(SENTENCES) + [False]
    assert numpy.array_equal(said.logits[:-1], heads.held_out_logits)
    assert not said.logits[-1].any()
    assert not numpy.allclose(said.logits[:-1], heads.look(docs).logits[:-1])


def test_pipelines_with_words_can_be_trained_and_loaded_ones_trained_on(backbone):
    nlp = make_nlp(backbone, lexical=300, spread=None, model={"head": {"dropout": 0.0}})
    for _ in range(2):
        examples = make_examples(nlp, pipe_of(nlp).labels)
        before = pipe_of(nlp).slot().heads(pipe_of(nlp).model).lexical.weights.clone()
        optimizer = Adam(0.0005)
        losses = [nlp.update(examples, sgd=optimizer)["epee_textcat"] for _ in range(8)]
        assert losses[-1] < losses[0]
        assert (pipe_of(nlp).slot().heads(pipe_of(nlp).model).lexical.weights == before).all()
        nlp.from_bytes(nlp.to_bytes())


def test_without_ngrams_there_is_no_such_exit(backbone):
    pipe = pipe_of(make_nlp(backbone, lexical=0))
    assert pipe.slot().exit_layers(pipe.model) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="never fire|4 exits"):
        pipe.exit = rules.Entropy([0.5] * 5)


def test_one_document_gives_a_pipeline_without_such_an_exit(backbone):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("epee_textcat", config={"model": {"trunk": {"name": str(backbone)}}})
    example = Example.from_dict(nlp.make_doc("chest pain"), {"cats": {"A": 1.0, "B": 0.0}})
    nlp.initialize(lambda: [example])
    assert pipe.slot().exit_layers(pipe.model)[0] == 1  # no n-gram is in two documents
    assert nlp("chest pain").cats


@pytest.mark.parametrize("value", [-1, 10**9])
def test_a_number_of_ngrams_that_cannot_be_is_refused(backbone, value):
    with pytest.raises(ValueError, match="model.head.lexical"):
        make_nlp(backbone, lexical=value)


def two_tasks(backbone, **settings):
    nlp = spacy.blank("en")
    heads = {name: {"@architectures": "spacy-epee.PooledHead.v1", "lexical": 500} for name in ("kind", "topic")}
    tasks = {
        name: {"@misc": "spacy-epee.TextCatTask.v1", "exit": None, "scorer": {"@scorers": "spacy.textcat_scorer.v2"}}
        for name in heads
    }
    model = {"trunk": {"name": str(backbone), "window": 32, "overlap": 8}, "heads": heads}
    nlp.add_pipe("epee", config={"model": model, "tasks": tasks, **settings})
    labels = {"kind": ["A", "B"], "topic": ["X", "Y"]}
    examples = []
    for place, text in enumerate(SENTENCES):
        cats = {"A": place % 2, "B": 1 - place % 2, "X": place // 6, "Y": 1 - place // 6}
        examples.append(Example.from_dict(nlp.make_doc(text), {"cats": cats}))
    nlp.config["initialize"]["components"] = {"epee": {"labels": labels}}
    nlp.initialize(lambda: examples)
    return nlp


@pytest.fixture(scope="module")
def joint(backbone):
    return two_tasks(backbone)


def test_a_text_climbs_while_any_task_needs_it(joint):
    pipe, docs = joint.get_pipe("epee"), [joint.make_doc(text) for text in SENTENCES]
    answers = pipe.run(docs, {"kind": rules.FixedDepth(0), "topic": rules.FixedDepth(2)})
    assert set(answers["kind"].layers.tolist()) == {0} and set(answers["topic"].layers.tolist()) == {2}
    alone = pipe.run(docs, {"kind": rules.FixedDepth(0)})
    assert numpy.allclose(alone["kind"].logits, answers["kind"].logits, atol=1e-5)


def test_any_task_may_have_the_others_leave_by_words(joint):
    pipe, docs = joint.get_pipe("epee"), [joint.make_doc(text) for text in [*SENTENCES, "日本語"]]
    pipe.joint = "any"
    answers = pipe.run(docs, {"kind": rules.FixedDepth(0), "topic": rules.Entropy(0.0001)})
    pipe.joint = "all"
    assert set(answers["topic"].layers[:-1].tolist()) == {0}
    assert set(answers["topic"].reasons[:-1]) == {"joint"} and set(answers["kind"].reasons[:-1]) == {"fixed_depth"}
    assert answers["topic"].layers[-1] == 1  # of whose words nothing is known


def test_the_task_with_priority_has_the_other_leave_by_words(joint):
    pipe, docs = joint.get_pipe("epee"), [joint.make_doc(text) for text in SENTENCES]
    pipe.slots["kind"].priority = 1
    answers = pipe.run(docs, {"kind": rules.FixedDepth(0), "topic": None})
    pipe.slots["kind"].priority = 0
    assert set(answers["topic"].layers.tolist()) <= {0, 4}


def test_a_task_without_such_an_exit_keeps_the_others_climbing_only_where_it_asks(backbone):
    from joint_util import TEXTS

    nlp = make_joint_nlp(backbone, names=("kind", "relations"), lexical=500)
    pipe = nlp.get_pipe("epee")
    docs = [tag(nlp.make_doc(text)) for text in TEXTS]
    asks = pipe.slots["relations"].task.has_instances(docs)
    assert any(asks) and not all(asks)
    for mode in ("all", "any"):
        pipe.joint = mode
        answers = pipe.run(docs, {"kind": rules.FixedDepth(0), "relations": rules.FixedDepth(3)})
        layers = answers["kind"].layers
        assert (layers[~numpy.array(asks)] == 0).all()
        assert (layers[numpy.array(asks)] == (0 if mode == "all" else 1)).all()
        assert set(answers["relations"].layers[answers["relations"].ran].tolist()) == {3 if mode == "all" else 1}


def test_scores_count_the_layer_before_the_first(nlp):
    pipe = pipe_of(nlp)
    pipe.exit = rules.FixedDepth(0)
    figures = nlp.evaluate(make_examples(nlp, pipe.labels, multilabel="multilabel" in pipe.name))
    pipe.exit = None
    assert figures["exit_layer"] == 0.0 and 0 <= figures["cats_score"] <= 1


@pytest.mark.parametrize("text", ["日本語", "§§§§", "病 病"])
@pytest.mark.parametrize("rule", [rules.Patience(1), rules.ConfidentPatience(0.99, 2), rules.FlexiblePatience(1000.0, 1, "KD")])
def test_no_patience_is_had_from_an_exit_that_knows_nothing(nlp, text, rule):
    assert pipe_of(nlp).answer([nlp.make_doc(text)], rule).layers[0] >= 2


def test_words_do_not_count_where_training_meets_none_of_the_documents(backbone):
    nlp = make_nlp(backbone, lexical=300, spread=None)
    cats = [eg.reference.cats for eg in make_examples(nlp, pipe_of(nlp).labels)]
    others = [Example.from_dict(nlp.make_doc(text), {"cats": own}) for text, own in zip(make_texts(12, seed=3), cats)]
    optimizer = Adam(0.001)
    for _ in range(3):
        nlp.update(others, sgd=optimizer)
    assert not pipe_of(nlp).slot().mix(pipe_of(nlp).model).any()
    for _ in range(3):
        nlp.update(make_examples(nlp, pipe_of(nlp).labels), sgd=optimizer)
    assert pipe_of(nlp).slot().mix(pipe_of(nlp).model).any()


def test_how_much_words_count_is_learned_alike_from_a_batch_in_parts(tmp_path):
    backbone = make_backbone(tmp_path, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    gradients = []
    for wordpieces in (4096, 64):
        nlp = make_nlp(backbone, lexical=300, model={"head": {"dropout": 0.0}, "trunk": {"max_wordpieces": wordpieces}})
        pipe_of(nlp).update(make_examples(nlp, pipe_of(nlp).labels))
        gradients.append(get_heads(pipe_of(nlp).model)[0].lexical.mix.grad.numpy())
    assert gradients[0] == pytest.approx(gradients[1], rel=0.05)  # of bf16


@pytest.mark.parametrize("mix", [[1.0], [1.0, 1.0, 1.0, float("nan")], [float("-inf")] * 4])
def test_factors_that_mean_nothing_are_refused(nlp, mix):
    with pytest.raises(ValueError, match="factors for words"):
        pipe_of(nlp).slot().set_mix(mix, pipe_of(nlp).model)


def test_words_that_mislead_may_count_against_what_they_say(nlp):
    slot, model = pipe_of(nlp).slot(), pipe_of(nlp).model
    before = slot.mix(model)
    texts = make_texts(20, seed=4)
    slot.set_mix([-8.0] * 4, model)  # as training leaves it
    likely = {doc.text: doc.cats for doc in nlp.pipe(texts)}  # so that no other factors are better
    labels = [{label: float(value == max(own.values())) for label, value in own.items()} for own in likely.values()]
    examples = [Example.from_dict(nlp.make_doc(text), {"cats": own}) for text, own in zip(texts, labels)]
    Tuner(nlp, pipe_of(nlp), examples, missing_labels=True, steps=2)
    assert slot.mix(model).min() == -8.0
    slot.set_mix(before, model)
    pipe_of(nlp).set_temperatures(None)
    pipe_of(nlp).set_label_thresholds(None)


def test_what_was_found_out_is_given_up_once_words_count_otherwise(nlp):
    slot, model = pipe_of(nlp).slot(), pipe_of(nlp).model
    slot.cfg.update(tuned={}, reference={}, uncertain=0.5)
    slot.set_mix(slot.mix(model), model)
    assert "tuned" not in slot.cfg and "reference" not in slot.cfg and slot.cfg.pop("uncertain") == 0.5
