"""`python -m lostid`: the command line, or one of the supervisor's children, which need not load the command line."""

import sys


def main() -> None:
    if sys.argv[1:2] and sys.argv[1].startswith("_"):
        from lostid.children import run_child

        run_child(sys.argv[1:])
    else:
        from lostid.cli import main as command_line

        command_line()


if __name__ == "__main__":
    main()
