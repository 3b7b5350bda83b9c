"""lostid_client/rules: the registry's own canonicaliser, copied. `python take_rules.py` from a checkout.

A mirror has to read a number exactly as the registry does, and the library must not need the registry. A test holds
the copies to the originals, byte for byte but for the name of the package.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
DOMAIN = HERE.parents[1] / "service" / "lostid" / "domain"
RULES = HERE / "lostid_client" / "rules"
NAMES = ("canonical", "documents", "errors", "gb11643")


def copy_of(name: str) -> str:
    """What the copy has to be."""
    return (DOMAIN / f"{name}.py").read_text("utf-8").replace("lostid.domain", "lostid_client.rules")


if __name__ == "__main__":
    for name in NAMES:
        (RULES / f"{name}.py").write_text(copy_of(name), "utf-8")
