"""The fast decoder and the strict one are one: what either takes the other takes, with the same fields."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.api import models, wire
from lostid.api.body import strict_json
from lostid.api.problems import Problem

STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)
WORDS = st.sampled_from(["a", "desk-1", "A b", "other", "rail.gate", 'quo"te', "back\\slash", "\u4e2d", "", "\x00"])
NAMES = st.sampled_from(
    ["type", "number", "issuing_state", "valid_from", "issue_no", "card_serial", "operator", "purpose", "reference"]
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(usual, usual, usual, usual, STRANGE)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields, and sometimes one that does not belong."""
    some = st.fixed_dictionaries({}, optional=fields)
    return st.builds(lambda a, b: {**a, **b}, some, st.dictionaries(NAMES, STRANGE, max_size=1))


DOCUMENTS = st.one_of(
    st.fixed_dictionaries(
        {"type": mostly(WORDS), "number": mostly(WORDS)},
        optional={"valid_from": mostly(WORDS), "issue_no": mostly(st.integers()), "issuing_state": WORDS},
    ),
    objects(type=WORDS, number=WORDS),
)
CHECKS = st.fixed_dictionaries(
    {"document": mostly(DOCUMENTS), "operator": mostly(st.just("desk-1")), "purpose": mostly(st.just("other"))},
    optional={"reference": mostly(st.sampled_from(["r-1", "a b", ""])), "receipt": mostly(st.booleans())},
)
BATCHES = st.fixed_dictionaries(
    {
        "operator": st.just("desk-1"),
        "purpose": st.just("other"),
        "checks": mostly(st.lists(st.fixed_dictionaries({"document": DOCUMENTS}), max_size=3)),
    }
)


def strictly(body: bytes, model: type[models.Body]) -> Any:
    """What the slow way alone says: the fields, or the refusal."""
    try:
        return models.validated(model, strict_json(body)).model_dump()
    except Problem as refused:
        return refused.code, refused.errors


def fast(body: bytes, decode: Any) -> Any:
    try:
        return msgspec.to_builtins(decode(body))
    except Problem as refused:
        return refused.code, refused.errors


@given(CHECKS, st.sampled_from([None, 1]), st.booleans())
def test_check(value: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    """One check, written in every way that JSON allows."""
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert fast(body, wire.decode_check) == strictly(body, models.CheckRequest)


@given(BATCHES)
def test_batch(value: dict[str, Any]) -> None:
    """A batch."""
    body = json.dumps(value).encode()
    assert fast(body, wire.decode_batch) == strictly(body, models.BatchRequest)


@given(CHECKS, st.data())
def test_repeated_keys(value: dict[str, Any], data: st.DataObject) -> None:
    """A key that comes twice, wherever and with whatever values, is never passed over."""
    members = [f"{json.dumps(name)}: {json.dumps(part)}" for name, part in value.items()]
    name = data.draw(st.sampled_from(sorted(value)))
    twice = data.draw(st.one_of(st.just(value[name]), STRANGE.filter(lambda part: part == part)))
    members.insert(data.draw(st.integers(0, len(members))), f"{json.dumps(name)}: {json.dumps(twice)}")
    body = ("{" + ", ".join(members) + "}").encode()
    outcome = fast(body, wire.decode_check)
    assert isinstance(outcome, tuple)
    assert outcome[0] in ("key_repeated", "json_malformed")


@given(CHECKS, st.data())
def test_bytes(value: dict[str, Any], data: st.DataObject) -> None:
    """A byte changed anywhere: the same verdict both ways, and nothing but a problem."""
    body = bytearray(json.dumps(value).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    assert fast(bytes(body), wire.decode_check) == strictly(bytes(body), models.CheckRequest)


@pytest.mark.parametrize("length", [1, 1000])
def test_as_many_as_allowed(length: int) -> None:
    """One to a thousand documents go the fast way; none and a thousand and one are refused."""
    item = {"document": {"type": "t", "number": "n"}}
    batch = {"operator": "desk-1", "purpose": "other", "checks": [item] * length}
    assert len(wire.decode_batch(json.dumps(batch).encode()).checks) == length
    for wrong in ([], [item] * 1001):
        with pytest.raises(Problem):
            wire.decode_batch(json.dumps({**batch, "checks": wrong}).encode())
