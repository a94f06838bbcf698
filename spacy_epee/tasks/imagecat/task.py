"""Classification of images. The unit that exits is the document, with the one image that it has."""

from typing import Any, Dict, Sequence, Union

from spacy.training import Example

from ...inputs.images import install_extension
from ...inputs.instances import Instances
from ..textcat.task import TextCat


class ImageCat(TextCat):
    """Labels of the image in `doc._.image`, in `doc.cats`. What a text and an image have in common is in `TextCat`."""

    name = "imagecat"
    reads = "images"
    always_answers = False  # without an image all scores are 0

    def __init__(
        self, *, exclusive: bool, label_weights: Union[str, Dict[str, float]], reduce: str, unknown_threshold: float = 0.0
    ):
        """
        exclusive (bool): Exactly one label is true, or any number of them.
        label_weights (Union[str, Dict[str, float]]): As those of `TextCat`.
        reduce (str): How the labels' uncertainties are joined, if not exclusive: "mean" or "max".
        unknown_threshold (float): As that of `TextCat`.
        """
        super().__init__(exclusive=exclusive, label_weights=label_weights, reduce=reduce, unknown_threshold=unknown_threshold)
        install_extension()

    def check_data(self, examples: Sequence[Example], items: Instances, name: str) -> None:
        """Refuse data without images.

        examples (Sequence[Example]): Some examples.
        items (Instances): What was asked about them.
        name (str): The component.
        RAISES ValueError: None has an image.
        """
        if not len(items.live):
            raise ValueError(
                f"None of the first {len(examples)} examples for the component '{name}' has an image. Set `doc._.image` on "
                "their predicted documents, or read them with the reader `spacy-epee.ImageReader.v1`, which does."
            )

    def score_settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What the scorer must know."""
        return {"multi_label": not self.exclusive}
