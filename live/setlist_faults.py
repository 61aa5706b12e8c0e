"""What is wrong with a set list, in one line: the table, the key, the fault, what is accepted."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.errors import one_line

Location: TypeAlias = tuple[int | str, ...]
"""Steps from the top of the file: ("cue", 1, "keys", 0, "beats")."""


def fault(
    error: ValidationError,
    model: type[BaseModel],
    document: Mapping[str, Any],
    at: Location = (),
) -> str:
    """The first fault of a document that was validated from `at` on; `model` is the whole file."""
    faults = error.errors(include_url=False)
    # A misspelt key is two faults: one key too many, and one missing. The first is the one to tell.
    first = min(faults, key=lambda fault: fault["type"] == "missing")
    location = (*at, *first["loc"])
    also = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return told(document, location, f"{_wrong(first, model, location)}{also}")


def told(document: Mapping[str, Any], location: Location, wrong: object) -> str:
    """What is wrong at a place of the file, in one line."""
    return one_line(f"{place(document, location)}: {wrong}")


def place(document: Mapping[str, Any], location: Location) -> str:
    """The table and the key in it, as a person finds them: `[[cue]] 2 "chorus" keys[0].beats`.

    Cues are counted from 1, as on the desk, and so are a desk's maps and a recipe's stages; keys
    from 0, and the seed is told, too.
    """
    if not location:
        return "set list"
    table, rest = f"[{location[0]}]", location[1:]
    if location[0] == "cue":
        table = "[[cue]]"
        if rest and isinstance(rest[0], int):
            name = _get(document, ("cue", rest[0], "name"))
            table += f" {rest[0] + 1}" + (f' "{name:.40}"' if isinstance(name, str) else "")
            rest = rest[1:]
    elif location[0] == "stage" and rest:
        table, rest = f"[[stage]] {int(rest[0]) + 1}", rest[1:]
    elif location[:2] == ("osc", "map") and len(location) > 2:
        listens = _get(document, ("osc", "map", location[2], "address"))
        table = f"[[osc.map]] {int(location[2]) + 1}"
        table += f' "{listens:.60}"' if isinstance(listens, str) else ""
        rest = location[3:]
    key = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, rest)))
    if rest[:1] == ("keys",) and len(rest) > 1:
        seed = _get(document, (*location[:4], "seed"))
        key += f" (seed {seed})" if isinstance(seed, int) else ""
    return f"{table} {key}".rstrip()


def _get(document: Any, location: Location) -> object:
    """What stands at a place of the file; None if nothing does."""
    for step in location:
        try:
            document = document[step]
        except (LookupError, TypeError):
            return None
    return document


def _wrong(error: ErrorDetails, model: type[BaseModel], location: Location) -> str:
    """What is wrong, and what is accepted instead."""
    kind, given, details = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        accepted = _accepted(model, location)
        wrong = f"no such key{_did_you_mean(location[-1], accepted)}"
        return f"{wrong}; accepted are {', '.join(accepted)}"
    if kind == "literal_error":
        accepted = re.findall(r"'([^']*)'", details["expected"])
        wanted = ", ".join(f'"{word}"' for word in accepted)
        return f"{given!r:.60} is none of {wanted}{_did_you_mean(given, accepted)}"
    if kind == "value_error":
        return str(details["error"])
    if kind == "string_too_short":
        return "must not be empty"
    if kind in ("model_type", "model_attributes_type"):
        return f"must be a table, got {given!r:.60}"
    wanted = error["msg"].replace("Input should be", "must be").replace("tuple", "list")
    return f"{wanted}, got {given!r:.60}"


def _did_you_mean(word: object, accepted: Sequence[str]) -> str:
    close = get_close_matches(str(word), accepted, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _accepted(model: type[BaseModel], location: Location) -> list[str]:
    """The keys of the table in which a location lies."""
    steps = iter(step for step in location[:-1] if isinstance(step, str))
    for step in steps:
        annotation = _fields(model)[step]
        model = _inner(annotation)
        if get_origin(annotation) is dict:
            next(steps, None)  # tables by names of the user's own
    return list(_fields(model))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Types of a table's keys, by the names they have in the file."""
    fields = model.model_fields.items()
    return {field.alias or name: field.annotation for name, field in fields}


def _inner(annotation: Any) -> type[BaseModel]:
    """The table within `Table | None`, `tuple[Table, ...]` or `dict[str, Table]`."""
    parts = get_args(annotation)[get_origin(annotation) is dict :]  # not the names
    inner = next((part for part in parts if part not in (..., type(None))), None)
    return annotation if inner is None else _inner(inner)
