"""``python -m nation.imports ROWS DIRECTORY``: an import of so many synthetic rows, timed, or killed on the way.

A fresh data directory, one worker, the rows as a CSV file, sent by `lostid import`. With ``--kill`` the client is
killed (SIGKILL) at a tenth of the way and the whole server at two tenths; then the file is sent to its end. Afterwards
somebody else releases the import, and as many records as there are rows have to be in Redis. Exit code 1: they
are not. With ``--ndjson`` the same rows are then imported as NDJSON, by a server of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from lostid_load.population import number_of
from nation import plots
from nation.host import Host
from peers.measure import Usage

_COLUMNS: Final = ("type", "number", "reason", "case_number", "valid_from")
_HEADER: Final = ",".join((*_COLUMNS, "effective_at")) + "\n"
_REASONS: Final = ("lost", "stolen", "found", "seized")
_LOOK_S: Final = 0.5
_PATIENCE_S: Final = 900.0
_CLIENT_AT, _SERVER_AT = 0.1, 0.2


@dataclass(slots=True)
class Told:
    """What is written down. The rate is that of the last sending, by the wall clock, from the start of the command to
    its end, and counts only what was not there before."""

    rows: int
    killed: list[str] = field(default_factory=list)
    sendings: list[list[tuple[float, int]]] = field(default_factory=list)
    """Of each: seconds since it began, and lines that are staged."""
    figures: dict[str, float] = field(default_factory=dict)


def main() -> int:
    """Make the file, send it, release it, count."""
    parser = argparse.ArgumentParser(prog="nation.imports", description=__doc__)
    parser.add_argument("rows", type=int)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--ndjson", action="store_true", help="the same again as NDJSON")
    parser.add_argument("--out", type=Path, default=Path("loadtest-results"), help="for import.json and import.svg")
    options = parser.parse_args()
    options.directory.mkdir(mode=0o700, parents=True)
    runs: dict[str, Told] = {}
    right = True
    for form in ("csv", "ndjson") if options.ndjson else ("csv",):
        file, told = options.directory / f"rows.{form}", Told(options.rows)
        write(file, options.rows)
        in_force, records = _import(options.directory / f"data-{form}", file, options.kill, told)
        told.figures |= {"in_force": in_force, "records": records}
        Console().print({"form": form, "killed": told.killed, **told.figures})
        right = right and in_force == records == options.rows
        runs[form] = told
    options.out.mkdir(parents=True, exist_ok=True)
    said = {form: {name: getattr(told, name) for name in Told.__slots__} for form, told in runs.items()}
    (options.out / "import.json").write_text(json.dumps(said) + "\n")
    series = {form: _way(told) for form, told in runs.items()}
    svg = plots.svg("Import: seconds until so many rows are staged", series)
    (options.out / "import.svg").write_text(svg, encoding="utf-8")
    return 0 if right else 1


def _way(told: Told) -> list[tuple[float, float]]:
    """The last sending: rows that were staged, and after how many seconds."""
    seen = told.sendings[-1]
    begun = max((place for place, (_, lines) in enumerate(seen) if not lines), default=0)  # what an earlier one left
    last = [(float(lines), seconds) for seconds, lines in seen[begun:] if lines and seconds]
    last.append((float(told.rows), told.figures["sent_s"]))
    return last


def write(file: Path, rows: int) -> None:
    """Reports as an old register might hold them: one for each number, of any day of ten years."""
    csv = file.suffix == ".csv"
    with file.open("w", encoding="ascii") as out:
        if csv:
            out.write(_HEADER)
        for serial in range(rows):
            day = f"20{14 + serial % 10}-{1 + serial % 12:02d}-{1 + serial % 28:02d}"
            values = ("cn.resident-id", number_of(serial), _REASONS[serial % 4], f"A-{serial:09d}", day)
            out.write(",".join(values) + ",\n" if csv else json.dumps(dict(zip(_COLUMNS, values, strict=True))) + "\n")


def _import(data: Path, rows: Path, kill: bool, told: Told) -> tuple[int, int]:
    """How many rows the import says are in force, and by how many records the registry grew."""
    with Host(data, told.rows) as host:
        host.until_filled()
        who = ("--org", "nation")
        importer = host.key(*who, "--role", "importer", "--station", "s-1", "--operator", "o-1")
        approver = host.key(*who, "--role", "approver", "--station", "s-2", "--operator", "o-2")
        before = int(host.weight()["records"])
        id_ = str(_ask(host, importer, "/v1/imports", {"source": "nation", "dry_run": False})["id"])
        if kill:
            with _sending(host, importer, id_, rows) as client:
                _until(host, importer, id_, client, told, _CLIENT_AT)
                client.kill()
            told.killed.append("client")
            with _sending(host, importer, id_, rows) as client:
                _until(host, importer, id_, client, told, _SERVER_AT)
                host.kill()
            told.killed.append("server")
    with Host(data, told.rows) as host:
        host.until_ready()
        known, began = _lines(host, importer, id_), time.monotonic()
        with Usage(host.pids) as usage, _sending(host, importer, id_, rows) as client:
            _until(host, importer, id_, client, told, 2.0)
        took = time.monotonic() - began
        told.figures |= {"known": known, "sent_s": took, "rows_a_second": (told.rows - known) / took}
        told.figures |= {"cpu_us_a_row": usage.seconds / told.rows * 1e6}
        began = time.monotonic()
        while (staged := _ask(host, importer, f"/v1/imports/{id_}")["staged"])["confirmed"] < staged["hosts"]:
            time.sleep(_LOOK_S)
        told.figures["staged_s"] = time.monotonic() - began
        _ask(host, approver, f"/v1/imports/{id_}/release", {})
        told.figures["released_s"] = time.monotonic() - began
        in_force = int(_ask(host, importer, f"/v1/imports/{id_}")["counts"]["in_force"])
        while (records := int(host.weight()["records"]) - before) < in_force and time.monotonic() - began < _PATIENCE_S:
            time.sleep(_LOOK_S)
        told.figures["in_redis_s"] = time.monotonic() - began
        return in_force, records


@contextmanager
def _sending(host: Host, key: str, id_: str, rows: Path) -> Iterator[subprocess.Popen[bytes]]:
    told = {"LOSTID_KEY": key, "LOSTID_URL": f"http://127.0.0.1:{host.port}"}
    command = [sys.executable, "-m", "lostid", "import", str(rows), "--resume", id_, "--json"]
    client = subprocess.Popen(command, env={**os.environ, **told}, stdout=subprocess.DEVNULL)
    try:
        yield client
    finally:
        client.kill()
        client.wait()


def _until(host: Host, key: str, id_: str, client: subprocess.Popen[bytes], told: Told, share: float) -> None:
    """Until so much of the file is staged, or the client has ended; notes how far it is."""
    began, seen = time.monotonic(), list[tuple[float, int]]()
    told.sendings.append(seen)
    while client.poll() is None:
        lines = _lines(host, key, id_)
        if not seen or lines != seen[-1][1]:
            seen.append((round(time.monotonic() - began, 2), lines))
        if lines >= share * told.rows:
            return
        time.sleep(_LOOK_S)
    if client.returncode:
        raise RuntimeError(f"the client ended with exit code {client.returncode}")


def _lines(host: Host, key: str, id_: str) -> int:
    return int(_ask(host, key, f"/v1/imports/{id_}")["counts"]["lines"])


def _ask(host: Host, key: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    if body is not None:
        headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{host.port}{path}", data, headers)
    with urllib.request.urlopen(request, timeout=600) as answer:  # noqa: S310 -- our own
        return dict(json.load(answer))


if __name__ == "__main__":
    sys.exit(main())
