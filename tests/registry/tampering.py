"""What somebody with access to Redis does to a record."""

from lostid.registry.writer import Writer
from lostid.replication.relay import Relay
from tests.registry.ledgers import Ledger
from tests.registry.making import place, stored
from tests.registry.test_relay import run_down


def put_back_older(ledger: Ledger, writer: Writer, number: int, relay: Relay) -> None:
    """Keep the record of a first report, put it over that of a second."""
    ledger.report(number, 7_000)
    run_down(relay)
    older = stored(writer, number)
    assert older is not None
    ledger.report(number, 8_000)
    run_down(relay)
    assert stored(writer, number) != older
    writer.client.hset(*place(writer, number), older)


def delete(ledger: Ledger, writer: Writer, number: int, relay: Relay) -> None:
    writer.client.hdel(*place(writer, number))


def forge(ledger: Ledger, writer: Writer, number: int, relay: Relay) -> None:
    value = stored(writer, number)
    assert value is not None
    writer.client.hset(*place(writer, number), bytes([value[0] ^ 1]) + value[1:])


def swap(ledger: Ledger, writer: Writer, number: int, relay: Relay) -> None:
    """Another card's record, whole and with its tag."""
    value = stored(writer, 200)
    assert value is not None
    writer.client.hset(*place(writer, number), value)
