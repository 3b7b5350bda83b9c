"""Holding a real answer to its description: every required field, and no field that is not described."""

import copy
from typing import Any

from jsonschema import Draft202012Validator

from lostid.api.schemas import ANSWERS


def closed(schema: Any) -> Any:
    """The schema with no room for fields that it does not describe."""
    if isinstance(schema, dict):
        closed_ = {name: closed(part) for name, part in schema.items()}
        return {**closed_, "additionalProperties": False} if schema.get("type") == "object" else closed_
    return [closed(part) for part in schema] if isinstance(schema, list) else schema


def check_against(name: str, answer: Any) -> None:
    components = {"schemas": copy.deepcopy(ANSWERS)}
    schema = {"$ref": f"#/components/schemas/{name}", "components": closed(components)}
    Draft202012Validator(schema).validate(answer)
