"""Reading annotated images."""

import os.path
from pathlib import Path
from typing import Callable, Iterable, Iterator, Optional, Union

from spacy.language import Language
from spacy.training import Example

from ..inputs.images import install_extension
from .readers import Line, make_docs, need_path, read_rows


def ImageReader(
    path: Optional[Union[str, Path]], cats: str = "cats", limit: int = 0, teacher: Optional[str] = "teacher"
) -> Callable[[Language], Iterable[Example]]:
    """Read images from a JSONL file, which may be compressed: one object a line with "image", the path of a file that starts
    at the folder of the JSONL file; labels; and "text", the report, if there is one.

    path (Optional[Union[str, Path]]): The file, ending in .jsonl or .jsonl.gz, or a folder of such files. null in a config that
        is only checked or filled.
    cats (str): The field with the labels: an object {label: 0 or 1}; a list of the labels that are true; or one label.
    limit (int): The most images to read; 0 for all.
    teacher (Optional[str]): The field with what teachers say, as of `JsonlReader`.
    RETURNS (Callable[[Language], Iterable[Example]]): The corpus, read anew each time it is called.
    """

    def corpus(nlp: Language) -> Iterator[Example]:
        install_extension()
        rows = read_rows(need_path(path), cats, limit, needs=("image",), teacher=teacher)
        for line in rows:
            # Unlike `Path.is_file`, this raises no error that shows a name which is too long for a file.
            if not isinstance(line.row["image"], str) or not os.path.isfile(_place(line)):
                raise ValueError(
                    f"{line.where}: the field 'image' names no file. Give a path that starts at the folder of this JSONL file."
                )
        for line, doc in zip(rows, make_docs(nlp, rows, cats, teacher)):
            predicted = nlp.make_doc(doc.text)
            doc._.image = predicted._.image = _place(line)
            yield Example(predicted, doc)

    return corpus


def _place(line: Line) -> str:
    return str(line.file.parent.absolute() / line.row["image"])
