"""The package as people get it: sdist and wheel built once, and the wheel installed where no checkout is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Built:
    """The two files that an index would get."""

    sdist: Path
    wheel: Path


def build(out: Path) -> Built:
    """Build the sdist, and the wheel out of it, with the hatchling that is installed: no network."""
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(words, check=True, capture_output=True)
    (sdist,), (wheel,) = out.glob("korthweb-*.tar.gz"), out.glob("korthweb-*.whl")
    return Built(sdist, wheel)


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment in which the wheel is installed, an empty folder to work in, and nobody's variables."""

    bin: Path
    folder: Path
    variables: dict[str, str]

    def run(self, *words: str, code: int = 0) -> str:
        """Run ``korthweb WORDS`` and return its stdout; fails where it ends with another code."""
        path = f"{self.bin}:/usr/bin:/bin"
        environ = {"HOME": str(self.folder.parent / "home"), "PATH": path, "GOPROXY": "off", **self.variables}
        argv = [str(self.bin / "korthweb"), *words]
        done = subprocess.run(argv, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def install(wheel: Path, base: Path, **variables: str) -> Installed:
    """Install ``wheel`` into an empty environment below ``base``; its dependencies are those of this Python."""
    home, folder = base / "environment", base / "empty"
    folder.mkdir(parents=True)
    venv.create(home, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--no-index", "--no-deps"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(base), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([*pip, "--quiet", str(wheel)], check=True, env=environ)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(home / "bin", folder, variables)
