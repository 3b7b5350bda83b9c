"""The command line: `lostid COMMAND ...`. Exit codes: 0 done, 1 refused or adverse, 2 usage, 3 no answer."""

import sys

import typer

from lostid.commands import api, demo, doctor, importing, keys, people, serve, signing, trust, version, withdrawals
from lostid.commands.telling import Failed, show_error

app = typer.Typer(
    help="A registry of lost identity documents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables, and with them document numbers
)
app.command()(serve.serve)
app.command()(demo.demo)
keys.app.command()(signing.rotate_signing)
app.add_typer(keys.app, name="keys")
app.add_typer(people.stations, name="stations")
app.add_typer(people.operators, name="operators")
app.command()(api.check)
app.command()(api.report)
app.command()(withdrawals.withdraw)
app.command()(withdrawals.approve)
app.command("import")(importing.import_)
app.add_typer(importing.registry, name="registry")
app.add_typer(trust.log, name="log")
app.add_typer(trust.receipt, name="receipt")
app.command()(doctor.doctor)
app.command()(version.version)


def main() -> None:
    try:
        app(prog_name="lostid")
    except Failed as failed:
        show_error(failed, "--json" in sys.argv)
        sys.exit(failed.exit_code)
