"""The obvious service, as most teams would write it first: FastAPI, pydantic, one awaited EXISTS per request.

It knows numbers, not cards: no authentication, no check digit, no keyed hash, no proof of freshness, no journal. It is
here to be measured against (``python -m peers``), and is run by ``uvicorn peers.obvious:app``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from pydantic import BaseModel
from redis.asyncio import Redis


class Document(BaseModel):
    """What is printed on the card."""

    type: str
    number: str
    valid_from: str | None = None


class Check(BaseModel):
    """The same body that lostid takes."""

    document: Document
    operator: str
    purpose: str
    reference: str | None = None
    receipt: bool = False


class Answer(BaseModel):
    """Reported or not."""

    status: str


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Redis]]:
    redis = Redis.from_url(os.environ["OBVIOUS_REDIS_URL"])
    yield {"redis": redis}
    await redis.aclose()


app = FastAPI(lifespan=_lifespan)


@app.post("/v1/checks")
async def check(body: Check, request: Request) -> Answer:
    """Look the number up."""
    redis: Redis = request.state.redis
    known = await redis.exists(f"lost:{body.document.number}")
    return Answer(status="reported" if known else "clear")
