"""The counter of a police station: report a lost card, take in found cards, withdraw a report by two.

    LOSTID_URL=... LOSTID_KEY=... python counter.py report --operator officer-117 --case A-2026-11-0031 \\
        --type cn.resident-id --reason lost --effective-at 2026-11-20T09:00:00+08:00 < number
    ... python counter.py found scans.csv --operator officer-117 --case F-2026-11
    ... python counter.py withdraw rpt_... --operator officer-117 --grounds returned_to_holder --evidence "at desk"
    ... python counter.py approve wdr_... --operator officer-204       (another officer of another station, own key)

Each call has an idempotency key made from the case, so that a counter that lost its line can simply be told again: the
report happens once. Ends with 0 when done, 1 when refused, 3 when it is not known or there is no answer.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import sys
from pathlib import Path

from lostid_client import Client, Document, NoAnswer, Refused, UnknownOutcome


def once(key: str, *parts: str) -> str:
    """An idempotency key that the same counter makes again for the same thing. It gives no number away: it is keyed."""
    return hashlib.blake2b("\0".join(parts).encode(), key=key.encode()[:64], digest_size=24).hexdigest()


def report(client: Client, key: str, options: argparse.Namespace) -> None:
    """One lost or stolen card."""
    document = Document(
        options.type, sys.stdin.readline().strip(), valid_from=options.valid_from, card_serial=options.card_serial
    )
    made = client.report(
        document,
        reason=options.reason,
        operator=options.operator,
        case_number=options.case,
        effective_at=options.effective_at,
        idempotency_key=once(key, "report", options.case, options.reason, document.type, document.number),
    )
    print(f"{made.id} is {made.state} since {made.in_force_at}; covers {dict(made.covers)}")


def found(client: Client, key: str, options: argparse.Namespace) -> None:
    """A scanner's file of cards that were handed in: columns type,number,valid_from or card_serial or issue_no."""
    with options.scans.open(newline="", encoding="utf-8-sig") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            given = {name: (row.get(name) or "").strip() for name in ("type", "number", "valid_from", "card_serial")}
            count = (row.get("issue_no") or "").strip()
            document = Document(
                given["type"],
                given["number"],
                valid_from=given["valid_from"] or None,
                card_serial=given["card_serial"] or None,
                issue_no=int(count) if count else None,
            )
            try:
                made = client.report(
                    document,
                    reason="found",
                    operator=options.operator,
                    case_number=options.case,
                    idempotency_key=once(key, "found", options.case, *given.values(), count),
                )
                print(f"line {line}: {made.id} {made.state}")
            except Refused as refused:
                faults = ", ".join(f"{fault.pointer} {fault.code}" for fault in refused.faults)
                print(f"line {line}: not taken in ({faults or refused.code})")


def withdraw(client: Client, key: str, options: argparse.Namespace) -> None:
    """Ask for a report to be withdrawn."""
    asked = client.withdraw(
        options.report,
        operator=options.operator,
        grounds=options.grounds,
        evidence=options.evidence,
        idempotency_key=once(key, "withdraw", options.report, options.grounds),
    )
    print(f"{asked.id} is {asked.state} until {asked.expires_at}: somebody of another station has to approve it")


def approve(client: Client, key: str, options: argparse.Namespace) -> None:
    """Approve what somebody else asked for."""
    decided = client.approve(
        options.withdrawal, operator=options.operator, idempotency_key=once(key, "approve", options.withdrawal)
    )
    print(f"{decided.id} is {decided.state} since {decided.decided_at}")


def main(arguments: list[str] | None = None) -> int:
    """Do one thing."""
    options = _parser().parse_args(arguments)
    key = os.environ["LOSTID_KEY"]
    with Client(os.environ["LOSTID_URL"], key, on_unavailable="refuse") as client:
        try:
            options.act(client, key, options)
        except Refused as refused:
            print(f"refused: {refused}")
            return 1
        except (NoAnswer, UnknownOutcome) as missing:
            print(f"{missing}; run the same command again")
            return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="The counter of a police station.")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("report")
    one.add_argument("--type", default="cn.resident-id")
    one.add_argument("--reason", required=True)
    one.add_argument("--effective-at")
    one.add_argument("--valid-from")
    one.add_argument("--card-serial")
    one.set_defaults(act=report)
    many = commands.add_parser("found")
    many.add_argument("scans", type=Path)
    many.set_defaults(act=found)
    for each in (one, many):
        each.add_argument("--case", required=True)
    back = commands.add_parser("withdraw")
    back.add_argument("report")
    back.add_argument("--grounds", required=True)
    back.add_argument("--evidence", required=True)
    back.set_defaults(act=withdraw)
    second = commands.add_parser("approve")
    second.add_argument("withdrawal")
    second.set_defaults(act=approve)
    for each in (one, many, back, second):
        each.add_argument("--operator", required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
