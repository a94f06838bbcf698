"""Macro AUROC and AUPRC of labels"""

import pytest
import spacy
from sklearn.metrics import average_precision_score, roc_auc_score
from spacy.training import Example
from util import make_examples, make_nlp
from wasabi import Printer

pytest.importorskip("spacy_transformers")

from spacy_epee.cli.evaluate import show  # noqa: E402
from spacy_epee.evaluation.compare import compare  # noqa: E402
from spacy_epee.tasks.textcat.scorer import make_textcat_scorer  # noqa: E402

LABELS = ["A", "B", "C"]
SAID = [0.9, 0.4, 0.7, 0.2, 0.6]


def make(rows):
    """Documents with scores and annotation, (said, true) each."""
    vocab, found = spacy.blank("en").vocab, []
    for said, true in rows:
        doc, reference = (spacy.tokens.Doc(vocab, words=["note"]) for _ in range(2))
        doc.cats, reference.cats = said, true
        found.append(Example(doc, reference))
    return found


def test_the_means_are_those_of_scikit_learn():
    true = [[1, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 0, 0, 1]]
    said = [SAID, SAID[::-1], [1 - own for own in SAID]]
    rows = make([(dict(zip(LABELS, s)), dict(zip(LABELS, t))) for s, t in zip(zip(*said), zip(*true))])
    scores = make_textcat_scorer(exclusive=False)(rows, labels=LABELS)
    assert scores["cats_auroc"] == pytest.approx(roc_auc_score(list(zip(*true)), list(zip(*said)), average="macro"))
    assert scores["cats_auprc"] == pytest.approx(average_precision_score(list(zip(*true)), list(zip(*said)), average="macro"))
    assert scores["cats_auroc"] == pytest.approx(scores["cats_macro_auc"]) and scores["cats_ranked_left_out"] == 0


def test_missing_labels_say_nothing_and_labels_of_one_class_are_left_out_and_counted():
    rows = make([({"A": s, "B": s, "C": s}, {"A": float(s > 0.5), "C": 1.0}) for s in SAID] + [({"A": 0.95}, {})])
    scores = make_textcat_scorer(exclusive=False)(rows, labels=LABELS)
    assert scores["cats_auroc"] == 1.0 and scores["cats_ranked_left_out"] == 2
    assert scores["cats_auroc_per_type"] == {"A": 1.0, "B": None, "C": None}
    assert scores["cats_macro_auc"] == pytest.approx(1 / 3)  # spaCy's counts them as 0
    nothing = make_textcat_scorer(exclusive=False)(make([({"A": 0.5}, {"A": 1.0})]), labels=LABELS)
    assert nothing["cats_auroc"] is None and nothing["cats_auprc"] is None and nothing["cats_ranked_left_out"] == 3


def test_one_true_label_makes_the_others_false_named_or_not():
    rows = make(
        [({"A": s, "B": 1 - s}, {"A": 1.0} if s > 0.5 else {"B": 1.0}) for s in SAID] + [({"A": 0.1, "B": 0.9}, {"A": 0.0})]
    )
    scores = make_textcat_scorer(exclusive=True)(rows, labels=["A", "B"])
    assert scores["cats_auroc"] == 1.0 and scores["cats_score_desc"] == "macro F"


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_component_is_scored_so_by_its_config_and_evaluate_shows_it(backbone, multilabel, capsys):
    scorer = {"@scorers": "spacy-epee.textcat_scorer.v1", "exclusive": not multilabel}
    nlp = make_nlp(backbone, LABELS, multilabel, scorer=scorer)
    scores = nlp.evaluate(make_examples(nlp, LABELS, multilabel))
    assert 0 <= scores["cats_auroc"] <= 1 and 0 <= scores["cats_auprc"] <= 1 and set(scores["cats_auroc_per_type"]) == set(LABELS)
    assert "cats_full" in scores
    show(compare(nlp, make_examples(nlp, LABELS, multilabel), nlp.get_pipe(nlp.pipe_names[0]), [1], 1), Printer())
    assert "Macro AUROC" in capsys.readouterr().out
