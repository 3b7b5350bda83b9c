"""How what waits in the queue is made up for: a flow, as in `flow`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from lostid_client.calls import Session, ask_many
from lostid_client.errors import NoAnswer, Refused
from lostid_client.flow import Call, Flow, Work
from lostid_client.models import read_answer
from lostid_client.recheck import Kept, Recheck, RecheckQueue

OnHit = Callable[[Recheck], Awaitable[None] | None]


def recheck(session: Session, queue: RecheckQueue, on_hit: OnHit) -> Work[int]:
    """Make up for what waits, oldest first, and return how many were made up for.

    ``on_hit`` is called for every answer that is not clear, a refused number included, before its row is deleted.

    Raises:
        NoAnswer: the line is still down; what is left waits on.
        WrongQueueKey: the rows were sealed with another key.
    """
    done = 0
    while rows := queue.oldest():
        for group in _groups(rows):
            rechecks = yield from _ask(session, group)
            queue.delete([recheck.id for recheck in rechecks if recheck.answer.clear])
            for recheck in rechecks:
                if not recheck.answer.clear:
                    yield Call(functools.partial(on_hit, recheck))
                    queue.delete([recheck.id])
            done += len(rechecks)
    return done


def _groups(rows: list[Kept]) -> list[list[Kept]]:
    """Rows that can go into one batch: the same operator and purpose, in order of first appearance."""
    groups: dict[tuple[Any, Any], list[Kept]] = {}
    for row in rows:
        groups.setdefault((row[1].get("operator"), row[1].get("purpose")), []).append(row)
    return list(groups.values())


def _ask(session: Session, group: list[Kept]) -> Flow[list[Recheck]]:
    first = group[0][1]
    try:
        answers = yield from ask_many(
            session,
            [request["document"] for _, request in group],
            operator=first["operator"],
            purpose=first["purpose"],
            references=[request.get("reference") for _, request in group],
        )
    except Refused as refused:
        if refused.status != 422:
            raise NoAnswer(refused.code) from refused
        # One malformed request must not hold up the others for ever: it is an adverse answer of its own.
        answers = [read_answer({"error": {"code": refused.code}}, 0.0) for _ in group]
    return [Recheck(row_id, request, answer) for (row_id, request), answer in zip(group, answers, strict=True)]
