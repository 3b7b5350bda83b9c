"""/livez, /readyz, /metrics, /v1/status: how this host is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar

import redis.asyncio
from fastapi import APIRouter, Depends, Request
from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.responses import JSONResponse, Response

from lostid.api.admission import caller
from lostid.api.clock import now_ms
from lostid.api.parts import Parts, parts_of
from lostid.domain.roles import ADMIN
from lostid.filter.page import Slot, Unproven, boottime_ns
from lostid.ledger import entries, hosts
from lostid.ledger.statement import AsyncConn
from lostid.registry.head import read_head_async, read_loading_async

PATIENCE_S = 1.0
T = TypeVar("T")
_FORWARDED = frozenset((b"x-forwarded-for", b"x-real-ip", b"forwarded"))
_admin = caller(ADMIN)

router = APIRouter()


async def loopback_or_admin(request: Request) -> None:
    """From this machine, and not through a proxy on it; else with a key of role admin."""
    client = request.client
    if client is not None and not any(name in _FORWARDED for name, _ in request.scope["headers"]):
        try:
            if ip_address(client.host).is_loopback:
                return
        except ValueError:
            pass
    await _admin(request)


Here = Annotated[None, Depends(loopback_or_admin)]


@router.get("/livez")
async def livez() -> Response:
    """The loop turns. Says nothing about anything else."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether this host answers checks and takes reports now, and what it is doing if not."""
    told = await readiness(parts_of(request))
    return JSONResponse(told, 200 if told["ready"] else 503, {} if told["ready"] else {"Retry-After": "1"})


async def readiness(parts: Parts) -> dict[str, Any]:
    """Each of the four, and all of them."""
    ledger, registry = await asyncio.gather(_ledger_answers(parts), registry_state(parts.redis))
    parts.registry_seen = parts.registry_seen or registry["ok"]
    told = {
        "lease": _lease(parts),
        "filter": _filter(parts),
        "ledger": {"ok": ledger and parts.keys.loaded},
        "registry": {**registry, "ok": registry["ok"] and parts.watch.alarms == 0, "alarms": parts.watch.alarms},
    }
    # A registry that goes away later, or is not to be believed, costs speed and no answer: it is shown, but takes no
    # host out of service.
    ready = parts.registry_seen and all(told[name]["ok"] for name in ("lease", "filter", "ledger"))
    return {"ready": ready, **told}


def _lease(parts: Parts) -> dict[str, Any]:
    view = parts.checks.view
    left = 0 if view is None else view.slots[Slot.LEASE_UNTIL] - boottime_ns()
    return {"ok": left > 0, "left_ms": max(0, left // 1_000_000)}


def _filter(parts: Parts) -> dict[str, Any]:
    view = parts.checks.view
    if view is None:
        return {"ok": False, "doing": "starting"}
    progress = view.page.progress()
    told: dict[str, Any] = {"ok": not parts.checks.halted, "doing": progress.phase.name.lower()}
    if progress.total:
        told |= {"done": progress.done, "total": progress.total}
    try:
        view.current()
    except Unproven:
        told["ok"] = False
    return told


async def _ledger_answers(parts: Parts) -> bool:
    return await _within(parts.reads_pool.read(entries.HEAD.arun)) is not None


async def registry_state(client: redis.asyncio.Redis) -> dict[str, Any]:
    """Whether it answers, and what it is doing: until the registry is in service the ledger answers for it."""
    return await _within(_registry_doing(client)) or {"ok": False}


async def _registry_doing(client: redis.asyncio.Redis) -> dict[str, Any]:
    try:
        head = await read_head_async(client)
    except redis.BusyLoadingError:
        done, total = await read_loading_async(client)
        return {"ok": True, "doing": "loading", "done": done, "total": total}
    told: dict[str, Any] = {"ok": True, "doing": head.phase}
    if head.phase == "filling":
        told |= {"done": min(head.done, head.total), "total": head.total}
    elif head.phase == "sorting" and head.sorting:
        told["total"] = head.sorting
    return told


async def _within(question: Awaitable[T]) -> T | None:
    """The answer, if there was one in time. The question itself is not cancelled."""
    task = asyncio.ensure_future(question)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait([task], timeout=PATIENCE_S)
    return task.result() if task.done() and not task.cancelled() and task.exception() is None else None


@router.get("/v1/status")
async def status(request: Request, _: Here) -> Response:
    """How far the ledger and this host are, which hosts there are, what was counted."""
    return JSONResponse(await overview(parts_of(request)))


async def overview(parts: Parts) -> dict[str, Any]:
    async def look(conn: AsyncConn) -> tuple[entries.Head, list[hosts.Host]]:
        return await entries.HEAD.arun(conn), await hosts.SAMPLE.arun(conn)

    head, known = await parts.reads_pool.read(look)
    view = parts.checks.view
    seq = 0 if view is None else view.slots[Slot.SEQ]
    return {
        "version": version("lostid"),
        "at": parts.clock.text(now_ms()),
        "seq": head.seq,
        "recorded_at": parts.clock.text(head.recorded_ms),
        "lag": max(0, head.seq - seq),
        "host": {
            "seq": seq,
            "lease": _lease(parts),
            "filter": _filter(parts),
            "registry": (await registry_state(parts.redis))["ok"],
        },
        "hosts": [{"id": host.inc.hex()[:12], "seq": host.seq, "lag": max(0, head.seq - host.seq)} for host in known],
        "registry": _compared(parts),
        "counts": {
            "documents_in_filter": _documents(parts),
            "api_keys": len(parts.keys),
            "journal_waiting": parts.journal.waiting,
        },
    }


def _compared(parts: Parts) -> dict[str, Any]:
    """The comparison of Redis with the ledger: alarms open and ever raised, and the last clean round."""
    watch = parts.watch
    told: dict[str, Any] = {"alarms": watch.alarms, "alarms_ever": watch.raised}
    if watch.age_s is not None:
        told |= {"records": watch.records, "round_ms": watch.round_ms, "age_s": round(watch.age_s, 3)}
    return told


def _documents(parts: Parts) -> int:
    view = parts.checks.view
    try:
        if view is None:
            return 0
        view.current()
        return view.generation.counters.count
    except Unproven:
        return 0


@router.get("/metrics")
async def metrics(request: Request, _: Here) -> Response:
    """All workers of this host, whichever of them is asked."""
    parts = parts_of(request)
    return Response(parts.meters.exposition(*_gauges(parts)), media_type="text/plain; version=0.0.4; charset=utf-8")


def _gauges(parts: Parts) -> list[Metric]:
    view = parts.checks.view
    of_host: list[tuple[str, str, Callable[[], float]]] = [
        ("lostid_seq", "The last entry that this host has applied", lambda: view.slots[Slot.SEQ] if view else 0),
        ("lostid_lease_left_seconds", "How long this host may still answer", lambda: _lease(parts)["left_ms"] / 1000),
        ("lostid_filter_documents", "Documents in this host's filter", lambda: _documents(parts)),
        ("lostid_registry_alarms", "Open: Redis held other records than the ledger says", lambda: parts.watch.alarms),
        ("lostid_registry_alarms_raised", "The same, ever", lambda: parts.watch.raised),
        (
            "lostid_registry_compared_seconds",
            "Age of the last clean round that was kept; -1: none",
            lambda: _age(parts),
        ),
        ("lostid_halted", "1: a canary was clear, the worker asked answers nothing", lambda: parts.checks.halted),
    ]
    gauges: list[Metric] = []
    for name, help_, value in of_host:
        gauge = GaugeMetricFamily(name, help_)
        gauge.add_metric([], float(value()))
        gauges.append(gauge)
    return gauges


def _age(parts: Parts) -> float:
    return -1.0 if parts.watch.age_s is None else parts.watch.age_s
