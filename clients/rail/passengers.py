"""A train's passenger list, checked in batches the evening before.

    LOSTID_URL=... LOSTID_KEY=... python passengers.py G123.csv --operator train-g123 > decisions.csv

The list has a header: ticket,type,number (and valid_from, issue_no, issuing_state where the ticket sale knew them). The
decisions are one line a ticket: travel, gate (the card itself must be seen at the gate) or refuse. Where there is no
answer the gate decides. Ends with 0, or with 1 when somebody is refused.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lostid_client import Answer, Client, Document

BATCH = 500
FIELDS = ("type", "number", "issuing_state", "valid_from")
DECISIONS = {"proceed": "travel", "check_at_gate": "gate", "provide_instance": "gate", "ask_person": "gate"}


def passengers(path: Path) -> Iterator[tuple[str, Document]]:
    """(ticket, document) of each passenger."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            fields = {name: row[name].strip() for name in FIELDS if (row.get(name) or "").strip()}
            count = (row.get("issue_no") or "").strip()
            yield row["ticket"].strip(), Document(**fields, issue_no=int(count) if count else None)


def decision(answer: Answer) -> str:
    """What the ticket's holder is told."""
    if answer.error is not None and answer.answered:
        return f"refuse ({answer.error})"
    return DECISIONS.get(answer.advice, "refuse")


def decide(client: Client, people: Iterable[tuple[str, Document]], operator: str) -> Iterator[tuple[str, str]]:
    """(ticket, decision) for everybody, in order, a batch at a time."""
    rest = iter(people)
    while chunk := list(islice(rest, BATCH)):
        answers = client.check_many(
            [document for _, document in chunk],
            operator=operator,
            purpose="rail.ticketing",
            references=[ticket for ticket, _ in chunk],
        )
        for (ticket, _), answer in zip(chunk, answers, strict=True):
            yield ticket, decision(answer)


def main(arguments: list[str] | None = None) -> int:
    """Check a list."""
    parser = argparse.ArgumentParser(description="Check a train's passenger list.")
    parser.add_argument("passengers", type=Path)
    parser.add_argument("--operator", required=True)
    options = parser.parse_args(arguments)
    refused = 0
    out = csv.writer(sys.stdout)
    out.writerow(["ticket", "decision"])
    with Client(os.environ["LOSTID_URL"], os.environ["LOSTID_KEY"], on_unavailable="ask_person") as client:
        for ticket, what in decide(client, passengers(options.passengers), options.operator):
            out.writerow([ticket, what])
            refused += what.startswith("refuse")
    print(f"{refused} refused", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
