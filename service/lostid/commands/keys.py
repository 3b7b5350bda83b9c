"""`lostid keys`: who may ask and report. Straight to the ledger: whoever may run this owns the registry."""

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lostid.commands.hand import ledger, read_settings
from lostid.commands.telling import Exit, Failed, Json, show_json
from lostid.domain.reasons import REASONS
from lostid.domain.roles import BOUND_ROLES, MIRROR, PURPOSES, ROLES

if TYPE_CHECKING:
    from lostid.ledger.apikeys import ApiKey, NewKey
    from lostid.ledger.entries import Appended
    from lostid.ledger.statement import AsyncConn

T = TypeVar("T")

app = typer.Typer(help="API keys.", no_args_is_help=True)

MIRROR_PREFIX = "lid_mirror_"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_RATE = re.compile(r"([1-9][0-9]{0,8})(/s)?", re.ASCII)


@app.command()
def create(
    org: Annotated[str, typer.Option(help="The organisation.")],
    role: Annotated[list[str], typer.Option(help=f"One or more of: {' '.join(ROLES)}.")],
    station: Annotated[str | None, typer.Option(help="Needed with roles that write.")] = None,
    operator: Annotated[str | None, typer.Option(help="Whose key it is; needed with roles that write.")] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="Only these purposes of checks.")] = None,
    reason: Annotated[list[str] | None, typer.Option(help="Only these reasons of reports.")] = None,
    rate: Annotated[str | None, typer.Option(help="Requests per second: 50/s.")] = None,
    test: Annotated[bool, typer.Option("--test", help="A key of the sandbox.")] = False,
    as_json: Json = False,
) -> None:
    """Make a key. Its secret is shown once, now; it works when this returns."""
    from lostid.ledger.apikeys import NewKey

    new = NewKey(
        env="test" if test else "live",
        org=named("--org", org),
        roles=_known("--role", role, ROLES),
        station=None if station is None else named("--station", station),
        operator=None if operator is None else named("--operator", operator),
        purposes=_known("--purpose", purpose or (), PURPOSES),
        reasons=_known("--reason", reason or (), REASONS),
        rate=_per_second(rate),
    )
    if new.env == "test" and MIRROR in new.roles:
        raise _usage("the sandbox has no mirrors: a mirror holds a key of the live registry")
    if not BOUND_ROLES.isdisjoint(new.roles) and (new.station is None or new.operator is None):
        bound = ", ".join(sorted(BOUND_ROLES.intersection(new.roles)))
        raise _usage(
            f"a key with the role {bound} belongs to one operator at one station: give --station and --operator"
        )
    id_, secret = with_ledger(lambda conn: make(conn, new))
    if as_json:
        show_json({"id": id_, "key": secret})
    else:
        print(f"{id_}\n{secret}\nThe second line is the key. It is not kept and cannot be shown again.")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All keys, revoked ones too; never their secrets."""
    from lostid.ledger import apikeys

    table = with_ledger(apikeys.load_all)
    keys = [_told(key) for key in table.by_secret.values()]
    if as_json:
        show_json({"keys": keys})
        return
    from rich.console import Console
    from rich.table import Table

    columns = ("id", "env", "org", "roles", "station", "operator", "rate", "state")
    shown = Table()
    for name in columns:
        shown.add_column(name, no_wrap=name == "id", min_width=36 if name == "id" else None, overflow="fold")
    for key in keys:
        shown.add_row(*(" ".join(v) if isinstance(v, list) else str(v or "") for v in (key[name] for name in columns)))
    Console().print(shown)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """End a key. When this returns, no host accepts it any more."""

    async def work(conn: "AsyncConn") -> "Appended | None":
        from lostid.ledger import apikeys

        appended = await apikeys.revoke(conn, key_id)
        if appended is not None:
            await fenced(conn, appended)
        return appended

    appended = with_ledger(work)
    if appended is None:
        raise Failed("not_found", f"there is no key {key_id}", Exit.REFUSED)
    if as_json:
        show_json({"id": key_id, "state": "revoked", "seq": appended.seq})
    else:
        print(f"{key_id} is revoked (entry {appended.seq})")


@app.command("mirror-secret")
def mirror_secret(key_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """What the holder of a mirror key needs to look numbers up. Hand it over as you would a password.

    It is made from the registry's secrets, so it is run where they are; the API never tells it.
    """
    from lostid.ledger import apikeys
    from lostid.secrets import SecretsRefused

    keys = with_ledger(apikeys.load_all).by_secret.values()
    key = next((key for key in keys if key.id == key_id), None)
    if key is None or MIRROR not in key.roles or key.env != "live" or key.revoked_seq is not None:
        raise Failed("not_found", f"there is no mirror key {key_id} in use", Exit.REFUSED)
    try:
        written = written_secret(read_settings().secrets_path, key_id)
    except SecretsRefused as e:
        raise Failed("secrets", str(e), Exit.REFUSED) from None
    if as_json:
        show_json({"id": key_id, "mirror_secret": written})
    else:
        print(written)


def written_secret(secrets_path: Path, key_id: str) -> str:
    """The secret of a mirror as its holder gets it. Raises SecretsRefused."""
    from lostid.domain.keys import Keyring
    from lostid.secrets import load_or_make

    secrets = load_or_make(secrets_path, make=False)
    secret = Keyring(secrets.outer, secrets.pepper, secrets.sealing).mirror_secret(key_id)
    return MIRROR_PREFIX + base64.urlsafe_b64encode(secret).decode().rstrip("=")


async def make(conn: "AsyncConn", new: "NewKey") -> tuple[str, str]:
    """(id, secret) of a new key that every host knows of."""
    from lostid.api.ids import Ids
    from lostid.ledger import apikeys

    id_ = Ids().new("key_", time.time_ns() // 1_000_000)
    secret, appended = await apikeys.create(conn, id_, new)
    await fenced(conn, appended)
    return id_, secret


async def fenced(conn: "AsyncConn", appended: "Appended") -> None:
    """Wait until no host can answer from before the entry."""
    from lostid.domain.position import Position
    from lostid.ledger import hosts
    from lostid.replication import fence
    from lostid.replication.rules import Terms

    terms = await hosts.TERMS.arun(conn)
    wait = Terms(terms.l_r_ms * 1_000_000, terms.l_w_ms * 1_000_000)
    begun = fence.begin(Position(appended.seq, appended.hash), _boottime_ns())
    while True:
        state = await hosts.fence_state(conn, appended.seq, appended.hash)
        seen = fence.Seen(state.has_entry, state.hosts, state.behind)
        if fence.passed(begun, seen, _boottime_ns(), wait) is not None:
            return
        await asyncio.sleep(0.005)


def with_ledger(work: "Callable[[AsyncConn], Awaitable[T]]") -> T:
    from lostid.ledger.errors import LedgerError, StartRefused
    from lostid.ledger.pool import aconnect

    async def run(dsn: str) -> T:
        async with await aconnect(dsn, name="lostid-cli") as conn:
            return await work(conn)

    try:
        with ledger(read_settings()) as dsn:
            return asyncio.run(run(dsn))
    except StartRefused as e:
        raise Failed(e.code, e.sentence, Exit.REFUSED) from None
    except LedgerError as e:
        raise Failed("ledger_unavailable", f"the ledger does not answer: {e}", Exit.NO_ANSWER) from None


def _told(key: "ApiKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "env": key.env,
        "org": key.org,
        "station": key.station,
        "operator": key.operator,
        "roles": sorted(key.roles),
        "purposes": sorted(key.purposes),
        "reasons": sorted(key.reasons),
        "rate": key.rate,
        "state": "active" if key.revoked_seq is None else "revoked",
        "created_seq": key.created_seq,
        "revoked_seq": key.revoked_seq,
    }


def named(option: str, value: str) -> str:
    from lostid.api.ids import reads_as_number

    if _NAME.fullmatch(value) is None:
        raise _usage(f"{option}: 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit")
    if reads_as_number(value):
        raise _usage(f"{option}: reads as a document number")
    return value


def _known(option: str, values: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(values))
    if not set(chosen) <= set(known):
        raise _usage(f"{option}: one of {' '.join(known)}")
    return chosen


def _per_second(rate: str | None) -> int | None:
    if rate is None:
        return None
    found = _RATE.fullmatch(rate)
    if found is None:
        raise _usage("--rate: requests per second, for example 50/s")
    return int(found[1])


def _usage(sentence: str) -> Failed:
    return Failed("usage", sentence, Exit.USAGE)


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
