"""`lostid serve`: everything of one host, until it is told to stop."""

import resource
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Annotated

import typer

from lostid.commands.hand import read_settings
from lostid.commands.telling import Exit, Failed, Json, note, show_json

if TYPE_CHECKING:
    from lostid.settings import Settings

Host = Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]", show_default=False)]
Port = Annotated[int | None, typer.Option(help="0: any free port.  [default: 8080]", show_default=False)]
Workers = Annotated[int | None, typer.Option(help="API processes.  [default: one per processor]", show_default=False)]


def serve(host: Host = None, port: Port = None, workers: Workers = None, as_json: Json = False) -> None:
    """Run the registry: API workers, replica, relay and, unless their URLs are given, PostgreSQL and Valkey."""
    settings = read_settings(host=host, port=port, workers=workers)

    def ready(url: str) -> None:
        if as_json:
            show_json({"url": url, "data_dir": str(settings.data_dir), "workers": settings.workers})
        else:
            print(f"lostid serves {url} (data in {settings.data_dir})", flush=True)

    raise typer.Exit(supervise(settings, ready))


def supervise(
    settings: "Settings", ready: Callable[[str], None], task: Sequence[str] = (), log: IO[bytes] | None = None
) -> int:
    """Run the supervisor, and put what it refuses into words and exit codes."""
    from lostid import stderr
    from lostid.engines.procs import DataDirInUse, EngineRefused
    from lostid.listening import CannotListen
    from lostid.secrets import SecretsRefused
    from lostid.supervisor import StartFailed, Supervisor

    stderr.never_wait()
    _no_core_files()
    try:
        return Supervisor(settings, note, log).run(ready, task)
    except DataDirInUse as e:
        raise Failed("data_dir_in_use", str(e), Exit.USAGE) from None
    except CannotListen as e:
        raise Failed("cannot_listen", str(e), Exit.USAGE) from None
    except (SecretsRefused, EngineRefused, OSError) as e:
        raise Failed("refused", str(e), Exit.REFUSED) from None
    except StartFailed as e:
        if not str(e):  # it has been said already
            raise typer.Exit(e.code) from None
        raise Failed("start_failed", str(e), Exit(e.code)) from None


def _no_core_files() -> None:
    """Of this process and of all that it starts: a core of a worker would hold document numbers and the secrets."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
