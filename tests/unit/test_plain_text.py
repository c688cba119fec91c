"""Anybody's text loses what would command a terminal, and nothing else."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenopt.plain_text import in_one_line, json_printable, printable, uncoloured, without_named_secrets

HOSTILE = [
    *("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "\x1bPq\x1b\\", "\x1b[6n"),
    *("\x9b31m", "\x07\x08\x7f", "a\rb", "\x00", "\u202eabc\u202c", "\u2066x\u2069", "\u200b\u200f\ufeff", "\u2028"),
    *("\ud800", "\U000e0041", "\x1b[2J\x1b[H", "a\x1b[1A\x1b[2Kb", "\x85"),
]


def commands(text: str, keep: str = "") -> list[str]:
    """What in a text is not seen."""
    return [one for one in text if one not in keep and unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_nothing_unseen_is_left(text: str) -> None:
    assert commands(printable(text)) == []
    assert commands(in_one_line(text)) == []
    assert commands(uncoloured(text), keep="\n") == []
    assert printable(printable(text)) == printable(text)


@given(st.text(st.characters()))
def test_nothing_unseen_is_left_of_any_text(text: str) -> None:
    assert commands(printable(text)) == []
    assert commands(uncoloured(text), keep="\n") == []


def test_what_is_seen_stays() -> None:
    for text in ("Größe 3 µm ± 0.1", "学習率 – ~6.1 Wh est.", "a b", "😀", "\\x1b", "[bold]x[/] `code` <b>"):
        assert printable(text) == in_one_line(text) == uncoloured(text) == text


def test_escapes_are_shown_as_such_and_colours_taken_out() -> None:
    assert printable("\x1b[31m\u202e") == "\\x1b[31m\\u202e"
    assert printable("a\nb", keep="\n") == "a\nb"
    assert in_one_line("a\n  b") == "a b"
    assert uncoloured("\x1b[31mloss\x1b[0m 1\r\n\x1b]8;;x\x1b\\y\tz") == "loss 1\ny    z"


@given(st.text(st.characters()))
def test_json_keeps_its_values(text: str) -> None:
    shown = json_printable(json.dumps({"a": text}, ensure_ascii=False))
    assert commands(shown, keep="\n") == []
    assert json.loads(shown) == {"a": text}


@pytest.mark.parametrize(
    "text",
    ["password=hunter2 x", "PGPASSWORD: hunter2", "api_key = 'hunter2'", '{"token": "hunter2"}', "a.secret=hunter2"],
)
def test_what_is_called_a_secret_is_hidden(text: str) -> None:
    assert "hunter2" not in without_named_secrets(text)
    assert "***" in without_named_secrets(text)


def test_words_about_secrets_stay() -> None:
    text = "password authentication failed for user u; the token has expired"
    assert without_named_secrets(text) == text
