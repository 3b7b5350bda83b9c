"""A gate: the mirror first, the registry within what is left of 250 ms, then the rule that the railway chose.

    LOSTID_URL=... LOSTID_MIRROR_KEY=... LOSTID_MIRROR_SECRET=... LOSTID_KEY=... \
        python gate.py --operator gate-14 --max-age 60 --on-unavailable ask_person

Reads a card a line from standard input, as scanners write them (type,number,valid_from; the last may be left away), and
writes one line for each: open, staff (somebody has to look at the card) or closed, and why. Numbers are never written.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lostid_client import Answer, AsyncClient, AsyncMirror, Document, InvalidRequest, Refused

BUDGET_S = 0.25
ADVICE = {"proceed": "open", "provide_instance": "staff", "check_at_gate": "staff", "ask_person": "staff"}


@dataclass(frozen=True)
class Decision:
    """What the gate does, and why, for the log beside it."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} ({self.why})"


async def decide(mirror: AsyncMirror, registry: AsyncClient, card: Document, operator: str) -> Decision:
    """Within the budget, whatever the line does."""
    seen = mirror.check(card)  # microseconds: the whole budget is left for the registry
    if seen.clear:
        return Decision("open", str(seen))
    try:
        answer = await registry.check(card, operator=operator, purpose="rail.gate")
    except InvalidRequest as wrong:  # the number is refused: a scanner's slip, or no such number
        return Decision("staff", wrong.faults[0].code if wrong.faults else wrong.code)
    except Refused as refused:  # the gate's own key, not the traveller
        return Decision("staff", refused.code)
    return told(answer)


def told(answer: Answer) -> Decision:
    """The registry's answer, or the policy's where there is none, as the gate acts on it."""
    if not answer.answered:
        return Decision(ADVICE.get(answer.advice, "closed"), f"no answer: {answer.error}")
    return Decision(ADVICE.get(answer.advice, "closed"), f"{answer.status}, the registry says")


async def scans() -> AsyncIterator[Document | None]:
    """Cards as they are read; None for a line that is none."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        fields = [field.strip() for field in line.split(",")]
        if len(fields) < 2:
            yield None
            continue
        day = fields[2] if len(fields) > 2 and fields[2] else None
        yield Document(fields[0], fields[1], valid_from=day)


async def work(options: argparse.Namespace) -> int:
    """Until the scanner ends; how many did not pass."""
    url, environ = os.environ["LOSTID_URL"], os.environ
    held = 0
    async with (
        AsyncMirror(
            url, environ["LOSTID_MIRROR_KEY"], environ["LOSTID_MIRROR_SECRET"], max_age_s=options.max_age
        ) as mirror,
        AsyncClient(
            url, environ["LOSTID_KEY"], on_unavailable=options.on_unavailable, check_deadline_s=BUDGET_S
        ) as registry,
    ):
        await mirror.wait(options.patience)  # not there in time: the gate opens all the same, and asks for each card
        async for card in scans():
            if card is None:
                decision = Decision("staff", "not a card")
            else:
                decision = await decide(mirror, registry, card, options.operator)
            print(decision, flush=True)
            held += decision.what != "open"
    return held


def main(arguments: list[str] | None = None) -> int:
    """Run a gate. Ends with 0, or with 1 when somebody did not pass."""
    parser = argparse.ArgumentParser(description="A gate with a mirror.")
    parser.add_argument("--operator", required=True, help="which gate this is")
    parser.add_argument("--max-age", type=float, required=True, help="seconds that an answer of the mirror may be old")
    parser.add_argument("--on-unavailable", choices=("refuse", "ask_person"), required=True, help="without any answer")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds to wait for the mirror at the start")
    return 1 if asyncio.run(work(parser.parse_args(arguments))) else 0


if __name__ == "__main__":
    sys.exit(main())
