"""Bodies of a check that are wrong, each in one way. (body, status, code, errors)"""

import json

from tests.api.serving import check_of, person

Case = tuple[bytes, int, str, list[tuple[str, str]]]

GOOD = check_of({"type": "cn.resident-id", "number": person(), "valid_from": "2015-03-01"}, reference="b-1")
TEXT = json.dumps(GOOD)
NUMBER: str = GOOD["document"]["number"]


def _with(old: str, new: str) -> bytes:
    assert old in TEXT
    return TEXT.replace(old, new).encode()


def _also(member: str) -> bytes:
    return f"{TEXT[:-1]}, {member}}}".encode()


def _malformed(body: bytes) -> Case:
    return body, 400, "json_malformed", []


def _repeated(body: bytes) -> Case:
    return body, 400, "key_repeated", []


def _invalid(body: bytes, *errors: tuple[str, str]) -> Case:
    return body, 422, "invalid", list(errors)


_SPREAD = f"no:{NUMBER[:6]}-{NUMBER[6:14]}/{NUMBER[14:].lower()}"
_OTHER_DIGIT = NUMBER[:17] + ("1" if NUMBER[17] == "0" else "0")

NO_STRICT_JSON: dict[str, Case] = {
    "empty": _malformed(b""),
    "not json": _malformed(b"document=1"),
    "cut off": _malformed(TEXT[:-5].encode()),
    "two values": _malformed((TEXT + "{}").encode()),
    "utf-16": _malformed(TEXT.encode("utf-16")),
    "utf-8 with bom": _malformed(b"\xef\xbb\xbf" + TEXT.encode()),
    "latin-1": _malformed(TEXT.replace("b-1", "\xe9").encode("latin-1")),
    "encoded surrogate": _malformed(TEXT.encode().replace(b"b-1", b"\xed\xa0\x80")),
    "lone surrogate": _malformed(_with("b-1", "\\ud800")),
    "lone surrogate in a key": _malformed(_with("reference", "\\udc00")),
    "nan": _malformed(_with('"b-1"', "NaN")),
    "infinity": _malformed(_with('"b-1"', "-Infinity")),
    "beyond a double": _malformed(_with('"b-1"', "1e999")),
    "a number of 5000 digits": _malformed(_with('"b-1"', "9" * 5000)),
    "control character": _malformed(_with("b-1", "b\x01")),
    "nested without end": _malformed(b'{"document":' * 20_000),
    "repeated key": _repeated(_with('"operator"', '"operator": "x", "operator"')),
    "repeated key, the same": _repeated(_also('"reference": "b-1"')),
    "repeated key, escaped": _repeated(_also('"ref\\u0065rence": "b-1"')),
    "repeated number": _repeated(_with('"number"', f'"number": "{NUMBER}", "number"')),
}
OTHER_FORM: dict[str, Case] = {
    "a list": _invalid(b"[]", ("", "type_wrong")),
    "null": _invalid(b"null", ("", "type_wrong")),
    "nothing in it": _invalid(b"{}", *((f"/{name}", "field_missing") for name in ("document", "operator", "purpose"))),
    "unknown field": _invalid(_also('"colour": 1'), ("", "field_unknown")),
    "a number as a field": _invalid(_with('"type"', f'"{NUMBER}": 1, "type"'), ("/document", "field_unknown")),
    "a number for a number": _invalid(_with(f'"{NUMBER}"', "110105199003072317"), ("/document/number", "type_wrong")),
    "null for a string": _invalid(_with('"b-1"', "null"), ("/reference", "type_wrong")),
    "text for a flag": _invalid(_also('"receipt": "no"'), ("/receipt", "type_wrong")),
    "a list for a document": _invalid(
        b'{"document": [], "operator": "a", "purpose": "other"}', ("/document", "type_wrong")
    ),
    "operator in capitals": _invalid(_with("desk-1", "Desk-1"), ("/operator", "value_invalid")),
    "operator with a line": _invalid(_with("desk-1", "desk\\n"), ("/operator", "value_invalid")),
    "unknown purpose": _invalid(_with("hotel.check_in", "fun"), ("/purpose", "value_invalid")),
    "long reference": _invalid(_with("b-1", "b" * 65), ("/reference", "value_invalid")),
    "number as reference": _invalid(_with("b-1", _SPREAD), ("/reference", "contains_document_number")),
    "number as operator": _invalid(_with("desk-1", f"x{NUMBER.lower()}"), ("/operator", "contains_document_number")),
}
REFUSED_CARD: dict[str, Case] = {
    "another check digit": _invalid(_with(NUMBER, _OTHER_DIGIT), ("/document/number", "check_digit")),
    "full-width digits": _invalid(_with(NUMBER, NUMBER.replace("1", "\uff11")), ("/document/number", "characters")),
    "100,000 characters": _invalid(_with(NUMBER, "1" * 100_000), ("/document/number", "length")),
    "unknown type": _invalid(_with("cn.resident-id", "cn.x"), ("/document/type", "type_unknown")),
    "no such day": _invalid(_with("2015-03-01", "2015-02-30"), ("/document/valid_from", "instance_invalid")),
}
BODIES = NO_STRICT_JSON | OTHER_FORM | REFUSED_CARD
