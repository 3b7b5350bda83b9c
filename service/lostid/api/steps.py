"""The steps of a check: who is admitted, which card is meant, what is on record, what is still proved, what is sent.

`checks.py` puts them in their order and knows why it is so; nothing here depends on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import date
from typing import Any, TypeAlias

from msgspec import UNSET, UnsetType

from lostid.api import ids, logs, meters, sandbox, wire
from lostid.api.body import LIMIT, is_json
from lostid.api.clock import Clock
from lostid.api.problems import Answer, Canned, Fault, Header, Problem, lines_of, prefers_chinese, render
from lostid.api.signing import Signer
from lostid.api.telling import Ask
from lostid.domain import status as rule
from lostid.domain.canonical import Canonical, canonicalise
from lostid.domain.errors import Refusal
from lostid.domain.instance import Instance, instance_of
from lostid.domain.keys import Keyring
from lostid.domain.packed import Packed
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.domain.roles import CHECKER, REPORTER
from lostid.filter.page import Unproven, boottime_ns
from lostid.filter.view import FilterView
from lostid.guard.auth import KeyCache, Refused
from lostid.guard.rates import Rates
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.errors import LedgerError
from lostid.ledger.journal import JournalWriter
from lostid.ledger.lines import Item, Line, Lines
from lostid.registry.lookup import ExactLookup, Found, FreshnessUnproven, Source

MOST_WAITING = 4_096  # requests that wait for exact records at once; more are told to come back

Head: TypeAlias = Mapping[bytes, bytes]
Outcome: TypeAlias = Answer | Coroutine[Any, Any, Answer]
Confirm: TypeAlias = Callable[[Sequence[bytes], Position], Awaitable[Mapping[bytes, Record] | None]]

_LINES = b"content-type: application/json\r\ncontent-length: %d\r\ncache-control: no-store\r\nrequest-id: %b\r\n"
_tuple = tuple.__new__
_WORD = meters.STATUS_WORD
_OVERLOADED = Canned("overloaded")
_OVERLOADED_WORD = meters.CODE_WORD[_OVERLOADED.code]
_MADE_AT_ONCE = 64
_UNPROVEN = (Unproven, FreshnessUnproven, LedgerError)
_TIME_START, _TIME_SHIFT, _TIME_MOST, _TIME_SUM = (
    meters.CHECK_TIME.start,
    meters.CHECK_TIME.shift,
    meters.CHECK_TIME.buckets,
    meters.CHECK_TIME.sum,
)


class Steps:
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
        self._overloaded: tuple[list[bytes], list[bytes]] = [], []  # made beforehand, in English and in Chinese

    async def admit_early(self, head: Head, so_far: int) -> Answer | None:
        """For a body that is still coming: the refusals for which nobody needs to see the rest of it."""
        request_id, _ = self._ids.of_request(head.get(b"request-id"))
        try:
            view, keys = self.view, self._keys
            if view is None or not keys.loaded:
                raise Problem("starting")
            await self._renew_keys(view)
            announced = head.get(b"content-length", b"")[:12]
            self._admit(head, max(so_far, int(announced) if announced.isdigit() else 0))
        except Exception as refusal:
            return self._refuse(refusal, head, request_id)
        return None

    async def _renew_keys(self, view: FilterView) -> None:
        """As new as this host's page demands. Raises Unproven."""
        demanded = view.page.gen(), view.page.auth_seq()
        if not self._keys.current(*demanded) and not await self._keys.refresh(*demanded):
            raise Unproven("the ledger knows less of the keys than this host")

    def tenant(self, authorization: bytes | None) -> str:
        """Whose request it is, where requests line up."""
        return self._keys.tenant(authorization)

    def overloaded(self, head: Head) -> Answer:
        """For who finds no room."""
        request_id, _ = self._ids.of_request(head.get(b"request-id"))
        return self._refuse(Problem(_OVERLOADED.code), head, request_id)

    def overloaded_bytes(self, request_id: bytes | None, language: bytes) -> bytes:
        """The same at a fraction of the cost: what follows the server's own headers."""
        self._count[_OVERLOADED_WORD] += 1
        zh = language != b"" and prefers_chinese(language)
        if request_id is not None:
            return _OVERLOADED.of(self._ids.of_request(request_id)[0], zh=zh)
        ready = self._overloaded[zh]
        if not ready:
            ready += [_OVERLOADED.of(id_, zh=zh) for id_ in self._ids.requests(_MADE_AT_ONCE)]
        return ready.pop()

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

    def _read(self, document: wire.Document, today: date) -> tuple[Canonical, Instance]:
        """What card is meant. Raises Refusal."""
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

    def _records(self, keys: list[bytes], asker: ApiKey) -> Awaitable[Sequence[Found]]:
        """EXACT: asked now, whenever it is awaited. Who is told reasons is answered from the ledger, which alone has
        them."""
        if self._waiting >= MOST_WAITING:
            raise Problem("overloaded")
        if REPORTER in asker.roles:
            found: asyncio.Future[list[Found]] = asyncio.ensure_future(self._confirmed(keys))
        else:
            found = self.lookup.of(keys)
        self._waiting += 1
        found.add_done_callback(self._waits_no_longer)
        return found

    async def _confirmed(self, keys: list[bytes]) -> list[Found]:
        view = self.view
        records = None if view is None else await self._confirm(keys, view.page.position())
        if records is None:
            raise Unproven("the ledger's server does not hold this host's last entry")
        return [Found(records[key], Source.LEDGER) for key in keys]

    def _waits_no_longer(self, _: object) -> None:
        self._waiting -= 1

    def _decide(
        self, record: Packed | Record, instance: Instance, document_key: bytes, asker: ApiKey
    ) -> tuple[str, tuple[str, str] | None]:
        """The status, and why for whom it may be told: also where the ledger, which knows, stood in for Redis."""
        card = instance.tagged(self._tag_key, document_key)
        if isinstance(record, Packed) or REPORTER not in asker.roles:
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
        asked: wire.Check,
        reference: str | UnsetType,
        status: str,
        seq: int,
    ) -> None:
        """The journal, off the answer's path. What finds no room is counted there."""
        sent = None if reference is UNSET else reference
        org, operator, purpose = key.org, asked.operator, asked.purpose
        line = (at_ms, id_, place, document_key, key.id, org, operator, purpose, sent, status, seq)
        self._journal.put(_tuple(Line, line))  # a third of what Line's own constructor costs; a test counts the fields
        self._count[_WORD.get(status, meters.REFUSED)] += 1

    def _note_all(self, ask: Ask, id_: str, items: Sequence[Item]) -> None:
        """The same for the documents of a batch, at a third of the cost of as many lines."""
        key = ask.key
        self._journal.put_all(Lines(ask.as_of_ms, id_, key.id, key.org, ask.operator, ask.purpose, ask.seq, items))
        for status, times in Counter([status for _, status, _ in items]).items():
            self._count[_WORD.get(status, meters.REFUSED)] += times

    def _answer(self, ask: Ask, text: str) -> Answer:
        body = text.encode()
        took = boottime_ns() - ask.started_ns
        count, bucket = self._count, (took >> _TIME_SHIFT).bit_length()
        count[_TIME_START + (bucket if bucket < _TIME_MOST else _TIME_MOST)] += 1
        count[_TIME_SUM] += took
        lines = _LINES % (len(body), ask.request_id.encode())
        if ask.limits:
            lines += lines_of(ask.limits)
        return _tuple(Answer, (200, lines, body))

    async def _after_reload(
        self,
        again: Callable[[Head, bytes], Outcome],
        view: FilterView,
        head: Head,
        body: bytes,
        request_id: str,
    ) -> Answer:
        """The request from its beginning, once the keys are as new as this host's page demands."""
        try:
            await self._renew_keys(view)
            outcome = again(head, body)
            return outcome if isinstance(outcome, Answer) else await outcome
        except Exception as refusal:
            return self._refuse(refusal, head, request_id)

    def refuse_request(self, code: str, head: Head) -> Answer:
        """For what is no request: nobody has looked at it yet, and nobody will."""
        request_id, _ = self._ids.of_request(head.get(b"request-id"))
        logs.line("request.refused", request_id=request_id, code=code)
        return self._refuse(Problem(code), head, request_id)

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


def invalid(refusal: Refusal) -> Problem:
    return Problem("invalid", [Fault(refusal.within("/document"), refusal.code, refusal.expected)])


def numbered() -> Problem:
    return Problem("invalid", [Fault("/headers/Request-Id", "contains_document_number")])


def given(reference: str | UnsetType) -> str | None:
    return None if reference is UNSET else reference


def _seconds(ns: int) -> int:
    return -(-ns // 1_000_000_000)
