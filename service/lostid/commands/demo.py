"""`lostid demo`: the main job in a minute, in a data directory that is gone afterwards."""

import shutil
import socket
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from lostid.commands.hand import read_settings
from lostid.commands.serve import Host, Port, Workers, supervise
from lostid.commands.telling import Json, note, show_json

Reports = Annotated[int, typer.Option(min=1, max=100_000, help="How many reports it begins with.")]


def demo(
    host: Host = None, port: Port = None, workers: Workers = None, reports: Reports = 2_000, as_json: Json = False
) -> None:
    """Serve a registry with demonstration keys and a few thousand reports; prints lines to paste."""
    from lostid.engines.sockets import sockets_path

    asked = read_settings(host=host, port=port, workers=workers)
    directory = Path(tempfile.mkdtemp(prefix="lostid-demo-"))
    # Whatever the environment says: a demonstration writes to nobody's ledger and uses nobody's secrets.
    settings = asked.model_copy(
        update={
            "data_dir": directory / "data",
            "database_url": None,
            "redis_url": None,
            "secrets_dir": None,
            "port": asked.port if port is not None else _free(asked.host, asked.port),
        }
    )

    def ready(url: str) -> None:
        if as_json:
            show_json({"url": url, "data_dir": str(settings.data_dir)})
        else:
            note(f"{url} is up; making keys and reports")

    try:
        # A line for each request belongs in a server's log, not between the lines to paste.
        with (directory / "log").open("ab") as log:
            seed = ("_seed", "--reports", str(reports), *(("--json",) if as_json else ()))
            supervise(settings, ready, seed, log)
    finally:
        for leftover in (directory, settings.run_dir, sockets_path(settings.place)):
            shutil.rmtree(leftover, ignore_errors=True)


def _free(host: str, port: int) -> int:
    """The port, or 0 (any) where somebody has it: a demonstration is to work beside a server."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError:
            return 0
    return port
