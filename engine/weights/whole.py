"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from engine.errors import UserError


@contextmanager
def whole(out: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become `out` at the end, by way of a file beside it.

    No reader ever sees half of it, and whatever is raised meanwhile, Ctrl-C too, leaves nothing.
    Raises UserError if it cannot be written.
    """
    temporary = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)  # mkstemp's files are for their owner only
        temporary.replace(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
