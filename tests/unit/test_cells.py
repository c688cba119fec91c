"""Values keep their types as cells of a table."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenopt.cells import cell_of, looked_up, loose_number, plain_cell, read_cell, read_column, read_plain_cell
from greenopt.plain_text import is_seen
from greenopt.spec import Choice, Range, Value

ODD = (
    *("", "1", "1.0", "true", "True", "TRUE", "007", "nan", "None", "null", "1e5", "-0", "0x10", "2020-01-01", "+1"),
    *(" 1", "1 ", "  lead", "a,b", 'a"b', '"', '"1"', '""1""', "a\nb", "\r\n", "\t", "inf", "1_000", "１", "é", "NA"),
    *("a\x00b", "'1'", "=1+1", "[1]", "{}", "\u2028", "😀"),
)
TYPED: tuple[Value, ...] = (
    *(1, 1.0, True, False, 0, 0.0, -0.0, 10**30, -(2**63), 2**63, 0.1, 1 / 3, 1e-300, 1.7976931348623157e308, 5e-324),
    *(0.30000000000000004, 1e22, 123456789.12345679, -5),
)
values = st.one_of(
    st.text(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(allow_nan=False, allow_infinity=False)
)


def is_the_same(one: object, other: object) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("value", [*ODD, *TYPED], ids=repr)
def test_a_value_keeps_its_type(value: Value) -> None:
    assert is_the_same(read_cell(cell_of(value)), value)


@given(values)
@example("1\n")
def test_any_value_keeps_its_type(value: Value) -> None:
    cell = cell_of(value)
    assert cell
    assert is_the_same(read_cell(cell), value)


@pytest.mark.parametrize(
    "plain", ["a", "none", "60-20-20", "jit_compilation", "007", "nan", "2020-01-01", "0x10", "a b"]
)
def test_what_is_no_number_is_written_as_it_stands(plain: str) -> None:
    assert cell_of(plain) == plain


@given(st.lists(values, min_size=1, max_size=8))
def test_a_value_of_a_known_study_is_found_in_its_list(listed: list[Value]) -> None:
    unique = [value for index, value in enumerate(listed) if value not in listed[:index]]
    space = Choice(values=tuple(unique))
    for value in unique:
        assert is_the_same(looked_up(cell_of(value), space, is_cell=True), value)
        assert is_the_same(looked_up(value, space, is_cell=False), value)


@pytest.mark.parametrize(
    ("cell", "listed", "meant"),
    [
        ("1", ("1", "2"), "1"),
        ("1", (1, 2), 1),
        ("1", (1.0, 2.0), 1.0),
        ("1", (1, "1"), 1),
        ('"1"', (1, "1"), "1"),
        ("true", ("true", "false"), "true"),
        ("TRUE", (True, False), True),
        ("True", ("True", "False"), "True"),
        ("007", ("007", "008"), "007"),
        ("007", (7, 8), 7),
        ("0.010", (0.01, 0.1), 0.01),
        ("1e-2", (0.01, 0.1), 0.01),
        ("nan", ("nan", "x"), "nan"),
        ("32", (64, 128), 32),
        ("1", (True, False), 1),
    ],
)
def test_a_cell_means_what_the_list_has(cell: str, listed: tuple[Value, ...], meant: Value) -> None:
    assert is_the_same(looked_up(cell, Choice(values=listed), is_cell=True), meant)


def test_a_cell_of_a_range_is_a_number_of_its_kind() -> None:
    whole, fraction = Range(low=1, high=9), Range(low=0.0, high=9.0)
    assert is_the_same(looked_up("3.0", whole, is_cell=True), 3)
    assert is_the_same(looked_up("3", fraction, is_cell=True), 3.0)
    assert is_the_same(looked_up(2.5, whole, is_cell=False), 2.5)
    assert looked_up("x", whole, is_cell=True) == "x"


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1", "2"], [1, 2]),
        (["1", "0.5"], [1, 0.5]),
        (["1", "1.0"], [1.0, 1.0]),
        (["007", "8"], ["007", "8"]),
        (["1", "x"], ["1", "x"]),
        (["True", "False"], [True, False]),
        (["True", "1"], ["True", "1"]),
        (['"1"', "1", "x"], ["1", 1, "x"]),
        (["nan", "1"], ["nan", "1"]),
        (['"quoted', "1"], ['"quoted', "1"]),
    ],
)
def test_a_column_of_an_unknown_study_is_decided_as_a_whole(cells: list[str], read: list[Value]) -> None:
    found = read_column(cells)
    assert all(is_the_same(one, other) for one, other in zip(found, read, strict=True)), found


def test_numbers_as_people_write_them() -> None:
    assert (loose_number("007"), loose_number(" +1.50 "), loose_number("1e999"), loose_number("x")) == (
        7,
        1.5,
        None,
        None,
    )


RUN = [
    *("=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\t=1", "\r=1", " =1", "a;=1+1", "a\n=1", "a\t=1"),
    *("＝1", "＋1", "－1", "＠x", "-", "=", "a; -1", '=HYPERLINK("http://x","y")', "+49 30 1", "\x1b[31m=1", "\n@x"),
]


def parts(cell: str) -> list[str]:
    """What a spreadsheet may take for the beginning of a cell; a semicolon ends one in many countries."""
    return [part.lstrip(" ") for part in re.split("[;\t\r\n]", cell)]


@pytest.mark.parametrize("write", [cell_of, plain_cell])
@pytest.mark.parametrize("text", RUN, ids=repr)
def test_no_spreadsheet_runs_a_text(text: str, write: Callable[[str], str]) -> None:
    assert not any(part.startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")) for part in parts(write(text)))


@given(st.text(st.sampled_from('=+-@;\t\r\n a1"\\\u202e,＝')))
def test_no_spreadsheet_runs_any_text_and_it_comes_back(text: str) -> None:
    for cell in (cell_of(text), plain_cell(text)):
        numbers = not isinstance(read_cell(cell), str)
        assert numbers or not any(part.startswith(("=", "+", "-", "@", "＝")) for part in parts(cell))
    assert read_plain_cell(plain_cell(text)) == text


@given(st.text())
def test_any_text_of_a_column_of_texts_comes_back(text: str) -> None:
    cell = plain_cell(text)
    assert read_plain_cell(cell) == text
    assert all(letter == "\n" or is_seen(letter) for letter in cell)


def test_numbers_are_untouched() -> None:
    assert [cell_of(number) for number in (-1, -0.5, 1e-300, -0.0)] == ["-1", "-0.5", "1e-300", "-0.0"]


@pytest.mark.parametrize("text", ["", "OOM when allocating 3 GiB", "a - b", "x=1", "GPU-1a2b", "a\nb", "007", "3"])
def test_an_ordinary_text_stands_as_it_is(text: str) -> None:
    assert plain_cell(text) == text
