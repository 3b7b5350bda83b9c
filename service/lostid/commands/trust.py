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
    import httpx

    from lostid.log.checkpoint import Checkpoint

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
    """Rebuild every hash of the published log, and compare with the last visit. Exit code 1: something is wrong."""
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
        found = verifying.verify_log(lambda path: _fetch(client, f"/v1/log/{path}"), origin, verifiers, _seen(state))
    findings = [{"code": finding.code, "where": finding.where} for finding in found.findings]
    size = None if found.checkpoint is None else found.checkpoint.size
    if found.good and found.checkpoint is not None:
        _remember(state, found.checkpoint)
    if as_json:
        show_json({"good": found.good, "size": size, "findings": findings})
    elif found.good:
        print(f"{size} entries: every hash is right, and the log continues what was seen before")
    else:
        for finding in findings:
            print(f"{finding['code']}: {finding['where']}")
    raise typer.Exit(Exit.DONE if found.good else Exit.REFUSED)


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
    """The content. A 404 is the log's own fault (LookupError); no answer at all is not."""
    import httpx

    try:
        response = client.get(path)
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
