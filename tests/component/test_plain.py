import spacy
from spacy.tokens import Doc, DocBin, Span


class Rule:
    """Nothing that can be written."""


def test_what_cannot_be_saved_is_taken_off_and_all_else_stays():
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_plain")
    doc = nlp.make_doc("No fever.")
    doc.user_data.update({"rule": Rule(), "number": 3, ("._.", "parts", 0, 2): [{"a": Rule()}], "nested": {"a": [1, "b", None]}})
    assert nlp(doc).user_data == {"number": 3, "nested": {"a": [1, "b", None]}}


def test_documents_come_back_from_files_and_processes():
    Span.set_extension("rule_here", default=None, force=True)
    Span.set_extension("negated_here", default=False, force=True)
    nlp = spacy.blank("en")
    nlp.add_pipe("epee_plain")

    def tag(doc: Doc) -> Doc:
        doc.ents = [Span(doc, 1, 2, label="PROBLEM")]
        doc.ents[0]._.rule_here, doc.ents[0]._.negated_here = Rule(), True
        return doc

    doc = nlp(tag(nlp.make_doc("No fever.")))
    [read] = DocBin().from_bytes(DocBin(docs=[doc], store_user_data=True).to_bytes()).get_docs(nlp.vocab)
    assert read.ents[0]._.negated_here and read.ents[0]._.rule_here is None
    Span.remove_extension("rule_here")
    Span.remove_extension("negated_here")
