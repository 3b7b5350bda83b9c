"""Reports, withdrawals, imports, checks and repeats, in any order, against a dictionary. By Hypothesis."""

import itertools
import time
import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lostid.commands.seed import people
from tests.fuzz.conftest import Target
from tests.fuzz.model import Model
from tests.importing import CSV, HEADER
from tests.waiting import wait_for

DAYS = (date(2012, 6, 1), date(2016, 6, 1), date(2021, 6, 1))
CARDS = st.sampled_from(DAYS)
ASKED = st.sampled_from((*DAYS, None))
WHO = st.integers(0, 2)
_numbers = people(seed=61)
_runs = itertools.count(1)


class Registry(RuleBasedStateMachine):
    """One organisation with an officer and a chief, and three people with numbers of their own."""

    target: Target

    @initialize()
    def begin(self) -> None:
        org, server = f"town-{next(_runs)}", self.target.server
        roles = ("reporter", "importer", "checker")
        self.officer = self._client(server.key(*roles, org=org, station="west", operator="officer"))
        self.chief = self._client(server.key("approver", org=org, station="east", operator="chief"))
        self.people = [next(_numbers) for _ in range(3)]
        self.model = Model()
        self.reports: dict[str, str] = {}  # id: whose
        self.gone: set[str] = set()
        self.pending: dict[str, str] = {}  # withdrawal: report
        self.decided: list[str] = []
        self.imports: list[str] = []
        self.sent: list[tuple[httpx.Client, str, Any, str, httpx.Response]] = []

    def _client(self, key: str) -> httpx.Client:
        url, headers = self.target.server.url, {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=url, headers=headers, timeout=60, verify=False)  # noqa: S501  no TLS here

    def teardown(self) -> None:
        if hasattr(self, "officer"):
            self.officer.close()
            self.chief.close()

    def _asked(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Again while the machine is too busy for an answer."""
        found = []

        def answered() -> bool:
            found.append(send())
            return found[-1].status_code not in (429, 503)

        wait_for(answered, 60, "an answer")
        return found[-1]

    def _write(self, client: httpx.Client, path: str, body: Any, once: str = "") -> httpx.Response:
        headers = {"Idempotency-Key": once or uuid.uuid4().hex}
        response = self._asked(lambda: client.post(path, json=body, headers=headers))
        if response.is_success and not once:
            self.sent.append((client, path, body, headers["Idempotency-Key"], response))
        return response

    # --- reports -----------------------------------------------------------------------------------------------------

    @rule(who=WHO, card=CARDS, reason=st.sampled_from(("lost", "lost", "stolen", "cancelled", "deceased")))
    def report(self, who: int, card: date, reason: str) -> None:
        person = self.people[who]
        document = {"type": "cn.resident-id", "number": person, "valid_from": card.isoformat()}
        body = {"document": document, "reason": reason, "operator": "officer", "case_number": "M-1"}
        if reason == "deceased":
            body["effective_at"] = "2026-11-01"
        response = self._write(self.officer, "/v1/reports", body)
        assert (response.status_code, response.json()["state"]) == (201, "in_force")
        self._newer(person)
        self.reports[response.json()["id"]] = person
        self.model.put(person, response.json()["id"], reason, card)

    def _newer(self, person: str) -> None:
        """A newer report on the document overtakes a pending withdrawal."""
        for withdrawal, report in list(self.pending.items()):
            if self.reports[report] == person:
                del self.pending[withdrawal]
                self.decided.append(withdrawal)

    # --- withdrawals -------------------------------------------------------------------------------------------------

    def _withdrawable(self) -> list[str]:
        """Not deaths: those take a supervisor of another organisation."""
        return [
            report
            for report, person in self.reports.items()
            if report not in {*self.gone, *self.pending.values()}
            and self.model.in_force[person][report].through is not None
        ]

    @precondition(lambda self: self._withdrawable() and len(self.sent) < 40)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        report = data.draw(st.sampled_from(self._withdrawable()))
        body = {"operator": "officer", "grounds": "entry_error", "evidence": "typed wrongly"}
        response = self._write(self.officer, f"/v1/reports/{report}/withdrawal", body)
        if response.status_code == 403:
            assert response.json()["code"] == "cap_reached"
            return
        assert (response.status_code, response.json()["state"]) == (202, "awaiting_approval"), response.text
        self.pending[response.json()["id"]] = report

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), act=st.sampled_from(("approve", "refuse")))
    def decide(self, data: st.DataObject, act: str) -> None:
        withdrawal = data.draw(st.sampled_from(sorted(self.pending)))
        response = self._write(self.chief, f"/v1/withdrawals/{withdrawal}/{act}", {"operator": "chief"})
        state = {"approve": "approved", "refuse": "refused"}[act]
        assert (response.status_code, response.json()["state"]) == (200, state), response.text
        report = self.pending.pop(withdrawal)
        self.decided.append(withdrawal)
        if act == "approve":
            self.gone.add(report)
            self.model.take_back(report)

    @precondition(lambda self: self.decided)
    @rule(data=st.data(), act=st.sampled_from(("approve", "refuse")))
    def decide_again(self, data: st.DataObject, act: str) -> None:
        """Once is once."""
        withdrawal = data.draw(st.sampled_from(self.decided))
        response = self._write(self.chief, f"/v1/withdrawals/{withdrawal}/{act}", {"operator": "chief"})
        assert response.status_code == 409, response.text

    # --- imports -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.pending)
    @rule(rows=st.lists(st.tuples(WHO, CARDS), min_size=1, max_size=3, unique_by=lambda row: row[0]))
    def import_(self, rows: list[tuple[int, date]]) -> None:
        """In force when it is released, all of it, and not before."""
        opened = self._write(self.officer, "/v1/imports", {"operator": "officer", "source": "old-register"})
        assert opened.status_code == 201
        id_ = opened.json()["id"]
        lines = [f"cn.resident-id,{self.people[who]},{card},lost,M-{at}" for at, (who, card) in enumerate(rows)]
        content = "\r\n".join([HEADER, *lines, ""])
        sent = self._asked(
            lambda: self.officer.put(f"/v1/imports/{id_}/rows", content=content, headers={"Content-Type": CSV})
        )
        assert (sent.status_code, sent.json()["counts"]["accepted"]) == (202, len(rows)), sent.text
        self.agrees()
        assert self._write(self.officer, f"/v1/imports/{id_}/release", {}).status_code == 202
        self._until(id_, "released")
        for who, card in rows:
            self.model.put(self.people[who], id_, "lost", card)
        self.imports.append(id_)

    @precondition(lambda self: self.imports and not self.pending)
    @rule(data=st.data())
    def withdraw_import(self, data: st.DataObject) -> None:
        """The whole import, and nothing else."""
        id_ = self.imports.pop(data.draw(st.integers(0, len(self.imports) - 1)))
        assert self._write(self.officer, f"/v1/imports/{id_}/withdrawal", {}).status_code == 202
        self._until(id_, "withdrawn")
        self.model.take_back(id_)

    def _until(self, id_: str, state: str) -> None:
        wait_for(lambda: self.officer.get(f"/v1/imports/{id_}").json().get("state") == state, 60, state)

    # --- checks and repeats ------------------------------------------------------------------------------------------

    @rule(who=WHO, card=ASKED)
    def check(self, who: int, card: date | None) -> None:
        body = {"document": self._document(who, card), "operator": "officer", "purpose": "other"}
        told = self._asked(lambda: self.officer.post("/v1/checks", json=body)).json()
        assert told["status"] == self.model.status(self.people[who], card)

    def _document(self, who: int, card: date | None) -> dict[str, str]:
        document = {"type": "cn.resident-id", "number": self.people[who]}
        return document if card is None else {**document, "valid_from": card.isoformat()}

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), other=st.booleans())
    def repeat(self, data: st.DataObject, other: bool) -> None:
        """The same key brings the same answer, whatever has happened since; with another body it brings none."""
        client, path, body, once, first = data.draw(st.sampled_from(self.sent))
        if other and "case_number" in body:
            response = self._write(client, path, {**body, "case_number": "M-2"}, once)
            assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
            return
        response = self._write(client, path, body, once)
        assert (response.status_code, response.content) == (first.status_code, first.content)
        assert response.headers["idempotent-replayed"] == "true"

    @invariant()
    def agrees(self) -> None:
        """Every card of everybody, in one batch; and every report says whether it is in force."""
        if not hasattr(self, "model"):
            return
        asked = [(who, card) for who in range(3) for card in (*DAYS, None)]
        checks = [{"document": self._document(who, card)} for who, card in asked]
        body = {"operator": "officer", "purpose": "other", "checks": checks}
        told = self._asked(lambda: self.officer.post("/v1/checks/batch", json=body)).json()["results"]
        expected = [self.model.status(self.people[who], card) for who, card in asked]
        assert [result["status"] for result in told] == expected
        for report in list(self.reports)[-2:]:
            shown = self._asked(lambda report=report: self.officer.get(f"/v1/reports/{report}")).json()  # type: ignore[misc]
            assert shown["state"] == ("withdrawn" if report in self.gone else "in_force")


def test_model(target: Target, minutes: float) -> None:
    """Whatever the order, every check is answered as the dictionary says."""
    Registry.target = target
    quiet = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
    short = settings(quiet, max_examples=3, stateful_step_count=15, derandomize=True)
    run_state_machine_as_test(Registry, settings=short)
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        run_state_machine_as_test(Registry, settings=settings(quiet, max_examples=10, stateful_step_count=40))
