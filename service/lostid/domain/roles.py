"""Roles and purposes, as data: who may ask what, and what for."""

from typing import Final

CHECKER: Final = "checker"
REPORTER: Final = "reporter"
APPROVER: Final = "approver"
SUPERVISOR: Final = "supervisor"
IMPORTER: Final = "importer"
AUDITOR: Final = "auditor"
MIRROR: Final = "mirror"
ADMIN: Final = "admin"

ROLES: Final = (CHECKER, REPORTER, APPROVER, SUPERVISOR, IMPORTER, AUDITOR, MIRROR, ADMIN)

# A key with one of these belongs to one operator at one station: what it writes is somebody's act.
BOUND_ROLES: Final = frozenset((REPORTER, APPROVER, SUPERVISOR, IMPORTER))

RAIL_TICKETING: Final = "rail.ticketing"

PURPOSES: Final = (
    "hotel.check_in",
    "bank.account_opening",
    "bank.loan",
    RAIL_TICKETING,
    "rail.gate",
    "telecom.contract",
    "police.inquiry",
    "other",
)
