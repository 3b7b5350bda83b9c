"""The one error of the domain: a named refusal of what the caller sent."""

from typing import Final

# The order in which the contract tests them: the first that applies is the one that is told.
REFUSALS: Final = (
    "type_unknown",
    "issuing_state",
    "characters",
    "length",
    "type_mismatch",
    "birth_date",
    "check_digit",
    "instance_not_applicable",
    "instance_invalid",
    "instance_required",
    "instance_after_loss",
    "in_future",
)

# Structural faults of a report that only the rules can see (whether a field is required depends on the reason).
STRUCTURAL: Final = ("field_missing", "value_invalid")

_DOCUMENT_POINTERS: Final = frozenset(
    ("/type", "/number", "/issuing_state", "/valid_from", "/valid_until", "/issue_no", "/card_serial")
)


class Refusal(Exception):
    """What was sent cannot be taken, and why: a code of the contract and a pointer. Never the refused value.

    `pointer` is relative to the document where it names one of its fields, else to the request.
    """

    def __init__(self, code: str, pointer: str, expected: str | None = None) -> None:
        super().__init__(code, pointer)
        self.code = code
        self.pointer = pointer
        self.expected = expected

    def within(self, document: str) -> str:
        """The pointer in a request whose document stands at `document` ("/document", "/also_known_as/0", ...)."""
        return document + self.pointer if self.pointer in _DOCUMENT_POINTERS else self.pointer
