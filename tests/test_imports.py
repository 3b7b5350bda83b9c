"""Imports on a real server: every row once, none before the release, none of another's after a withdrawal."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from tests.importing import HEADER, NEW, OLD, Importer, numbers, people_at, query, rows_of
from tests.serving import Server, told
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def importer(server: Server) -> Importer:
    return people_at(server, "imports")["importer"]


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server whose workers are killed."""
    with Server(workers=2) as running:
        yield running


@pytest.mark.parametrize(
    ("media", "charset"), [("text/csv; charset=utf-8", "utf-8-sig"), ("text/csv; charset=gb18030", "gb18030")]
)
def test_csv(importer: Importer, media: str, charset: str) -> None:
    """In both charsets, with and without a byte order mark; what is not text spoils its own line alone."""
    first, second = numbers(2, seed=len(charset))
    text = f"{HEADER}\r\n{rows_of([first])}cn.resident-id,{second},{OLD},遗失,A-1\r\n\r\n{rows_of([second])}"
    rows = text.encode(charset).replace("遗失".encode(charset.removesuffix("-sig")), b"\xff\xff")
    id_ = importer.open()
    status, shown = importer.send(id_, rows, media)
    assert (status, shown["state"]) == (202, "received")
    assert shown["counts"] == {"lines": 3, "accepted": 2, "rejected": 1, "in_force": 0}
    assert importer.rejections(id_) == [(3, "encoding")]
    assert importer.status(first) == "clear"
    assert importer.act(id_, "release")[0] == 202
    importer.wait(id_, "released")
    assert {importer.status(first), importer.status(second)} == {"reported"}
    assert importer.status(first, NEW) == "clear"


def test_rejections(importer: Importer) -> None:
    """Each bad line has its number and a code; a number that a spreadsheet has mangled is called that."""
    good, mismatched = numbers(2, seed=21)
    lines = [
        HEADER,
        f"cn.resident-id,{good},{OLD},lost,A-1",
        f"cn.resident-id,5.1E+17,{OLD},lost,A-1",
        f"cn.resident-id,{good[:17]}{'0' if good[17] != '0' else '1'},{OLD},lost,A-1",
        f"cn.resident-id,{good},{OLD},mislaid,A-1",
        f"cn.residence-permit,{mismatched},{OLD},lost,A-1",
        f"cn.resident-id,{good},,found,A-1",
        f"cn.resident-id,{good},{OLD},lost,{good}",
        f"cn.resident-id,{good},{OLD},lost",
        f'cn.resident-id,"{good},{OLD},lost,A-1',
        f"cn.resident-id,{good},{OLD},lost,A-1,more",
        "x" * 20_000,
        f'"cn.resident-id","{mismatched}","{OLD}","stolen","A-1"',
    ]
    id_ = importer.open()
    assert importer.send(id_, "\n".join(lines))[1]["counts"]["accepted"] == 2
    assert importer.rejections(id_) == [
        (3, "excel_number"), (4, "check_digit"), (5, "value_invalid"), (6, "type_mismatch"), (7, "instance_required"),
        (8, "contains_document_number"), (9, "field_missing"), (10, "quotes"), (11, "columns"), (12, "line_too_long"),
    ]  # fmt: skip


def test_ndjson(importer: Importer) -> None:
    """Rows may carry the other fields of a report as well; a wrong line is a rejected line."""
    number, licence = numbers(2, seed=22)
    new_card = {"replaced_by_valid_from": NEW, "effective_at": NEW, "reason": "replaced", "case_number": "A"}
    serial = {"card_serial": "ABCDEFGHI0123", "reason": "seized", "case_number": "A"}
    rows = [
        json.dumps({"type": "cn.resident-id", "number": number, **new_card}),
        json.dumps({"type": "cn.driving-licence", "number": licence, **serial}),
        '{"type": "cn.resident-id", "type": "cn.passport"}',
        "[]",
        '{"colour": "red"}',
    ]
    id_ = importer.open()
    assert importer.send(id_, "\n".join(rows), "application/x-ndjson")[1]["counts"]["accepted"] == 2
    assert importer.rejections(id_) == [(3, "key_repeated"), (4, "type_wrong"), (5, "field_unknown")]
    importer.act(id_, "release")
    importer.wait(id_, "released")
    assert (importer.status(number), importer.status(number, NEW)) == ("void", "clear")


def test_dry_run(importer: Importer, server: Server) -> None:
    """Everything is read and counted, nothing is kept but the rejections, and nothing can be released."""
    id_ = importer.open(dry_run=True)
    rows = f"{HEADER}\n{rows_of(numbers(20, seed=23))}cn.resident-id,1,{OLD},lost,A"
    for _ in range(2):
        shown = importer.send(id_, rows)[1]
        assert (shown["state"], shown["counts"]["accepted"], shown["counts"]["rejected"]) == ("checked", 20, 1)
    for table, kept in (("import_rejections", 1), ("import_parts", 0), ("import_covers", 0)):
        rows_of_it = sql.SQL("SELECT count(*) FROM {} r JOIN imports i ON i.number = r.import WHERE i.id = %s")
        assert query(server, rows_of_it.format(sql.Identifier(table)), id_) == [(kept,)]
    assert importer.act(id_, "release") == (422, "import_not_ready")


def test_sent_again(importer: Importer) -> None:
    """After a break: every line counts once, and one that has become another counts for nothing."""
    rows = f"{HEADER}\n{rows_of(numbers(100, seed=24))}".splitlines(keepends=True)
    id_ = importer.open()
    importer.send(id_, "".join(rows[:50]))
    assert importer.send(id_, "".join(rows))[1]["counts"] == {
        "lines": 100,
        "accepted": 100,
        "rejected": 0,
        "in_force": 0,
    }
    rows[10] = rows[10].replace("lost", "stolen")
    assert importer.send(id_, "".join(rows))[1]["counts"]["accepted"] == 99
    assert importer.rejections(id_) == [(11, "line_differs")]


def test_broken_off(importer: Importer) -> None:
    """A sender that vanishes in the middle of a line: nothing can be released, and the whole file counts once."""
    rows = f"{HEADER}\n{rows_of(numbers(13_000, seed=31))}".encode()
    id_ = importer.open()
    importer.break_off(id_, rows[: 2 * len(rows) // 3])
    assert importer.act(id_, "release") == (422, "import_not_ready")
    wait_for(lambda: importer.send(id_, rows)[0] == 202, 20, "received")
    assert importer.shown(id_)["counts"] == {"lines": 13_000, "accepted": 13_000, "rejected": 0, "in_force": 0}


def test_hash(importer: Importer) -> None:
    """Where a hash was declared, other rows cannot be released."""
    id_ = importer.open(sha256="0" * 64)
    status, refused = importer.send(id_, f"{HEADER}\n{rows_of(numbers(1, seed=25))}")
    assert (status, refused["errors"]) == (422, [{"pointer": "/sha256", "code": "sha256_differs"}])
    assert importer.act(id_, "release") == (422, "import_not_ready")


def test_header(importer: Importer) -> None:
    """A file whose columns are not known is refused as a whole."""
    status, refused = importer.send(importer.open(), "type,number,colour\n")
    assert status == 422
    assert [fault["code"] for fault in refused["errors"]] == ["field_unknown", "field_missing", "field_missing"]
    assert importer.send(importer.open(), "", "application/json")[1]["code"] == "media_type"


def test_withdrawal(importer: Importer) -> None:
    """It takes what this import put there and nothing else: an earlier report of the same card stays."""
    reported, imported = numbers(2, seed=26)
    document = {"type": "cn.resident-id", "number": reported, "valid_from": OLD}
    report = {"document": document, "reason": "stolen", "operator": "op-1", "case_number": "A-1"}
    assert importer.ask("POST", "/v1/reports", report)[0] == 201
    id_ = importer.open()
    importer.send(id_, f"{HEADER}\n{rows_of([reported, imported, imported])}")
    importer.act(id_, "release")
    importer.wait(id_, "released")
    assert importer.status(imported) == "reported"
    why = {"operator": "op-1", "grounds": "entry_error", "evidence": f"sent twice: {reported}"}
    refused = importer.ask("POST", f"/v1/imports/{id_}/withdrawal", why)[1]
    assert refused["errors"] == [{"pointer": "/evidence", "code": "contains_document_number"}]
    assert importer.ask("POST", f"/v1/imports/{id_}/withdrawal", {**why, "evidence": "sent twice"})[0] == 202
    importer.wait(id_, "withdrawn")
    asked = {"operator": "op-1", "case_number": "A-1", "document": document}
    last = importer.ask("POST", "/v1/reports/history", asked)[1]["entries"][-1]
    assert (last["kind"], last["grounds"]) == ("import.withdrawn", "entry_error")
    assert (importer.status(reported), importer.status(imported)) == ("reported", "clear")
    assert importer.act(id_, "release") == (422, "import_not_ready")
    assert importer.shown(id_)["counts"]["in_force"] == 0


def test_deaths(server: Server) -> None:
    """A death that one person put in force alone takes two to be undone, in an import as in a report."""
    people = people_at(server, "deaths")
    importer, approver = people["importer"], people["approver"]
    (dead,) = numbers(1, seed=29)
    id_ = importer.open()
    importer.send(id_, f"{HEADER},effective_at\ncn.resident-id,{dead},,deceased,A-1,2026-01-01\n")
    assert importer.act(id_, "release") == (202, "released")
    assert importer.act(id_, "withdrawal") == (202, "withdrawal_awaiting_approval")
    assert (importer.act(id_, "withdrawal"), importer.status(dead)) == ((403, "cap_reached"), "void")
    assert approver.act(id_, "withdrawal") == (202, "withdrawn")
    assert importer.status(dead) == "clear"


def test_others(server: Server, importer: Importer) -> None:
    """Another organisation finds nothing."""
    id_ = importer.open()
    assert people_at(server, "elsewhere")["approver"].act(id_, "release") == (404, "not_found")


def test_no_number(importer: Importer, server: Server) -> None:
    """Nowhere in the database, whatever became of the row."""
    good, bad = numbers(2, seed=27)
    id_ = importer.open()
    importer.send(id_, f"{HEADER}\n{rows_of([good])}cn.residence-permit,{bad},{OLD},lost,{bad}\n{bad}\n")
    importer.act(id_, "release")
    importer.wait(id_, "released")
    tables = query(server, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        dumped = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))
        for (row,) in query(server, dumped):
            assert not [number for number in (good, bad) if number in row or number.encode().hex() in row]


def test_guarded(own: Server) -> None:
    """Above 10,000 rows two people release, and two withdraw. Whatever is killed on the way, every row counts once."""
    staff = people_at(own, "imports")
    importer, colleague, approver = staff["importer"], staff["colleague"], staff["approver"]
    many = numbers(20_000, seed=28)
    rows = f"{HEADER}\n{rows_of(many)}".encode()
    id_ = importer.open()
    importer.break_off(id_, rows[: 2 * len(rows) // 3])
    kill(own, "_worker")
    wait_for(lambda: importer.send(id_, rows)[0] == 202, 20, "received")
    kill(own, "_replica", "_relay")
    assert importer.shown(id_)["counts"] == {"lines": 20_000, "accepted": 20_000, "rejected": 0, "in_force": 0}
    assert {importer.status(number) for number in many[::4_000]} == {"clear"}
    assert importer.act(id_, "release") == (403, "cap_reached")
    assert colleague.act(id_, "release") == (403, "same_station")
    wait_for(lambda: approver.act(id_, "release")[0] == 202, 30, "released")
    assert importer.shown(id_)["counts"]["in_force"] == 20_000
    kill(own, "_worker", "_relay")
    assert {importer.status(number) for number in many[::1000]} == {"reported"}
    once = "SELECT count(*), count(DISTINCT doc_key) FROM effects WHERE report_id = %s AND action = %s"
    assert query(own, once, id_, 1) == [(20_000, 20_000)]
    assert importer.act(id_, "withdrawal") == (202, "withdrawal_awaiting_approval")
    assert importer.act(id_, "withdrawal") == (403, "cap_reached")
    assert colleague.act(id_, "withdrawal") == (403, "same_station")
    assert approver.act(id_, "withdrawal")[0] == 202
    kill(own, "_replica", "_relay")
    assert {importer.status(number) for number in many[::1000]} == {"clear"}
    assert importer.shown(id_)["counts"]["in_force"] == 0


def kill(server: Server, *units: str) -> None:
    for unit in units:
        for child in server.children(unit):
            os.kill(child, signal.SIGKILL)
    server.wait_until_ready()


def test_command(server: Server, importer: Importer, tmp_path: Path) -> None:
    """`lostid import`: sends, releases, writes the rejected lines to a file; exit code 1 where there are any."""
    good, other = numbers(2, seed=29)
    file, rejected = tmp_path / "rows.csv", tmp_path / "rejected.csv"
    file.write_text(f"{HEADER}\n{rows_of([good, other])}cn.resident-id,5.1E+17,{OLD},lost,A-1\n", "utf-8-sig")
    done = server.cli("import", str(file), "--dry-run", "--json", key=importer.key)
    assert (done.returncode, told(done)["state"]) == (1, "checked")
    done = server.cli("import", str(file), "--release", "--rejected", str(rejected), "--json", key=importer.key)
    assert (done.returncode, told(done)["state"], told(done)["counts"]["in_force"]) == (1, "released", 2)
    assert rejected.read_text() == "line,code,field\n4,excel_number,number\n"
    assert importer.status(good) == "reported"
    assert server.cli("import", str(tmp_path / "none.csv"), key=importer.key).returncode == 2


def test_rebuild(server: Server, importer: Importer) -> None:
    """`lostid registry rebuild`: the registry comes back, and nothing that was reported is clear meanwhile."""
    (number,) = numbers(1, seed=30)
    document = {"type": "cn.resident-id", "number": number, "valid_from": OLD}
    report = {"document": document, "reason": "stolen", "operator": "op-1", "case_number": "A-1"}
    assert importer.ask("POST", "/v1/reports", report)[0] == 201
    assert server.cli("registry", "rebuild").returncode == 0
    assert {importer.status(number) for _ in range(20)} == {"reported"}
    server.wait_until_ready()
