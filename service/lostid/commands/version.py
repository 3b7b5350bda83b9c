"""`lostid version`."""

from lostid.commands.telling import Json, show_json


def version(as_json: Json = False) -> None:
    """The version of this program."""
    from importlib.metadata import version as installed

    number = installed("lostid")
    if as_json:
        show_json({"version": number})
    else:
        print(f"lostid {number}")
