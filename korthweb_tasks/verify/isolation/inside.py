"""From inside of the cluster: probe pods of A at the ports of B, and B's own as the control."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import permutations

from korthweb_tasks.errors import Interrupted, KorthwebError
from korthweb_tasks.verify.isolation import questions as talk
from korthweb_tasks.verify.isolation.cells import Attempts, Controls, Seen, told
from korthweb_tasks.verify.isolation.probes import OPEN_PORT, ROLES, Probes, Role
from korthweb_tasks.verify.isolation.questions import Question

#: seconds in which policies, names and configuration reach a pod that was just made; and later
ARRIVES, AGAIN = 20, 4
#: the ports, the role that may speak to each, and whose address a pod's is
PORTS: Mapping[str, tuple[Role, str]] = {
    "8042": ("gateway", "orthanc"),
    "4242": ("gateway", "orthanc"),
    "5432": ("database", "database"),
}
#: role -> a member of the mesh that is not it
WRONG: Mapping[Role, Role] = {"gateway": "database", "database": "gateway"}
#: Kubernetes has no port here for anybody; a question to it is never sent
NOWHERE = "0.0.0.0"  # noqa: S104 - a mark, not an address that is bound


@dataclass(frozen=True, slots=True)
class Place:
    """One tenant as its neighbours see it from inside."""

    tenant: str
    namespace: str
    aet: str


@dataclass
class Inside:
    """Attempts by probe pods. ``open_ways`` are (role, A, B) where A's pod reached a probe in B's namespace."""

    places: Mapping[str, Place]
    probes: Probes
    name: str = "from inside"
    rows: tuple[str, ...] = (
        *(f"{group}-{port}" for group in ("mesh", "plain") for port in PORTS),
        "own-mesh",
        "own-plain",
    )
    open_ways: set[tuple[str, str, str]] = field(default_factory=set)
    _addresses: dict[str, Mapping[str, str]] = field(default_factory=dict, init=False)
    _raised: bool = field(default=False, init=False)

    def controls(self, *, again: bool) -> Controls:
        """Let every tenant's own probes in; the first time, make them, and wait until their ways out are open."""
        if not again:
            self._raised = True
            self.probes.raise_all([place.namespace for place in self.places.values()])
            addresses = self._each_place(lambda place: self.probes.addresses(place.namespace))
            self._addresses = dict(zip(self.places, addresses, strict=True))
        patience = AGAIN if again else ARRIVES
        asked = self._ask(lambda name, role: [*self._own(name, role, patience), *self._ways(name, patience)])
        self.open_ways |= {key for key, seen in _ways_in(asked).items() if seen.kind == "reached"}
        controls: dict[tuple[str, str], Seen] = {}
        for name in self.places:
            own = [asked[name, role].get(f"own-{port}", _UNASKED) for port, (role, _) in PORTS.items()]
            controls |= {(f"{group}-{port}", name): seen for port, seen in zip(PORTS, own, strict=True)
                         for group in ("mesh", "plain")}  # fmt: skip
            together = Seen("reached", "; ".join(seen.text for seen in own), max(seen.ms for seen in own))
            every = next((seen for seen in own if seen.kind != "reached"), together)
            controls |= {("own-mesh", name): every, ("own-plain", name): every}
        return controls

    def attempts(self) -> Attempts:
        """Let every probe try every other tenant, and in its own what its identity or lack of one must not reach."""
        asked = self._ask(self._strange)
        attempts: dict[tuple[str, str, str], list[Seen]] = {}
        for a, b in permutations(self.places, 2):
            for port, (role, _) in PORTS.items():
                attempts[f"mesh-{port}", a, b] = self._told(asked, a, b, role, (f"at-{b}-{port}-service",))
                ways = (f"at-{b}-{port}-service", f"at-{b}-{port}-pod")
                attempts[f"plain-{port}", a, b] = self._told(asked, a, b, "plain", ways)
            attempts["own-mesh", a, b] = [
                seen
                for port, (role, _) in PORTS.items()
                for seen in self._told(asked, b, b, WRONG[role], (f"at-{b}-{port}-service",))
            ]
            names = tuple(f"at-{b}-{port}-{by}" for port in PORTS for by in ("service", "pod"))
            attempts["own-plain", a, b] = self._told(asked, b, b, "plain", names)
        return attempts

    def leave(self) -> tuple[str, ...]:
        """Remove the probes."""
        if not self._raised:
            return ()
        try:
            self.probes.remove()
        except KorthwebError as error:
            return (f"probe pods may be left, which end by themselves in 15 minutes: {error.message}",)
        return ()

    def _own(self, name: str, role: Role, patience: int) -> Iterable[Question]:
        mine = [port for port, (who, _) in PORTS.items() if who == role]
        return [replace(self._question(f"own-{port}", name, port, "service"), patience=patience) for port in mine]

    def _ways(self, name: str, patience: int) -> Iterable[Question]:
        for other in self.places:
            if other != name and (ip := self._addresses[other].get("plain")):
                yield replace(talk.http(f"way-{other}", ip, OPEN_PORT), patience=patience)

    def _strange(self, name: str, role: Role) -> Iterable[Question]:
        for other in self.places:
            for port, (who, _) in PORTS.items():
                if role == "plain":
                    yield self._question(f"at-{other}-{port}-service", other, port, "service")
                    yield self._question(f"at-{other}-{port}-pod", other, port, "pod")
                elif (role == who) is (other != name):  # its own way elsewhere, another's at home
                    yield self._question(f"at-{other}-{port}-service", other, port, "service")

    def _question(self, name: str, target: str, port: str, by: str) -> Question:
        place = self.places[target]
        service = f"{'postgres-rw' if port == '5432' else 'orthanc'}.{place.namespace}"
        host = service if by == "service" else self._addresses[target].get(PORTS[port][1], NOWHERE)
        if port == "8042":
            return talk.http(name, host, authority=f"{service}:{port}")
        return talk.dicom(name, host, place.aet) if port == "4242" else talk.postgres(name, host)

    def _ask(self, questions: Callable[[str, Role], Iterable[Question]]) -> _Asked:
        """Ask from every probe at one time; (tenant, role) -> question -> what was seen."""
        keys = [(name, role) for name in self.places for role in ROLES]

        def ask(key: tuple[str, Role]) -> dict[str, Seen]:
            name, role = key
            everything = list(questions(name, role))
            asked = [question for question in everything if question.host != NOWHERE]
            if not asked:
                return _unknown(everything)
            seconds = 30.0 + talk.longest(asked)
            try:
                said = self.probes.ask(self.places[name].namespace, role, talk.script(asked), seconds)
            except Interrupted:
                raise
            except KorthwebError as error:
                return {question.name: Seen("unclear", f"the probe {role}: {told(error)}") for question in everything}
            return {**_unknown(everything), **talk.read(asked, said)}

        with ThreadPoolExecutor(len(keys)) as pool:
            return dict(zip(keys, pool.map(ask, keys), strict=True))

    def _told(self, asked: _Asked, a: str, b: str, role: Role, names: tuple[str, ...]) -> list[Seen]:
        """Return what A's probe saw; where its way out is closed as a whole, that is said."""
        seen = [asked[a, role].get(name, _UNASKED) for name in names]
        if a == b or (role, a, b) in self.open_ways:
            return seen
        closed = f" (nothing in {self.places[b].namespace} is reached from there)"
        return [replace(answer, text=answer.text + closed) if answer.kind == "refused" else answer for answer in seen]

    def _each_place(self, look: Callable[[Place], Mapping[str, str]]) -> list[Mapping[str, str]]:
        with ThreadPoolExecutor(len(self.places)) as pool:
            return list(pool.map(look, self.places.values()))


_Asked = Mapping[tuple[str, Role], Mapping[str, Seen]]
_UNASKED = Seen("unclear", "this was not asked")


def _unknown(questions: Iterable[Question]) -> dict[str, Seen]:
    return {asked.name: Seen("unclear", f"there is no pod to ask at port {asked.port}") for asked in questions}


def _ways_in(asked: _Asked) -> dict[tuple[str, str, str], Seen]:
    return {
        (role, name, question.removeprefix("way-")): seen
        for (name, role), answers in asked.items()
        for question, seen in answers.items()
        if question.startswith("way-")
    }
