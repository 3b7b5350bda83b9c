"""`lostid check` and `lostid report`: the API from a terminal."""

import os
import sys
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lostid.commands.telling import Exit, Failed, Json, show_json

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 10.0
TRIES_S = 15.0
"""How long a write is asked again, with the same Idempotency-Key, while its outcome is not known."""

Type = Annotated[str, typer.Argument(metavar="TYPE", help="Document type, cn.resident-id for example.")]
Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Document number; - reads it from standard input.")]
ValidFrom = Annotated[str | None, typer.Option(help="First day of validity, as printed: 2015-03-01.")]
ValidUntil = Annotated[str | None, typer.Option(help="Last day of validity, or long-term.")]
IssueNo = Annotated[int | None, typer.Option(help="The count of issues of a permit.")]
CardSerial = Annotated[str | None, typer.Option(help="The serial number of a licence's card.")]
IssuingState = Annotated[str | None, typer.Option(help="Of icao.passport: the code in its machine readable zone.")]


def check(
    type_: Type,
    number: Number,
    valid_from: ValidFrom = None,
    valid_until: ValidUntil = None,
    issue_no: IssueNo = None,
    card_serial: CardSerial = None,
    issuing_state: IssuingState = None,
    operator: Annotated[str, typer.Option(help="Who is asking.")] = "terminal",
    purpose: Annotated[str, typer.Option(help="What for.")] = "other",
    reference: Annotated[str | None, typer.Option(help="Your own reference.")] = None,
    as_json: Json = False,
) -> None:
    """Ask whether a card is reported. Exit code 0: clear; 1: reported, void or indeterminate."""
    body = {
        "document": _document(type_, number, issuing_state, valid_from, valid_until, issue_no, card_serial),
        "operator": operator,
        "purpose": purpose,
        **_given(reference=reference),
    }
    # The answer's worth is counted from before it was asked for (G2).
    asked = time.monotonic()
    answer = post("/v1/checks", body)
    if (time.monotonic() - asked) * 1000 > answer["fresh_for_ms"]:
        raise Failed("answer_too_old", "the answer came too late to be worth anything; ask again", Exit.NO_ANSWER)
    if as_json:
        show_json(answer)
    else:
        _show_check(answer)
    raise typer.Exit(Exit.DONE if answer["status"] == "clear" else Exit.REFUSED)


def report(
    type_: Type,
    number: Number,
    reason: Annotated[str, typer.Option(help="lost stolen found seized replaced cancelled deceased.")],
    operator: Annotated[str, typer.Option(help="The operator that the key belongs to.")],
    case_number: Annotated[str, typer.Option(help="Your case number.")],
    effective_at: Annotated[str | None, typer.Option(help="Instant or day; needed when no card is named.")] = None,
    valid_from: ValidFrom = None,
    valid_until: ValidUntil = None,
    issue_no: IssueNo = None,
    card_serial: CardSerial = None,
    issuing_state: IssuingState = None,
    replaced_by_valid_from: Annotated[str | None, typer.Option(help="Of the new card.")] = None,
    replaced_by_issue_no: Annotated[int | None, typer.Option(help="Of the new card.")] = None,
    replaced_by_card_serial: Annotated[str | None, typer.Option(help="Of the new card.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Of an earlier try whose outcome is not known.")] = None,
    as_json: Json = False,
) -> None:
    """Report a card. When this returns with exit code 0 the report is in force everywhere."""
    new_card = _given(
        valid_from=replaced_by_valid_from, issue_no=replaced_by_issue_no, card_serial=replaced_by_card_serial
    )
    body = {
        "document": _document(type_, number, issuing_state, valid_from, valid_until, issue_no, card_serial),
        "reason": reason,
        "operator": operator,
        "case_number": case_number,
        **_given(effective_at=effective_at, replaced_by=new_card or None),
    }
    answer = post("/v1/reports", body, idempotency_key or uuid.uuid4().hex)
    if as_json:
        show_json(answer)
    else:
        covers = ", ".join(f"{name} {value}" for name, value in answer["covers"].items() if name != "types")
        print(f"{answer['id']}  {answer['state']}  entry {answer['seq']}")
        print(f"covers {' '.join(answer['covers']['types'])}{': ' + covers if covers else ''}")


def _document(type_: str, number: str, issuing_state: str | None, valid_from: str | None, valid_until: str | None,
              issue_no: int | None, card_serial: str | None) -> dict[str, Any]:  # fmt: skip
    instance = _given(valid_from=valid_from, valid_until=valid_until, issue_no=issue_no, card_serial=card_serial)
    return {"type": type_, "number": _number(number), **_given(issuing_state=issuing_state), **instance}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _number(number: str) -> str:
    """From standard input its first line: arguments show in `ps` and in the shell's history."""
    text = sys.stdin.readline().rstrip("\r\n") if number == "-" else number
    return text.encode("utf-8", "replace").decode()  # bytes that are no text become "?", which no number holds


def _variable(name: str) -> str | None:
    """From the environment, else from `.env`."""
    if value := os.environ.get(name):
        return value
    from dotenv import dotenv_values

    return dotenv_values(".env").get(name) or None


def client(more: Mapping[str, str] | None = None, timeout: float = TIMEOUT_S) -> "httpx.Client":
    """Of the API, with the key of the environment."""
    import httpx

    key = _variable("LOSTID_KEY")
    if key is None:
        raise Failed("key_missing", "set LOSTID_KEY to an API key (`lostid keys create` makes one)", Exit.USAGE)
    if not (key.isascii() and key.isprintable()):  # the HTTP library would show it in its error
        raise Failed("key_unknown", "LOSTID_KEY holds what no API key holds: a line's end, a letter with an accent",
                     Exit.USAGE)  # fmt: skip
    language = os.environ.get("LANG", "en")[:2]
    headers = {"Authorization": f"Bearer {key}", "Accept-Language": language, **(more or {})}
    try:
        url = httpx.URL(_variable("LOSTID_URL") or DEFAULT_URL)
    except httpx.InvalidURL as e:
        raise Failed("usage", f"LOSTID_URL: {e}", Exit.USAGE) from None
    if url.scheme not in ("http", "https") or not url.host:
        raise Failed("usage", "LOSTID_URL: not an http:// or https:// address", Exit.USAGE)
    return httpx.Client(base_url=url, headers=headers, timeout=timeout)


def get(path: str) -> dict[str, Any]:
    """The answer. Raises Failed."""
    import httpx

    with client() as api:
        try:
            response = api.get(path)
        except httpx.HTTPError as e:
            raise Failed("unreachable", f"no answer from {api.base_url}: {e}", Exit.NO_ANSWER) from None
    answer = _answer(response)
    if answer is None:
        raise refused(response)
    return answer


def post(path: str, body: dict[str, Any], idempotency_key: str | None = None) -> dict[str, Any]:
    """The answer. Raises Failed, whose exit code is the contract's."""
    import httpx

    headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    until = time.monotonic() + TRIES_S
    with client(headers) as api:
        while True:
            failed = None
            try:
                response = api.post(path, json=body)
            except httpx.HTTPError as e:
                failed = Failed("unreachable", f"no answer from {api.base_url}: {e}", Exit.NO_ANSWER)
            else:
                answer = _answer(response)
                if answer is not None:
                    return answer
                failed = refused(response)
            # A write that was perhaps done is asked again as itself; anything else is the caller's to repeat.
            again = idempotency_key is not None and failed.exit_code is Exit.NO_ANSWER and failed.code != "rate_limited"
            if not again or time.monotonic() >= until:
                if idempotency_key is not None and failed.exit_code is Exit.NO_ANSWER:
                    failed.sentence += (
                        f"\nwhether it was recorded is not known; repeat with --idempotency-key {idempotency_key}"
                    )
                    failed.more["idempotency_key"] = idempotency_key
                raise failed
            time.sleep(0.3)


def _answer(response: "httpx.Response") -> dict[str, Any] | None:
    """None also where a page that is no answer came with 200: a proxy's, or the hotel's own portal."""
    try:
        answer = response.json() if response.is_success else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def refused(response: "httpx.Response") -> Failed:
    """A problem document in words (RFC 9457)."""
    try:
        problem = response.json()
        code, sentence = problem["code"], problem.get("detail") or problem["title"]
    except (ValueError, KeyError, TypeError):
        problem, code, sentence = {}, f"http_{response.status_code}", f"HTTP status {response.status_code}"
    for fault in problem.get("errors", ()):
        expected = f" (expected {fault['expected']})" if fault.get("expected") else ""
        sentence += f"\n  {fault.get('pointer') or '/'}: {fault.get('code')}{expected}"
    if response.is_success or response.status_code == 429 or response.status_code >= 500:
        exit_code = Exit.NO_ANSWER
    elif response.status_code in (400, 413, 415, 422):
        exit_code = Exit.USAGE
    else:
        exit_code = Exit.REFUSED
    more = {name: problem[name] for name in ("errors", "request_id", "id") if name in problem}
    return Failed(code, sentence, exit_code, {"status": response.status_code, **more})


_COLOURS = {"clear": "green", "indeterminate": "yellow"}


def _show_check(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    line = Text(answer["status"], style=f"bold {_COLOURS.get(answer['status'], 'red')}")
    line.append(f"  {answer['advice']}", style="default not bold")
    for name in answer.get("needs", ()):
        line.append(f"  give --{name.replace('_', '-')}", style="default not bold")
    if "reason" in answer:
        line.append(f"  {answer['reason']} since {answer.get('effective_at')}", style="default not bold")
    line.append(f"  (as of {answer['as_of']}, entry {answer['seq']})", style="dim")
    Console(soft_wrap=True, highlight=False).print(line)
