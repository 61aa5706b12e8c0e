"""The `anthesis` command, also `python -m live`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is no fault, not even while modules are being imported."""
    try:
        from live.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
