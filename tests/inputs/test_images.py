"""Images of any kind, and what is none."""

import pickle
from pathlib import Path

import numpy
import pytest
import spacy
import transformers
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from spacy.tokens import Doc, DocBin

from spacy_epee.inputs.images import Imager, Preparation, as_rgb, install_extension, open_image
from spacy_epee.inputs.windows import UnreadableDocs

GRAY = numpy.arange(12 * 10, dtype="uint8").reshape(12, 10)
COLOUR = numpy.stack((GRAY, GRAY + 50, GRAY + 100), axis=2)
VIT = transformers.ViTImageProcessor(size={"height": 16, "width": 16}, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.2, 0.1])
BIT = transformers.BitImageProcessor(size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16})


def make_imager(processor=VIT, **settings):
    return Imager(Preparation(processor, transformers.ViTConfig(image_size=16, patch_size=8), **settings), length=5)


def make_doc(image):
    install_extension()
    doc = spacy.blank("en").make_doc("A film.")
    doc._.image = image
    return doc


def in_three(array):
    return numpy.stack([array] * 3, axis=2)


@pytest.mark.parametrize(
    "image,expected",
    [
        (GRAY, in_three(GRAY)),
        (GRAY[:, :, None], in_three(GRAY)),
        (COLOUR, COLOUR),
        (numpy.dstack((COLOUR, GRAY)), COLOUR),
        ((GRAY / 255).astype("float32"), in_three(GRAY)),
        (COLOUR / 255, COLOUR),
        (GRAY.T[::-1], in_three(GRAY.T[::-1])),
    ],
)
def test_images_arrays(image, expected):
    assert numpy.array_equal(numpy.asarray(open_image(image)), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK"])
@pytest.mark.parametrize("kind", [str, Path, "PIL"])
def test_images_files_and_pil(tmp_path, mode, kind):
    image = Image.fromarray(COLOUR).convert(mode)
    image.save(tmp_path / "image.tiff")
    value = image if kind == "PIL" else kind(tmp_path / "image.tiff")
    found = numpy.asarray(open_image(make_doc(value)._.image))
    assert numpy.array_equal(found, numpy.asarray(image.convert("RGB"))) and found.std() > 10


def test_images_of_16_bits_are_not_cut_off(tmp_path):
    Image.fromarray(GRAY.astype("uint16") * 257).save(tmp_path / "film.png")
    assert numpy.array_equal(numpy.asarray(open_image(tmp_path / "film.png")), in_three(GRAY))


def gray(image, path, **save):
    """The gray of an image that was saved and read."""
    image.save(path, **save)
    return numpy.asarray(open_image(path))[:, :, 0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("name", ["film.png", "film.tiff"])
def test_images_of_fewer_bits_in_files_of_16_keep_their_contrast(tmp_path, bits, name):
    values = numpy.linspace(0, 2**bits - 1, 120).reshape(12, 10).astype("uint16")
    found = gray(Image.fromarray(values), tmp_path / name)
    assert found.max() == 255 and numpy.abs(found - values * (255 / (2**bits - 1))).max() <= 1


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B", "I;16L", "F"])
def test_images_of_every_deep_mode_are_scaled_alike(tmp_path, mode):
    values = GRAY.astype("uint16") * 16
    kinds = {"I": "<i4", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "F": "<f4"}
    image = Image.frombytes(mode, (10, 12), values.astype(kinds[mode]).tobytes())
    found = numpy.asarray(as_rgb(image))[:, :, 0]
    assert numpy.abs(found - values * (255 / 4095)).max() <= 1
    assert numpy.array_equal(found, numpy.asarray(open_image(make_doc(image)._.image))[:, :, 0])


def test_images_of_fractions_keep_all_their_values(tmp_path):
    assert numpy.array_equal(gray(Image.fromarray((GRAY / 255).astype("float32")), tmp_path / "film.tiff"), GRAY)


@pytest.mark.parametrize("low,high", [(-1024, 3071), (-0.5, 0.75), (0, 10**6)])
def test_images_of_other_ranges_go_from_their_lowest_value_to_their_highest(low, high):
    kind = "float32" if isinstance(high, float) else "int32"
    found = numpy.asarray(as_rgb(Image.fromarray(numpy.linspace(low, high, 120).reshape(12, 10).astype(kind))))
    assert found.min() == 0 and found.max() == 255 and len(numpy.unique(found)) == 120


@pytest.mark.parametrize("tags", [{281: 4095}, {280: 0, 281: 4095}, {340: 0, 341: 4095}])
def test_images_are_scaled_by_what_a_tiff_file_says(tmp_path, tags):
    info = ImageFileDirectory_v2()
    for number, value in {280: 0, **tags}.items():
        info[number] = value
    found = gray(Image.fromarray(GRAY.astype("uint16")), tmp_path / "film.tiff", tiffinfo=info)
    assert numpy.array_equal(found, GRAY.astype(int) * 255 // 4095)


def test_images_are_scaled_by_what_a_png_file_says(tmp_path):
    info = PngInfo()
    info.add(b"sBIT", bytes([12]))
    found = gray(Image.fromarray(GRAY.astype("uint16")), tmp_path / "film.png", pnginfo=info)
    assert numpy.array_equal(found, GRAY.astype(int) * 255 // 4095)
    assert gray(Image.fromarray(GRAY.astype("uint16") * 257), tmp_path / "film.png", pnginfo=info).max() == GRAY.max()


def test_images_where_white_is_zero_are_turned_round(tmp_path):
    values = numpy.linspace(0, 65535, 120).reshape(12, 10).astype("uint16")
    path = tmp_path / "film.tiff"
    Image.fromarray(values).save(path)
    data = bytearray(path.read_bytes())
    place = data.index(bytes([6, 1, 3, 0, 1, 0, 0, 0]))  # the photometric interpretation
    data[place + 8] = 0
    path.write_bytes(data)
    found = numpy.asarray(open_image(path))[:, :, 0]
    assert found[0, 0] == 255 and found[-1, -1] == 0


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_images_of_what_is_no_number_are_refused(tmp_path, value):
    Image.fromarray(numpy.full((4, 4), value, dtype="float32")).save(tmp_path / "film.tiff")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        open_image(tmp_path / "film.tiff")


def test_images_of_one_value_are_black_or_as_they_are():
    assert not numpy.asarray(as_rgb(Image.new("I", (4, 4), -5))).any()
    assert not numpy.asarray(as_rgb(Image.new("F", (4, 4), -0.5))).any()
    assert (numpy.asarray(as_rgb(Image.new("F", (4, 4), 1.0))) == 255).all()


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "P", "RGBA", "1", "CMYK", "YCbCr"])
def test_images_of_every_mode_become_colour_without_a_warning(tmp_path, mode, recwarn):
    image = Image.fromarray(COLOUR).convert("LA" if mode == "La" else mode).convert(mode)
    if mode == "P":
        image.info["transparency"] = bytes(range(0, 256))
    assert as_rgb(image).mode == "RGB" and numpy.asarray(as_rgb(image)).std() > 10
    assert not recwarn.list


@pytest.mark.parametrize("name", ["x" * 5000, "\0", "\ud800"])
def test_images_that_no_file_can_be_called_do_not_exist(name):
    with pytest.raises(ValueError, match="does not exist") as error:
        open_image(name)
    assert error.value.__context__ is None


def test_images_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees
    Image.fromarray(COLOUR).save(tmp_path / "photo.png", exif=exif)
    assert numpy.array_equal(numpy.asarray(open_image(tmp_path / "photo.png")), numpy.rot90(COLOUR, -1))


@pytest.mark.parametrize(
    "image,problem",
    [
        ("/no/Secretname.png", "does not exist"),
        ("https://example.org/Secretname.png", "does not exist"),
        (3, "is of the type int; give a path"),
        ([[1, 2], [3, 4]], "is of the type list; give a path"),
        (numpy.zeros((3, 12, 10), dtype="uint8"), r"shape \(3, 12, 10\)"),
        (numpy.zeros((0, 10), dtype="uint8"), r"shape \(0, 10\)"),
        (numpy.zeros(10), r"shape \(10,\)"),
        (numpy.full((4, 4), 255.0), "floats from 0 to 1"),
        (numpy.full((4, 4), numpy.nan), "floats from 0 to 1"),
        (numpy.full((4, 4), -0.1), "floats from 0 to 1"),
        (numpy.ones((4, 4), dtype="int64"), "int64; give bytes"),
    ],
)
def test_images_bad_ones(image, problem):
    with pytest.raises(UnreadableDocs, match=f"document 2 of the 3 in the batch .*{problem}.*None") as error:
        make_imager()([make_doc(GRAY), make_doc(image), make_doc(None)])
    assert "Secretname" not in str(error.value) and error.value.docs == [1]


@pytest.mark.parametrize("content", [b"", b"Secretname", b"%PDF-1.4"])
def test_images_files_that_are_none(tmp_path, content):
    file = tmp_path / "Secretname.png"
    file.write_bytes(content)
    for path in (file, tmp_path):  # a folder is none either
        with pytest.raises(ValueError, match="document 1 of the 1 .*cannot be read as an image") as error:
            make_imager()([make_doc(path)])
        assert "Secretname" not in str(error.value) and error.value.__cause__ is None


def test_images_truncated_file(tmp_path):
    file = tmp_path / "film.png"
    Image.fromarray(numpy.random.default_rng(0).integers(0, 255, (90, 90), dtype="uint8")).save(file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match="cannot be read"):
        open_image(file)


def test_images_all_bad_ones_are_named():
    docs = [make_doc(image) for image in (3, GRAY, 4, 5)]
    with pytest.raises(UnreadableDocs, match="document 1 of the 4.* 2 more") as error:
        make_imager()(docs)
    assert pickle.loads(pickle.dumps(error.value)).docs == error.value.docs == [0, 2, 3]


@pytest.mark.parametrize(
    "image",
    [
        GRAY,
        COLOUR,
        (COLOUR / 255).astype("float32"),
        "films/1.png",
        Path("films/1.png"),
        Image.fromarray(COLOUR),
        Image.fromarray(GRAY),
        None,
    ],
)
def test_images_survive_bytes_and_docbin(image):
    doc = make_doc(image)
    copied = Doc(doc.vocab).from_bytes(doc.to_bytes())
    (stored,) = DocBin(docs=[doc], store_user_data=True).get_docs(doc.vocab)
    for other in (copied, stored, doc.copy()):
        assert type(other._.image) is type(doc._.image)
        assert numpy.array_equal(other._.image, doc._.image)


def test_images_default_is_none():
    install_extension()
    assert spacy.blank("en")("A film.")._.image is None


@pytest.mark.parametrize("processor", [VIT, BIT])
@pytest.mark.parametrize("image", [GRAY, COLOUR])
def test_images_are_prepared_as_their_processor_does(processor, image):
    images = make_imager(processor)([make_doc(image)])
    (found,) = images.batch(numpy.array([0]), 0)
    expected = processor(open_image(image), return_tensors="np")["pixel_values"]
    assert found.dtype == numpy.float32 and found.shape == (1, 3, 16, 16)
    numpy.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("settings", [{"do_rescale": False}, {"do_normalize": False}, {"rescale_factor": 1 / 127.5}])
def test_images_are_scaled_as_their_processor_says(settings):
    processor = transformers.ViTImageProcessor(size={"height": 16, "width": 16}, **settings)
    (found,) = make_imager(processor)([make_doc(COLOUR)]).batch(numpy.array([0]), 0)
    numpy.testing.assert_allclose(found, processor(open_image(COLOUR), return_tensors="np")["pixel_values"], atol=1e-4)


@pytest.mark.parametrize("settings", [{"do_resize": False}, {"size": {"shortest_edge": 20}, "do_center_crop": False}])
def test_images_get_one_size_in_any_case(settings):
    images = make_imager(transformers.BitImageProcessor(**{"do_center_crop": False, **settings}))(
        [make_doc(GRAY), make_doc(COLOUR[:5])]
    )
    assert images.pixels.shape == (2, 3, 16, 16)


def test_images_of_some_docs():
    docs = [make_doc(image) for image in (GRAY, None, COLOUR, GRAY + 1)]
    images = make_imager()(docs)
    assert images.docs.tolist() == [0, 2, 3] and images.n_docs == 4 and images.lengths.tolist() == [5, 5, 5]
    assert images.doc_lengths().tolist() == [5, 0, 5, 5]
    some = images.select([3, 1, 0])
    assert some.docs.tolist() == [0, 2] and some.n_docs == 3
    assert numpy.array_equal(some.pixels, images.pixels[[2, 0]])
    assert images.select([1]).pixels.shape == (0, 3, 16, 16) and len(images.select([])) == 0
    assert make_imager()(docs, [True, True, False, False]).docs.tolist() == [0]
    assert images.sample(1) is images


@pytest.mark.parametrize("name", ["stack.tiff", "stack.gif", "stack.png"])
def test_images_of_a_stack_are_the_first_one_and_said(tmp_path, name):
    first, second = Image.fromarray(GRAY), Image.fromarray(255 - GRAY)
    first.save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match="several pages or frames"):
        assert numpy.array_equal(numpy.asarray(open_image(tmp_path / name)), in_three(GRAY))
