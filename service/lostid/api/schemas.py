"""The answers, described by hand for openapi.json. A test holds every one of them to real answers, field by field."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

INSTANT: Schema = {"type": "string", "format": "date-time", "description": "UTC, milliseconds."}
STATUS: Schema = {
    "type": "string",
    "description": "clear, reported, void, indeterminate. An open list: a status that you do not know is not clear.",
}
ADVICE: Schema = {
    "type": "string",
    "description": "proceed, refuse, provide_instance, check_at_gate. An open list: what you do not know is refuse.",
}
NEEDS: Schema = {"type": "array", "items": {"type": "string"}, "description": "What to send along to get an answer."}
NOTICES: Schema = {"type": "array", "items": {"type": "string"}}
SEQ: Schema = {"type": "integer", "minimum": 0, "description": "The ledger's entry that the answer contains at least."}
FRESH_FOR: Schema = {
    "type": "integer",
    "minimum": 0,
    "description": "Milliseconds on the caller's own monotonic clock, from before it sent the request. "
    "Later than that the answer is worth nothing.",
}
WHY: Schema = {
    "reason": {"type": "string", "description": "Only for keys that also have the role reporter. An open list."},
    "effective_at": {**INSTANT, "description": "Only for keys that also have the role reporter."},
}


def obj(required: Schema, optional: Schema | None = None, description: str = "") -> Schema:
    """An object to which fields may be added: callers ignore what they do not know."""
    made: Schema = {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}
    return {"description": description, **made} if description else made


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Schema = {"type": "string"}
RECEIPT: Schema = {"type": "string", "description": "Compact JWS, alg Ed25519; keys at /.well-known/jwks.json."}
_PROOF: Schema = {
    "receipt": RECEIPT,
    "receipt_salt": {"type": "string", "description": "Hex; ties the receipt to its documents. Keep it beside it."},
}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
CURSOR: Schema = {"type": ["string", "null"], "description": "Where the next page begins; null on the last one."}
POINTER: Schema = {"type": "string", "description": "JSON pointer (RFC 6901) into the request's body."}

_FRESH: Schema = {"as_of": INSTANT, "fresh_until": INSTANT, "fresh_for_ms": FRESH_FOR, "seq": SEQ}
_PART = obj({"ok": FLAG}, {"left_ms": COUNT, "doing": TEXT, "done": COUNT, "total": COUNT, "alarms": COUNT})
_REPORT_CORE: Schema = {
    "id": TEXT,
    "seq": SEQ,
    "state": {"type": "string", "description": "recorded, in_force, withdrawn. An open list."},
    "type": TEXT,
    "reason": TEXT,
    "effective_at": INSTANT,
    "covers": ref("Covers"),
    "org": TEXT,
    "recorded_at": INSTANT,
}
_OWN: Schema = {
    name: {"type": "string", "description": "Own organisation only."} for name in ("station", "operator", "case_number")
}

_WITHDRAWAL_STATE: Schema = {
    "type": "string",
    "description": "awaiting_approval, approved, refused, expired, overtaken. An open list.",
}
_WITHDRAWALS: dict[str, Schema] = {
    "AsOfAnswer": obj(
        {
            "told": obj({"status": STATUS}, description="What a check at that instant was told."),
            "known_now": obj(
                {"status": STATUS, "report_ids": array(TEXT)},
                {"reason": TEXT},
                "What was so at that instant, by what is known and in force now.",
            ),
        }
    ),
    "WithdrawalPending": obj({"id": TEXT, "state": _WITHDRAWAL_STATE, "expires_at": INSTANT}),
    "WithdrawalDecided": obj({"id": TEXT, "state": _WITHDRAWAL_STATE, "seq": SEQ, "decided_at": INSTANT}),
    "Withdrawal": obj(
        {
            "id": TEXT,
            "seq": SEQ,
            "kind": {"type": "string", "description": "withdrawal, rewind. An open list."},
            "state": _WITHDRAWAL_STATE,
            "grounds": TEXT,
            "evidence": TEXT,
            "org": TEXT,
            "station": TEXT,
            "operator": TEXT,
            "requested_at": INSTANT,
            "expires_at": INSTANT,
        },
        {
            "report_id": TEXT,
            "reason": TEXT,
            "target": {"type": "string", "description": "rewind: whose acts."},
            "since": INSTANT,
            "decided_seq": SEQ,
            "decided_at": INSTANT,
        },
    ),
    "Rewind": obj(
        {
            "operator": TEXT,
            "since": INSTANT,
            "restored": {**array(TEXT), "description": "Reports that fall back to in force."},
            "marked": {**array(TEXT), "description": "The operator's own reports, marked for review."},
            "imports": {
                **array(TEXT),
                "description": "Imports that the operator opened or released, marked for review.",
            },
            "restored_imports": {**array(TEXT), "description": "Imports that fall back to in force, whole."},
        },
        {"more": FLAG, "id": TEXT, "state": _WITHDRAWAL_STATE, "expires_at": INSTANT},
    ),
    "WithdrawalList": obj({"withdrawals": array(ref("Withdrawal")), "next_cursor": CURSOR}),
}

_IMPORT_STATE: Schema = {
    "type": "string",
    "description": "receiving, received, checked (a dry run), released, withdrawal_awaiting_approval, withdrawn. "
    "An open list.",
}
_IMPORTS: dict[str, Schema] = {
    "ImportOpened": obj({"id": TEXT, "state": _IMPORT_STATE, "dry_run": FLAG}),
    "ImportState": obj({"id": TEXT, "state": _IMPORT_STATE}),
    "Import": obj(
        {
            "id": TEXT,
            "state": _IMPORT_STATE,
            "source": TEXT,
            "operator": TEXT,
            "dry_run": FLAG,
            "created_at": INSTANT,
            "counts": obj({"lines": COUNT, "accepted": COUNT, "rejected": COUNT, "in_force": COUNT}),
            "progress": obj({"done": COUNT}, {}, "Lines that were read."),
        },
        {
            "released_at": INSTANT,
            "review": {**FLAG, "description": "A rewind has put it in doubt."},
            "staged": obj(
                {"hosts": COUNT, "confirmed": COUNT}, {}, "Hosts that have its rows; a release needs them all."
            ),
        },
    ),
    "RejectionList": obj(
        {"rejections": array(obj({"line": COUNT, "code": TEXT}, {"field": TEXT})), "next_cursor": CURSOR}
    ),
}

ANSWERS: dict[str, Schema] = {
    **_IMPORTS,
    "MirrorChanges": obj(
        {
            "statement": {
                "type": "string",
                "description": "Compact JWS: mirror, key_check, nonce, since, origin (hash of entry since, or null), "
                "seq, hash, more, as_of, waited_ms, sha256 (of the positions).",
            },
            "positions": {"type": "string", "description": "Base64 of 16 bytes for each document."},
        }
    ),
    "Scenarios": obj({"scenarios": array(obj({"type": TEXT, "number": TEXT, "answers": TEXT}))}),
    **_WITHDRAWALS,
    "CheckAnswer": obj(
        {"id": TEXT, "status": STATUS, "advice": ADVICE, **_FRESH},
        {"needs": NEEDS, "notices": NOTICES, **WHY, **_PROOF},
    ),
    "BatchAnswer": obj(
        {"id": TEXT, **_FRESH, "results": array({"anyOf": [ref("ItemAnswer"), ref("ItemError")]})}, _PROOF
    ),
    "ItemAnswer": obj(
        {"status": STATUS, "advice": ADVICE}, {"needs": NEEDS, "notices": NOTICES, "reference": TEXT, **WHY}
    ),
    "ItemError": obj(
        {"error": obj({"code": TEXT, "pointer": POINTER}, {"expected": TEXT})},
        {"reference": TEXT},
        "The number or the instance is refused; the other documents of the batch are answered.",
    ),
    "Covers": obj(
        {"types": array(TEXT)},
        {
            "all": {"type": "boolean", "description": "Every card of the number."},
            "valid_from_through": {"type": "string", "format": "date"},
            "issue_no_through": {"type": "integer"},
            "card_serial": TEXT,
            "card_serial_except": TEXT,
        },
        "What is not to be accepted. Never the number.",
    ),
    "Visibility": obj({"hosts": COUNT, "confirmed": COUNT, "waited_ms": {"type": "number", "minimum": 0}}),
    "ReportReceipt": obj(
        {
            "id": TEXT,
            "seq": SEQ,
            "state": {"const": "in_force"},
            "covers": ref("Covers"),
            "recorded_at": INSTANT,
            "in_force_at": INSTANT,
            "visibility": ref("Visibility"),
        },
        {"notices": NOTICES, "receipt": RECEIPT},
    ),
    "InclusionProof": obj(
        {
            "seq": SEQ,
            "leaf_index": COUNT,
            "tree_size": COUNT,
            "leaf": {"type": "string", "description": "Base64; its RFC 6962 leaf hash stands at leaf_index."},
            "salt": {"type": ["string", "null"], "description": "Base64; null once it was deleted."},
            "proof": array({"type": "string", "description": "Base64 of a hash."}),
            "checkpoint": {"type": "string", "description": "The signed note for tree_size."},
        }
    ),
    "Openings": obj(
        {
            "openings": array(
                obj(
                    {
                        "seq": SEQ,
                        "prev": {"type": "string", "description": "Hex; the chain hash of the entry before."},
                        "recorded_ms": COUNT,
                        "body": {
                            "type": "string",
                            "description": "The entry, byte for byte; the chain hash covers it.",
                        },
                        "salt": {"type": ["string", "null"], "description": "Hex; null once it was deleted."},
                    }
                )
            ),
            "size": {**COUNT, "description": "Entries under the last checkpoint. Ask again until there are as many."},
        }
    ),
    "ImportParts": obj(
        {
            "parts": array(
                obj(
                    {
                        "part": COUNT,
                        "rows": {"type": "string", "description": "Base64; 48 bytes each, as docs/log.md says."},
                    }
                )
            )
        }
    ),
    "Records": obj(
        {
            "seq": SEQ,
            "records": array(
                obj(
                    {
                        "key": TEXT,
                        "in_filter": {"type": "boolean", "description": "False: every check is told clear at once."},
                        "covers": array(
                            obj(
                                {
                                    "kind": {"type": "integer", "description": "1 ALL, 2 THROUGH, 3 ONLY, 4 ALL_BUT."},
                                    "final": FLAG,
                                },
                                {"watermark": COUNT, "serial_tag": TEXT, "also_spared": array(TEXT)},
                            )
                        ),
                    }
                )
            ),
        }
    ),
    "KeySet": obj(
        {
            "keys": array(
                obj({"kty": TEXT, "crv": TEXT, "x": TEXT, "kid": TEXT, "use": TEXT, "alg": TEXT}, {"endorsement": TEXT})
            )
        }
    ),
    "Report": obj(_REPORT_CORE, {"in_force_at": INSTANT, "visibility": ref("Visibility"), "review": FLAG, **_OWN}),
    "ReportList": obj({"reports": array(ref("Report")), "next_cursor": CURSOR}),
    "Entry": obj(
        {"seq": SEQ, "kind": TEXT, "id": TEXT, "recorded_at": INSTANT},
        {
            "type": TEXT,
            "reason": TEXT,
            "effective_at": INSTANT,
            "covers": ref("Covers"),
            "grounds": TEXT,
            "act": {"type": "string", "description": "withdrawal.attempt: what was tried."},
            "code": {"type": "string", "description": "withdrawal.attempt: why it was refused."},
            "report_id": TEXT,
            "withdrawal_id": TEXT,
            "org": TEXT,
            **_OWN,
        },
    ),
    "EntryList": obj({"entries": array(ref("Entry")), "next_cursor": CURSOR}),
    "Alive": obj({"status": {"const": "alive"}}),
    "Readiness": obj({"ready": FLAG, "lease": _PART, "filter": _PART, "ledger": _PART, "registry": _PART}),
    "Status": obj(
        {
            "version": TEXT,
            "at": INSTANT,
            "seq": SEQ,
            "recorded_at": INSTANT,
            "lag": COUNT,
            "host": obj({"seq": SEQ, "lease": _PART, "filter": _PART, "registry": FLAG}),
            "hosts": array(obj({"id": TEXT, "seq": SEQ, "lag": COUNT})),
            "registry": obj(
                {"alarms": COUNT, "alarms_ever": COUNT},
                {"records": COUNT, "round_ms": COUNT, "age_s": {"type": "number"}},
            ),
            "counts": obj({"documents_in_filter": COUNT, "api_keys": COUNT, "journal_waiting": COUNT}),
        }
    ),
    "Problem": obj(
        {
            "type": {"type": "string", "description": "/problems/ and the code."},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "code": {"type": "string", "description": "An open list."},
            "request_id": TEXT,
        },
        {
            "errors": array(obj({"pointer": POINTER, "code": TEXT}, {"expected": TEXT})),
            "id": {"type": "string", "description": "not_yet_in_force: of the report that is recorded."},
        },
        "RFC 9457. The refused value is never repeated.",
    ),
}
