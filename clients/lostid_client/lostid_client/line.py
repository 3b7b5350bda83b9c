"""What a request needs of the line: how long each part of it may take, and a file as its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from lostid_client.flow import Send, Upload

CONNECT_S = 1.0
_CHUNK = 1 << 16


def timeouts(send: Send) -> dict[str, float]:
    """httpx's limits, each for one part of a request."""
    left = send.timeout_s
    return {"connect": min(left, CONNECT_S), "pool": min(left, CONNECT_S), "write": left, "read": left}


async def chunks(upload: Upload) -> AsyncIterator[bytes]:
    """The file, from its beginning; it is read in a thread, its progress is told in the loop."""
    size, sent = upload.path.stat().st_size, 0
    with upload.path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
            sent += len(chunk)
            if upload.progress is not None:
                upload.progress(sent, max(size, sent))
