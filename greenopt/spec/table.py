"""What all tables of a study file share: how they are read, and the texts and sizes in them."""

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from greenopt.spec.sizes import MAX_BYTES, parse_size

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
REFERENCE_PATTERN = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
"""Of a whole text; `$` alone would let a newline at its end pass."""

Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
_AS_SIZE = (BeforeValidator(parse_size), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}))
MemorySize = Annotated[int, Field(ge=10_000_000, le=MAX_BYTES, strict=True), *_AS_SIZE]
LogSize = Annotated[int, Field(ge=500_000, le=MAX_BYTES, strict=True), *_AS_SIZE]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


def without_control_characters(text: str) -> str:
    """Return a text that is shown as it stands.

    Raises:
        PydanticCustomError: it holds what a terminal would obey, or not show.
    """
    if any(not letter.isprintable() and letter not in "\t\n" for letter in text):
        raise PydanticCustomError("plain_text", "may not hold control characters")
    return text


def addressable(size_bytes: int) -> int:
    """Return a size that 64 bits with a sign can hold.

    Raises:
        PydanticCustomError: it is larger.
    """
    if size_bytes >= 2**63:
        raise PydanticCustomError("size", "input should be below 2**63")
    return size_bytes


def _referring(text: str) -> str:
    if not re.fullmatch(REFERENCE_PATTERN, text):
        raise PydanticCustomError("reference", "is not of the form package.module:function")
    return text


Reference = Annotated[str, AfterValidator(_referring)]
PlainText = Annotated[str, AfterValidator(without_control_characters)]


class Table(BaseModel):
    """A table of a study file: immutable, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
