"""A document number, written in every way that is not it, and in the few ways that are.

What must hold: whatever a person, a program or an attacker does to the number of a reported card, nobody is told that
the card is clear. Either it is read as the same number, or it is refused."""

import json
import sys
import unicodedata
from collections.abc import Iterator

# A letter at its end, so that there is something to look like.
NUMBER = "99000019850612009X"
LOOK_ALIKES = (
    "ХΧⅩⅹＸｘ×✕𝐗𝑿𝖷𝚇Ꭓꓫᚷ╳"  # Cyrillic, Greek, Roman, full-width, times, mathematical, Cherokee, Lisu, runic, a box
)
PLAIN = {
    "as it is": NUMBER,
    "small x": NUMBER.lower(),
    "spaces": f" {NUMBER[:6]} {NUMBER[6:14]}  {NUMBER[14:]} ",
    "hyphens": f"{NUMBER[:6]}-{NUMBER[6:]}-",
}


def _characters() -> Iterator[str]:
    for code in range(128, sys.maxunicode + 1):
        if not 0xD800 <= code < 0xE000:
            yield chr(code)


def _zeros() -> list[str]:
    """The zero of every decimal system but ours."""
    return [c for c in _characters() if unicodedata.category(c) == "Nd" and unicodedata.digit(c) == 0]


def decimal_systems() -> Iterator[str]:
    """All digits, the first, or the last of another system: 75 of them."""
    for zero in _zeros():
        other = {str(n): chr(ord(zero) + n) for n in range(10)}
        yield "".join(other.get(c, c) for c in NUMBER)
        yield other[NUMBER[0]] + NUMBER[1:]
        yield NUMBER[:16] + other[NUMBER[16]] + NUMBER[17:]


def folded() -> Iterator[str]:
    """Every character that some normalisation, or a change of case, makes one of the number's."""
    ours = set(NUMBER) | set(NUMBER.lower())
    for c in _characters():
        forms = {unicodedata.normalize(form, c) for form in ("NFC", "NFD", "NFKC", "NFKD")}
        forms |= {c.upper(), c.lower(), c.casefold()}
        numeric = unicodedata.numeric(c, None)
        if numeric is not None and 0 <= numeric <= 9 and numeric == int(numeric):
            forms.add(str(int(numeric)))
        for same in sorted(forms & ours):
            at = NUMBER.find(same.upper())
            yield NUMBER[:at] + c + NUMBER[at + 1 :]
    for c in LOOK_ALIKES:
        yield NUMBER[:17] + c


def unseen() -> Iterator[str]:
    """What shows nothing, or changes how the rest is shown, put before, into and behind: formats, joiners, directions,
    spaces, controls, variation selectors, combining marks."""
    marks = 0
    for code in range(sys.maxunicode + 1):
        c = chr(code)
        category = unicodedata.category(c)
        if category in ("Mn", "Me", "Mc"):
            marks += 1
            if marks % 16:
                continue
        elif category not in ("Cf", "Cc", "Zs", "Zl", "Zp", "Pd") or c in " -":
            continue
        yield c + NUMBER
        yield NUMBER[:6] + c + NUMBER[6:]
        yield NUMBER + c


def other_text() -> Iterator[str]:
    """Signs, encodings within the string, other lengths."""
    yield from (f"+{NUMBER}", f"0{NUMBER}", f"00{NUMBER}", f"{NUMBER}0", f"{NUMBER}.0", f"{NUMBER};", f"'{NUMBER}'")
    yield from ("", "0", NUMBER[:17], NUMBER[1:], NUMBER * 2, NUMBER + "1" * 10_000, "9" * 5_000)
    yield "".join(f"%{ord(c):02x}" for c in NUMBER)
    yield "".join(f"&#{ord(c)};" for c in NUMBER)
    yield "".join(f"\\u{ord(c):04x}" for c in NUMBER)  # a backslash in the string itself
    yield "".join(f"=3{c}" for c in NUMBER)
    yield NUMBER.encode("utf-16-le").decode("latin-1")
    yield NUMBER.encode("utf-7").decode().replace("9", "+ADk-")
    yield "9.9000019850612e16"
    yield NUMBER.replace("0", "O").replace("1", "l")
    yield NUMBER[::-1]


def texts() -> list[str]:
    """All of them. None is the number."""
    found = dict.fromkeys([*decimal_systems(), *folded(), *unseen(), *other_text()])
    return [text for text in found if text.replace(" ", "").replace("-", "").upper() != NUMBER]


def tokens() -> dict[str, str]:
    """What may stand where the number stands in JSON and is no such string."""
    digits = NUMBER[:17]
    return {
        "an integer": f"{digits}0",
        "a float": f"{digits}.0",
        "an exponent": f"{digits[0]}.{digits[1:]}e17",
        "a large integer": "9" * 4_000,
        "too large an integer": "9" * 5_000,
        "null": "null",
        "true": "true",
        "a list": f'["{NUMBER}"]',
        "an object": f'{{"number":"{NUMBER}"}}',
        "deep": "[" * 500 + f'"{NUMBER}"' + "]" * 500,
        "deeper": "[" * 50_000 + f'"{NUMBER}"' + "]" * 50_000,
        "two strings": f'"{NUMBER}" "{NUMBER}"',
        "single quotes": f"'{NUMBER}'",
        "no quotes": NUMBER,
        "NUL, escaped": f'"{NUMBER}\\u0000"',
        "NUL": f'"{NUMBER}\0"',
        "a surrogate": f'"{NUMBER}\\ud800"',
        "surrogates the wrong way round": f'"{NUMBER}\\udc00\\ud800"',
        "an unknown escape": f'"{NUMBER}\\x"',
        "an escape with a capital": '"' + "".join(f"\\U{ord(c):04x}" for c in NUMBER) + '"',
        "a comment": f'"{NUMBER}"/**/',
        "half a string": f'"{NUMBER}',
    }


def escaped() -> str:
    """The same string by RFC 8259 section 7: it is the number."""
    return '"' + "".join(f"\\u{ord(c):04x}" for c in NUMBER) + '"'


def repeated(innocent: str) -> list[str]:
    """Documents that name something twice, in both orders; `innocent` is nobody's number. As members of an object."""
    ours, other = f'"number":"{NUMBER}"', f'"number":"{innocent}"'
    hidden = ours.replace("number", "n\\u0075mber")
    kind, day = '"type":"cn.resident-id"', '"valid_from":"2015-03-01"'
    return [
        f"{kind},{ours},{other},{day}",
        f"{kind},{other},{ours},{day}",
        f"{kind},{other},{hidden},{day}",
        f"{kind},{hidden},{other},{day}",
        f"{kind},{other},{ours.replace('number', 'Number')},{day}",
        f'"type":"cn.passport",{kind},{ours},{day}',
        f'{kind},"type":"cn.passport",{ours},{day}',
        f'{kind},{ours},{day},"valid_from":"2026-01-01"',
        f'{kind},{ours},"valid_from":"2026-01-01",{day}',
        f'{kind},{ours},{day},"number ":"{innocent}"',
    ]


ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig")


def encoded(body: str) -> dict[str, bytes]:
    """The whole body in other encodings; and in UTF-8 with what others would make of it."""
    plain = body.encode()
    digits = NUMBER.encode()
    found = {name: body.encode(name) for name in ENCODINGS}
    found["utf-7"] = body.replace('"', "+ACI-").encode()
    found["utf-7, the number alone"] = body.replace(NUMBER, NUMBER.replace("9", "+ADk-")).encode("ascii")
    found["gbk"] = body.replace(NUMBER, "".join(chr(ord(c) + 0xFEE0) for c in NUMBER)).encode("gbk")
    found["latin-1"] = body.replace(NUMBER, NUMBER + "\xa0").encode("latin-1")
    found["ebcdic"] = body.encode("cp037")
    found["overlong"] = plain.replace(digits, b"".join(bytes([0xC0 | c >> 6, 0x80 | c & 0x3F]) for c in digits))
    found["overlong, longer"] = plain.replace(digits, b"".join(bytes([0xE0, 0x80, 0x80 | c]) for c in digits))
    found["a surrogate"] = plain.replace(digits, digits + b"\xed\xa0\x80")
    found["beyond Unicode"] = plain.replace(digits, digits + b"\xf4\x90\x80\x80")
    found["cut off"] = plain.replace(digits, digits + b"\xe2\x82")
    found["two values"] = plain + plain
    found["a line before"] = b"\x1e" + plain
    found["percent-encoded"] = "".join(f"%{byte:02X}" for byte in plain).encode()
    found["a form"] = b"document[number]=" + digits
    return found


# The same for what tells cards apart: the card of 2015-03-01 is reported, and these all mean that day.
DAYS = [
    "２０１５-03-01", "2015-3-1", "20150301", "2015-W09-7", "2015-060", "2015/03/01", "01.03.2015", "+2015-03-01", "",
    "2015-03-01T00:00:00", "2015-03-01 ", " 2015-03-01", "2015-03-01\0", "2015\u201103\u201101",
    "2015-03-0１", "2015-03-01Z",
]  # fmt: skip
TYPES = [
    "CN.RESIDENT-ID", "cn.resident-id ", " cn.resident-id", "cn.resident‐id", "ｃｎ.resident-id", "cn.resident-id\0",
    "сn.resident-id", "cn.resident_id", "cn.RESIDENT-ID", "cn.resident-ıd", "",
]  # fmt: skip


def fields() -> list[str]:
    """Documents whose other fields are wrong, as members of an object."""
    number = f'"number":"{NUMBER}"'
    found = [f'"type":"cn.resident-id",{number},"valid_from":{json.dumps(day)}' for day in DAYS]
    found += [f'"type":{json.dumps(kind)},{number},"valid_from":"2015-03-01"' for kind in TYPES]
    for token in ("20150301", '["2015-03-01"]', "null", "1425168000", '{"day":1}'):
        found.append(f'"type":"cn.resident-id",{number},"valid_from":{token}')
    for token in ('["cn.resident-id"]', "1", "null"):
        found.append(f'"type":{token},{number},"valid_from":"2015-03-01"')
    return found


PERMIT = '"type":"cn.hk-macau-permit","number":"H99000001","issue_no":1'
SERIAL = "1100990000017"
LICENCE = f'"type":"cn.driving-licence","number":"{NUMBER}","card_serial":"{SERIAL}"'


def counts() -> list[str]:
    """The first issue of the permit, in every way that is no whole number in JSON."""
    tokens = ["1.0", "1e0", "10e-1", "+1", "01", "0x1", "1_0", '"1"', '"１"', "true", "[1]", '{"n":1}', "null", "1.5"]
    tokens += ["-1", "1" + "0" * 400, "9" * 5_000, "1e400", "NaN", "１", ""]
    return [PERMIT.replace('"issue_no":1', f'"issue_no":{token}') for token in tokens]


def serials() -> list[str]:
    """The serial of the licence in other digits, with what is not seen, and as something else than a string."""
    texts = [SERIAL.replace("9", chr(ord(zero) + 9)) for zero in _zeros()]
    texts += [f"{SERIAL}{c}" for c in "\u200b\u200d\ufeff\u2060\u00a0\u3000\0\n\t"]
    texts += [f"{c}{SERIAL}" for c in "\u202e\u2066+'"] + [f"0{SERIAL}", SERIAL[:12], ""]
    tokens = [json.dumps(text) for text in texts] + [
        SERIAL,
        f"{SERIAL}.0",
        "1.100990000017e12",
        f'["{SERIAL}"]',
        "true",
    ]
    return [LICENCE.replace(f'"{SERIAL}"', token) for token in tokens]
