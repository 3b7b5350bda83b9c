"""openapi.json with fewer values allowed: those that lead somewhere. Whatever it allows, the whole one allows too.

A fuzzer that draws an operator, a document number and an id at random is refused for them every time, and sees nothing
of what is behind."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

OPENAPI = Path(__file__).parents[2] / "openapi.json"


def narrowed(bodies: Mapping[str, Sequence[object]], paths: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """With these values for the fields of this name in bodies, and for the parameters of this name in paths."""
    described: dict[str, Any] = json.loads(OPENAPI.read_text("utf-8"))
    for schema in described["components"]["schemas"].values():
        for name, values in bodies.items():
            if schema.get("additionalProperties") is False and name in schema["properties"]:  # of a request
                schema["properties"][name] = {"enum": list(values)}
    for operations in described["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter.get("in") == "path" and parameter["name"] in paths:
                    parameter["schema"] = {"type": "string", "enum": list(paths[parameter["name"]])}
    return described
