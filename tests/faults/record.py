"""A history as it is kept while a run is on: columns of numbers, so that millions of checks take little room.

A document is its serial number (`lostid_load.population.number_of`). Times are seconds of CLOCK_MONOTONIC, which all
processes of the machine share.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator
from math import isnan
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.faults.history import CheckSeen, FinalState, ReportSeen

NONE: Final = 0
"""No answer: a refusal for want of proof, a timeout, a broken connection."""
CLEAR: Final = 1
REFUSED: Final = 2
LATE: Final = 3
"""Clear, but it came later than its `fresh_for_ms`: nobody acts on it. It is an answer all the same."""
UNKNOWN: Final = float("nan")

_CHECKS: Final = {"document": "q", "invoked": "d", "completed": "d", "answer": "b", "host": "b"}
_REPORTS: Final = {"document": "q", "invoked": "d", "completed": "d", "withdrawal": "d", "withdrawn": "d"}
_FINALS: Final = {"document": "q", "refused": "b"}


class Record:
    """Columns of checks, reports and final states; `told` is whatever else the load has to say."""

    def __init__(self) -> None:
        self.checks: dict[str, array[Any]] = {name: array(kind) for name, kind in _CHECKS.items()}
        self.reports: dict[str, array[Any]] = {name: array(kind) for name, kind in _REPORTS.items()}
        self.finals: dict[str, array[Any]] = {name: array(kind) for name, kind in _FINALS.items()}
        self.told: dict[str, Any] = {}

    def check(self, document: int, invoked: float, completed: float, answer: int, host: int) -> None:
        columns = self.checks
        columns["document"].append(document)
        columns["invoked"].append(invoked)
        columns["completed"].append(completed)
        columns["answer"].append(answer)
        columns["host"].append(host)

    def report(self, document: int, invoked: float) -> int:
        """A report that was sent; its outcome is not known. Returns its row."""
        columns = self.reports
        columns["document"].append(document)
        columns["invoked"].append(invoked)
        for name in ("completed", "withdrawal", "withdrawn"):
            columns[name].append(UNKNOWN)
        return len(columns["document"]) - 1

    def receipt(self, row: int, completed: float) -> None:
        self.reports["completed"][row] = completed

    def withdrawal(self, row: int, invoked: float) -> None:
        """Its approval is about to be sent; whether it counts is not known."""
        self.reports["withdrawal"][row] = invoked

    def withdrawn(self, row: int, completed: float) -> None:
        self.reports["withdrawn"][row] = completed

    def final(self, document: int, refused: bool) -> None:
        self.finals["document"].append(document)
        self.finals["refused"].append(refused)

    # -- as the history checker reads it ------------------------------------------------------------------------------

    def checks_seen(
        self, *, of_reported: bool = False, acted_on: bool = False, when: Callable[[float], bool] | None = None
    ) -> Iterator[CheckSeen]:
        """`of_reported`: only answers, and only about documents that somebody reported. `acted_on`: as a client that
        keeps to `fresh_for_ms` took them. `when`: only those invoked at such a time."""
        late = None if acted_on else True
        reported = set(self.reports["document"])
        meanings = {NONE: None, CLEAR: True, REFUSED: False, LATE: late}
        for document, invoked, completed, answer, _host in zip(*self.checks.values(), strict=True):
            if of_reported and (answer == NONE or document not in reported):
                continue
            if when is None or when(invoked):
                yield CheckSeen(str(document), invoked, completed, meanings[answer])

    def reports_seen(self) -> Iterator[ReportSeen]:
        for document, invoked, *later in zip(*self.reports.values(), strict=True):
            completed, withdrawal, withdrawn = (None if isnan(at) else at for at in later)
            yield ReportSeen(str(document), invoked, completed, withdrawal, withdrawn)

    def finals_seen(self) -> Iterator[FinalState]:
        for document, refused in zip(self.finals["document"], self.finals["refused"], strict=True):
            yield FinalState(str(document), bool(refused))

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """One .npz file."""
        columns = {
            f"{table}.{name}": np.frombuffer(column, dtype=column.typecode) if column else np.empty(0, column.typecode)
            for table, found in self._tables().items()
            for name, column in found.items()
        }
        np.savez_compressed(path, told=np.array(json.dumps(self.told)), **columns)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Record:
        made = cls()
        with np.load(path) as found:
            made.told = json.loads(str(found["told"]))
            for table, columns in made._tables().items():
                for name, column in columns.items():
                    column.frombytes(found[f"{table}.{name}"].tobytes())
        return made

    def _tables(self) -> dict[str, dict[str, array[Any]]]:
        return {"checks": self.checks, "reports": self.reports, "finals": self.finals}
