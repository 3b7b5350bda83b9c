"""POST /v1/checks and POST /v1/checks/batch, from the bytes of a request to the bytes of its answer. The hot path.

Nothing here knows ASGI: `check` and `batch` take headers and body and give the answer at once, or (where an exact
record has to be read, keys be loaded anew, or a batch give way to others) something to await for it.

The order is that of design section 5, CHECK and EXACT: L, the lease, first; the key cache at least auth_seq; as_of;
generation and look-up; the exact record where the filter cannot clear; the clock last, against L."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

from lostid.api import meters, sandbox, wire
from lostid.api.problems import Answer, Problem
from lostid.api.steps import Head, Outcome, Steps, given, invalid, numbered
from lostid.api.telling import Ask, batch_json, item_json, refused_item_json, single_json
from lostid.domain import status as rule
from lostid.domain.canonical import Canonical
from lostid.domain.errors import Refusal
from lostid.domain.instance import Instance
from lostid.filter.page import Slot, boottime_ns
from lostid.filter.view import LEASE_UNTIL, FilterView
from lostid.ledger.lines import Item
from lostid.registry.lookup import Found

AT_A_TIME = 100  # documents of a batch between two turns of the loop
_SEQ, _GEN, _AUTH_SEQ = Slot.SEQ, Slot.GEN, Slot.AUTH_SEQ
_TEST = sandbox.TEST


class Checks(Steps):
    """One per worker."""

    # --- one document ------------------------------------------------------------------------------------------------

    def check(self, head: Head, body: bytes) -> Outcome:
        """The answer itself, unless the filter cannot clear (one check in ten thousand, and what is reported)."""
        started = boottime_ns()
        request_id, is_number = self._ids.of_request(head.get(b"request-id"))
        try:
            view, keys = self.view, self._keys
            if view is None or not keys.loaded:
                raise Problem("starting")
            slots = view.slots
            until = slots[LEASE_UNTIL]  # L: after the request came in, before anything that it vouches for
            if slots[_AUTH_SEQ] > keys.seq or slots[_GEN] != keys.gen:  # somebody's key may have been revoked
                return self._after_reload(self.check, view, head, body, request_id)
            key = self._admit(head, len(body))
            asked = wire.decode_check(body)
            if is_number:
                raise numbered()
            as_of = time.time_ns() // 1_000_000
            try:
                document, instance = self._read(asked.document, self._clock.today(as_of))
                scenario = sandbox.scenario_of(document) if key.env == _TEST else None
            except Refusal as refusal:
                id_ = self._ids.check()
                self._note(as_of, id_, 0, None, key, asked, asked.reference, refusal.code, slots[_SEQ])
                raise invalid(refusal) from None
            limits = self._allow(key, asked.operator, asked.purpose, 1)
            document_key = self._document_key(key.env, document)
            at = view.page.position() if asked.receipt is True else None
            seq = slots[_SEQ] if at is None else at.seq
            ask = Ask(key, asked.operator, asked.purpose, request_id, started, until, as_of, seq, limits, at)
            if scenario is not None:
                return self._play(scenario, ask, asked, document, instance, document_key, head)
            if view.current()(document_key):
                records = self._records([document_key], key)
                return self._exact_check(ask, asked, document, instance, document_key, records, head)
            return self._tell(ask, asked, document, document_key, rule.CLEAR, None)
        except Exception as refusal:
            return self._refuse(refusal, head, request_id)

    async def _exact_check(
        self,
        ask: Ask,
        asked: wire.Check,
        document: Canonical,
        instance: Instance,
        document_key: bytes,
        records: Awaitable[Sequence[Found]],
        head: Head,
    ) -> Answer:
        try:
            self._count[meters.EXACT_CHECK] += 1
            (found,) = await records
            status, because = self._decide(found.record, instance, document_key, ask.key)
            return self._tell(ask, asked, document, document_key, status, because)
        except Exception as refusal:
            return self._refuse(refusal, head, ask.request_id)

    def _tell(
        self,
        ask: Ask,
        asked: wire.Check,
        document: Canonical,
        document_key: bytes,
        status: str,
        because: tuple[str, str] | None,
        aged_ms: int = 0,
    ) -> Answer:
        """The clock; and after it nothing but writing the answer down. `aged_ms`: only the sandbox's."""
        fresh_ms = self._prove(ask.until_ns)
        id_ = self._ids.check()
        proof = None if ask.at is None else self.signer.check(ask, asked, id_, document, status)
        self._note(ask.as_of_ms, id_, 0, document_key, ask.key, asked, asked.reference, status, ask.seq)
        if aged_ms:
            ask, fresh_ms = ask._replace(as_of_ms=ask.as_of_ms - aged_ms), 0
        return self._answer(ask, single_json(id_, ask, self._clock, fresh_ms, status, document, because, proof))

    async def _play(
        self,
        scenario: sandbox.Scenario,
        ask: Ask,
        asked: wire.Check,
        document: Canonical,
        instance: Instance,
        document_key: bytes,
        head: Head,
    ) -> Answer:
        """A magic number of the sandbox."""
        try:
            ask = await self._stage([(scenario, document_key)], ask)
            status, because = self._decide(scenario.record, instance, document_key, ask.key)
            return self._tell(ask, asked, document, document_key, status, because, scenario.aged_ms)
        except Exception as refusal:
            return self._refuse(refusal, head, ask.request_id)

    async def _stage(self, played: list[tuple[sandbox.Scenario, bytes]], ask: Ask) -> Ask:
        """What magic numbers do to a whole request: refusals, exact records, waiting. Raises Problem and Broken."""
        for scenario, _ in played:
            scenario.refuse()
        exact = [document_key for scenario, document_key in played if scenario.exact]
        if exact:
            self._count[meters.EXACT_CHECK] += len(exact)
            await self._records(exact, ask.key)
        late_s = max(scenario.late_s for scenario, _ in played)
        view = self.view
        if not late_s or view is None:
            return ask
        await asyncio.sleep(late_s)
        return ask._replace(until_ns=view.slots[LEASE_UNTIL], as_of_ms=time.time_ns() // 1_000_000)

    # --- up to a thousand documents ----------------------------------------------------------------------------------

    def batch(self, head: Head, body: bytes) -> Outcome:
        """As `check`, with one lease and one clock for all: what is said of the first document holds for the last."""
        started = boottime_ns()
        request_id, is_number = self._ids.of_request(head.get(b"request-id"))
        try:
            view, keys = self.view, self._keys
            if view is None or not keys.loaded:
                raise Problem("starting")
            slots = view.slots
            until = slots[LEASE_UNTIL]
            if slots[_AUTH_SEQ] > keys.seq or slots[_GEN] != keys.gen:
                return self._after_reload(self.batch, view, head, body, request_id)
            key = self._admit(head, len(body))
            asked = wire.decode_batch(body)
            if is_number:
                raise numbered()
            as_of = time.time_ns() // 1_000_000
            limits = self._allow(key, asked.operator, asked.purpose, len(asked.checks))
            at = view.page.position() if asked.receipt is True else None
            seq = slots[_SEQ] if at is None else at.seq
            ask = Ask(key, asked.operator, asked.purpose, request_id, started, until, as_of, seq, limits, at)
            return self._items(ask, asked, view, head)
        except Exception as refusal:
            return self._refuse(refusal, head, request_id)

    async def _items(self, ask: Ask, asked: wire.Batch, view: FilterView, head: Head, staged: bool = False) -> Answer:
        try:
            contains = view.current()  # one generation for all: it holds whatever L vouches for, and loses nothing
            id_, env, purpose, today = self._ids.check(), ask.key.env, ask.purpose, self._clock.today(ask.as_of_ms)
            texts: list[str] = []
            told: list[Item] = []
            open_: list[tuple[int, bytes, Canonical, Instance]] = []
            documents: list[Canonical | None] = []
            played: list[tuple[sandbox.Scenario, bytes]] = []
            for place, item in enumerate(asked.checks):
                if place and place % AT_A_TIME == 0:
                    await asyncio.sleep(0)
                reference = given(item.reference)
                try:
                    document, instance = self._read(item.document, today)
                    scenario = sandbox.scenario_of(document) if env == _TEST else None
                except Refusal as refusal:
                    texts.append(refused_item_json(refusal, place, reference))
                    documents.append(None)
                    told.append((None, refusal.code, reference))
                    continue
                documents.append(document)
                document_key = self._document_key(env, document)
                if scenario is not None:
                    played.append((scenario, document_key))
                    status, because = self._decide(scenario.record, instance, document_key, ask.key)
                    texts.append(item_json(status, document, purpose, reference, because))
                    told.append((document_key, status, reference))
                    continue
                if contains(document_key):
                    open_.append((place, document_key, document, instance))
                    texts.append("")
                else:
                    texts.append(item_json(rule.CLEAR, document, purpose, reference, None))
                told.append((document_key, rule.CLEAR, reference))
            if open_:
                self._count[meters.EXACT_BATCH] += len(open_)
                records = await self._records([document_key for _, document_key, _, _ in open_], ask.key)
                for (place, document_key, document, instance), found in zip(open_, records, strict=True):
                    status, because = self._decide(found.record, instance, document_key, ask.key)
                    reference = told[place][2]
                    texts[place] = item_json(status, document, purpose, reference, because)
                    told[place] = document_key, status, reference
            if played and not staged:
                later = await self._stage(played, ask)
                if later is not ask:  # another lease: what was looked up under the old one is looked up again
                    return await self._items(later, asked, view, head, staged=True)
            fresh_ms = self._prove(ask.until_ns)  # the clock, once, after the last item
            self._note_all(ask, id_, told)
            self._count[meters.KIND_BATCH] += 1
            proof = None
            if ask.at is not None:
                proof = self.signer.batch(ask, asked, id_, documents, [status for _, status, _ in told])
            if played and (aged_ms := max(scenario.aged_ms for scenario, _ in played)):
                ask, fresh_ms = ask._replace(as_of_ms=ask.as_of_ms - aged_ms), 0
            return self._answer(ask, batch_json(id_, ask, self._clock, fresh_ms, texts, proof))
        except Exception as refusal:
            return self._refuse(refusal, head, ask.request_id)
