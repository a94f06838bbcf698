"""Tables that fit on a screen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasabi import Printer

from spacy_epee.cli.tables import WIDTH, change, percent, print_table


def printed(capsys, *table, **settings):
    capsys.readouterr()
    print_table(Printer(), *table, **settings)
    return capsys.readouterr().out


def test_table_that_fits_is_left_as_it_is(capsys):
    lines = printed(capsys, [["one", "1.00"], ["another", "12.00"]], ["Name", "Score"]).strip("\n").split("\n")
    assert lines == ["Name      Score", "-------   -----", "one        1.00", "another   12.00"]


def test_long_text_is_wrapped_and_nothing_is_lost(capsys):
    settings = "entropy " + " ".join(f"0.{number:04}" for number in range(24)) + ", patience 4"
    found = printed(
        capsys,
        [["entropy by exit or patience", settings, "99.12", "4.34x"]],
        ["Rule", "Settings", "mean F of triggers and arguments, predicted triggers", "Fewer"],
        left=2,
    )
    assert max(map(len, found.split("\n"))) <= WIDTH
    assert all(word in found for word in (*settings.split(), "triggers", "predicted", "99.12", "4.34x"))


WORDS = st.text("abcdefgh .,0123456789", max_size=200)
FIGURES = st.floats(-1e4, 1e4).map("{:.2f}".format)


@settings(max_examples=100)
@given(
    rows=st.lists(st.tuples(WORDS, WORDS, FIGURES, FIGURES, FIGURES, FIGURES), max_size=5),
    header=st.lists(WORDS, min_size=6, max_size=6),
)
def test_any_table_fits(rows, header):
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_table(Printer(), rows, header, left=2)
    lines = out.getvalue().split("\n")
    # Six columns of the longest words that are not broken may need more.
    assert max(map(len, lines)) <= max(WIDTH, 6 * 20 + 5 * 3)
    for row in rows:
        assert all(figure in out.getvalue() for figure in row[2:])


@pytest.mark.parametrize("value,shown", [(None, "-"), (0.0, "0.00"), (0.12345, "12.35")])
def test_percent(value, shown):
    assert percent(value) == shown


@pytest.mark.parametrize(
    "difference,spread,shown",
    [
        (None, None, "-"),
        (0.003, 0.0081, "+0.30 ± 0.81"),
        (-0.01, None, "-1.00"),
        (0.0, 0.0, "+0.00 ± 0.00"),
        (-0.0, 0.0, "+0.00 ± 0.00"),
        (-0.00001, None, "+0.00"),
    ],
)
def test_change(difference, spread, shown):
    assert change(difference, spread) == shown
