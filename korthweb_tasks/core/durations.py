"""How long something took or will take, in the one form that a person reads everywhere. Pure."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration for a person.

    >>> [duration(seconds) for seconds in (0, 0.42, 29.2, 149, 3900)]
    ['0 s', '0.4 s', '29 s', '2 min 29 s', '1 h 5 min']
    """
    if seconds < 9.95:
        return "0 s" if seconds == 0 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def limit(seconds: float) -> str:
    """Return a limit that somebody has set, exactly: ``0.5 s``, ``90 s``, ``10 min``."""
    return duration(seconds) if seconds >= 60 and seconds % 1 == 0 else f"{seconds:g} s"


def about(seconds: float) -> str:
    """Return a guess: ``under a minute``, ``about 3 min``, ``about 1 h 5 min``."""
    minutes = round(seconds / 60)
    return f"about {duration(60 * minutes)}" if minutes else "under a minute"


def milliseconds(ms: float) -> str:
    """Return a latency for a person."""
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms" if ms < 10_000 else duration(ms / 1000)
