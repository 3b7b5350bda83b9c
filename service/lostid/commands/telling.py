"""How commands speak: JSON or lines for people, and the exit codes of the contract."""

import json
import sys
from enum import IntEnum
from typing import Annotated, Any

import typer


class Exit(IntEnum):
    DONE = 0  # a check: clear
    REFUSED = 1  # or adverse: reported, void, indeterminate
    USAGE = 2  # or a refused number
    NO_ANSWER = 3  # unreachable, 429, 503


class Failed(Exception):
    """A command that cannot do what was asked. `main` turns it into words and an exit code."""

    def __init__(self, code: str, sentence: str, exit_code: Exit, more: dict[str, Any] | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.exit_code = exit_code
        self.more = more or {}


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def show_error(failed: Failed, as_json: bool) -> None:
    """JSON goes where the answer would have gone, words to standard error."""
    if as_json:
        show_json({"error": {"code": failed.code, "detail": failed.sentence, **failed.more}})
    else:
        print(f"lostid: {failed.sentence}", file=sys.stderr, flush=True)


def note(sentence: str) -> None:
    """Something to know that is not the answer."""
    print(f"lostid: {sentence}", file=sys.stderr, flush=True)
