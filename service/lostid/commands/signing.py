"""`lostid keys rotate-signing`: a new key signs from now on; what the old one signed verifies for ever."""

import os
import time
from typing import TYPE_CHECKING

from lostid.commands.hand import read_settings
from lostid.commands.keys import with_ledger
from lostid.commands.telling import Exit, Failed, Json, show_json

if TYPE_CHECKING:
    from lostid.ledger.statement import AsyncConn
    from lostid.log.keychain import SigningKey


def rotate_signing(as_json: Json = False) -> None:
    """Make a new signing key, on the host whose secrets these are. Its workers take it up within two seconds; copy the
    file `signing` of LOSTID_SECRETS_DIR to the other hosts."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from lostid.log.keychain import succeed
    from lostid.secrets import SIZE, SecretsRefused, SigningFile, replace_signing

    settings = read_settings()
    seed = os.urandom(SIZE)

    async def work(conn: "AsyncConn") -> "tuple[SigningKey, int]":
        from lostid.ledger import tree

        if not await tree.ROTATING.arun(conn):
            raise Failed("rotating", "somebody else is rotating the key", Exit.REFUSED)
        old = Ed25519PrivateKey.from_private_bytes(SigningFile(settings.secrets_path).seed())
        row = succeed(old, Ed25519PrivateKey.from_private_bytes(seed), settings.log_origin, int(time.time()))
        seq = await _recorded(conn, row, old.public_key().public_bytes_raw())
        # The ledger has it, so that whatever the new key signs can be verified; only now may anybody sign with it.
        replace_signing(settings.secrets_path, seed)
        return row, seq

    try:
        row, seq = with_ledger(work)
    except SecretsRefused as refused:
        raise Failed("secrets", str(refused), Exit.REFUSED) from None
    if as_json:
        show_json({"kid": row.kid, "predecessor": row.predecessor, "seq": seq})
    else:
        print(f"{row.kid} signs from now on (entry {seq}); what {row.predecessor} signed verifies as before")


async def _recorded(conn: "AsyncConn", row: "SigningKey", old: bytes) -> int:
    """The key's row, and an entry that says so, in one transaction."""
    from dataclasses import asdict

    from lostid.ledger import entries, tree
    from lostid.ledger.statement import committing

    async with committing(conn):
        await tree.ADD_KEY.arun(conn, {"kid": row.predecessor, "public": old})
        await tree.SUCCEED.arun(conn, asdict(row))
        facts = {"kid": row.kid, "predecessor": row.predecessor, "endorsement": row.by_predecessor}
        appended = await entries.append(conn, entries.Draft("signing.rotated", row.kid, facts))
    return appended.seq
