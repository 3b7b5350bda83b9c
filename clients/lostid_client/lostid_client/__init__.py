"""Ask the lostid registry whether an identity document was reported, and report one."""

from lostid_client.client import AsyncClient, Client
from lostid_client.errors import (
    Conflict,
    FieldFault,
    ImportBroken,
    InvalidRequest,
    LostidError,
    MirrorRefused,
    NoAnswer,
    NotAuthorised,
    ReceiptRefused,
    Refused,
    UnknownOutcome,
)
from lostid_client.imports import Import
from lostid_client.mirror import AsyncMirror, Mirror
from lostid_client.mirror_state import MirrorAnswer
from lostid_client.models import Answer, Document, Report, Withdrawal
from lostid_client.receipts import verify_receipt
from lostid_client.recheck import QueueFull, Recheck, RecheckQueue, WrongQueueKey
from lostid_client.rechecker import AsyncRechecker, Rechecker

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncMirror",
    "AsyncRechecker",
    "Client",
    "Conflict",
    "Document",
    "FieldFault",
    "Import",
    "ImportBroken",
    "InvalidRequest",
    "LostidError",
    "Mirror",
    "MirrorAnswer",
    "MirrorRefused",
    "NoAnswer",
    "NotAuthorised",
    "QueueFull",
    "ReceiptRefused",
    "Recheck",
    "RecheckQueue",
    "Rechecker",
    "Refused",
    "Report",
    "UnknownOutcome",
    "Withdrawal",
    "WrongQueueKey",
    "verify_receipt",
]
