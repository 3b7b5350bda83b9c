"""What the API shows of reports: by id, by document, by case, and their state."""

from lostid.ledger import reports
from lostid.ledger.pool import LedgerPool
from lostid.ledger.reports import Place, Report
from lostid.ledger.statement import Conn
from lostid.ledger.writes import InForce, Recorded, record, store_answer
from tests.ledger.making import doc_key, report, write_key

A = doc_key("a")


async def made(pool: LedgerPool, name: str, *keys: bytes, case_number: str = "A-1", org: str = "police") -> Recorded:
    outcome = await pool.write(record, write_key(org=org), report(name, *keys, case_number=case_number, org=org))
    assert isinstance(outcome, Recorded)
    return outcome


def ids(found: list[Report]) -> list[str]:
    return [told.id for told in found]


async def test_get(pool: LedgerPool) -> None:
    """A report is shown as it was told, to its own organisation and environment only."""
    at = (await made(pool, "1", A)).appended
    told = await pool.read(reports.get, "live", "police", "rpt_1")
    assert told is not None
    assert (told.id, told.seq, told.recorded_ms, told.state) == ("rpt_1", at.seq, at.recorded_ms, "recorded")
    assert (told.station, told.operator, told.key_id) == ("station-7", "officer-117", "key_1")
    assert (told.type, told.case_number, told.reason) == ("cn.resident-id", "A-1", "lost")
    assert told.covers == {"types": ["cn.resident-id"], "valid_from_through": "2015-03-01"}
    for env, org, id_ in (("test", "police", "rpt_1"), ("live", "hotel", "rpt_1"), ("live", "police", "rpt_2")):
        assert await pool.read(reports.get, env, org, id_) is None


async def test_by_document(pool: LedgerPool) -> None:
    """Every organisation's reports on a document are found, oldest first, page by page."""
    await made(pool, "1", A)
    await made(pool, "2", doc_key("b"))
    await made(pool, "3", doc_key("b"), A, org="border")
    await made(pool, "4", A)
    assert ids(await pool.read(reports.by_document, "live", A)) == ["rpt_1", "rpt_3", "rpt_4"]
    page = await pool.read(reports.by_document, "live", A, limit=2)
    rest = await pool.read(reports.by_document, "live", A, Place(page[-1].seq, page[-1].id), limit=2)
    assert (ids(page), ids(rest)) == (["rpt_1", "rpt_3"], ["rpt_4"])
    assert await pool.read(reports.by_document, "test", A) == []


async def test_by_case(pool: LedgerPool) -> None:
    """Case numbers find an organisation's own reports, from a time on, page by page."""
    await made(pool, "1", case_number="A-1")
    await made(pool, "2", case_number="A-2")
    last = await made(pool, "3", case_number="A-1")
    await made(pool, "4", case_number="A-1", org="border")
    assert ids(await pool.read(reports.by_case, "live", "police", "A-1")) == ["rpt_1", "rpt_3"]
    page = await pool.read(reports.by_case, "live", "police", "A-1", limit=1)
    rest = await pool.read(reports.by_case, "live", "police", "A-1", after=Place(page[-1].seq, page[-1].id))
    assert (ids(page), ids(rest)) == (["rpt_1"], ["rpt_3"])
    since = last.appended.recorded_ms + 1
    assert await pool.read(reports.by_case, "live", "police", "A-1", since) == []


async def test_state(pool: LedgerPool, conn: Conn) -> None:
    """A report is `recorded`, `in_force` once that was proved, and `withdrawn` in the end."""
    key = write_key()
    outcome = await pool.write(record, key, report("1"))
    assert isinstance(outcome, Recorded)
    states = []
    for step in range(3):
        if step == 1:
            await pool.write(store_answer, key, outcome.appended, 201, b"{}", InForce(1_795_000_000_000, {}))
        if step == 2:
            conn.execute("UPDATE reports SET withdrawn_seq = 9")
        told = await pool.read(reports.get, "live", "police", "rpt_1")
        assert told is not None
        states.append(told.state)
    assert states == ["recorded", "in_force", "withdrawn"]


async def test_settling(pool: LedgerPool) -> None:
    """A report whose writer died before the answer is found, and noted as in force by who waited in its place."""
    forgotten = (await made(pool, "1")).appended.seq
    later = (await made(pool, "2")).appended.seq
    assert await pool.read(reports.unsettled) == [forgotten, later]
    assert await pool.write(reports.settle, [forgotten]) == 1
    assert await pool.write(reports.settle, [forgotten]) == 0
    assert await pool.read(reports.unsettled) == [later]
    told = await pool.read(reports.get, "live", "police", "rpt_1")
    assert told is not None
    assert told.state == "in_force"
