"""`lostid stations` and `lostid operators`: straight to the ledger, as `lostid keys`; a rewind goes through the API."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lostid.commands.api import post
from lostid.commands.keys import fenced, named, with_ledger
from lostid.commands.telling import Exit, Failed, Json, show_json

if TYPE_CHECKING:
    from lostid.ledger.people import Ended
    from lostid.ledger.statement import AsyncConn

stations = typer.Typer(help="Stations: where operators work. Alone, it lists them.", invoke_without_command=True)
operators = typer.Typer(help="Operators: who holds keys that write. Alone, it lists them.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
Org = Annotated[str, typer.Option(help="The organisation.")]


@stations.callback()
def all_stations(context: typer.Context, as_json: Json = False) -> None:
    _alone(context, list_stations, as_json)


@operators.callback()
def all_operators(context: typer.Context, as_json: Json = False) -> None:
    _alone(context, list_operators, as_json)


@stations.command("list")
def list_stations(as_json: Json = False) -> None:
    """All stations that a key ever named."""
    from lostid.ledger.people import STATIONS

    found = [asdict(row) for row in with_ledger(STATIONS.arun)]
    _show({"stations": found}, ("org", "station", "operators", "keys", "ended"), as_json)


@stations.command("revoke")
def revoke_station(name: Name, org: Org, as_json: Json = False) -> None:
    """End all keys of a station. When this returns, no host accepts one of them any more."""
    from lostid.ledger import people

    org, name = named("--org", org), named("NAME", name)
    _end(lambda conn: people.revoke_station(conn, org, name), f"station {name}", as_json)


@operators.command("list")
def list_operators(as_json: Json = False) -> None:
    """All operators that a key ever named, and where they work."""
    from lostid.ledger.people import OPERATORS

    found = [asdict(row) for row in with_ledger(OPERATORS.arun)]
    _show({"operators": found}, ("org", "operator", "stations", "keys", "ended"), as_json)


@operators.command("revoke")
def revoke_operator(name: Name, org: Org, as_json: Json = False) -> None:
    """End all keys of an operator. When this returns, no host accepts one of them any more."""
    from lostid.ledger import people

    org, name = named("--org", org), named("NAME", name)
    _end(lambda conn: people.revoke_operator(conn, org, name), f"operator {name}", as_json)


@operators.command()
def move(
    name: Name, org: Org, to: Annotated[str, typer.Option(help="The new station.")], as_json: Json = False
) -> None:
    """End an operator's keys of every other station. Make the new ones with `lostid keys create`."""
    from lostid.ledger import people

    org, name, to = named("--org", org), named("NAME", name), named("--to", to)
    _end(lambda conn: people.move_operator(conn, org, name, to), f"operator {name}", as_json)


@operators.command()
def rewind(
    name: Name,
    since: Annotated[str, typer.Option(help="Instant with offset: 2026-11-20T00:00:00+08:00.")],
    evidence: Annotated[str | None, typer.Option(help="Why; needed with --ask.")] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Put it before a second supervisor.")] = False,
    idempotency_key: Annotated[str | None, typer.Option(help="Of an earlier try whose outcome is not known.")] = None,
    as_json: Json = False,
) -> None:
    """Show what an operator did since then, or with --ask have it taken back. Needs a supervisor's LOSTID_KEY."""
    body: dict[str, Any] = {"since": since, "dry_run": not ask}
    if evidence is not None:
        body["evidence"] = evidence
    answer = post(f"/v1/operators/{named('NAME', name)}/rewind", body, idempotency_key or uuid.uuid4().hex)
    if as_json:
        show_json(answer)
        return
    print(f"withdrawn reports that fall back to in force: {len(answer['restored'])}")
    for id_ in answer["restored"]:
        print(f"  {id_}")
    print(f"reports that are marked for review: {len(answer['marked'])}")
    for id_ in answer["marked"]:
        print(f"  {id_}")
    print(f"withdrawn imports that fall back to in force: {len(answer['restored_imports'])}")
    for id_ in answer["restored_imports"]:
        print(f"  {id_}")
    print(f"imports that are marked for review: {len(answer['imports'])}")
    for id_ in answer["imports"]:
        print(f"  {id_}")
    if ask:
        print(f"{answer['id']}  {answer['state']}  until {answer['expires_at']}")


def _alone(context: typer.Context, listing: Callable[[bool], None], as_json: bool) -> None:
    """A group without a command lists; with one, its --json is the command's."""
    if context.invoked_subcommand is None:
        listing(as_json)
    else:
        context.default_map = {context.invoked_subcommand: {"as_json": as_json}}


def _end(work: "Callable[[AsyncConn], Awaitable[Ended | None]]", what: str, as_json: bool) -> None:
    async def ended(conn: "AsyncConn") -> "Ended | None":
        found = await work(conn)
        if found is not None and found.appended is not None:
            await fenced(conn, found.appended)
        return found

    found = with_ledger(ended)
    if found is None:
        raise Failed("not_found", f"no key names the {what} in this organisation", Exit.REFUSED)
    seq = None if found.appended is None else found.appended.seq
    if as_json:
        show_json({"keys": list(found.keys), "seq": seq})
    else:
        print(f"{what}: {len(found.keys)} keys ended" + ("" if seq is None else f" (entry {seq})"))


def _show(told: dict[str, list[dict[str, Any]]], columns: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        show_json(told)
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(*columns)
    for row in next(iter(told.values())):
        shown.add_row(*(" ".join(v) if isinstance(v, list) else str(v) for v in (row[name] for name in columns)))
    Console().print(shown)
