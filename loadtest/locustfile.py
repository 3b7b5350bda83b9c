"""The hotel's evening for Locust: ``LOSTID_KEY=... locust -f locustfile.py --host http://127.0.0.1:8080``.

Needs Locust, which this project does not install. Latency here counts from when a request is sent; the project's own
driver counts from when it was due.
"""

from __future__ import annotations

import os
import random

from locust import HttpUser, constant_throughput, task

from lostid_load.population import number_of

_PEOPLE = 100_000


class Desk(HttpUser):  # type: ignore[misc]  # Locust is not installed here
    """One desk: a check a second, of a card that nobody reported."""

    wait_time = constant_throughput(1)

    def on_start(self) -> None:
        """Log in: the key goes into every request."""
        self.client.headers["Authorization"] = f"Bearer {os.environ['LOSTID_KEY']}"

    @task  # type: ignore[untyped-decorator]
    def check(self) -> None:
        """One guest. Anything but an answer that says clear is a failure here."""
        number = number_of(random.randrange(_PEOPLE))
        document = {"type": "cn.resident-id", "number": number, "valid_from": "2014-05-01"}
        body = {"document": document, "operator": "desk-1", "purpose": "hotel.check_in"}
        with self.client.post("/v1/checks", json=body, catch_response=True) as response:
            if response.status_code != 200 or response.json().get("status") != "clear":
                response.failure(f"answered {response.status_code}")
