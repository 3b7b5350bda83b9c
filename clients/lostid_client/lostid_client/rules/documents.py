"""The types of document: one row of rules each. What differs between types is data here, not branches elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

InstanceField = Literal["valid_from", "issue_no", "card_serial"]

RESIDENT_ID: Final = "cn.resident-id"
RESIDENCE_PERMIT: Final = "cn.residence-permit"
FOREIGN_PERMANENT_RESIDENT: Final = "cn.foreign-permanent-resident"
DRIVING_LICENCE: Final = "cn.driving-licence"
HK_MACAU_PERMIT: Final = "cn.hk-macau-permit"
TAIWAN_PERMIT: Final = "cn.taiwan-permit"
CN_PASSPORT: Final = "cn.passport"
ICAO_PASSPORT: Final = "icao.passport"


@dataclass(frozen=True, slots=True)
class DocumentType:
    """One type: what tells its cards apart. (The syntax of its numbers is in `canonical.py`.)"""

    name: str
    instance: InstanceField | None
    """The field that tells one card from another; None where the number alone names the card."""
    fields: frozenset[str]
    """The instance fields that a document of this type may carry."""

    @property
    def ordered(self) -> bool:
        """Whether instances have an order, so that a cover may reach through one of them."""
        return self.instance in ("valid_from", "issue_no")


TYPES: Final[Mapping[str, DocumentType]] = MappingProxyType(
    {
        row.name: row
        for row in (
            DocumentType(RESIDENT_ID, "valid_from", frozenset(("valid_from", "valid_until"))),
            DocumentType(RESIDENCE_PERMIT, "valid_from", frozenset(("valid_from",))),
            DocumentType(FOREIGN_PERMANENT_RESIDENT, "valid_from", frozenset(("valid_from",))),
            DocumentType(DRIVING_LICENCE, "card_serial", frozenset(("card_serial",))),
            DocumentType(HK_MACAU_PERMIT, "issue_no", frozenset(("issue_no",))),
            DocumentType(TAIWAN_PERMIT, "issue_no", frozenset(("issue_no",))),
            DocumentType(CN_PASSPORT, None, frozenset()),
            DocumentType(ICAO_PASSPORT, None, frozenset()),
        )
    }
)
