"""The control plane: everything but the checks, in FastAPI. Callers are admitted route by route, none by default."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route

from lostid.api import as_of, auditing, edge, health, imports, log, mirror, reports, rewinding, scenarios, withdrawals
from lostid.api.lane import PATHS


def control_plane() -> FastAPI:
    """The routes, and how they refuse. What they work with is put into `state.parts` by the lifespan."""
    app = FastAPI(title="lostid", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    edge.install(app)
    app.include_router(reports.router)  # first: routes are tried in their order
    app.include_router(health.router)
    app.include_router(log.router)
    app.include_router(auditing.router)
    app.include_router(withdrawals.router)
    app.include_router(rewinding.router)
    app.include_router(as_of.router)
    app.include_router(imports.router)
    app.include_router(mirror.router)
    app.include_router(scenarios.router)
    for path in PATHS:  # POST never comes here: the lane answers it
        app.router.routes.append(Route(path, edge.OnlyPost()))
    return app
