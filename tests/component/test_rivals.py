"""Components that answer in the same place are told by what they left on Docs."""

import pytest
import spacy
from spacy.training import Example

pytest.importorskip("spacy_transformers")

from spacy_epee.component.rivals import has_rivals, kinds_of  # noqa: E402
from spacy_epee.doc_attributes import EXITS  # noqa: E402
from spacy_epee.tasks.base import FlatTask  # noqa: E402
from spacy_epee.tasks.imagecat.task import ImageCat  # noqa: E402
from spacy_epee.tasks.relations.task import Relations  # noqa: E402


def rivals(nlp, task, **entries):
    doc = nlp.make_doc("fever")
    doc.user_data[EXITS] = {"mine": {task: {}}, **{name: dict.fromkeys(tasks, {}) for name, tasks in entries.items()}}
    return has_rivals([Example(doc, nlp.make_doc("fever"))], "mine", task)


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


def test_components_with_another_task_alone_are_no_rivals(nlp):
    assert not rivals(nlp, "events")
    assert not rivals(nlp, "events", other=[Relations.name]) and not rivals(nlp, "relations", other=[ImageCat.name])


def test_components_with_the_same_task_are_rivals(nlp):
    assert rivals(nlp, "relations", other=["relations"]) and rivals(nlp, "relations", other=["textcat", "relations"])


def test_tasks_with_names_that_say_no_kind_may_be_rivals(nlp):
    assert rivals(nlp, "relations", other=["drug and effect"]) and rivals(nlp, "relations", other=["textcat", "drug and effect"])


def test_a_task_of_another_package_is_told_by_its_name(nlp):
    assert rivals(nlp, "relations", other=["test-severity"])

    class Severity(FlatTask):
        name = "test-severity"

    assert "test-severity" in kinds_of() and not rivals(nlp, "relations", other=["test-severity"])
