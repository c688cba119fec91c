"""Text of others as it may be shown: no character of it moves a cursor, hides, reverses or stands for a command.

Everything that greenopt prints or hands to a page goes through here once, at the door where it leaves: log lines,
messages of user code, names and values of imported files may hold terminal escapes or signs that reverse the text.
"""

import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories of what is not seen: control, format (which reverse or join), lone surrogates, private and
unassigned characters, separators of lines."""

# Colours and links of a terminal as a program prints them: their letters say nothing once they are shown as text.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_SECRET = re.compile(
    r"""(?ix) (?P<name>\b[\w-]*(?:password|passwd|passphrase|passfile|secret|token|api[_-]?key)\b["']?\s*[=:]\s*)"""
    r"""(?P<value> "[^"]*" | '[^']*' | [^\s,;&)\]}]+ )"""
)


def is_seen(letter: str) -> bool:
    """Return whether a character is shown as itself and does nothing else."""
    return unicodedata.category(letter) not in _HIDDEN


def printable(text: str, keep: str = "") -> str:
    r"""Return a text whose unseen characters are written as escapes: `\x1b`, `\u202e`.

    Args:
        text: anybody's.
        keep: unseen characters that stay, such as a newline.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in keep or is_seen(letter) else repr(letter)[1:-1] for letter in text)


def in_one_line(text: str) -> str:
    """Return a text on one line: line breaks become spaces, other unseen characters escapes."""
    return printable(" ".join(text.split()) if "\n" in text or "\r" in text else text)


def uncoloured(text: str) -> str:
    """Return what a program printed without its colours, with other unseen characters as escapes; lines stay lines."""
    return printable(_SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\t", "    ")), keep="\n")


def json_printable(text: str) -> str:
    """Return a JSON text whose unseen characters are written as JSON's own escapes; its values stay the same."""
    if text.isprintable():
        return text
    return "".join(letter if letter == "\n" or is_seen(letter) else _json_escape(letter) for letter in text)


def without_named_secrets(text: str) -> str:
    """Return a text in which what is called a password, a token or a key is hidden: `password=***`."""
    return _SECRET.sub(lambda found: f"{found['name']}***", text)


def _json_escape(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
