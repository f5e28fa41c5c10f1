"""Probe pods that are not there: they read the script that a real one would run, and answer as their world does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from korthweb_tasks.errors import CommandFailed, KorthwebError
from korthweb_tasks.verify.isolation.probes import OPEN_PORT, Role

#: what servers and walls say, as the script prints it: exit code, text
Line = tuple[int, str]
UNAUTHORIZED = (0, f" answer={b'HTTP/1.1 401 Unauthorized'.hex()};")
ACCEPTED = (0, " answer=02000000;")
POSTGRES = (0, " answer=4e;")
RESET = (1, "dd: error reading 'standard input': Connection reset by peer answer=;")
CLOSED = (0, " answer=;")
SILENT = (124, "")
DENIED = (0, f" answer={b'HTTP/1.1 403 Forbidden'.hex()};")
NO_NAME = (71, "bash: line 1: orthanc.mhr: Name or service not known")
ANSWERS: Mapping[int, Line] = {8042: UNAUTHORIZED, 4242: ACCEPTED, 5432: POSTGRES, OPEN_PORT: UNAUTHORIZED}
_ONE = re.compile(r"^one (\S+) (\S+) (\d+) '[^']+' (\d+) &$", re.MULTILINE)


@dataclass(frozen=True)
class Try:
    """One question as it reaches the network: who, from where, to whom (a service's name or a pod's IP)."""

    namespace: str
    role: Role
    host: str
    port: int

    @property
    def target(self) -> str:
        """Return the namespace that is tried: hosts are ``service.namespace`` or ``ip-of-…``."""
        return self.host.rpartition(".")[2]

    @property
    def by_pod(self) -> bool:
        """Say whether a pod is spoken to past its Service."""
        return self.host.startswith("ip-of-")

    @property
    def rightful(self) -> bool:
        """Say whether this is what a tenant's own programs do."""
        wanted: Role = "database" if self.port == 5432 else "gateway"
        return self.namespace == self.target and self.role == wanted and not self.by_pod


def sound(asked: Try) -> Line:
    """Answer the rightful and the probes' own port, nobody else."""
    return ANSWERS[asked.port] if asked.rightful or asked.port == OPEN_PORT else RESET


@dataclass
class FakeProbes:
    """Probes in a world; ``world`` says what each question meets."""

    world: Callable[[Try], Line] = sound
    fails: KorthwebError | None = None
    mute: tuple[Role, ...] = ()
    missing: tuple[str, ...] = ()
    raised: list[str] = field(default_factory=list)
    tried: list[Try] = field(default_factory=list)
    patience: list[int] = field(default_factory=list)
    removed: int = 0

    def raise_all(self, namespaces: Iterable[str]) -> None:
        self.raised = list(namespaces)
        if self.fails:
            raise self.fails

    def ask(self, namespace: str, role: Role, script: str, seconds: float) -> str:
        if role in self.mute:
            raise CommandFailed("`kubectl exec` ended with code 1")
        lines = []
        for name, host, port, patience in _ONE.findall(script):
            asked = Try(namespace, role, host, int(port))
            assert seconds > int(patience)
            self.tried.append(asked)
            self.patience.append(int(patience))
            code, text = self.world(asked)
            lines.append(f"{name}\t{code}\t4200\t{text}\n")
        assert len(lines) == script.count("\none ")
        return "".join(lines)

    def addresses(self, namespace: str) -> Mapping[str, str]:
        whats = [what for what in ("orthanc", "database", "plain") if what not in self.missing]
        return {what: f"ip-of-{what}.{namespace}" for what in whats}

    def remove(self) -> None:
        self.removed += 1
