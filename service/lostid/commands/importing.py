"""`lostid import`: a file of reports, through the API. `lostid registry rebuild`: Redis, filled from the ledger."""

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lostid.commands.api import client, get, post, refused
from lostid.commands.hand import read_settings
from lostid.commands.telling import Exit, Failed, Json, note, show_json

if TYPE_CHECKING:
    from rich.progress import Progress

PART = 1 << 20
POLL_S = 0.2
TRIES = 5
"""So often are the rows sent again after a break; every line counts once."""
_TYPES = {"ndjson": "application/x-ndjson", "jsonl": "application/x-ndjson"}

_ID = re.compile(r"imp_[0-9a-f]{32}").fullmatch

registry = typer.Typer(help="The registry: the copy in Redis.", no_args_is_help=True)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    source: Annotated[str | None, typer.Option(help="Where the rows come from; by default the file's name.")] = None,
    operator: Annotated[str | None, typer.Option(help="The operator that the key belongs to.")] = None,
    charset: Annotated[str, typer.Option(help="Of a CSV file: utf-8 or gb18030.")] = "utf-8",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count everything, keep nothing.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Put it in force as well: up to 10,000 rows.")] = False,
    rejected: Annotated[Path | None, typer.Option(help="Write the rejected lines (line, code) to this file.")] = None,
    resume: Annotated[str | None, typer.Option(metavar="imp_...", help="Go on with an import that is open.")] = None,
    as_json: Json = False,
) -> None:
    """Send a CSV or NDJSON file of reports. Nothing is in force before its release. Exit code 1: some were rejected.

    What breaks off is gone on with by --resume and the same file: every line counts once."""
    if resume is not None and _ID(resume) is None:
        raise Failed("id_unknown", "--resume takes the id of an import (imp_...)", Exit.USAGE)
    media = _TYPES.get(file.suffix.lower().lstrip("."), f"text/csv; charset={charset}")
    with _progress() as progress:
        who = {} if operator is None else {"operator": operator}
        if resume is None:
            digest = _sha256(file, progress)
            body = {**who, "source": source or _name(file), "sha256": digest, "dry_run": dry_run}
            id_ = post("/v1/imports", body, uuid.uuid4().hex)["id"]
            note(f"{id_} is open")
            told = _send(file, media, id_, progress)
        else:
            id_ = resume
            told = get(f"/v1/imports/{id_}")
            if told["state"] == "receiving":
                told = _send(file, media, id_, progress)
        lines = list(_rejections(id_)) if told["counts"]["rejected"] else []
        if rejected is not None:
            rejected.write_text("line,code,field\n" + "".join(f"{n},{code},{field}\n" for n, code, field in lines))
        if release and told["state"] == "received":
            _everywhere(id_, progress)
            post(f"/v1/imports/{id_}/release", dict(who), uuid.uuid4().hex)
            told = get(f"/v1/imports/{id_}")
    if as_json:
        show_json({**told, "rejections": [{"line": n, "code": code} for n, code, _ in lines[:1000]]})
    else:
        counts = told["counts"]
        print(f"{told['id']}  {told['state']}  {counts['accepted']} accepted, {counts['rejected']} rejected")
        for n, code, field in lines[:20] if rejected is None else ():
            print(f"  line {n}: {code}{f' ({field})' if field else ''}")
        if len(lines) > 20 and rejected is None:
            print(f"  and {len(lines) - 20} more; --rejected FILE writes them all")
    raise typer.Exit(Exit.REFUSED if lines else Exit.DONE)


@registry.command()
def rebuild(as_json: Json = False) -> None:
    """Have the registry filled anew from the ledger. Checks go on meanwhile, from the ledger."""
    import redis

    from lostid.engines import valkey
    from lostid.registry.client import open_client
    from lostid.registry.writer import request_rebuild

    settings = read_settings()
    try:
        with open_client(settings.redis_url or valkey.embedded_url(settings.place)) as server:
            request_rebuild(server)
    except (redis.RedisError, OSError) as error:
        raise Failed("registry_unreachable", f"no answer from the registry: {error}", Exit.NO_ANSWER) from None
    if as_json:
        show_json({"state": "rebuilding"})
    else:
        print("the registry is filled anew; readyz says how far it is")


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    shown = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*shown, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


def _parts(file: Path, told: Callable[[int], None]) -> Iterator[bytes]:
    with file.open("rb") as rows:
        while part := rows.read(PART):
            told(len(part))
            yield part


def _sha256(file: Path, progress: "Progress") -> str:
    digest = hashlib.sha256()
    task = progress.add_task("reading", total=file.stat().st_size)
    for part in _parts(file, lambda size: progress.advance(task, size)):
        digest.update(part)
    progress.remove_task(task)
    return digest.hexdigest()


def _name(file: Path) -> str:
    """Of the file, with what a reference cannot hold left away."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in file.name)[:64]


def _send(file: Path, media: str, id_: str, progress: "Progress") -> dict[str, Any]:
    import httpx

    for left in reversed(range(TRIES)):
        task = progress.add_task("sending", total=file.stat().st_size)
        try:
            with client(timeout=600.0) as api:
                rows = _parts(file, lambda size, task=task: progress.advance(task, size))  # type: ignore[misc]
                response = api.put(f"/v1/imports/{id_}/rows", content=rows, headers={"Content-Type": media})
        except httpx.HTTPError as e:
            failed = Failed("unreachable", f"the rows could not be sent: {e}", Exit.NO_ANSWER, {"id": id_})
        else:
            if response.is_success:
                told: dict[str, Any] = response.json()
                return told
            failed = refused(response)
        finally:
            progress.remove_task(task)
        # The connection of a broken sending may still be held for a moment.
        if not left or (failed.exit_code is not Exit.NO_ANSWER and not _busy(failed)):
            raise failed
        note("the sending broke; it is sent again, and every line counts once")
        time.sleep(1.0)
    raise AssertionError("unreachable")


def _busy(failed: Failed) -> bool:
    return any(fault.get("code") == "import_not_ready" for fault in failed.more.get("errors", ()))


def _everywhere(id_: str, progress: "Progress") -> None:
    """Until every host has its rows: before that nobody can release it."""
    task = progress.add_task("on its way to the hosts", total=None)
    while (staged := get(f"/v1/imports/{id_}").get("staged")) and staged["confirmed"] < staged["hosts"]:
        progress.update(task, total=staged["hosts"], completed=staged["confirmed"])
        time.sleep(POLL_S)
    progress.remove_task(task)


def _rejections(id_: str) -> Iterator[tuple[int, str, str]]:
    cursor: str | None = "0"
    while cursor is not None:
        told = get(f"/v1/imports/{id_}/rejections?limit=1000&cursor={cursor}")
        for row in told["rejections"]:
            yield row["line"], row["code"], row.get("field", "")
        cursor = told["next_cursor"]
