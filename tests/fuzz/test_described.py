"""Every operation of openapi.json against the real server, by schemathesis, with every check it has."""

import json
import subprocess
import sys
from pathlib import Path

from tests.fuzz.conftest import OFFICER, Target
from tests.fuzz.narrowed import narrowed
from tests.importing import Importer, numbers, rows_of

QUICK_S = 10
CONFIG = """
[checks]
# 503 is designed, as a problem: a busy machine has not proved its freshness, or not made its first snapshot. That of an
# error which nobody foresaw is found in the log.
not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
# A schema cannot say that a check digit must be right, a birth date exist and a cursor have been given out here: 422
# (contract, Documents). 400, 405, 413 and 415 stay failures.
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "503"]
negative_data_rejection.expected-statuses = ["4xx", "503"]

[[operations]]
include-path = "/v1/checks/batch"
# A refused number or instance refuses its item alone, in a 200 (contract, Checking).
checks.negative_data_rejection.expected-statuses = ["2xx", "4xx", "503"]

[[operations]]
include-path = "/v1/operators/{name}/rewind"
# A preview needs no Idempotency-Key and looks at none, a request does: which it is stands in the body.
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429", "503"]
checks.negative_data_rejection.expected-statuses = ["2xx", "4xx", "503"]
"""


def _acts(target: Target) -> dict[str, list[str]]:
    """One of everything that has an id."""
    own = Importer(target.server, target.key)
    number = numbers(1, seed=51)[0]
    document = {"type": "cn.resident-id", "number": number, "valid_from": "2015-03-01"}
    body = {"document": document, "reason": "lost", "operator": OFFICER, "case_number": "A-1"}
    status, report = own.ask("POST", "/v1/reports", body)
    assert status == 201
    asked = {"operator": OFFICER, "grounds": "other", "evidence": "found at home"}
    status, withdrawal = own.ask("POST", f"/v1/reports/{report['id']}/withdrawal", asked)
    assert status == 202
    import_id = own.open(operator=OFFICER)
    assert own.send(import_id, "type,number,valid_from,reason,case_number\r\n" + rows_of([number]))[0] == 202
    return {
        "report_id": [report["id"]],
        "withdrawal_id": [withdrawal["id"]],
        "import_id": [import_id],
        "seq": ["1", str(report["seq"])],
        "path": ["0/000.p/1", "entries/000.p/1", "0/000"],
    }


def test_described(target: Target, minutes: float, tmp_path: Path) -> None:
    """What openapi.json allows is answered as it says; what it does not allow is refused; nothing breaks."""
    schema = narrowed(
        {
            "operator": [OFFICER],
            "number": [*numbers(4, seed=52), "E12345678", "H12345678"],
            "type": ["cn.resident-id", "cn.passport", "cn.hk-macau-permit"],
            "valid_from": ["2015-03-01", "2019-03-01"],
            "effective_at": ["2026-11-20T09:00:00+08:00", "2026-11-20"],
            "since": ["2026-11-20T09:00:00Z"],
            "at": ["2026-11-20T09:00:00Z"],
        },
        _acts(target),
    )
    (tmp_path / "openapi.json").write_text(json.dumps(schema))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    more = ["--phases", "examples,coverage,fuzzing,stateful"] if minutes else ["--phases", "examples,coverage"]
    seconds = round(minutes * 60) or QUICK_S
    argv = [
        *(str(Path(sys.executable).with_name("st")), "run", str(tmp_path / "openapi.json"), "--url", target.server.url),
        *("--header", f"Authorization: Bearer {target.key}", "--checks", "all", "--continue-on-failure", "--no-color"),
        *("--max-time", str(seconds), "--request-timeout", "30", "--generation-deterministic", *more),
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=90 + seconds, check=False)
    assert done.returncode == 0, done.stdout[-20_000:]
