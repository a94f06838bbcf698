"""From Docs to the pixels of their images."""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import numpy
from spacy.tokens import Doc

from ..doc_attributes import install
from ..errors import raise_alone
from ..threads import cached_property
from .windows import UnreadableDocs

if TYPE_CHECKING:
    from PIL.Image import Image

KEY: Any = ("._.", "image", None, None)
"""Where spaCy keeps `doc._.image`."""


SEVERAL = (
    "An image file has several pages or frames, as stacks of slices do, and the first one is looked at. Save the one that counts "
    "as a file of its own."
)


def need_pillow() -> None:
    """Refuse to go on without the library that reads images.

    RAISES ImportError: It is not installed.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Reading images needs the package 'pillow'. Install it with `pip install \"spacy_epee[image]\"`."
        ) from error


def install_extension() -> None:
    """Register `doc._.image`: a path, a PIL image or an array, None by default."""
    install("image", getter=get_image, setter=set_image)


def get_image(doc: Doc) -> Any:
    """RETURNS (Any): The image of a Doc, None if it has none."""
    return doc.user_data.get(KEY)


def set_image(doc: Doc, image: Any) -> None:
    """Give a Doc an image, in a form that survives `Doc.to_bytes`, `DocBin` and other processes.

    doc (Doc): The Doc.
    image (Any): A path becomes a string, and an image of PIL an array. All else is kept as it is.
    """
    if isinstance(image, Path):
        image = str(image)
    elif hasattr(image, "getbands"):  # an image of PIL, which may be not installed
        image = numpy.asarray(as_rgb(image))
    doc.user_data[KEY] = image


def open_image(image: Any) -> "Image":
    """Read an image in colour.

    image (Any): A path, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of bytes, or of floats from 0 to 1.
    RETURNS (Image): The image, as PIL has it. Of a file with several, the first one; a warning says so.
    RAISES ValueError: It is none. The message shows nothing of it, nor its path, which can name a patient.
    """
    from PIL import Image

    if isinstance(image, numpy.ndarray):
        return as_rgb(Image.fromarray(_as_bytes(image)))
    if not isinstance(image, (str, Path)):
        raise ValueError(f"is of the type {type(image).__name__}; give a path, a PIL image or an array")
    if not os.path.exists(image):  # unlike that of `Path`, it raises nothing for what cannot be a name
        raise ValueError("names a file that does not exist (a relative path starts at the current folder)")
    try:
        with Image.open(image) as file:
            if file.format != "MPO" and getattr(file, "n_frames", 1) > 1:  # a photo with a preview is one
                warnings.warn(SEVERAL)
            return as_rgb(file)
    except Exception as error:  # Pillow raises a dozen kinds, and some of their messages name the file
        raise_alone(ValueError(f"names a file that cannot be read as an image ({type(error).__name__})"))


def as_rgb(image: "Image") -> "Image":
    """Bring an image into the form that image processors take.

    image (Image): An image of any mode. Gray of more than 8 bits, as X-rays often have, is scaled, see `gray_range`. Transparency
        is left out.
    RETURNS (Image): The image upright, in three bands of bytes.
    RAISES ValueError: It holds values that are no numbers.
    """
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # PIL would cut them off at 255
        values = numpy.asarray(upright)
        values = values.astype("float64" if image.mode == "F" else "int64")
        low, high = gray_range(image, values)
        if _tag(image, 262) == 0:  # white is zero, which PIL heeds in images of 8 bits alone
            low, high, values = -high, -low, -values
        upright = Image.fromarray(_scaled(values, low, high))
    elif "transparency" in upright.info or upright.mode == "La":
        upright = upright.convert("RGBA" if upright.mode != "La" else "LA")
    return upright.convert("RGB")


DEPTHS = (255, 1023, 4095, 16383, 65535)
"""White in images of 8, 10, 12, 14 and 16 bits."""


def gray_range(image: "Image", values: numpy.ndarray) -> Tuple[float, float]:
    """Find out which values are black and white in gray of more than 8 bits. Films of 12 bits usually come in files of 16.

    image (Image): The image.
    values (ndarray): Its values.
    RETURNS (Tuple[float, float]): What the file says of its range or of its bits, if it holds all values, else the range of the
        fewest bits that do (8, 10, 12, 14, 16, or 0 to 1 for fractions), else the lowest value and the highest.
    RAISES ValueError: There are values that are no numbers.
    """
    if not numpy.isfinite(values).all():
        raise ValueError("holds values that are no numbers")
    lowest, highest = values.min(), values.max()
    said = [(_tag(image, 340), _tag(image, 341)), (_tag(image, 280), _tag(image, 281))]
    said += [(0, 2**bits - 1) for bits in (_tag(image, 258), _significant_bits(image)) if bits and bits < 16]
    tops = (1, *DEPTHS) if values.dtype.kind == "f" else DEPTHS
    for low, high in [*said, *((0, top) for top in tops)]:
        if low is not None and high is not None and low < high and low <= lowest and highest <= high:
            return low, high
    return lowest, highest


def _scaled(values: numpy.ndarray, low: float, high: float) -> numpy.ndarray:
    """The bytes of gray from black to white."""
    if not low < high:
        return numpy.zeros(values.shape, dtype="uint8")
    if values.dtype.kind == "f":
        return ((values - low) * (255 / (high - low))).round().astype("uint8")
    return ((values - int(low)) * 255 // (int(high) - int(low))).astype("uint8")


def _tag(image: "Image", number: int) -> Any:
    """The first value of a tag of a TIFF file; None if there is none."""
    value = getattr(image, "tag_v2", {}).get(number)
    return value[0] if isinstance(value, tuple) and value else value


def _significant_bits(image: "Image") -> Optional[int]:
    """The chunk sBIT of a PNG file, which PIL does not read: how many bits the values had before they were brought to 16."""
    name = getattr(image, "filename", "")
    if getattr(image, "format", None) != "PNG" or not os.path.isfile(name):
        return None
    with open(name, "rb") as file:
        file.seek(8)
        while True:
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IDAT":
                return None
            if head[4:] == b"sBIT":
                return file.read(1)[0]
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)


def _as_bytes(array: numpy.ndarray) -> numpy.ndarray:
    """Check an array, and make bytes of its values."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or array.ndim == 3 and array.shape[2] in (3, 4)) or not array.size:
        raise ValueError(f"is an array of the shape {array.shape}; give (height, width), or (height, width, 3)")
    if array.dtype == numpy.uint8:
        return numpy.ascontiguousarray(array)
    if not numpy.issubdtype(array.dtype, numpy.floating) or not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"is an array of {array.dtype}; give bytes (uint8), or floats from 0 to 1")
    return (array * 255).round().astype("uint8")


@dataclass
class Images:
    """The images of a batch of Docs, in order: to the loop they are windows, and their patches wordpieces.

    pixels (ndarray): The images, all of one size, (W, 3, height, width) uint8.
    docs (ndarray): The Doc that each is of, (W,).
    n_docs (int): The number of Docs, those without an image included.
    length (int): Patches of an image, special ones included.
    factor (ndarray): What the backbone expects pixels to be multiplied with, (3, 1, 1), and
    shift (ndarray): what is added then, (3, 1, 1).
    """

    pixels: numpy.ndarray
    docs: numpy.ndarray
    n_docs: int
    length: int
    factor: numpy.ndarray
    shift: numpy.ndarray

    def __len__(self) -> int:
        return len(self.docs)

    @cached_property
    def lengths(self) -> numpy.ndarray:
        """RETURNS (ndarray): Patches per image, special ones included, (W,)."""
        return numpy.full(len(self), self.length, dtype="int64")

    def doc_lengths(self) -> numpy.ndarray:
        """RETURNS (ndarray): Patches to run per Doc, (n_docs,)."""
        return numpy.bincount(self.docs, minlength=self.n_docs) * self.length

    def select(self, docs: Sequence[int]) -> "Images":
        """The images of some of the Docs.

        docs (Sequence[int]): The Docs, which are renumbered in this order.
        RETURNS (Images): Their images.
        """
        rows = [numpy.flatnonzero(self.docs == doc) for doc in docs]
        owners = numpy.repeat(numpy.arange(len(rows)), [len(own) for own in rows])
        chosen = numpy.concatenate(rows) if rows else numpy.zeros(0, dtype="int64")
        return replace(self, pixels=self.pixels[chosen], docs=owners, n_docs=len(rows))

    def sample(self, most: int) -> "Images":
        """RETURNS (Images): The images; there is no more than one of a Doc to choose from."""
        return self

    def batch(self, rows: numpy.ndarray, padding: int) -> Tuple[numpy.ndarray, ...]:
        """Make the model's inputs of some images.

        rows (ndarray): Which images.
        padding (int): Not used.
        RETURNS (Tuple[ndarray]): Their pixels, (W', 3, height, width) float32.
        """
        return (self.pixels[rows] * self.factor + self.shift,)


class Preparation:
    """What is done to an image before a backbone sees it."""

    def __init__(self, processor: Any, config: Any, image_size: Optional[int] = None):
        """
        processor (BaseImageProcessor): The image processor of the backbone.
        config (PretrainedConfig): The configuration of the backbone.
        image_size (Optional[int]): The side that images are brought to, without cropping. None for what the processor does;
            if images would keep sizes of their own with that, the side is the backbone's own.
        """
        self.processor = processor
        size = getattr(processor, "size", None) or {}
        same = getattr(processor, "do_center_crop", False) or "height" in size
        if image_size is None and not (same and processor.do_resize):
            image_size = config.image_size if isinstance(config.image_size, int) else max(config.image_size)
        self.options: Dict[str, Any] = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        if image_size is not None:
            self.options.update(size={"height": image_size, "width": image_size}, do_resize=True)
            if hasattr(processor, "do_center_crop"):
                self.options["do_center_crop"] = False
        scale = processor.rescale_factor if processor.do_rescale else 1.0
        mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ([0.0] * 3, [1.0] * 3)
        self.factor = (scale / numpy.array(std, dtype="float32")).reshape(3, 1, 1)
        self.shift = -(numpy.array(mean, dtype="float32") / numpy.array(std, dtype="float32")).reshape(3, 1, 1)

    @cached_property
    def shape(self) -> Tuple[int, int]:
        """RETURNS (Tuple[int, int]): Height and width of all images."""
        from PIL import Image

        return self(Image.new("RGB", (64, 48))).shape[1:]

    def __call__(self, image: "Image") -> numpy.ndarray:
        """Bring an image to size. It stays bytes, a quarter of what the backbone takes: whole batches are kept of them.

        image (Image): The image.
        RETURNS (ndarray): Its pixels, (3, height, width) uint8.
        """
        return self.processor(image, **self.options)["pixel_values"][0].astype("uint8")


class Imager:
    """Reads the images of Docs."""

    def __init__(self, preparation: Preparation, length: int):
        """
        preparation (Preparation): What is done to each.
        length (int): Patches of an image, special ones included.
        """
        self.preparation = preparation
        self.length = length

    def __call__(self, docs: Sequence[Doc], wanted: Optional[Sequence[bool]] = None) -> Images:
        """Read the images of Docs.

        docs (Sequence[Doc]): The Docs. One without an image gets none.
        wanted (Optional[Sequence[bool]]): Those to read; the others get no image. None for all.
        RETURNS (Images): Their images.
        RAISES UnreadableDocs: Images that cannot be read.
        """
        install_extension()
        pixels: List[numpy.ndarray] = []
        owners: List[int] = []
        failed: Dict[int, str] = {}
        for owner, doc in enumerate(docs):
            image = doc._.image if wanted is None or wanted[owner] else None
            if image is None:
                continue
            try:
                pixels.append(self.preparation(open_image(image)))
                owners.append(owner)
            except ValueError as error:
                failed[owner] = str(error)
        if failed:
            first = min(failed)
            more = f" So it is with {len(failed) - 1} more." if len(failed) > 1 else ""
            raise UnreadableDocs(
                f"`doc._.image` of document {first + 1} of the {len(docs)} in the batch {failed[first]}.{more} Correct it, or "
                "set it to None for a document without an image.",
                sorted(failed),
            )
        empty = numpy.zeros((0, 3, *self.preparation.shape), dtype="uint8")
        return Images(
            pixels=numpy.stack(pixels) if pixels else empty,
            docs=numpy.array(owners, dtype="int64"),
            n_docs=len(docs),
            length=self.length,
            factor=self.preparation.factor,
            shift=self.preparation.shift,
        )
