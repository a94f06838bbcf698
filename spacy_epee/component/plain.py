"""Documents that can be saved and handed to other processes, whatever other packages have left on them."""

import srsly
from spacy.tokens import Doc


def keep_plain(doc: Doc) -> Doc:
    """Take off what cannot be written to a file: rules and other objects of Python that components leave in extension attributes.
    Numbers, strings, and lists and dicts of them stay, and so does what a package has taught srsly to write.

    doc (Doc): The Doc.
    RETURNS (Doc): The same.
    """
    for key, value in list(doc.user_data.items()):
        try:
            srsly.msgpack_dumps(value)
        except Exception:  # each kind of object says so in its own way
            del doc.user_data[key]
    return doc
