"""A worker: one uvicorn server on the listening socket that all workers of this host share."""

import socket

import uvicorn

from lostid.api.fast_lane import protocol_for
from lostid.app import create_app
from lostid.settings import Settings

DRAIN_S = 3
"""How long a stopping worker lets requests under way finish. `docker stop` gives all of us ten seconds together."""


def run(settings: Settings, fd: int | None) -> int:
    """Serve until SIGTERM, then finish what was begun."""
    if fd is None:
        raise SystemExit("a worker needs a listening socket")
    server: uvicorn.Server | None = None
    app = create_app(settings, lambda: server is not None and server.should_exit)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol_for(app),
        ws="none",
        lifespan="on",
        # A line per request would hold who asked what; the journal has it. Errors go to standard error.
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_S,
    )
    listening = socket.socket(fileno=fd)
    listening.setblocking(False)
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
    return 0 if server.started else 1
