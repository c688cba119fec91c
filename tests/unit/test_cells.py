"""Values keep their types as cells of a table."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from greenopt.cells import cell_of, looked_up, loose_number, read_cell, read_column
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
