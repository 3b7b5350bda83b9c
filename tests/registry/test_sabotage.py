"""The tests of the scripts can fail: each condition that is taken out of a script is missed by the test about it."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha1

import pytest

from lostid.registry import reader as reading
from lostid.registry import scripts, wire
from lostid.registry import writer as writing
from lostid.registry.scripts import Name, Script
from lostid.registry.writer import Writer
from tests.registry import test_lookup as lookup
from tests.registry import test_steps as steps
from tests.registry.looking import Ledger, Worker, worker
from tests.registry.making import at, filled, flush, record

Check = Callable[[Writer], None]

OURS = "if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] then return 0 end\n"
AT_HEAD = "if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] or at[3] ~= ARGV[5] then return 0 end\n"


def refuses(seq: int, branch: str, bits: int) -> Check:
    return lambda writer: steps.test_append_refuses(writer, seq, branch, bits)


def lost(step: str) -> Check:
    return lambda writer: steps.test_lost_step(writer, step)


def looking(test: Callable[[Worker, Writer], Awaitable[None]]) -> Check:
    """A test of the lookup, with a worker of its own."""

    async def run(writer: Writer) -> None:
        url = f"unix://{writer.client.connection_pool.connection_kwargs['path']}"
        async with worker(url, Ledger({n: record(9_000) for n in lookup.NUMBERS})) as work:
            await test(work, writer)

    def check(writer: Writer) -> None:
        filled(writer, at(1), lookup.NUMBERS)
        asyncio.run(run(writer))

    return check


CASES: dict[str, tuple[Name, str, str, Check]] = {
    "append without comparing": (Name.APPEND, AT_HEAD, "", refuses(2, "", 8)),
    "append over a gap": (Name.APPEND, AT_HEAD, "", refuses(4, "", 8)),
    "append by seq alone": (Name.APPEND, " or at[2] ~= ARGV[2]", "", refuses(3, "other", 8)),
    "append into another layout": (Name.APPEND, " or at[3] ~= ARGV[5]", "", refuses(3, "", 9)),
    "append while filling": (Name.APPEND, AT_HEAD, "", steps.test_append_while_filling),
    "append without looking first": (
        Name.APPEND,
        "local had = redis.call('HEXISTS', KEYS[i], ARGV[2 * i + 1])",
        "local had = 0",
        steps.test_append_foreign,
    ),
    "append without chain line": (
        Name.APPEND,
        "redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])\n",
        "",
        steps.test_append,
    ),
    "append without trimming": (
        Name.APPEND,
        "redis.call('HDEL', KEYS[2], ARGV[6])\n",
        "",
        steps.test_chain_is_trimmed,
    ),
    "append without counting": (
        Name.APPEND,
        "redis.call('HINCRBY', KEYS[1], 'count', grown)\n",
        "",
        steps.test_model,
    ),
    "append without deleting": (Name.APPEND, "redis.call('HDEL', KEYS[i], field)", "", steps.test_model),
    "wipe without comparing": (Name.WIPE, "then return 0 end", "then end", steps.test_wipe),
    "wipe that leaves the proofs": (Name.WIPE, "KEYS[1], KEYS[2], KEYS[3]", "KEYS[1], KEYS[3]", steps.test_wipe),
    "sweep for another": (Name.SWEEP, OURS, "", steps.test_second_wipe),
    "sweep after a lost step": (Name.SWEEP, " or at[2] ~= ARGV[2]", "", lost("sweep")),
    "no sweep": (Name.SWEEP, "redis.call('UNLINK', unpack(KEYS, 2))\n", "", steps.test_fill),
    "fill for another": (Name.FILL, OURS, "", steps.test_second_wipe),
    "fill after a lost step": (Name.FILL, " or at[2] ~= ARGV[2]", "", lost("fill")),
    "fill without counting": (Name.FILL, "redis.call('HINCRBY', KEYS[1], 'count', grown)\n", "", steps.test_fill),
    "finish for another": (Name.FINISH, OURS, "", steps.test_second_wipe),
    "finish after a lost step": (Name.FINISH, " or at[2] ~= ARGV[2]", "", lost("finish")),
    "repair at another head": (
        Name.REPAIR,
        "if at[1] ~= ARGV[1] or at[2] ~= ARGV[2] or at[3] ~= ARGV[3] then return 0 end\n",
        "",
        steps.test_repair,
    ),
    "doubts without end": (Name.DOUBT, "math.min(#ARGV, room + 1)", "#ARGV", steps.test_doubts_are_bounded),
    "lookup without proof": (
        Name.LOOKUP,
        "if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 'U' end\n",
        "",
        looking(lookup.test_stale_copy),
    ),
    "lookup by seq alone": (
        Name.LOOKUP,
        "redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2]",
        "not redis.call('HGET', KEYS[2], ARGV[1])",
        looking(lookup.test_other_chain),
    ),
    "lookup in another layout": (
        Name.LOOKUP,
        "if bits ~= ARGV[3] then return 'B' .. bits end\n",
        "",
        looking(lookup.test_new_layout),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_missed(case: str, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script without this condition fails the test that is about it, which passes with the script as it is."""
    name, taken_out, instead, check = CASES[case]
    check(writer)
    flush(writer.client)

    whole = scripts.script(name).text
    assert taken_out in whole
    text = whole.replace(taken_out, instead)
    sabotaged = Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())
    for module in (wire, writing, reading):
        monkeypatch.setattr(module, "script", lambda asked: sabotaged if asked is name else scripts.script(asked))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(writer)
