"""/v1/log and /.well-known/jwks.json: what anybody needs to hold us to what we signed (C2SP tlog-tiles)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from lostid.api.admission import caller, refuse_numbered
from lostid.api.parts import Parts, parts_of
from lostid.api.problems import Problem
from lostid.domain.roles import AUDITOR
from lostid.ledger import tree
from lostid.ledger.statement import AsyncConn
from lostid.ledger.tree import Tip
from lostid.log.growth import edge
from lostid.log.keychain import SigningKey, believed
from lostid.log.merkle import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, prove_inclusion
from lostid.log.tiles import ENTRIES, TileName, TileSource, is_available, pack_bundle, parse_path

router = APIRouter()
_auditor = caller(AUDITOR)
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_BYTES = "application/octet-stream"


async def auditor_or_anybody(request: Request) -> None:
    """Role auditor, unless the log is public (LOSTID_LOG_PUBLIC)."""
    if not parts_of(request).settings.log_public:
        await _auditor(request)
    refuse_numbered(request)


Reader = Annotated[None, Depends(auditor_or_anybody)]


@router.get("/.well-known/jwks.json")
async def jwks(request: Request) -> Response:
    """The keys that verify receipts, those of the past included."""
    parts = parts_of(request)
    rows = [SigningKey(**asdict(row)) for row in await parts.reads_pool.read(tree.KEYS.arun)]
    keys = believed(rows, parts.checks.signer.public)
    return JSONResponse({"keys": [key.jwk for key in keys]}, headers={"Cache-Control": "max-age=300"})


@router.get("/v1/log/checkpoint")
async def checkpoint(request: Request, _: Reader) -> Response:
    """The last signed head of the tree, as a signed note."""
    tip = await parts_of(request).reads_pool.read(tree.TIP.arun)
    if tip.size == 0:
        raise Problem("starting")
    return Response(tip.note, media_type="text/plain; charset=utf-8")


@router.get("/v1/log/tile/{path:path}")
async def tile(request: Request, _: Reader, path: str) -> Response:
    """A tile of hashes, or a bundle of entries: exactly as many as its name says."""
    name = parse_path(path)
    tip = await parts_of(request).reads_pool.read(tree.TIP.arun)
    if name is None or not is_available(name, tip.size):
        raise Problem("not_found")
    content = await (_bundle(parts_of(request), name) if name.level == ENTRIES else _tile(parts_of(request), name))
    return Response(content, headers=_FOR_EVER, media_type=_BYTES)


@router.get("/v1/log/entries/{seq}/proof")
async def proof(request: Request, _: Reader, seq: str) -> Response:
    """That entry ``seq`` is leaf ``seq - 1`` of the tree of the last checkpoint."""
    if not seq.isascii() or not seq.isdigit() or len(seq) > 18:
        raise Problem("not_found")
    return JSONResponse(await parts_of(request).reads_pool.read(_proof, int(seq)))


async def _proof(conn: AsyncConn, seq: int) -> dict[str, Any]:
    tip = await tree.TIP.arun(conn)
    leaves = await tree.LEAVES.arun(conn, {"after": seq - 1, "upto": seq})
    if not 1 <= seq <= tip.size or not leaves:
        raise Problem("not_found")
    source = await _source(conn, tip, seq - 1)
    hashes = prove_inclusion(source, seq - 1, tip.size)
    salt = leaves[0].salt
    return {
        "seq": seq,
        "leaf_index": seq - 1,
        "tree_size": tip.size,
        "leaf": _base64(leaves[0].leaf),
        "salt": None if salt is None else _base64(salt),
        "proof": [_base64(hash_) for hash_ in hashes],
        "checkpoint": tip.note,
    }


async def _source(conn: AsyncConn, tip: Tip, index: int) -> TileSource:
    """The tiles that a path from this leaf can touch: those above the leaf, and the right edge."""
    above = [(level, index >> (TILE_HEIGHT * (level + 1))) for level in range(8) if tip.size >> (TILE_HEIGHT * level)]
    found = await tree.atiles(conn, sorted({*above, *edge(tip.size)}))
    return TileSource(_cut(found, tip.size))


def _cut(tiles: Mapping[tuple[int, int], bytes], size: int) -> dict[tuple[int, int], bytes]:
    """Tiles as they were at the checkpoint: one that has grown since begins the same."""
    return {
        (level, index): hashes[: max(0, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH) * HASH_BYTES]
        for (level, index), hashes in tiles.items()
    }


async def _tile(parts: Parts, name: TileName) -> bytes:
    found = await parts.reads_pool.read(tree.atiles, [(name.level, name.index)])
    return found[name.level, name.index][: name.width * HASH_BYTES]


async def _bundle(parts: Parts, name: TileName) -> bytes:
    bounds = {"after": name.start, "upto": name.start + name.width}
    rows: Sequence[tree.LeafRow] = await parts.reads_pool.read(lambda conn: tree.LEAVES.arun(conn, bounds))
    return pack_bundle([row.leaf for row in rows])


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
