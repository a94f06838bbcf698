import pytest

from spacy_epee.data.formats.elements import DEEPEST, read_elements


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_elements(path, "collection", "document", ["text"]))


def refused(path, content):
    with pytest.raises(ValueError) as caught:
        read(path, content)
    assert caught.value.__cause__ is None and caught.value.__context__ is None and "SECRET" not in str(caught.value)
    return str(caught.value)


def test_elements_are_read_with_their_lines_and_whole_texts(tmp_path):
    text = "<text>a &lt; <!-- c -->b<i>c</i>d</text>"
    content = f"<collection>\n<key>k</key>\n<document n='1'>{text}</document><document/></collection>"
    first, second = read(tmp_path / "in.xml", content)
    assert (first.line, first.attributes, first.text_of("text"), second.children) == (3, {"n": "1"}, "a < bcd", [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "windows-1252"])
def test_elements_are_read_in_the_encoding_that_the_file_names(encoding, tmp_path):
    content = f'<?xml version="1.0" encoding="{encoding}"?><collection><document><text>Käse</text></document></collection>'
    (element,) = read(tmp_path / "in.xml", content.encode(encoding))
    assert element.text_of("text") == "Käse"


@pytest.mark.parametrize(
    "content,named",
    [
        ("<collection>\n<document><text>SECRET", "line 2: not XML"),
        ("<collection>\n<document><text>SECRET</SECRET>", "line 2: not XML"),
        (b"<collection>\n<document><text>K\xe4se SECRET</text>", "line 2: not XML"),
        ("<collection><document><text>&SECRET;</text></document></collection>", "line 1: not XML"),
        ("<SECRET/>", "the root is not <collection>"),
        ("", "not XML"),
        ('<?xml version="1.0" encoding="SECRET"?><collection/>', "line 1: the encoding"),
        (b'<?xml version="1.0" encoding="shift_jis"?><collection>SECRET</collection>', "line 1: not read in the encoding"),
        ("<collection>" + "<SECRET>" * DEEPEST, f"more than {DEEPEST} elements"),
    ],
)
def test_elements_of_damaged_files_are_refused_with_the_line_and_without_a_text(content, named, tmp_path):
    assert named in refused(tmp_path / "in.xml", content)


@pytest.mark.parametrize(
    "declared,used",
    [
        ('<!ENTITY a "SECRET"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">', "&b;"),
        ('<!ENTITY x SYSTEM "file:///etc/hostname">', "&x;"),
        ('<!ENTITY % x SYSTEM "file:///etc/hostname"> %x;', ""),
        ('<!ENTITY x "SECRET">', ""),
    ],
)
def test_entities_are_refused_where_they_are_declared(declared, used, tmp_path):
    content = f"<!DOCTYPE collection [{declared}]><collection><document><text>{used}</text></document></collection>"
    assert "line 1: it declares entities" in refused(tmp_path / "in.xml", content)


def test_entities_of_another_file_are_refused(tmp_path):
    (tmp_path / "BioC.dtd").write_text('<!ENTITY beta "SECRET">')
    content = '<!DOCTYPE collection SYSTEM "BioC.dtd">\n<collection><document><text>&beta;</text></document></collection>'
    assert "line 2: it has an entity that is declared in another file" in refused(tmp_path / "in.xml", content)
