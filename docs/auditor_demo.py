"""What an auditor sees: a report that one person cannot undo, what two bad ones can, and what comes of it.

`python docs/auditor_demo.py` starts a registry of its own in a temporary directory, plays everybody's part, and tells
what happens. It takes about a minute; nothing of it stays. The number is a made-up one.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from lostid.engines import postgres, valkey
from lostid.log import jws
from lostid.log.checkpoint import open_checkpoint
from lostid.log.merkle import leaf_hash, verify_inclusion
from lostid.log.note import NoteVerifier
from lostid.registry.buckets import Layout
from lostid.registry.client import open_client
from lostid.registry.writer import Writer
from lostid.settings import Settings

CARD = {"type": "cn.resident-id", "number": "990000198506120022", "valid_from": "2015-03-01"}
YOUNGER = {**CARD, "valid_from": "2019-03-01"}
ORIGIN = "localhost/lostid"
PATIENCE_S = 90.0
NO_ANSWER = 3  # the exit code of a command that got none


class Registry:
    """A registry that runs for this demonstration, and everybody who has to do with it."""

    def __init__(self, home: Path) -> None:
        self.home, self.data = home, home / "data"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("LOSTID_")}
        self._environment |= {"LOSTID_DATA_DIR": str(self.data), "LOSTID_WORKERS": "1"}
        argv = [sys.executable, "-m", "lostid", "serve", "--port", "0", "--json"]
        self.process = subprocess.Popen(argv, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None  # noqa: S101  asked for above
        self.url = json.loads(self.process.stdout.readline())["url"]

    def command(self, *words: str, key: str = "") -> tuple[int, Any]:
        """(exit code, what it printed) of a `lostid` command."""
        environment = self._environment | {"LOSTID_URL": self.url, "LOSTID_KEY": key}
        argv = [sys.executable, "-m", "lostid", *words, "--json"]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    def person(self, name: str, station: str, *roles: str, org: str = "city-police") -> httpx.Client:
        """Somebody with an API key."""
        words = [word for role in roles for word in ("--role", role)]
        _, made = self.command("keys", "create", "--org", org, "--station", station, "--operator", name, *words)
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {made['key']}"}, timeout=30)

    def ledger(self, statement: str, *values: Any) -> list[Any]:
        """What somebody does who has the database's own password."""
        place = Settings(data_dir=self.data).place
        with psycopg.connect(postgres.embedded_dsn(place), autocommit=True) as conn:
            cursor = conn.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def say(text: str) -> None:
    print(text, flush=True)


def until(found: Callable[[], Any]) -> Any:
    """Wait for what takes effect in the background."""
    end = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        if time.monotonic() > end:
            raise SystemExit("nothing happened for too long")
        time.sleep(0.2)
    return answer


def act(who: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = who.post(path, json=body, headers={"Idempotency-Key": uuid.uuid4().hex}).json()
    return answer


def status(desk: httpx.Client, card: dict[str, str]) -> str:
    body = {"document": card, "operator": "desk-3", "purpose": "hotel.check_in"}
    return str(until(lambda: desk.post("/v1/checks", json=body).json().get("status")))


def report(officer: httpx.Client, card: dict[str, str]) -> dict[str, Any]:
    told = {"document": card, "reason": "stolen", "operator": "officer-117", "case_number": "A-2026-11-0031"}
    return act(officer, "/v1/reports", **told)


def main(home: Path) -> None:
    registry = Registry(home)
    try:
        story(registry)
    finally:
        registry.end()


def story(registry: Registry) -> None:
    desk = registry.person("desk-3", "lobby", "checker", org="hotel")
    officer = registry.person("officer-117", "st-12", "reporter", "approver")
    friend = registry.person("officer-300", "st-30", "approver")
    auditor = registry.person("auditor-1", "office", "auditor", org="procuratorate")
    first_visit(registry, auditor)

    say("1. Officer 117 reports a card as stolen.")
    made = report(officer, CARD)
    say(f"   entry {made['seq']}, in force since {made['in_force_at']}; a hotel is told: {status(desk, CARD)}")
    by_one(desk, officer, made)
    by_two(desk, friend)
    rewound(registry, desk)
    proved(registry, auditor, made)
    row_changed(registry, desk, auditor, made)
    record_changed(registry, desk, officer)
    visit(registry, auditor, "9. The auditor's last visit")


def first_visit(registry: Registry, auditor: httpx.Client) -> None:
    until(lambda: auditor.get("/v1/log/checkpoint").status_code == 200)
    visit(registry, auditor, "0. The auditor's first visit, before anything happened")


def visit(registry: Registry, auditor: httpx.Client, title: str) -> None:
    code, told = verified(registry, auditor)
    wrong = told["findings"] or "nothing"
    say(f"{title}: {told['size']} entries, {told['records']['compared']} records, wrong: {wrong}")
    if code:
        raise SystemExit("the log should be right at this point")


def verified(registry: Registry, auditor: httpx.Client) -> tuple[int, Any]:
    key = auditor.headers["Authorization"].removeprefix("Bearer ")
    words = ("log", "verify", registry.url, "--state", str(registry.home / "seen.json"))
    code, told = registry.command(*words, key=key)
    for _ in range(20):
        if code != NO_ANSWER:  # a busy machine may miss a renewal of the lease
            break
        code, told = registry.command(*words, key=key)
    return code, told


def by_one(desk: httpx.Client, officer: httpx.Client, made: dict[str, Any]) -> None:
    say("2. He is paid to take it back, and tries alone: he asks, and agrees with himself.")
    asked = ask_back(officer, made)
    refused = act(officer, f"/v1/withdrawals/{asked['id']}/approve", operator="officer-117")
    say(f"   refused: {refused['code']}; the hotel is still told: {status(desk, CARD)}")
    history = {"document": CARD, "operator": "officer-117", "case_number": "A-2026-11-0031"}
    lines = officer.post("/v1/reports/history", json=history).json()["entries"]
    say(f"   the history of the card keeps: {', '.join(line['kind'] for line in lines)}")


def ask_back(officer: httpx.Client, made: dict[str, Any]) -> dict[str, Any]:
    told = {"operator": "officer-117", "grounds": "entry_error", "evidence": "typed the wrong card"}
    return act(officer, f"/v1/reports/{made['id']}/withdrawal", **told)


def by_two(desk: httpx.Client, friend: httpx.Client) -> None:
    say("3. He finds a friend at another station. Two people can take a report back; both are named for ever.")
    pending = friend.get("/v1/withdrawals?state=awaiting_approval").json()["withdrawals"][0]
    done = act(friend, f"/v1/withdrawals/{pending['id']}/approve", operator="officer-300")
    say(f"   {done['state']} in entry {done['seq']}; the hotel is told: {status(desk, CARD)}")


def rewound(registry: Registry, desk: httpx.Client) -> None:
    say("4. It comes out. Two supervisors put back what officer 117 has done since the first of November.")
    first = registry.person("chief-1", "st-1", "supervisor")
    second = registry.person("chief-2", "st-2", "supervisor")
    what = {"since": "2026-11-01T00:00:00+08:00"}
    preview = act(first, "/v1/operators/officer-117/rewind", **what)
    say(f"   a preview: {len(preview['restored'])} withdrawal undone, {len(preview['marked'])} report to be reviewed")
    pending = act(first, "/v1/operators/officer-117/rewind", **what, dry_run=False, evidence="case 2026-9-114")
    done = act(second, f"/v1/withdrawals/{pending['id']}/approve", operator="chief-2")
    say(f"   {done['state']} in entry {done['seq']}; the hotel is told: {status(desk, CARD)}")


def proved(registry: Registry, auditor: httpx.Client, made: dict[str, Any]) -> None:
    say("5. The auditor asks for the proof that the report is in the log, and that the log only grew.")
    proof = until(lambda: (told := auditor.get(f"/v1/log/entries/{made['seq']}/proof")).status_code == 200 and told)
    told = proof.json()
    keys = jws.keys_of(auditor.get("/.well-known/jwks.json").json())
    checkpoint = open_checkpoint(told["checkpoint"], ORIGIN, [NoteVerifier(ORIGIN, key) for key in keys.values()])
    hashes = [base64.b64decode(one) for one in told["proof"]]
    leaf = leaf_hash(base64.b64decode(told["leaf"]))
    verify_inclusion(leaf, told["leaf_index"], checkpoint.size, hashes, checkpoint.root)
    say(f"   entry {made['seq']} is under the signed head of {checkpoint.size} entries, by {len(hashes)} hashes")
    receipt = jws.verify(made["receipt"], "lostid-report+jwt", keys) if "receipt" in made else None
    say("   the officer's receipt is genuine" if receipt else "   the report came before the first receipts")
    visit(registry, auditor, "   and the log continues what was seen")


def row_changed(registry: Registry, desk: httpx.Client, auditor: httpx.Client, made: dict[str, Any]) -> None:
    say("6. Somebody with the database's password writes another officer's name into the entry.")
    before = registry.ledger("SELECT body FROM entries WHERE seq = %s", made["seq"])[0][0]
    change(registry, made["seq"], before.replace(b"officer-117", b"officer-118"))
    _, told = verified(registry, auditor)
    say(f"   the auditor is told by the mathematics: {told['findings'][0]['code']}, {told['findings'][0]['where']}")
    receipt = {"document": CARD, "operator": "desk-3", "purpose": "hotel.check_in", "receipt": True}
    until(lambda: desk.post("/v1/checks", json=receipt).status_code == 503)
    what = registry.ledger("SELECT what FROM log_alarms WHERE seq = %s", made["seq"])[0][0]
    say(f"   the registry has found it too ({what}), and signs nothing more; checks go on: {status(desk, CARD)}")
    change(registry, made["seq"], before)
    until(lambda: desk.post("/v1/checks", json=receipt).status_code == 200)
    say("7. The entry is put back as it was: signing goes on. The alarm stays on record.")


def change(registry: Registry, seq: int, body: bytes) -> None:
    registry.ledger("ALTER TABLE entries DISABLE TRIGGER append_only")
    registry.ledger("UPDATE entries SET body = %s WHERE seq = %s", body, seq)
    registry.ledger("ALTER TABLE entries ENABLE TRIGGER append_only")


def record_changed(registry: Registry, desk: httpx.Client, officer: httpx.Client) -> None:
    say("8. The owner's next card is stolen too. Somebody with access to Redis puts the older record back.")
    place = Settings(data_dir=registry.data).place
    with open_client(valkey.embedded_url(place)) as redis:
        writer = Writer(redis)
        key = registry.ledger("SELECT doc_key FROM covers WHERE report_id LIKE 'rpt_%' LIMIT 1")[0][0]
        older = until(lambda: stored(writer, key))
        report(officer, YOUNGER)
        newer = until(lambda: (value := stored(writer, key)) != older and value)
        until(lambda: registry.ledger("SELECT 1 FROM registry_sweep"))
        layout = Layout(writer.head().bits)
        redis.hset(layout.bucket(key), layout.field(key), older)
        began = time.monotonic()
        what = until(lambda: registry.ledger("SELECT what FROM registry_alarms"))[0][0]
        until(lambda: stored(writer, key) == newer)
        say(f"   found ({what}) and put right in {time.monotonic() - began:.1f} s; the hotel: {status(desk, YOUNGER)}")


def stored(writer: Writer, key: bytes) -> Any:
    layout = Layout(writer.head().bits)
    return writer.client.hget(layout.bucket(key), layout.field(key))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="lostid-auditor-") as directory:
        main(Path(directory))
