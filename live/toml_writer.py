"""TOML written from plain data: what `tomllib` reads, it reads back the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def toml(document: Mapping[str, Any]) -> str:
    """The text of a document of tables, as set lists are: what lies deeper is written inline.

    Raises TypeError for what is no string, number, truth, list or table.
    """
    loose = [f"{_key(k)} = {_value(v)}\n" for k, v in document.items() if not _is_table(v)]
    blocks = []
    for name, value in document.items():
        if isinstance(value, Mapping):
            blocks.append(_table(f"[{_key(name)}]", value))
        elif _is_table(value):
            blocks += [_table(f"[[{_key(name)}]]", one) for one in value]
    return "\n".join([*loose, *blocks])


def _is_table(value: object) -> bool:
    several = isinstance(value, list) and bool(value)
    return isinstance(value, Mapping) or (
        several and all(isinstance(one, Mapping) for one in value)  # type: ignore[attr-defined]
    )


def _table(head: str, table: Mapping[str, Any]) -> str:
    return head + "\n" + "".join(f"{_key(k)} = {_value(v)}\n" for k, v in table.items())


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"{type(value).__name__} has no place in TOML here")
