"""The taxonomy: every foreign exception becomes one of ours, at the door, and in doubt a write's outcome is unknown."""

import ast
from collections.abc import Iterator
from pathlib import Path

import psycopg
import psycopg_pool
import pytest
from psycopg import errors as foreign

import lostid.ledger
from lostid.ledger.errors import (
    LedgerConflict,
    LedgerDown,
    LedgerError,
    LedgerFault,
    LedgerUnknown,
    translate,
    translated,
)
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn, Statement, nothing


def every(kind: type[psycopg.Error]) -> Iterator[type[psycopg.Error]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from every(narrower)


EVERY = sorted(set(every(psycopg.Error)), key=lambda kind: kind.__name__)

# (exception, reading, writing)
CASES: list[tuple[type[psycopg.Error], type[LedgerError], type[LedgerError]]] = [
    (foreign.ReadOnlySqlTransaction, LedgerDown, LedgerDown),
    (foreign.SerializationFailure, LedgerDown, LedgerDown),
    (foreign.DeadlockDetected, LedgerDown, LedgerDown),
    (foreign.DiskFull, LedgerDown, LedgerDown),
    (foreign.TooManyConnections, LedgerDown, LedgerDown),
    (foreign.LockNotAvailable, LedgerDown, LedgerDown),
    (foreign.QueryCanceled, LedgerDown, LedgerDown),
    (foreign.CannotConnectNow, LedgerDown, LedgerDown),
    (psycopg_pool.PoolTimeout, LedgerDown, LedgerDown),
    (psycopg_pool.PoolClosed, LedgerDown, LedgerDown),
    (foreign.AdminShutdown, LedgerDown, LedgerUnknown),
    (foreign.CrashShutdown, LedgerDown, LedgerUnknown),
    (foreign.ConnectionFailure, LedgerDown, LedgerUnknown),
    (foreign.StatementCompletionUnknown, LedgerDown, LedgerUnknown),
    (psycopg.OperationalError, LedgerDown, LedgerUnknown),
    (psycopg.InterfaceError, LedgerDown, LedgerUnknown),
    (foreign.UniqueViolation, LedgerConflict, LedgerConflict),
    (foreign.CheckViolation, LedgerFault, LedgerFault),
    (foreign.UndefinedTable, LedgerFault, LedgerFault),
    (foreign.DataCorrupted, LedgerFault, LedgerFault),
    (psycopg.ProgrammingError, LedgerFault, LedgerFault),
]


@pytest.mark.parametrize(("kind", "reading", "writing"), CASES, ids=lambda case: case.__name__)
def test_meaning(kind: type[psycopg.Error], reading: type[LedgerError], writing: type[LedgerError]) -> None:
    """What a caller is to do follows from the kind of failure, and from whether something was being written."""
    assert type(translate(kind(), writing=False)) is reading
    assert type(translate(kind(), writing=True)) is writing


@pytest.mark.parametrize("writing", [False, True])
def test_none_missed(writing: bool) -> None:
    """Every exception that psycopg and its pool define becomes one of the few; only a write can be unknown."""
    assert len(EVERY) > 250
    for kind in EVERY:
        with pytest.raises(LedgerError) as told, translated(writing=writing):
            raise kind("x")
        assert writing or not isinstance(told.value, LedgerUnknown), kind


def test_doors() -> None:
    """psycopg is called nowhere in the room but inside a `translated` block."""
    talks = {"execute", "executemany", "copy", "connect", "connection", "transaction", "notifies", "check", "fetchall"}
    outside = []
    for file in sorted(Path(lostid.ledger.__path__[0]).glob("*.py")):
        tree = ast.parse(file.read_text())
        inside = {
            id(node)
            for block in ast.walk(tree)
            if isinstance(block, ast.With | ast.AsyncWith) and "translated(" in ast.unparse(block.items[0])
            for node in ast.walk(block)
        }
        outside += [
            f"{file.name}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in talks
            if id(node) not in inside
        ]
    assert outside == []


def test_no_values(conn: Conn) -> None:
    """The message of a translated failure does not quote the row that the server's DETAIL quotes."""
    insert = Statement(
        "INSERT INTO api_keys (id, org, secret_sha256) VALUES ('k', 'secret', NULL)", nothing, writes=True
    )
    with pytest.raises(LedgerFault) as fault:
        insert.run(conn)
    assert "secret," not in str(fault.value)
    assert "secret" in str(fault.value.__cause__)


def test_unreachable() -> None:
    """A ledger that cannot be reached is down."""
    with pytest.raises(LedgerDown):
        connect("host=/nowhere user=nobody", name="test")
