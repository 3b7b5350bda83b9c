"""A worker: one uvicorn server on the listening socket that all workers of this host share."""

import gc
import resource
import socket

import uvicorn

from lostid.api.lining_up import protocol_for
from lostid.app import create_app
from lostid.settings import Settings

DRAIN_S = 3
"""How long a stopping worker lets requests under way finish. `docker stop` gives all of us ten seconds together."""

ACCEPTS_A_TURN = 8
"""The event loop accepts one connection for each listening handle in a turn. With one handle a worker that is asked too
much, and whose turns are long, would let nobody new in."""

MOST_CONNECTIONS = 10_000
OTHER_FILES = 512
"""Descriptors that are not customers' connections: engines, maps, the surplus that is told why it is turned away."""

GARBAGE = 10_000, 10, 20
"""After how many more objects the youngest are looked through for garbage, and after how many such looks the older
ones. Answers leave none; with Python's 700, 10, 10 an asked worker went through all that its connections hold, 15 to
20 ms at a time, several times a minute, and found nothing."""


def connections_allowed() -> int:
    """How many connections this worker may hold. The soft limit on open files is raised to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    files = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return max(64, files - OTHER_FILES)


def run(settings: Settings, fd: int | None) -> int:
    """Serve until SIGTERM, then finish what was begun."""
    if fd is None:
        raise SystemExit("a worker needs a listening socket")
    server: uvicorn.Server | None = None
    app = create_app(settings, lambda: server is not None and server.should_exit)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol_for(app, connections_allowed()),
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
    gc.set_threshold(*GARBAGE)
    listening = socket.socket(fileno=fd)
    listening.setblocking(False)
    server = uvicorn.Server(config)
    server.run(sockets=[listening, *(listening.dup() for _ in range(ACCEPTS_A_TURN - 1))])
    return 0 if server.started else 1
