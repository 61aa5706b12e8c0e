"""What a look at the machine found, and how something is tried that may crash the process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal

TRY_S = 30

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `warn`: a show is possible, with less; `fail`: something will not do."""

    name: str
    state: State
    what: str
    todo: str = ""


class CrashedError(Exception):
    """A process that tried something did not come back with an answer; how it ended."""


def report(findings: list[Finding]) -> str:
    """The findings as a table, each to do under its finding."""
    wide = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:4}  {finding.name:{wide}}  {finding.what}")
        if finding.todo:
            lines.append(f"{'':4}  {'':{wide}}  -> {finding.todo}")
    return "\n".join(lines)


def tried(script: str) -> dict[str, Any]:
    """Run a script that sets `answer`, in a process of its own.

    A UserError comes back as {"refused": its text}. Raises CrashedError.
    """
    program = (
        "import json, sys\n"
        "from engine.errors import UserError\n"
        "try:\n"
        + "".join(f"    {line}\n" for line in script.splitlines())
        + "except UserError as error:\n"
        "    answer = {'refused': str(error)}\n"
        "print(json.dumps(answer))\n"
    )
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=TRY_S
        )
    except subprocess.TimeoutExpired:
        raise CrashedError(f"no answer within {TRY_S} s") from None
    if ended.returncode:
        words = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
        raise CrashedError(words[-1])
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer
