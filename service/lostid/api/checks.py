"""POST /v1/checks and POST /v1/checks/batch, from the bytes of a request to the bytes of its answer. The hot path.

Nothing here knows ASGI: `check` and `batch` take headers and body and give the answer at once, or (where an exact
record has to be read, keys be loaded anew, or a batch give way to others) something to await for it.

The order is that of design section 5, CHECK and EXACT: L, the lease, first; the key cache at least auth_seq; as_of;
generation and look-up; the exact record where the filter cannot clear; the clock last, against L."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import UNSET, UnsetType

from lostid.api import ids, logs, meters, sandbox, wire
from lostid.api.body import LIMIT, is_json
from lostid.api.clock import Clock
from lostid.api.problems import Answer, Fault, Header, Problem, prefers_chinese, render
from lostid.api.signing import Signer
from lostid.api.telling import Ask, batch_json, item_json, refused_item_json, single_json
from lostid.domain import status as rule
from lostid.domain.canonical import Canonical, canonicalise
from lostid.domain.errors import Refusal
from lostid.domain.instance import Instance, instance_of
from lostid.domain.keys import Keyring
from lostid.domain.packed import Packed
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.domain.roles import CHECKER, REPORTER
from lostid.filter.page import Slot, Unproven, boottime_ns
from lostid.filter.view import LEASE_UNTIL, FilterView
from lostid.guard.auth import KeyCache, Refused
from lostid.guard.rates import Rates
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.errors import LedgerError
from lostid.ledger.journal import JournalWriter
from lostid.ledger.lines import Line
from lostid.registry.lookup import ExactLookup, FreshnessUnproven

AT_A_TIME = 200  # documents of a batch between two turns of the loop
MOST_WAITING = 4_096  # requests that wait for exact records at once; more are told to come back

Headers: TypeAlias = Sequence[Header]
Head: TypeAlias = Mapping[bytes, bytes]
Outcome: TypeAlias = Answer | Coroutine[Any, Any, Answer]
Confirm: TypeAlias = Callable[[Sequence[bytes], Position], Awaitable[Mapping[bytes, Record] | None]]

_SEQ, _AUTH_SEQ = Slot.SEQ, Slot.AUTH_SEQ
_JSON: Header = (b"content-type", b"application/json")
_NO_STORE: Header = (b"cache-control", b"no-store")
_UNPROVEN = (Unproven, FreshnessUnproven, LedgerError)
_TIME = meters.CHECK_TIME


class Checks:
    """One per worker. `view` and `lookup` come once the replica has made its page; until then: 503 starting.

    `halted`: a canary was clear here. Nothing this process says can be trusted, so it says nothing more."""

    view: FilterView | None = None
    lookup: ExactLookup
    halted = False
    signer: Signer

    def __init__(
        self,
        keyring: Keyring,
        keys: KeyCache,
        rates: Rates,
        journal: JournalWriter,
        confirm: Confirm,
        clock: Clock,
        made: ids.Ids,
        meter: meters.Meters,
    ) -> None:
        self._document_key = keyring.key
        self._tag_key = keyring.record_tag_key
        self._keys = keys
        self._rates = rates
        self._journal = journal
        self._confirm = confirm
        self._clock = clock
        self._ids = made
        self._count = meter.slots
        self._waiting = 0

    # --- one document ------------------------------------------------------------------------------------------------

    def check(self, headers: Headers, body: bytes) -> Outcome:
        """The answer itself, unless the filter cannot clear (one check in ten thousand, and what is reported)."""
        started = boottime_ns()
        head = dict(headers)
        request_id, numbered = self._ids.of_request(head.get(b"request-id"))
        try:
            view, keys = self.view, self._keys
            if view is None or not keys.loaded:
                raise Problem("starting")
            slots = view.slots
            until = slots[LEASE_UNTIL]  # L: after the request came in, before anything that it vouches for
            if slots[_AUTH_SEQ] > keys.seq:  # somebody's key may have been revoked
                return self._after_reload(self.check, slots[_AUTH_SEQ], headers, body, request_id)
            key = self._admit(head, len(body))
            asked = wire.decode_check(body)
            if numbered:
                raise _numbered()
            as_of = time.time_ns() // 1_000_000
            try:
                document, instance = self._read(asked.document, as_of)
                scenario = sandbox.scenario_of(document) if key.env == sandbox.TEST else None
            except Refusal as refusal:
                id_ = self._ids.new("chk_", as_of)
                self._note(as_of, id_, 0, None, key, asked, asked.reference, refusal.code, slots[_SEQ])
                raise _invalid(refusal) from None
            limits = self._allow(key, asked.operator, asked.purpose, 1)
            document_key = self._document_key(key.env, document)
            at = view.page.position() if asked.receipt is True else None
            seq = slots[_SEQ] if at is None else at.seq
            ask = Ask(key, asked.operator, asked.purpose, request_id, started, until, as_of, seq, limits, at)
            if scenario is not None:
                return self._play(scenario, ask, asked, document, instance, document_key, head)
            if view.current()(document_key):
                return self._exact_check(ask, asked, document, instance, document_key, head)
            return self._tell(ask, asked, document, document_key, rule.CLEAR, None)
        except Exception as refusal:
            return self._refuse(refusal, head, request_id)

    async def _exact_check(
        self, ask: Ask, asked: wire.Check, document: Canonical, instance: Instance, document_key: bytes, head: Head
    ) -> Answer:
        try:
            self._count[meters.EXACT_CHECK] += 1
            (record,) = await self._records([document_key], ask.key)
            status, because = self._decide(record, instance, document_key)
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
        id_ = self._ids.new("chk_", ask.as_of_ms)
        proof = None if ask.at is None else self.signer.check(ask, asked, id_, document, status)
        self._note(ask.as_of_ms, id_, 0, document_key, ask.key, asked, asked.reference, status, ask.seq)
        self._count[meters.KIND_CHECK] += 1
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
            status, because = self._decide(scenario.record, instance, document_key)
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

    def batch(self, headers: Headers, body: bytes) -> Outcome:
        """As `check`, with one lease and one clock for all: what is said of the first document holds for the last."""
        started = boottime_ns()
        head = dict(headers)
        request_id, numbered = self._ids.of_request(head.get(b"request-id"))
        try:
            view, keys = self.view, self._keys
            if view is None or not keys.loaded:
                raise Problem("starting")
            slots = view.slots
            until = slots[LEASE_UNTIL]
            if slots[_AUTH_SEQ] > keys.seq:
                return self._after_reload(self.batch, slots[_AUTH_SEQ], headers, body, request_id)
            key = self._admit(head, len(body))
            asked = wire.decode_batch(body)
            if numbered:
                raise _numbered()
            as_of = time.time_ns() // 1_000_000
            limits = self._allow(key, asked.operator, asked.purpose, len(asked.checks))
            at = view.page.position() if asked.receipt is True else None
            seq = slots[_SEQ] if at is None else at.seq
            ask = Ask(key, asked.operator, asked.purpose, request_id, started, until, as_of, seq, limits, at)
            return self._items(ask, asked, view, head)
        except Exception as refusal:
            return self._refuse(refusal, head, request_id)

    async def _items(self, ask: Ask, asked: wire.Batch, view: FilterView, head: Head) -> Answer:
        try:
            contains = view.current()  # one generation for all: it holds whatever L vouches for, and loses nothing
            id_, env, as_of, purpose = self._ids.new("chk_", ask.as_of_ms), ask.key.env, ask.as_of_ms, ask.purpose
            texts: list[str] = []
            told: list[tuple[bytes | None, str]] = []
            open_: list[tuple[int, bytes, Canonical, Instance]] = []
            documents: list[Canonical | None] = []
            played: list[tuple[sandbox.Scenario, bytes]] = []
            for place, item in enumerate(asked.checks):
                if place % AT_A_TIME == AT_A_TIME - 1:
                    await asyncio.sleep(0)
                reference = _given(item.reference)
                try:
                    document, instance = self._read(item.document, as_of)
                    scenario = sandbox.scenario_of(document) if env == sandbox.TEST else None
                except Refusal as refusal:
                    texts.append(refused_item_json(refusal, place, reference))
                    documents.append(None)
                    told.append((None, refusal.code))
                    continue
                documents.append(document)
                document_key = self._document_key(env, document)
                if scenario is not None:
                    played.append((scenario, document_key))
                    status, because = self._decide(scenario.record, instance, document_key)
                    texts.append(item_json(status, document, purpose, reference, because))
                    told.append((document_key, status))
                    continue
                if contains(document_key):
                    open_.append((place, document_key, document, instance))
                    texts.append("")
                else:
                    texts.append(item_json(rule.CLEAR, document, purpose, reference, None))
                told.append((document_key, rule.CLEAR))
            if open_:
                self._count[meters.EXACT_BATCH] += len(open_)
                records = await self._records([document_key for _, document_key, _, _ in open_], ask.key)
                for (place, document_key, document, instance), record in zip(open_, records, strict=True):
                    status, because = self._decide(record, instance, document_key)
                    reference = _given(asked.checks[place].reference)
                    texts[place] = item_json(status, document, purpose, reference, because)
                    told[place] = (document_key, status)
            if played:
                ask = await self._stage(played, ask)
            fresh_ms = self._prove(ask.until_ns)  # the clock, once, after the last item
            for place, (item, (known, status)) in enumerate(zip(asked.checks, told, strict=True)):
                self._note(as_of, id_, place, known, ask.key, asked, item.reference, status, ask.seq)
            self._count[meters.KIND_BATCH] += 1
            statuses = [status for _, status in told]
            proof = None if ask.at is None else self.signer.batch(ask, asked, id_, documents, statuses)
            if played and (aged_ms := max(scenario.aged_ms for scenario, _ in played)):
                ask, fresh_ms = ask._replace(as_of_ms=ask.as_of_ms - aged_ms), 0
            return self._answer(ask, batch_json(id_, ask, self._clock, fresh_ms, texts, proof))
        except Exception as refusal:
            return self._refuse(refusal, head, ask.request_id)

    # --- the steps ---------------------------------------------------------------------------------------------------

    async def admit_early(self, headers: Headers, so_far: int) -> Answer | None:
        """For a body that is still coming: the refusals for which nobody needs to see the rest of it."""
        head = dict(headers)
        request_id, _ = self._ids.of_request(head.get(b"request-id"))
        try:
            view, keys = self.view, self._keys
            if view is None or not keys.loaded:
                raise Problem("starting")
            demanded = view.slots[_AUTH_SEQ]
            if demanded > keys.seq and not await keys.refresh(demanded):
                raise Unproven("the ledger knows less of the keys than this host")
            announced = head.get(b"content-length", b"")[:12]
            self._admit(head, max(so_far, int(announced) if announced.isdigit() else 0))
        except Exception as refusal:
            return self._refuse(refusal, head, request_id)
        return None

    def _admit(self, head: Head, size: int) -> ApiKey:
        """401, 403 (role), 415, 413."""
        key = self._keys.find(head.get(b"authorization"))
        if CHECKER not in key.roles:
            raise Problem("role_missing")
        if not is_json(head.get(b"content-type", b""), head.get(b"content-encoding", b"")):
            raise Problem("media_type")
        if size > LIMIT:
            raise Problem("body_too_large")
        return key

    def _read(self, document: wire.Document, now_ms: int) -> tuple[Canonical, Instance]:
        """What card is meant. Raises Refusal."""
        today = self._clock.today(now_ms)
        state = document.issuing_state
        canonical = canonicalise(document.type, document.number, None if state is UNSET else state, today)
        fields: dict[str, object] = {}
        if document.valid_from is not UNSET:
            fields["valid_from"] = document.valid_from
        if document.valid_until is not UNSET:
            fields["valid_until"] = document.valid_until
        if document.issue_no is not UNSET:
            fields["issue_no"] = document.issue_no
        if document.card_serial is not UNSET:
            fields["card_serial"] = document.card_serial
        return canonical, instance_of(fields, canonical, today)

    def _allow(self, key: ApiKey, operator: str, purpose: str, documents: int) -> tuple[Header, ...]:
        """What the key itself limits: operator, purpose, rate. The headers to send where it has a rate."""
        if key.operator is not None and key.operator != operator:
            raise Problem("operator_mismatch")
        if key.purposes and purpose not in key.purposes:
            raise Problem("purpose_not_allowed")
        if key.rate is None:
            return ()
        verdict = self._rates.take(key.slot, key.rate, documents, boottime_ns())
        limits = (
            (b"ratelimit-policy", b'"checks";q=%d;w=1' % key.rate),
            (b"ratelimit", b'"checks";r=%d;t=%d' % (verdict.remaining, _seconds(verdict.reset_ns))),
        )
        if not verdict.allowed:
            raise Problem("rate_limited", headers=(*limits, (b"retry-after", b"%d" % _seconds(verdict.retry_ns))))
        return limits

    async def _records(self, keys: list[bytes], asker: ApiKey) -> Sequence[Packed | Record]:
        """EXACT. Who is told reasons is answered from the ledger, which alone has them."""
        if self._waiting >= MOST_WAITING:
            raise Problem("overloaded")
        self._waiting += 1
        try:
            if REPORTER not in asker.roles:
                return [found.record for found in await self.lookup.of(keys)]
            view = self.view
            records = None if view is None else await self._confirm(keys, view.page.position())
            if records is None:
                raise Unproven("the ledger's server does not hold this host's last entry")
            return [records[key] for key in keys]
        finally:
            self._waiting -= 1

    def _decide(
        self, record: Packed | Record, instance: Instance, document_key: bytes
    ) -> tuple[str, tuple[str, str] | None]:
        card = instance.tagged(self._tag_key, document_key)
        if isinstance(record, Packed):
            return rule.decide(record, card), None
        status, reason, effective_ms = rule.decide_with_reason(record, card)
        return status, None if reason is None or effective_ms is None else (reason, self._clock.text(effective_ms))

    def _prove(self, until_ns: int) -> int:
        """The clock, last: for how many ms the answer is good. Raises Unproven when the lease has ended meanwhile."""
        left = until_ns - boottime_ns()
        if left <= 0 or self.halted:
            raise Unproven("the lease has ended")
        return left // 1_000_000

    def _note(
        self,
        at_ms: int,
        id_: str,
        place: int,
        document_key: bytes | None,
        key: ApiKey,
        asked: wire.Check | wire.Batch,
        reference: str | UnsetType,
        status: str,
        seq: int,
    ) -> None:
        """The journal, off the answer's path. What finds no room is counted there."""
        line = (
            id_,
            place,
            document_key,
            key.id,
            key.org,
            asked.operator,
            asked.purpose,
            _given(reference),
            status,
            seq,
        )
        self._journal.put(Line(at_ms, *line))
        self._count[meters.STATUS_WORD.get(status, meters.REFUSED)] += 1

    def _answer(self, ask: Ask, text: str) -> Answer:
        body = text.encode("ascii")
        took = boottime_ns() - ask.started_ns
        self._count[_TIME.word(took)] += 1
        self._count[_TIME.sum] += took
        size = b"%d" % len(body)
        name = ask.request_id.encode("ascii")
        return Answer(200, [_JSON, (b"content-length", size), _NO_STORE, (b"request-id", name), *ask.limits], body)

    async def _after_reload(
        self, again: Callable[[Headers, bytes], Outcome], at_least: int, headers: Headers, body: bytes, request_id: str
    ) -> Answer:
        """The request from its beginning, once the keys are as new as this host's page demands."""
        try:
            if not await self._keys.refresh(at_least):
                raise Unproven("the ledger knows less of the keys than this host")
            outcome = again(headers, body)
            return outcome if isinstance(outcome, Answer) else await outcome
        except Exception as refusal:
            return self._refuse(refusal, dict(headers), request_id)

    def _refuse(self, error: Exception, head: Head, request_id: str) -> Answer:
        """Whatever went wrong, as an answer. What nobody foresaw is no answer to the question: 503."""
        if isinstance(error, sandbox.Broken):
            return sandbox.broken(request_id)
        if isinstance(error, Problem):
            problem = error
        elif isinstance(error, Refused):
            problem = Problem(error.code)
        else:
            problem = Problem("freshness_unproven")
            if not isinstance(error, _UNPROVEN):
                self._count[meters.ERROR_CHECK] += 1
                logs.unexpected("check", error)
        self._count[meters.CODE_WORD[problem.code]] += 1
        return render(problem, request_id, zh=prefers_chinese(head.get(b"accept-language", b"")))


def _invalid(refusal: Refusal) -> Problem:
    return Problem("invalid", [Fault(refusal.within("/document"), refusal.code, refusal.expected)])


def _numbered() -> Problem:
    return Problem("invalid", [Fault("/headers/Request-Id", "contains_document_number")])


def _given(reference: str | UnsetType) -> str | None:
    return None if reference is UNSET else reference


def _seconds(ns: int) -> int:
    return -(-ns // 1_000_000_000)
