"""Open an account only after a check whose receipt is on file.

    LOSTID_URL=... LOSTID_KEY=... python open_account.py --application A-17 --operator teller-2 --type cn.resident-id \\
        --valid-from 2015-03-01 --files receipts/ < number

The number is read from standard input: arguments show in process lists and shell histories. The receipt is verified,
then filed under the application's name, before anybody is told to go on: years later the bank can prove that it asked,
and what it was told. Ends with 0 when the account may be opened, 1 when not, 3 when there is no answer.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lostid_client import Answer, Client, Document, InvalidRequest, ReceiptRefused, verify_receipt

PURPOSE = "bank.account_opening"


def file_away(files: Path, application: str, answer: Answer, claims: dict[str, Any]) -> Path:
    """Put receipt and answer on the disk, whole or not at all, and return where. They stay after a power cut."""
    make(files)
    path = files / f"{application}.json"
    kept = {
        "application": application,
        "filed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "answer": {"id": answer.id, "status": answer.status, "as_of": answer.as_of, "seq": answer.seq},
        "claims": claims,
        "receipt": answer.receipt,
        "receipt_salt": answer.receipt_salt,  # with the card it shows that the receipt is about this card
    }
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(kept, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync(files)
    return path


def make(directory: Path) -> None:
    """Make a directory; its name is a line in the one above."""
    if not directory.is_dir():
        make(directory.parent)
        directory.mkdir(exist_ok=True)
        sync(directory.parent)


def sync(directory: Path) -> None:
    """Have the names in it on the disk."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def check(client: Client, document: Document, application: str, operator: str) -> tuple[Answer, dict[str, Any]]:
    """The answer and the verified claims of its receipt.

    Raises:
        ReceiptRefused: the receipt does not say what the answer says.
    """
    answer = client.check(document, operator=operator, purpose=PURPOSE, reference=application, receipt=True)
    if not answer.answered:
        return answer, {}
    if answer.receipt is None:
        raise ReceiptRefused("the registry gave no receipt")
    claims = verify_receipt(answer.receipt, client.jwks())
    if (claims.get("status"), claims.get("reference")) != (answer.status, application):
        raise ReceiptRefused("the receipt is of another answer")
    return answer, claims


def main(arguments: list[str] | None = None) -> int:
    """Check an applicant's card."""
    parser = argparse.ArgumentParser(description="Check an applicant's card and file the receipt.")
    parser.add_argument("--application", required=True)
    parser.add_argument("--operator", required=True)
    parser.add_argument("--type", default="cn.resident-id")
    parser.add_argument("--valid-from")
    parser.add_argument("--files", type=Path, default=Path("receipts"))
    options = parser.parse_args(arguments)
    document = Document(options.type, sys.stdin.readline().strip(), valid_from=options.valid_from)
    with Client(os.environ["LOSTID_URL"], os.environ["LOSTID_KEY"], on_unavailable="refuse") as client:
        try:
            answer, claims = check(client, document, options.application, options.operator)
        except InvalidRequest as refused:
            print("read the number again:", ", ".join(fault.code for fault in refused.faults) or refused.code)
            return 1
        except ReceiptRefused as refused:
            print(f"do not open the account: {refused}")
            return 3
    if not answer.answered:
        print("no answer from the registry: the account is not opened now")
        return 3
    path = file_away(options.files, options.application, answer, claims)
    if answer.proceed:
        print(f"open the account; receipt filed as {path}")
        return 0
    print(f"do not open the account: the card is {answer.status}; receipt filed as {path}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
