"""Readers that run as processes of their own, as workers do, and report what they saw when told to stop."""

import random
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path

from lostid.filter.page import PageReader, Unproven
from lostid.filter.view import FilterView
from tests.filter.common import KEY_ID


def key_of(n: int) -> bytes:
    return sha256(b"key %d" % n).digest()[:16]


def hash_of(n: int) -> bytes:
    return sha256(b"hash %d" % n).digest()


@dataclass
class Seen:
    looks: int = 0
    wrong: int = 0
    unproven: int = 0
    generations: int = 0
    last: int = 0


def look_up(run_dir: Path, boot: bytes, pipe: Connection) -> None:
    """Every key up to the position read before the look-up must be there."""
    view, seen, rng, gens = FilterView(run_dir, KEY_ID, boot), Seen(), random.Random(1), set()
    pipe.send("ready")
    while not pipe.poll():
        try:
            last = view.page.position().seq
            contains = view.current()
        except Unproven:
            seen.unproven += 1
            continue
        wanted = [last] + [rng.randrange(1, last + 1) for _ in range(20)]
        seen.wrong += sum(not contains(key_of(n)) for n in wanted)
        seen.looks += 1
        seen.last = max(seen.last, last)
        gens.add(view.generation.identity.gen)
    seen.generations = len(gens)
    pipe.send(seen)


def read_position(run_dir: Path, boot: bytes, pipe: Connection) -> None:
    """Seq and hash must belong together, and never go back."""
    page, seen = PageReader(run_dir, KEY_ID, boot), Seen()
    pipe.send("ready")
    while not pipe.poll():
        try:
            position = page.position()
        except Unproven:
            seen.unproven += 1
            continue
        seen.wrong += position.hash != hash_of(position.seq) or position.seq < seen.last
        seen.looks += 1
        seen.last = position.seq
    pipe.send(seen)
