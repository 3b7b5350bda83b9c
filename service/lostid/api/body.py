"""Strict JSON: what a body must be before anyone looks for fields in it.

RFC 8259 in UTF-8 without BOM, no repeated key (section 4 leaves them open: two readers could see two documents),
no NaN or Infinity, no number beyond a double, no lone surrogate."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from lostid.api.problems import Problem

LIMIT = 256 * 1024
# RFC 9110 section 5.6.6: a semicolon may stand alone.
_JSON_TYPE = re.compile(rb"application/json[ \t]*(;[ \t]*(charset=(utf-8|\"utf-8\"))?[ \t]*)*", re.IGNORECASE)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_INFINITE = float("inf")


def strict_json(body: bytes) -> Any:
    """The one JSON value in the body. Raises Problem json_malformed or key_repeated."""
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_malformed, parse_float=_number)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone one cannot be encoded
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Problem("json_malformed") from None
    return value


def is_json(content_type: bytes, content_encoding: bytes) -> bool:
    """Whether the headers promise a body that this server reads."""
    if content_encoding and content_encoding.lower() != b"identity":
        return False
    return content_type == b"application/json" or _JSON_TYPE.fullmatch(content_type.strip()) is not None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem("key_repeated")
    return found


def _malformed(_: str) -> NoReturn:
    raise Problem("json_malformed")


def _number(text: str) -> float:
    number = float(text)
    if abs(number) == _INFINITE:
        raise Problem("json_malformed")
    return number
