"""Check a group of guests in from a reservation file, with an instruction for the clerk for each of them.

    LOSTID_URL=... LOSTID_KEY=... LOSTID_QUEUE_KEY=... python check_in.py reservations.csv --operator desk-3

The file has a header: reference,type,number,valid_from (and issue_no, card_serial, issuing_state where the type
needs them). When the line is down guests are let in and their checks are kept, sealed, in the queue file; they are made
up for at the next start, and every hit is shown. Ends with 0 when everybody may be checked in, else with 1.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from lostid_client import Answer, Client, Document, InvalidRequest, NoAnswer, Recheck, RecheckQueue

INSTRUCTIONS = {
    "proceed": "check in",
    "refuse": "DO NOT check in; keep the guest company and call the police",
    "provide_instance": "turn the card over and enter the date on its back (valid from)",
    "ask_person": "ask the manager",
}
FIELDS = ("type", "number", "issuing_state", "valid_from", "valid_until", "card_serial")


def guests(path: Path) -> Iterator[tuple[str, Document]]:
    """The reservations: (reference, document) of each guest."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            fields = {name: row[name].strip() for name in FIELDS if (row.get(name) or "").strip()}
            count = (row.get("issue_no") or "").strip()
            yield row["reference"].strip(), Document(**fields, issue_no=int(count) if count else None)


def instruction(answer: Answer) -> str:
    """What the clerk reads. The registry's advice, and what to do about a missing answer."""
    text = INSTRUCTIONS.get(answer.advice, INSTRUCTIONS["refuse"])
    if not answer.answered:
        return f"{text} (no answer from the registry; the check will be made up for)"
    return text


def check_in(client: Client, path: Path, operator: str) -> bool:
    """Check every guest of the file; True when all of them may be checked in."""
    all_good = True
    for reference, document in guests(path):
        try:
            answer = client.check(document, operator=operator, purpose="hotel.check_in", reference=reference)
        except InvalidRequest as refused:
            # A mistyped number is the clerk's to mend, and no ground to let anybody in.
            what = ", ".join(fault.code for fault in refused.faults) or refused.code
            print(f"{reference}: read the number again ({what})")
            all_good = False
            continue
        print(f"{reference}: {instruction(answer)}")
        all_good = all_good and answer.proceed
    return all_good


def make_up(client: Client, queue: RecheckQueue) -> bool:
    """Make up for the checks of the last outage; True when nobody of them was reported."""
    hits: list[Recheck] = []
    try:
        done = client.recheck(queue, hits.append)
    except NoAnswer:
        print(f"still no line: {len(queue)} checks wait")
        return True
    for hit in hits:
        print(f"{hit.request.get('reference')}: checked in during the outage, now {hit.answer.status}: call the police")
    if done:
        print(f"{done} checks made up for")
    return not hits


def main(arguments: list[str] | None = None) -> int:
    """Check a file in."""
    parser = argparse.ArgumentParser(description="Check a group of guests in from a reservation file.")
    parser.add_argument("reservations", type=Path)
    parser.add_argument("--operator", required=True, help="the desk, e.g. desk-3")
    parser.add_argument("--queue", type=Path, default=Path("hotel-queue.sqlite"))
    options = parser.parse_args(arguments)
    queue = RecheckQueue(options.queue, bytes.fromhex(os.environ["LOSTID_QUEUE_KEY"]))
    url, key = os.environ["LOSTID_URL"], os.environ["LOSTID_KEY"]
    try:
        with Client(url, key, on_unavailable="proceed_and_recheck", queue=queue) as client:
            made_up = make_up(client, queue)
            checked_in = check_in(client, options.reservations, options.operator)
    finally:
        queue.close()
    return 0 if made_up and checked_in else 1


if __name__ == "__main__":
    sys.exit(main())
