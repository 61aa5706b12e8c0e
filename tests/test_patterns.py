"""OSC address patterns, against a slow and obvious reading of the specification."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.patterns import is_pattern, matching

PLAIN = ("/anthesis/psi", "/anthesis/play", "/anthesis/cue/go", "/anthesis/cue/next", "/x/psi")


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("/anthesis/psi", ["/anthesis/psi"]),
        ("/*/psi", ["/anthesis/psi", "/x/psi"]),
        ("/anthesis/*", ["/anthesis/psi", "/anthesis/play"]),  # * stops at a slash
        ("/anthesis/*/*", ["/anthesis/cue/go", "/anthesis/cue/next"]),
        ("/?/p?i", ["/x/psi"]),
        ("/anthesis/p[a-l]*", ["/anthesis/play"]),
        ("/anthesis/p[!a-l]*", ["/anthesis/psi"]),
        ("/anthesis/p[s-]i", ["/anthesis/psi"]),
        ("/anthesis/cue/{go,back}", ["/anthesis/cue/go"]),
        ("/anthesis/cue/{ne,n}xt", ["/anthesis/cue/next"]),
        ("/{anthesis,x}/{psi,play}", ["/anthesis/psi", "/anthesis/play", "/x/psi"]),
        ("/*/cue*/*o", ["/anthesis/cue/go"]),
        ("/x/ps*si", []),  # * never goes back
        ("/**psi", []),
        ("//psi", []),  # OSC 1.1's, which no desk sends
        ("*", []),
        ("", []),
        ("/anthesis/PSI", []),
    ],
)
def test_what_a_pattern_means(pattern: str, meant: list[str]) -> None:
    assert matching(pattern, PLAIN) == tuple(meant)


@pytest.mark.parametrize("pattern", ["/anthesis/[psi", "/anthesis/{psi", "/{anthesis/psi}"])
def test_an_open_bracket_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="not closed"):
        matching(pattern, PLAIN)


def test_an_endless_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="300 characters"):
        matching("*" * 300, PLAIN)


def test_what_looks_like_a_pattern() -> None:
    assert all(is_pattern(p) for p in ("/a*", "/a?", "/[a]", "/{a}"))
    assert not is_pattern("/anthesis/tempo/bpm")


@st.composite
def tokens(draw: st.DrawFn) -> tuple[str, ...]:
    kind = draw(st.sampled_from("*?=[!{"))
    letters = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
    match kind:
        case "*" | "?":
            return (kind,)
        case "=":
            return ("=", letters[0])
        case "[" | "!":
            return (kind, *letters)
        case _:
            return ("{", *draw(st.lists(st.text("abc", max_size=2), min_size=1, max_size=3)))


def written(token: tuple[str, ...]) -> str:
    match token[0]:
        case "*" | "?":
            return token[0]
        case "=":
            return token[1]
        case "[":
            return f"[{''.join(token[1:])}]"
        case "!":
            return f"[!{''.join(token[1:])}]"
        case _:
            return f"{{{','.join(token[1:])}}}"


def fits(pattern: list[tuple[str, ...]], text: str) -> bool:
    """The slow and obvious reading, which tries every way."""
    if not pattern:
        return not text
    first, rest = pattern[0], pattern[1:]
    match first[0]:
        case "*":
            return any(fits(rest, text[n:]) for n in range(len(text) + 1))
        case "{":
            return any(text.startswith(w) and fits(rest, text[len(w) :]) for w in first[1:])
        case "?":
            return bool(text) and fits(rest, text[1:])
        case "!":
            return bool(text) and text[0] not in first[1:] and fits(rest, text[1:])
        case _:
            return bool(text) and text[0] in first[1:] and fits(rest, text[1:])


@given(st.lists(tokens(), max_size=6), st.text("abc", max_size=6))
def test_every_pattern_means_what_trying_every_way_finds(
    pattern: list[tuple[str, ...]], text: str
) -> None:
    written_out = "".join(map(written, pattern))
    assert (matching(written_out, (text,)) == (text,)) == fits(pattern, text)
