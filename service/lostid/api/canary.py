"""A worker's round of the canaries, once a second: its own map, the registry, the ledger. `filter.canary` judges."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from lostid.api import logs, meters
from lostid.api.checks import Checks
from lostid.api.steps import Confirm
from lostid.domain import status as rule
from lostid.domain.instance import MISSING
from lostid.filter.canary import Health, Road, Sight, look
from lostid.filter.page import Unproven
from lostid.filter.view import FilterView
from lostid.ledger.errors import LedgerError
from lostid.registry.lookup import ExactLookup, FreshnessUnproven, Source

EVERY_S = 1.0


async def watch(checks: Checks, confirm: Confirm, keys: tuple[bytes, ...], meter: meters.Meters) -> None:
    """For as long as the worker lives."""
    health = Health()
    while True:
        await asyncio.sleep(EVERY_S)
        view = checks.view
        if view is None:
            continue
        seen = await round_(view, checks.lookup, confirm, keys)
        before, health = health, look(health, seen)
        checks.halted = health.halted
        if health != before:
            logs.line("canary.changed", clear_on=sorted(road.value for road in health.broken), halted=health.halted)
        missed = Sight.CLEAR in seen.values()
        unproven = Sight.THERE not in seen.values()
        meter.add(meters.CANARY_MISSED if missed else meters.CANARY_UNPROVEN if unproven else meters.CANARY_SEEN)


async def round_(view: FilterView, lookup: ExactLookup, confirm: Confirm, keys: tuple[bytes, ...]) -> dict[Road, Sight]:
    """What each road says of the canaries, in the order in which a check takes them."""
    seen = {Road.MAP: Sight.UNKNOWN, Road.REGISTRY: Sight.UNKNOWN, Road.LEDGER: Sight.UNKNOWN}
    try:
        position = view.page.position()
        if position.seq == 0:  # the canaries' own entry is not applied yet
            return seen
        contains = view.current()
        seen[Road.MAP] = _sight(contains(key) for key in keys)
        found = await lookup.of(keys)
        if all(one.source is Source.REGISTRY for one in found):
            seen[Road.REGISTRY] = _sight(one.status(MISSING) != rule.CLEAR for one in found)
        records = await confirm(keys, view.page.position())
        if records is not None:
            seen[Road.LEDGER] = _sight(rule.decide(records[key], MISSING) != rule.CLEAR for key in keys)
    except (Unproven, FreshnessUnproven, LedgerError):
        pass  # what was not seen is unknown
    return seen


def _sight(there: Iterable[bool]) -> Sight:
    return Sight.THERE if all(there) else Sight.CLEAR
