"""The settings that factories start from, and the weights of scores."""

from typing import Any, Dict, Optional

from thinc.api import Config

TRUNK = """
[model.trunk]
@architectures = "spacy-epee.TransformerTrunk.v1"
name = null
component = null
window = 256
overlap = 32
freeze_embeddings = true
lr_decay = 1.0
mixed_precision = true
max_wordpieces = 4096
frozen = false
"""

LOSS = """
[loss]
@misc = "spacy-epee.JointLoss.v1"
weighting = "depth"
self_distillation = 0.0
temperature = 3.0
teacher_share = 0.5
teacher_temperature = 2.0
"""

SINGLE = """
[model]
@architectures = "spacy-epee.EarlyExitModel.v1"
exit_layers = null

[exit]
@misc = "spacy-epee.EntropyPatience.v1"
entropy = 0.1
patience = 4
"""

FEW = SINGLE.replace("exit_layers = null", 'exit_layers = "few"')
"""For windows: a look at what they say costs a fifth of a layer where there is no event, and more than half a layer for links."""

SEVERAL = """
[model]
@architectures = "spacy-epee.JointModel.v1"
exit_layers = null
heads = {}
"""

IMAGE_TRUNK = """
[model.trunk]
@architectures = "spacy-epee.ImageTrunk.v1"
name = null
image_size = null
freeze_embeddings = true
lr_decay = 1.0
mixed_precision = true
max_patches = 4096
frozen = false
"""

POOLED = """
[model.head]
@architectures = "spacy-epee.PooledHead.v1"
pooling = "mean"
dropout = 0.1
learned_exit = false
standardize = true
lr_scale = 10.0
lexical = 50000
"""

CLS = POOLED.replace("mean", "cls").replace("50000", "0")

PAIRS = """
[model.head]
@architectures = "spacy-epee.PairHead.v1"
hidden = 128
between = true
attributes = true
dropout = 0.1
learned_exit = false
standardize = true
lr_scale = 10.0
gate = 0

[candidates]
@misc = "spacy-epee.EntityPairs.v1"
spans_key = null
labels = null
level = "mention"
symmetric = false
max_distance = null
same_sentence = false
max_pairs = 20000
leave_out = null
"""

TAGS = """
[model.head]
@architectures = "spacy-epee.EventHead.v1"
hidden = 128
dropout = 0.1
learned_exit = false
standardize = true
lr_scale = 10.0
gate = 0
"""

JOINT = """
joint = "all"
compare_full_depth = true
tasks = {}
"""

TEXTCAT = """
label_weights = {}
unknown_threshold = 0.0
compare_full_depth = true
scorer = {"@scorers": "spacy.textcat_scorer.v2"}
"""

TEXTCAT_MULTILABEL = """
threshold = 0.5
reduce = "max"
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy.textcat_multilabel_scorer.v2"}
"""

RELATIONS = """
exclusive = true
hide_entities = 0.0
threshold = 0.5
reduce = "max"
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy-epee.relations_scorer.v1"}
"""

EVENTS = """
arguments = "free"
spans_key = null
leave_out = null
triggers_key = null
max_pairs = 5000
threshold = 0.5
reduce = "max"
label_weights = {}
compare_full_depth = true
scorer = {"@scorers": "spacy-epee.events_scorer.v1"}
"""

IMAGECAT = """
exclusive = true
threshold = 0.5
reduce = "max"
label_weights = {}
unknown_threshold = 0.0
compare_full_depth = true
scorer = {"@scorers": "spacy-epee.imagecat_scorer.v1"}
"""

SCORES: Dict[str, Optional[float]] = {
    "cats_score": 0.5,
    "cats_full": 0.5,
    "exit_layer": None,
    "cats_score_desc": None,
    "cats_micro_p": None,
    "cats_micro_r": None,
    "cats_micro_f": None,
    "cats_macro_p": None,
    "cats_macro_r": None,
    "cats_macro_f": None,
    "cats_macro_auc": None,
    "cats_f_per_type": None,
}


RELATION_SCORES: Dict[str, Optional[float]] = {
    "rel_micro_f": 0.5,
    "rel_full": 0.5,
    "exit_layer": None,
    "rel_micro_p": None,
    "rel_micro_r": None,
    "rel_macro_p": None,
    "rel_macro_r": None,
    "rel_macro_f": None,
    "rel_f_per_type": None,
}


EVENT_SCORES: Dict[str, Optional[float]] = {
    "ev_f": 0.5,
    "ev_full": 0.5,
    "exit_layer": None,
    **{
        f"ev_{what}_{figure}": None
        for what in (
            "trigger_id",
            "trigger",
            "arg_id",
            "arg",
            "main",
            "nested",
            "role",
            "token_trigger",
            "token_arg",
            "attr",
            "event",
        )
        for figure in "prf"
    },
    "ev_trigger_per_type": None,
    "ev_role_per_type": None,
    "ev_triggers": None,
}


JOINT_SCORES: Dict[str, Optional[float]] = {"joint_score": 0.5, "joint_full": 0.5, "exit_layer": None}


def block_of(settings: str, model: str, trunk: str = TRUNK) -> Dict[str, Any]:
    blocks = (model + trunk + LOSS).replace("\n[", "\n[component.")
    return Config().from_str("[component]\n" + settings + blocks, interpolate=False)["component"]
