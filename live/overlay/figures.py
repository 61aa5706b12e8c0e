"""Numbers and names as a monitor writes them, in few cells; what is not known is N/A."""

from __future__ import annotations

NOT_KNOWN = "N/A"


def told(value: float | None, form: str) -> str:
    """The value in that form of `str.format`."""
    return NOT_KNOWN if value is None else form.format(value)


def percent(value: float | None) -> str:
    """Whole percent."""
    return told(value, "{:.0f}%")


def precise(value: float | None) -> str:
    """Percent with a decimal."""
    return told(value, "{:.1f}%")


def bare(value: float | None, width: int) -> str:
    """A percentage without its sign, with a decimal where it has one and there is room."""
    if value is None:
        return NOT_KNOWN
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text if len(text) <= width else f"{value:.0f}"[:width]


def on_off(value: bool | None) -> str:
    """A switch."""
    return NOT_KNOWN if value is None else "On" if value else "Off"


def used(amount: int | None, total: int | None) -> str:
    """So many bytes of all."""
    return f"{size(amount)} / {size(total)}"


def size(amount: int | None) -> str:
    """Bytes, in at most 8 cells up to 10000 TiB."""
    if amount is None:
        return NOT_KNOWN
    mib = amount / 2**20
    if mib < 10_000:
        return f"{mib:.0f}MiB"
    unit, value = ("GiB", mib / 2**10) if mib < 1000 * 2**10 else ("TiB", mib / 2**20)
    return f"{value:.{2 if value < 99.995 else 1 if value < 999.95 else 0}f}{unit}"


def duration(seconds: float | None) -> str:
    """A time, in at most 8 cells up to 999 days."""
    if seconds is None:
        return NOT_KNOWN
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 24:
        days = seconds / 86_400
        return f"{days:.1f} days" if days < 9.95 else f"{days:.0f} days"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def clean(text: str | None) -> str:
    """A name from elsewhere, of characters that take one cell each, and that fonts have."""
    if text is None:
        return NOT_KNOWN
    return "".join(c if c.isprintable() and c < "\u0250" else "?" for c in text)
