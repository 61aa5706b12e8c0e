"""`python -m live` is the `anthesis` command."""

from live.cli import main

main()
