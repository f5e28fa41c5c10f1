"""Makes what the tests' labs need, one line of progress each: a program of its own, so that it can run niced."""

from __future__ import annotations

import sys


def main() -> int:
    """Build binaries and images that are missing; return the exit code."""
    from korthweb_tasks.errors import KorthwebError
    from korthweb_tasks.lab import images, programs
    from korthweb_tasks.lab.packages import RECIPES
    from korthweb_tasks.provision import builder

    names = list(images.image_names())
    wanted = dict.fromkeys([*programs.REAL, *programs.of_images(names, RECIPES / "images")])
    try:
        builder.build_all(list(wanted), progress=lambda name, line: print(f"{name}: {line}"))
        images.image_archives(print)
    except KorthwebError as error:
        print(f"error: {error.message}\n{error.details}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
