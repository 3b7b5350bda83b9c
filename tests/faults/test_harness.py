"""The quick part: one short round of the real thing. `./run faults --minutes 60` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEED = 11  # a stale copy of Redis, a failover, a storm, a kill: few seconds, and much that could go wrong


def test_round(tmp_path: Path) -> None:
    """Real processes, real faults, every promise kept; and what was seen is kept for whoever wants to see it."""
    argv = ["-m", "tests.faults", "--round", "0.1", "--seed", str(SEED), "--folder", str(tmp_path), "--json"]
    path = f"{ROOT}{os.pathsep}{ROOT / 'loadtest'}"  # as `run` sets it
    done = subprocess.run(
        [sys.executable, *argv],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode, told["stale"], told["phantom"], told["lost"]) == (0, 0, 0, 0), done.stdout + done.stderr
    assert told["kept"]
    assert told["kinds"] >= 2
    assert told["receipts"] >= 5
    assert told["checked"] >= 500
    assert told["opportunities"] >= 20
    kept = Path(told["folder"]) / str(SEED)
    assert len((kept / "faults.jsonl").read_text().splitlines()) >= 2
    assert (kept / "history.npz").stat().st_size > 0
