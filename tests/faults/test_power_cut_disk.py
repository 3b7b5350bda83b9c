"""The disk that forgets: what it would not take back at a power cut, `test_power_cut` could not miss."""

from __future__ import annotations

from pathlib import Path

from tests.faults.power_cut_server import PROLOGUE, Run, found


def test_contents(disk: Path, run: Run) -> None:
    """What is not synced is lost: what was appended, cut off, or written over what was there."""
    taken = run(
        PROLOGUE
        + """
    write("synced", b"x" * 2000, sync=True)
    write("not synced", b"x" * 2000)
    write("appended", b"x" * 700, sync=True)
    write("overwritten", b"x" * 2000, sync=True)
    write("cut off", b"x" * 2000, sync=True)
    write("written anew", b"x" * 2000, sync=True)
    write("twice", b"x" * 2000, sync=True)
    with open("appended", "ab", buffering=0) as file:
        file.write(b"y" * 700)
    fd = os.open("overwritten", os.O_RDWR)
    os.pwritev(fd, [b"y" * 500, b"y" * 200], 600)
    os.pwrite(fd, b"z" * 3000, 900)
    fd = os.open("twice", os.O_RDWR)
    os.pwrite(fd, b"y" * 700, 0)
    os.fdatasync(fd)
    os.pwrite(fd, b"z" * 700, 0)
    os.truncate("cut off", 100)
    write("written anew", b"y")
    done()
    """
    )
    whole = b"x" * 2000
    assert found(disk) == {
        "synced": whole,
        "appended": b"x" * 700,
        "overwritten": whole,
        "cut off": whole,
        "written anew": whole,
        "twice": b"y" * 700 + b"x" * 1300,
    }
    assert taken["files"] == 6


def test_names(disk: Path, run: Run) -> None:
    """A new name needs a sync of the file or its directory, a rename or a removal one of the directory."""
    run(
        PROLOGUE
        + """
    for folder in ("made", "synced"):
        os.mkdir(folder)
    write("first", b"1", sync=True, directory=True)
    os.mkdir("made later")
    write("made later/lost with its folder", b"1", sync=True)
    write("synced/removed for good", b"1", sync=True)
    os.unlink("synced/removed for good")
    write("synced/old", b"old", sync=True)
    write("synced/new", b"new", sync=True)
    os.rename("synced/new", "synced/old")
    write("synced/renamed without a sync of the file", b"1")
    os.rename("synced/renamed without a sync of the file", "synced/empty")
    write("synced/last", b"1", sync=True, directory=True)
    write("made/removed", b"1", sync=True)
    os.unlink("made/removed")
    write("made/old", b"old", sync=True)
    write("made/new", b"new", sync=True)
    os.rename("made/new", "made/old")
    done()
    """
    )
    assert found(disk) == {
        "first": b"1",
        "synced/old": b"new",
        "synced/empty": b"",
        "synced/last": b"1",
        "made/removed": b"1",
        "made/old": b"old",
        "made/new": b"new",
    }


def test_torn(disk: Path, run: Run) -> None:
    """By chance a cut takes sectors back, each for itself; what was synced stays."""
    run(
        PROLOGUE
        + """
    write("page", b"x" * 65_536, sync=True)
    fd = os.open("page", os.O_RDWR)
    os.pwrite(fd, b"y" * 32_768, 0)
    done()
    """,
        seed=7,
    )
    page = found(disk)["page"]
    sectors = [page[start : start + 512] for start in range(0, 65_536, 512)]
    assert set(sectors[:64]) == {b"x" * 512, b"y" * 512}
    assert set(sectors[64:]) == {b"x" * 512}
