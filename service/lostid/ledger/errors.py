"""What can go wrong with the ledger, as the few things a caller would handle differently.

    LedgerError
    |- LedgerDown      nothing was done; trying again is safe
    |- LedgerUnknown   a write that may or may not have been committed
    |- LedgerFault     the ledger refused what should have been right: a mistake here, or damage there
       |- LedgerConflict    a unique key is taken
    StartRefused       this server must not start on this ledger; has a code and a sentence for the operator

psycopg's exceptions end at this room's door: ``statement``, ``pool`` and ``journal`` translate them where they enter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool


class LedgerError(Exception):
    """The ledger did not do what was asked, or did not say so."""


class LedgerDown(LedgerError):
    """Not reachable, not writable, overloaded or leaving. Nothing was done."""


class LedgerUnknown(LedgerError):
    """The outcome of a commit is not known: never acknowledge it. Only the same idempotency key can find out."""


class LedgerFault(LedgerError):
    """An answer that no retry will mend."""


class LedgerConflict(LedgerFault):
    """A unique key is taken. Whoever inserts and expects that catches it."""

    def __init__(self, text: str, constraint: str | None) -> None:
        super().__init__(text)
        self.constraint = constraint


class StartRefused(Exception):
    """A server that started here would break a promise. `code` names the reason, `sentence` says what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


# By SQLSTATE (PostgreSQL documentation, appendix A). Where the server itself reports one of these it has rolled back.
_ROLLED_BACK = (
    "25006",  # read_only_sql_transaction: a standby
    "25P03",  # idle_in_transaction_session_timeout
    "25P04",  # transaction_timeout
    "40001",  # serialization_failure
    "40002",  # transaction_integrity_constraint_violation
    "40P01",  # deadlock_detected
    "53",  # insufficient_resources: disk, memory, connections
    "55P03",  # lock_not_available
    "57014",  # query_canceled: a statement timeout
    "57P03",  # cannot_connect_now: starting or stopping
    "57P04",  # database_dropped
)
# The backend or the wire went away: before the commit, after it, or while it waited for its standby.
_CUT_OFF = ("08", "40003", "57P01", "57P02", "57P05")


def translate(error: psycopg.Error, *, writing: bool) -> LedgerError:
    """The one place that decides what a failure means. Where it cannot be told, a write's outcome is unknown."""
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.PoolClosed | psycopg_pool.TooManyRequests):
        return LedgerDown(str(error))
    state = error.sqlstate
    if state is None:
        if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return LedgerFault(_named(error))  # refused on our side, before anything was sent
        return LedgerUnknown(_named(error)) if writing else LedgerDown(_named(error))
    if state.startswith(_ROLLED_BACK):
        return LedgerDown(_named(error))
    if state.startswith(_CUT_OFF):
        return LedgerUnknown(_named(error)) if writing else LedgerDown(_named(error))
    if state == "23505":
        return LedgerConflict(_named(error), error.diag.constraint_name)
    return LedgerFault(_named(error))


def _named(error: psycopg.Error) -> str:
    """The failure without its DETAIL, which may quote a row."""
    text = error.diag.message_primary or (str(error).splitlines() or [""])[0]
    return f"{error.sqlstate or type(error).__name__}: {text}"


@contextmanager
def translated(*, writing: bool) -> Iterator[None]:
    """Nothing of psycopg's leaves this block."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, writing=writing) from error
