"""The body of an entry, version 1: canonical JSON that stays readable for as long as there is a ledger.

    {"v": 1, "kind": ..., "id": ..., "effects": [...], "facts": {...}}

Keys sorted, no spaces, UTF-8. An effect names its document key in hex and leaves out what it does not have.
Never a document number, nor anything it could be computed from without the pepper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.ledger.errors import LedgerFault

VERSION = 1
_line = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Told:
    """What a body says."""

    kind: str
    id: str
    effects: tuple[Effect, ...]
    facts: Mapping[str, Any]


def encode(kind: str, id_: str, facts: Mapping[str, Any], effects: Sequence[Effect]) -> bytes:
    told = {"v": VERSION, "kind": kind, "id": id_, "facts": facts, "effects": [_written(effect) for effect in effects]}
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def written(effects: Sequence[Effect]) -> str:
    """Effects as they stand in a body, for `assembled`."""
    return ",".join([_line(_written(effect)) for effect in effects])


def assembled(kind: str, id_: str, facts: Mapping[str, Any], effects: Sequence[str]) -> bytes:
    """The same bytes as `encode`, from effects that are written already."""
    rest = json.dumps(
        {"v": VERSION, "kind": kind, "id": id_, "facts": facts},
        sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False,
    )  # fmt: skip
    return f'{{"effects":[{",".join(effects)}],{rest[1:]}'.encode()


def decode(body: bytes, seq: int) -> Told:
    """`seq` is the entry's, which its body does not repeat. A version from the future is a fault, not a guess."""
    told = json.loads(body)
    if told["v"] != VERSION:
        raise LedgerFault(f"entry {seq} has a body of version {told['v']}, this program knows {VERSION}")
    effects = tuple(_read(line, seq, ordinal) for ordinal, line in enumerate(told["effects"]))
    return Told(told["kind"], told["id"], effects, told["facts"])


def _written(effect: Effect) -> dict[str, Any]:
    line: dict[str, Any] = {"key": effect.key.hex(), "action": int(effect.action), "report_id": effect.report_id}
    cover = effect.cover
    if cover is None:
        return line
    line |= {"cover": int(cover.kind), "final": cover.final, "open_ended": cover.open_ended}
    line |= {"reason": cover.reason, "effective_ms": cover.effective_at_ms}
    if cover.watermark is not None:
        line["watermark"] = cover.watermark
    if cover.serial_tag is not None:
        line["serial_tag"] = cover.serial_tag.hex()
    return line


def _read(line: Mapping[str, Any], seq: int, ordinal: int) -> Effect:
    key = bytes.fromhex(line["key"])
    return Effect(key, seq, ordinal, Action(line["action"]), line["report_id"], _cover(line))


def _cover(line: Mapping[str, Any]) -> Cover | None:
    if "cover" not in line:
        return None
    tag = line.get("serial_tag")
    return Cover(
        kind=CoverKind(line["cover"]),
        watermark=line.get("watermark"),
        serial_tag=bytes.fromhex(tag) if tag else None,
        final=line["final"],
        open_ended=line["open_ended"],
        reason=line["reason"],
        effective_at_ms=line["effective_ms"],
    )
