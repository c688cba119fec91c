"""The one line in which an error is shown."""

from hypothesis import given
from hypothesis import strategies as st

from greenopt.errors import MAX_LINE, one_line, shortened, shown
from greenopt.plain_text import printable


@given(st.text(max_size=600))
def test_any_message_becomes_one_printable_line(message: str) -> None:
    line = one_line(message)
    assert len(line) <= MAX_LINE
    assert line.isprintable()


def test_a_short_message_stays_as_it_is() -> None:
    assert one_line("studies/x.toml: training.epochs: 0: input should be greater than 0") == (
        "studies/x.toml: training.epochs: 0: input should be greater than 0"
    )


def test_a_long_path_loses_its_middle_and_the_way_out_stays() -> None:
    line = one_line(f"/{'folder/' * 60}x.toml: no such file; give the path of a study file")
    assert len(line) == MAX_LINE
    assert line.startswith("/folder/")
    assert line.endswith("x.toml: no such file; give the path of a study file")


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    assert printable("a\x1b[2Jb\n") == r"a\x1b[2Jb\n"
    assert one_line("a\x1b[31m b\u202e") == r"a\x1b[31m b\u202e"


def test_a_value_is_shown_in_few_letters_whatever_it_is() -> None:
    assert shown("x" * 300) == f"'{'x' * 18}…{'x' * 19}'"
    assert shown(10**5000) == "a int too large to be shown"
    assert shortened("abcdef", 5) == "ab…ef"
    assert shortened("abcdef", 6) == "abcdef"
