"""`lostid withdraw` and `lostid approve`: one person asks, another agrees."""

import uuid
from typing import Annotated

import typer

from lostid.commands.api import post
from lostid.commands.telling import Json, show_json

IdempotencyKey = Annotated[str | None, typer.Option(help="Of an earlier try whose outcome is not known.")]


def withdraw(
    report_id: Annotated[str, typer.Argument(metavar="REPORT", help="rpt_...")],
    operator: Annotated[str, typer.Option(help="The operator that the key belongs to.")],
    grounds: Annotated[str, typer.Option(help="entry_error returned_to_holder other.")],
    evidence: Annotated[str, typer.Option(help="What shows it, in words; never a document number.")],
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Ask that a report loses its effect. Another person at another station has 24 hours to agree."""
    body = {"operator": operator, "grounds": grounds, "evidence": evidence}
    answer = post(f"/v1/reports/{_segment(report_id)}/withdrawal", body, idempotency_key or uuid.uuid4().hex)
    if as_json:
        show_json(answer)
    else:
        print(f"{answer['id']}  {answer['state']}  until {answer['expires_at']}")


def approve(
    withdrawal_id: Annotated[str, typer.Argument(metavar="WITHDRAWAL", help="wdr_...")],
    operator: Annotated[str, typer.Option(help="The operator that the key belongs to.")],
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse it: for good.")] = False,
    idempotency_key: IdempotencyKey = None,
    as_json: Json = False,
) -> None:
    """Decide a withdrawal or a rewind that somebody else asked for. When this returns it is in effect."""
    path = f"/v1/withdrawals/{_segment(withdrawal_id)}/{'refuse' if refuse else 'approve'}"
    answer = post(path, {"operator": operator}, idempotency_key or uuid.uuid4().hex)
    if as_json:
        show_json(answer)
    else:
        print(f"{answer['id']}  {answer['state']}  entry {answer['seq']}")


def _segment(id_: str) -> str:
    """An id has no character that means something in a path; anything else finds nothing."""
    return id_ if id_.replace("_", "").isalnum() and id_.isascii() else "none"
