"""The Lua scripts, one file each, with what they promise in their first line."""

import hashlib
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name by which Redis knows it once it was loaded."""

    text: str
    sha: str


class Name(Enum):
    APPEND = "append"
    BRING = "bring"
    CONTENTS = "contents"
    DOUBT = "doubt"
    DROP = "drop"
    FILL = "fill"
    FINGERPRINTS = "fingerprints"
    FINISH = "finish"
    FLIP = "flip"
    LOOKUP = "lookup"
    REPAIR = "repair"
    SWEEP = "sweep"
    WIPE = "wipe"


@cache
def script(name: Name) -> Script:
    text = files(__package__).joinpath("scripts", f"{name.value}.lua").read_text("utf-8")
    # Redis names a script by the SHA-1 of its text; nothing is protected by it.
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
