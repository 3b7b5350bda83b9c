"""The real engines: a fresh ledger for every test, and a flushed Valkey."""

from tests.ledger.conftest import conn, ledger_dsn, module_dsn, new_ledger, template
from tests.registry.conftest import client, writer

__all__ = ["client", "conn", "ledger_dsn", "module_dsn", "new_ledger", "template", "writer"]
