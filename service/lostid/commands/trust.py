"""`lostid log verify` and `lostid receipt verify`: holding the registry to what it signed, by its public keys."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from lostid import durable
from lostid.commands.telling import Exit, Failed, Json, show_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from lostid.commands.replaying import Compared
    from lostid.log.checkpoint import Checkpoint
    from lostid.log.verifying import Verified

log = typer.Typer(help="The Merkle log of the ledger.", no_args_is_help=True)
receipt = typer.Typer(help="Receipts of checks and reports.", no_args_is_help=True)

_URL = typer.Argument(help="Where the registry is; LOSTID_URL by default.")
_TIMEOUT_S = 30.0
_KINDS = ("lostid-check+jwt", "lostid-batch+jwt", "lostid-report+jwt")


@log.command("verify")
def verify_log(
    url: Annotated[str | None, _URL] = None,
    origin: Annotated[
        str, typer.Option(help="The log's name: LOSTID_LOG_ORIGIN of the registry.")
    ] = "localhost/lostid",
    state: Annotated[Path | None, typer.Option(help="Where the last checkpoint seen is remembered.")] = None,
    jwks: Annotated[
        Path | None,
        typer.Option(help="The registry's keys, kept from before: only they, and keys that they endorse, are trusted."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild every hash of the published log, and compare with the last visit. With an auditor's LOSTID_KEY also
    replay the entries, and the rows of the imports that they name, into records and compare these with the answers.
    Exit code 1: something is wrong."""
    from lostid.log import verifying
    from lostid.log.jws import keys_of
    from lostid.log.keychain import endorsed
    from lostid.log.note import NoteVerifier

    base = (url or os.environ.get("LOSTID_URL") or "http://127.0.0.1:8080").rstrip("/")
    state = state or _state_path(base)
    with _client(base) as client:
        published = json.loads(_fetch(client, "/.well-known/jwks.json"))
        keys = endorsed(keys_of(json.loads(jwks.read_text())), published) if jwks else keys_of(published)
        verifiers = [NoteVerifier(origin, public) for public in keys.values()]

        def verify() -> verifying.Verified:
            return verifying.verify_log(lambda path: _fetch(client, f"/v1/log/{path}"), origin, verifiers, _seen(state))

        found = verify()
        compared = _compared(client, verify, found) if found.good else None
    findings = [*found.findings, *(compared.findings if compared else ())]
    if found.good and found.checkpoint is not None:
        _remember(state, found.checkpoint)
    size = None if found.checkpoint is None else found.checkpoint.size
    shown = [{"code": finding.code, "where": finding.where} for finding in findings]
    if as_json:
        told = None if compared is None else {"compared": compared.records, "imports": compared.imports}
        show_json({"good": found.good and not findings, "size": size, "findings": shown, "records": told})
    else:
        _tell(size, shown, compared)
    raise typer.Exit(Exit.DONE if found.good and not findings else Exit.REFUSED)


def _compared(client: "httpx.Client", verify: "Callable[[], Verified]", found: "Verified") -> "Compared | None":
    """None where the caller's key does not open the entries."""
    from lostid.commands.replaying import compare

    def post(path: str, body: dict[str, Any]) -> Any:
        return json.loads(_content(client, "POST", path, body))

    if "Authorization" not in client.headers:
        return None
    try:
        return compare(lambda path: _fetch(client, path), post, verify, found)
    except Failed as failed:
        if failed.code == "not_authorised":
            return None
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise Failed("answer_malformed", f"not what an auditor is told: {type(error).__name__}", Exit.REFUSED) from None


def _tell(size: int | None, findings: list[dict[str, str]], compared: "Compared | None") -> None:
    for finding in findings:
        print(f"{finding['code']}: {finding['where']}")
    if findings:
        return
    print(f"{size} entries: every hash is right, and the log continues what was seen before")
    if compared is None:
        print("records were not compared: that takes the LOSTID_KEY of an auditor")
        return
    print(f"{compared.records} records: each is answered as the entries say")
    if compared.imports:
        print(f"{compared.imports} imports among them, all of whose rows are those that their entries name")


@receipt.command("verify")
def verify_receipt(
    file: Annotated[Path, typer.Argument(help="The receipt, or an answer in JSON that holds one.")],
    jwks: Annotated[Path | None, typer.Option(help="The registry's keys, for offline use; else asked for.")] = None,
    url: Annotated[str | None, typer.Option(help="Where the keys are asked for; LOSTID_URL by default.")] = None,
    as_json: Json = False,
) -> None:
    """Verify a receipt and show what it says. With --jwks nothing is asked of anybody. Exit code 1: refused."""
    from lostid.log import jws

    token = _token(file)
    if jwks is not None:
        keys = jws.keys_of(json.loads(jwks.read_text()))
    else:
        base = (url or os.environ.get("LOSTID_URL") or "http://127.0.0.1:8080").rstrip("/")
        with _client(base) as client:
            keys = jws.keys_of(json.loads(_fetch(client, "/.well-known/jwks.json")))
    claims = _claims(token, keys)
    if as_json:
        show_json(claims)
    else:
        for name, value in claims.items():
            print(f"{name}: {value if isinstance(value, str) else json.dumps(value)}")


def _claims(token: str, keys: dict[str, bytes]) -> dict[str, Any]:
    from lostid.log import jws

    refused = None
    for kind in _KINDS:
        try:
            return {"kind": kind, **jws.verify(token, kind, keys)}
        except jws.TokenRefused as error:
            refused = error
    raise Failed("receipt_refused", f"not a receipt of this registry: {refused}", Exit.REFUSED)


def _token(file: Path) -> str:
    try:
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed("unreadable", f"{file}: {error}", Exit.USAGE) from None
    if not text.startswith("{"):
        return text
    try:
        return str(json.loads(text)["receipt"])
    except (ValueError, KeyError):
        raise Failed("no_receipt", f"{file} holds no receipt", Exit.USAGE) from None


def _client(base: str) -> "httpx.Client":
    import httpx

    key = os.environ.get("LOSTID_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_S)


def _fetch(client: "httpx.Client", path: str) -> bytes:
    return _content(client, "GET", path, None)


def _content(client: "httpx.Client", method: str, path: str, body: dict[str, Any] | None) -> bytes:
    """A 404 is the log's own fault (LookupError); no answer at all is not."""
    import httpx

    try:
        response = client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise Failed("unreachable", f"no answer: {type(error).__name__}", Exit.NO_ANSWER) from None
    if response.status_code == 404:
        raise LookupError("not found")
    if response.status_code in (401, 403):
        raise Failed("not_authorised", "the log is for auditors: set LOSTID_KEY", Exit.REFUSED)
    if response.status_code != 200:
        raise Failed("no_answer", f"status {response.status_code}", Exit.NO_ANSWER)
    return response.content


def _state_path(base: str) -> Path:
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    place = urlsplit(base)
    return home / "lostid" / f"{place.hostname}-{place.port or 443}.checkpoint.json"


def _seen(state: Path) -> "Checkpoint | None":
    from lostid.log.checkpoint import Checkpoint

    try:
        told = json.loads(state.read_text())
        return Checkpoint(told["origin"], told["size"], bytes.fromhex(told["root"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise Failed("state_unreadable", f"{state}: {error}", Exit.USAGE) from None


def _remember(state: Path, checkpoint: "Checkpoint") -> None:
    durable.make_directory(state.parent)
    told = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
    durable.write(state, json.dumps(told).encode() + b"\n")
