"""How much of a database's volume images may take, so that PostgreSQL never meets its end. In MB, as Orthanc counts.

A volume that is full stops PostgreSQL, and with it every image that is there. So Orthanc refuses before: what it may
store is the volume without the write-ahead log, and of the rest seven tenths. Large objects take a third more than the
files in them (three of their rows fit into a page), and the index needs room, too. The chart reckons the same.
"""

from __future__ import annotations

from korthweb_tasks.settings.quantities import amount

_MEGABYTE = 2**20
#: PostgreSQL's own default of max_wal_size, which is too much for a small volume
_MOST_LOG = 1024


def megabytes(size: str) -> int:
    """Return a size in MB.

    >>> megabytes("10Gi")
    10240
    """
    return int(amount(size)) // _MEGABYTE


def log_size(storage: str) -> int:
    """Return PostgreSQL's max_wal_size on a volume: an eighth of it, and not more than 1 GB."""
    return min(_MOST_LOG, megabytes(storage) // 8)


def most(storage: str) -> int:
    """Return what is left of a volume beside the log, which may reach twice its size under load."""
    return megabytes(storage) - 2 * log_size(storage)


def images(storage: str) -> int:
    """Return how much of a volume images may take.

    >>> images("10Gi")
    5734
    """
    return most(storage) * 7 // 10
