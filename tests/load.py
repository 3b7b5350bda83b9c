"""A light load for tests of faults: police report, hotels check, and every answer is held against the promises."""

import http.client
import random
import threading
import time
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from lostid.commands.seed import people
from tests.serving import Server

OFFICER = "officer-117"
OLD = "2015-03-01"


class Load:
    """Runs while the block runs. `wrong` collects every answer that breaks a promise."""

    def __init__(self, server: Server, police: str, hotel: str, seed: int) -> None:
        self.server = server
        self.police, self.hotel = f"Bearer {police}", f"Bearer {hotel}"
        self.numbers = _locked(people(seed))
        self.receipts: list[tuple[str, str]] = []  # (number, report id): only appended to
        self.wrong: list[str] = []
        self.answered = 0
        self.refused: list[str] = []
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._report, self._report, *[self._check] * 3)
        ]

    def _report(self) -> None:
        while not self._end.is_set():
            number, key = next(self.numbers), uuid.uuid4().hex
            body = {"document": _card(number), "reason": "lost", "operator": OFFICER, "case_number": "F-1"}
            # Also after the end: an outcome that nobody knows is no outcome. But not for ever.
            for _ in range(400):
                status, answer = self._ask("/v1/reports", body, Authorization=self.police, Idempotency_Key=key)
                if status == 201:
                    self.receipts.append((number, str(answer["id"])))
                    break
                if status not in (0, 503):
                    self.wrong.append(f"a report was answered {status} {answer.get('code')}")
                    break
                self._end.wait(0.05)

    def _check(self) -> None:
        chance = random.Random()
        while not self._end.is_set():
            known = len(self.receipts)  # before the check is sent
            reported = known > 0 and chance.random() < 0.7
            number = self.receipts[chance.randrange(max(0, known - 20), known)][0] if reported else next(self.numbers)
            status = self.status_of(number)
            if status in ("clear", "reported"):
                self.answered += 1
                if (status == "reported") != reported:
                    self.wrong.append(f"{'a reported' if reported else 'an unknown'} card was {status}")
            else:
                self.refused.append(status)
                self._end.wait(0.01)

    def status_of(self, number: str) -> str:
        """A check's status, or why there was none."""
        body = {"document": _card(number), "operator": "desk-3", "purpose": "hotel.check_in"}
        status, answer = self._ask("/v1/checks", body, Authorization=self.hotel)
        if status not in (0, 200, 503):
            self.wrong.append(f"a check was answered {status} {answer.get('code')}")
        return str(answer.get("status") if status == 200 else answer.get("code", "unreachable"))

    def _ask(self, path: str, body: object, **headers: str) -> tuple[int, dict[str, object]]:
        try:
            status, answer = self.server.ask("POST", path, body, **headers)
        except (OSError, http.client.HTTPException):
            return 0, {}
        return status, answer or {}

    def verify(self) -> None:
        """No promise was broken, and what has a receipt is still there and in force."""
        assert self.wrong == []
        for number, report_id in self.receipts:
            status, report = self.server.ask("GET", f"/v1/reports/{report_id}", Authorization=self.police)
            assert (status, report["state"]) == (200, "in_force")
            answers = {self.status_of(number)}
            while not answers & {"clear", "reported"}:  # a busy machine may miss a renewal: one asks again
                time.sleep(0.05)
                answers.add(self.status_of(number))
            assert "clear" not in answers, answers

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)


def _card(number: str) -> dict[str, str]:
    return {"type": "cn.resident-id", "number": number, "valid_from": OLD}


def _locked(numbers: Iterator[str]) -> Iterator[str]:
    """A generator that several threads may ask."""
    return iter(_Locked(numbers))


class _Locked:
    def __init__(self, numbers: Iterator[str]) -> None:
        self._numbers = numbers
        self._lock = threading.Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        with self._lock:
            return next(self._numbers)
