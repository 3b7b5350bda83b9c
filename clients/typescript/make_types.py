"""lostid.d.ts from openapi.json: ``python make_types.py ../../openapi.json > lostid.d.ts``. A test compares them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

_CALLS = """\
export class LostidError extends Error {}
export class NoAnswer extends LostidError { reason: string }
export class UnknownOutcome extends LostidError { idempotencyKey: string }
export class Refused extends LostidError {
  status: number; code: string; errors: { pointer: string; code: string }[]; requestId?: string;
}
export class ReceiptRefused extends LostidError {}

/** `expires`: on performance.now(); nobody may act on the answer after it. */
export type Answer = CheckAnswer & {
  clear: boolean; proceed: boolean; expires: number; error?: { code: string; pointer: string }; reference?: string;
};
export interface Asking { operator: string; purpose: string; receipt?: boolean }
export type Reporting = Omit<ReportRequest, "document"> & { idempotencyKey?: string };

export class Client {
  constructor(url: string, key: string);
  check(document: CheckRequest["document"], asking: Asking & { reference?: string }): Promise<Answer>;
  checkMany(
    documents: CheckRequest["document"][], asking: Asking & { references?: (string | undefined)[] },
  ): Promise<Answer[]>;
  report(
    document: ReportRequest["document"], reporting: Reporting,
  ): Promise<ReportReceipt & { idempotencyKey: string }>;
  jwks(): Promise<KeySet>;
}
export function verifyReceipt(receipt: string, jwks: KeySet): Promise<Record<string, unknown> & { typ: string }>;
"""
_ROOTS = ("CheckRequest", "ReportRequest", "CheckAnswer", "ReportReceipt", "KeySet")


def declarations(described: dict[str, Any]) -> str:
    """The declarations of what is sent and answered, with all that they refer to, and of the calls."""
    schemas = described["components"]["schemas"]
    todo, made = list(_ROOTS), dict[str, str]()
    while todo:
        name = todo.pop(0)
        if name not in made:
            made[name] = f"export type {name} = {_type(schemas[name], todo)};\n"
    head = (
        "// Made by make_types.py from openapi.json. Fields may be added at any time; ignore what you do not know.\n\n"
    )
    return head + "".join(made[name] for name in sorted(made)) + "\n" + _CALLS


def _type(schema: dict[str, Any], todo: list[str]) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        todo.append(name)
        return name
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(_type(each, todo) for each in schema[several])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"({_type(schema.get('items', {}), todo)})[]"
    if schema.get("type") == "object":
        return _object(schema, todo)
    return _PLAIN.get(str(schema.get("type")), "unknown")


def _object(schema: dict[str, Any], todo: list[str]) -> str:
    required = schema.get("required", ())
    fields = [
        f"{name}{'' if name in required else '?'}: {_type(field, todo)}"
        for name, field in schema.get("properties", {}).items()
    ]
    return "{ " + "; ".join(fields) + " }" if fields else "Record<string, unknown>"


if __name__ == "__main__":
    sys.stdout.write(declarations(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
