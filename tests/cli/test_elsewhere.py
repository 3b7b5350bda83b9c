"""`lostid serve` with a PostgreSQL and a Redis of somebody else's: the same code, none of our own engines."""

from lostid.secrets import load_or_make
from tests.serving import Server, told


def test_elsewhere(postgres_dsn: str, valkey_url: str) -> None:
    """It serves on the engines it is given, starts none, and its keys are made in that ledger. Secrets have to be
    brought along: without them it refuses to start."""
    elsewhere = Server(workers=1, database_url=postgres_dsn, redis_url=valkey_url)
    try:
        refused = elsewhere.cli("serve", "--json")
        assert (refused.returncode, told(refused)["error"]["code"]) == (1, "refused")
        load_or_make(elsewhere.settings.secrets_path, make=True)
        elsewhere.start()
        assert elsewhere.children("postgres") == elsewhere.children("valkey-server") == []
        key = told(elsewhere.cli("keys", "create", "--org", "inn", "--role", "checker", "--json"))["key"]
        done = elsewhere.cli("check", "cn.passport", "-", "--json", key=key, stdin="E12345678")
        assert (done.returncode, told(done)["status"]) == (0, "clear")
        assert elsewhere.stop() == 0
    finally:
        elsewhere.close()
