"""Reading annotated images."""

from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional, Union

from spacy.language import Language
from spacy.training import Example

from ..images import install_extension
from .readers import make_docs, need_path, numbered_rows


def ImageReader(
    path: Optional[Union[str, Path]], cats: str = "cats", limit: int = 0
) -> Callable[[Language], Iterable[Example]]:
    """Read images from a JSONL file, which may be compressed: one object a line with "image", the path of a file that starts
    at the folder of the JSONL file; labels; and "text", the report, if there is one.

    path (Optional[Union[str, Path]]): The file, ending in .jsonl or .jsonl.gz. null in a config that is only checked or filled.
    cats (str): The field with the labels: an object {label: 0 or 1}; a list of the labels that are true; or one label.
    limit (int): The most images to read; 0 for all.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus, read anew each time it is called.
    """

    def corpus(nlp: Language) -> Iterator[Example]:
        install_extension()
        file = need_path(path)
        folder = file.parent.absolute()
        numbered = numbered_rows(file, cats, limit, needs=("image",))
        for number, row in numbered:
            if not isinstance(row["image"], str) or not (folder / row["image"]).is_file():
                raise ValueError(
                    f"{file}, line {number}: the field 'image' names no file. Give a path that starts at the folder of this "
                    "JSONL file."
                )
        rows = [{"text": "", **row} for _, row in numbered]
        for row, doc in zip(rows, make_docs(nlp, rows, cats)):
            predicted = nlp.make_doc(doc.text)
            doc._.image = predicted._.image = str(folder / row["image"])
            yield Example(predicted, doc)

    return corpus
