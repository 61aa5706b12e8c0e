"""A set list as a performance that nobody plays: every cue once, in their order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from engine.errors import UserError
from live import keys
from live.addresses import Message
from live.control import advance, apply
from live.ensemble import Ensemble, Start
from live.gpus import Sampler
from live.setlist import SetList, programme
from live.show import Show, upcoming
from live.take import latents, opening, sha256_of
from live.take_writer import TakeWriter

SWING_NS = 3_000_000_000  # that a cue which springs is watched past its end: it then stands still
POLL_S = 0.001


def write_walkthrough(setlist: SetList, start: Start, path: Path) -> None:
    """Write the take of a set list that plays by itself, from its first beat to its last.

    `start` begins engines, which map the seeds. Raises UserError for keys and networks that cannot
    be performed, and if the file is there or cannot be written.
    """
    for cue in setlist.cues:
        keys.check(cue)
    writer = _begun(setlist, path)
    gauges = Sampler()
    gauges.start()
    ensemble = Ensemble(setlist, start)
    try:
        writer.start()
        for latent in sorted(latents(setlist)):
            writer.file("latent", latent, sha256_of(latent))
        for network in dict.fromkeys(cue.network for cue in setlist.cues):
            writer.file("network", network, _resolved(setlist, ensemble, network))
        if gauges.latest is not None:  # what this machine is, at work: for overlays
            writer.gauged(0, replace(gauges.latest, taken_ns=0))
        for number, resolved in sorted(ensemble.resolved.items()):
            writer.keys(number, resolved)
        writer.sampled(0)
        for at, message in walk(setlist):
            if message is None:
                writer.sampled(at)
            else:
                writer.obeyed(at, message)
    finally:
        ensemble.close()
        gauges.close()
        writer.close(timeout_s=60.0)
    if writer.lost:
        raise UserError(f"{path}: the performance of {setlist.file} cannot be written")


def walk(setlist: SetList) -> Iterator[tuple[int, Message | None]]:
    """What somebody would do to see every cue once, and when (ns); None where all has been seen.

    A loop is seen once around unless it says when the next cue follows, a cue that springs until it
    stands still.
    """
    facts = programme(setlist)
    plays = Message("play", (1,))
    yield 0, plays
    show = apply(opening(setlist, 0), plays, 0, facts)
    while True:
        if show.voice.follows is not None and upcoming(show, facts) is not None:
            seen = _seen(show, show.voice.follows - show.voice.origin)
            show = advance(show, seen, facts)
            continue
        seen = _seen(show, facts[show.voice.cue].duration)
        if facts[show.voice.cue].ending == "spring":
            seen += SWING_NS
        if upcoming(show, facts) is None:
            yield seen, None
            return
        if facts[show.voice.cue].ending == "next":
            show = advance(show, seen, facts)
            continue
        go = Message("cue/next")
        yield seen, go
        show = apply(show, go, seen, facts)


def _begun(setlist: SetList, path: Path) -> TakeWriter:
    """A take with its first line. Raises UserError that says whose it was to be."""
    try:
        writer = TakeWriter(path)
        try:
            writer.begin(setlist, 0, datetime.now().astimezone())
        except UserError:
            writer.close()
            raise
    except UserError as error:
        said = str(error).removeprefix("--take ")  # an option that nobody has given
        raise UserError(f"the performance of {setlist.file} cannot be written: {said}") from error
    return writer


def _seen(show: Show, duration: float) -> int:
    """When the end of the cue is reached."""
    seen = show.transport.reaches(show.voice.origin + duration, show.voice.since_ns)
    if seen is None:
        raise UserError("a cue lasts for decades")
    return seen


def _resolved(setlist: SetList, ensemble: Ensemble, network: Path) -> str:
    """Wait until an engine has mapped all seeds of a network; the network's SHA-256."""
    cues = {number for number, cue in enumerate(setlist.cues) if cue.network == network}
    while not cues <= ensemble.resolved.keys():
        ensemble.tend(network, (), network, time.perf_counter_ns())
        if network in ensemble.refused:
            raise UserError(ensemble.refused[network])
        time.sleep(POLL_S)
    facts = ensemble.facts_of(network)
    assert facts is not None
    return facts.sha256
