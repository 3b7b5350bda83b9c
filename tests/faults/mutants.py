"""Mutants: small sabotages of the program, each of which the tests must notice.

    python -m tests.faults.mutants [NAME ...]

Each is applied alone to a copy of the checkout, and the tests that stand guard over that line are run there. A mutant
that survives is a promise without a guard: exit code 1. So is one under which the tests only hang: a named test has to
fail. The checkout itself is never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("service", "clients", "loadtest", "tests", "pyproject.toml", "openapi.json", "README.md", "docs")
_LIMIT_S = 900


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old`, which stands exactly once in `file`, becomes `new`; one of `tests` has to fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, package: Path) -> None:
        """To the `lostid` that lies there."""
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise RuntimeError(f"{self.name}: its line stands {text.count(self.old)} times in {self.file}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


MUTANTS = (
    Mutant(
        "answer_before_apply",
        "replication/fence.py",
        "seen.has_entry and seen.behind == 0",
        "seen.has_entry and seen.behind >= 0",
        ("tests/replication/test_rules.py", "tests/simulation"),
    ),
    Mutant(
        "lease_compared_the_wrong_way_round",
        "api/steps.py",
        "if left <= 0 or self.halted",
        "if left >= 0 or self.halted",
        ("tests/api/test_decision.py",),
    ),
    Mutant(
        "wall_clock",
        "filter/page.py",
        "time.clock_gettime_ns(time.CLOCK_BOOTTIME)",
        "time.time_ns()",
        ("tests/filter",),
    ),
    Mutant(
        "error_swallowed_into_clear",
        "api/steps.py",
        "            raise Unproven(\"the ledger's server does not hold this host's last entry\")",
        "            return [Found(Record(), Source.LEDGER) for _ in keys]",
        ("tests/api/test_decision.py",),
    ),
    Mutant(
        "filter_answered_without_a_lease",
        "api/steps.py",
        '            raise Unproven("the lease has ended")',
        "            left = 1_000_000_000",
        ("tests/api/test_decision.py",),
    ),
    Mutant(
        "lease_read_after_the_lookup",
        "api/checks.py",
        "fresh_ms = self._prove(ask.until_ns)\n        id_ =",
        "fresh_ms = self._prove(self.view.slots[LEASE_UNTIL] if self.view else 0)\n        id_ =",
        ("tests/api/test_decision.py",),
    ),
    Mutant(
        "hash_ignored",
        "replication/apply.py",
        "entry.seq != position.seq + 1 or entry.prev != position.hash",
        "entry.seq != position.seq + 1",
        ("tests/replication/test_rules.py", "tests/simulation"),
    ),
    Mutant(
        "gap_ignored",
        "replication/apply.py",
        "entry.seq != position.seq + 1 or entry.prev != position.hash",
        "entry.seq <= position.seq",
        ("tests/replication/test_rules.py", "tests/simulation"),
    ),
    Mutant(
        "idempotency_not_persisted",
        "ledger/writes.py",
        "SELECT %(env)s, %(org)s, %(idem_key)s, %(fingerprint)s, seq FROM moved",
        "SELECT %(env)s, %(org)s, %(idem_key)s, %(fingerprint)s, seq FROM moved WHERE false",
        ("tests/ledger/test_writes.py",),
    ),
    Mutant(
        "commit_asynchronous",
        "ledger/pool.py",
        "SELECT set_config('synchronous_commit', 'on', false)",
        "SELECT set_config('synchronous_commit', 'off', false)",
        ("tests/ledger/test_pool.py",),
    ),
    Mutant(
        "canonicaliser_differs_in_one_place",
        "api/reporting.py",
        "return canonicalise(document.type, document.number, state,",
        'return canonicalise(document.type, document.number.replace("X", "x").replace("0", "1", 1), state,',
        ("tests/api/test_reporting.py", "tests/api/test_checking.py"),
    ),
    Mutant(
        "cancelled_connection_kept",
        "registry/reader.py",
        "        except BaseException:\n            await self._close()\n            raise",
        "        except BaseException:\n            raise",
        ("tests/registry/test_lookup_faults.py",),
    ),
    Mutant(
        "withdrawal_not_bound_to_its_document",
        "ledger/withdrawals.py",
        "c.doc_key = ANY (w.doc_keys) AND c.seq > w.seq",
        "c.doc_key <> ALL (w.doc_keys) AND c.seq > w.seq",
        ("tests/api/test_cheats.py",),
    ),
    Mutant(
        "same_person_approves",
        "domain/withdrawal.py",
        'raise Denied("same_person")',
        "pass",
        ("tests/api/test_cheats.py",),
    ),
    Mutant(
        "withdrawal_without_effect",
        "domain/record.py",
        "undone.setdefault(effect.report_id, effect.action is Action.WITHDRAW)",
        "undone.setdefault(effect.report_id, False)",
        ("tests/domain",),
    ),
    Mutant(
        "revocation_not_waited_for",
        "api/checks.py",
        "if slots[_AUTH_SEQ] > keys.seq or slots[_GEN] != keys.gen:  # somebody's",
        "if not keys.loaded:  # somebody's",
        ("tests/api/test_decision.py",),
    ),
    Mutant(
        "lease_counted_twice_as_long",
        "replication/lease.py",
        "until = t_sent + terms.lease_ns",
        "until = t_sent + 2 * terms.lease_ns",
        ("tests/replication/test_rules.py", "tests/simulation"),
    ),
    Mutant(
        "named_before_it_is_synced",
        "durable.py",
        "        os.fsync(f.fileno())",
        "        pass",
        ("tests/faults/test_power_cut.py::test_secrets",),
    ),
    Mutant(
        "answer_not_sent_from_the_store",
        "api/writing.py",
        "return Receipt(stored.answer, replayed=not stored.first)",
        "return Receipt(body, replayed=not stored.first)",
        ("tests/faults/test_failpoints.py::test_asked_twice_at_once",),
    ),
)


def main() -> int:
    """Apply the named mutants, or all."""
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        print("first without any sabotage: what fails then is guarded by nothing", flush=True)
        if failed := _caught(None, tuple(sorted({test for mutant in chosen for test in mutant.tests})), Path(folder)):
            print(f"fails by itself: {failed}")
            return 1
        for mutant in chosen:
            began = time.monotonic()
            caught = _caught(mutant, mutant.tests, Path(folder))
            print(f"{mutant.name:40} {caught or 'SURVIVED'}  ({time.monotonic() - began:.0f} s)", flush=True)
            if not caught:
                survivors.append(mutant.name)
    print(f"{len(chosen) - len(survivors)} passed, {len(survivors)} failed")
    return 1 if survivors else 0


def _caught(mutant: Mutant | None, tests: tuple[str, ...], folder: Path) -> str | None:
    """Which test noticed; None where none did."""
    copy = folder / "copy"
    copy.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif source.exists():
            shutil.copy2(source, copy / name)
    if mutant is not None:
        mutant.apply(copy / "service" / "lostid")
    environment = {**os.environ, "PYTHONPATH": f"{copy / 'service'}:{copy / 'clients' / 'lostid_client'}"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        if mutant is None:
            return "they did not end"
        print(f"{mutant.name}: the tests did not end", flush=True)
        return None
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if not failed:  # not a test that failed, but tests that could not run
        raise RuntimeError(f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return failed[0].split(" - ")[0].removeprefix("FAILED ").removeprefix("ERROR ")


if __name__ == "__main__":
    sys.exit(main())
