"""A TOML file that somebody wrote by hand; what is wrong with it is one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from engine.errors import UserError


def read_toml(path: Path, kind: str, most_bytes: int) -> tuple[str, dict[str, Any]]:
    """The text of a file that should be a `kind`, "set list" say, and what it holds.

    Raises UserError. A checkpoint that was named by mistake is larger than `most_bytes`, and not
    read.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise UserError(f"{path}: is not a file; give a {kind}'s TOML file")
        if path.is_file() and path.stat().st_size > most_bytes:
            raise UserError(f"{path}: is too large for a {kind}; give a TOML file")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot read the {kind}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a {kind}: not text in UTF-8") from error
    except ValueError as error:  # a name that no file can have
        raise UserError(f"{path!r}: cannot read the {kind}: {error}") from error
    return text, parse_toml(path, text)


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """What a text holds that is, or was, that of a file. Raises UserError."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers and nesting without end among them
        raise UserError(f"{path}: is not valid TOML: {error}") from error
