"""The ladder: rungs in order, from "is there an address?" to "nothing is left behind"."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx

from korthweb_tasks.errors import Interrupted, KorthwebError, UsageError
from korthweb_tasks.report.model import RungRecord, RungStatus
from korthweb_tasks.verify import replicas
from korthweb_tasks.verify.check_context import CheckContext, ClusterAccess
from korthweb_tasks.verify.dicom import echo as dicom
from korthweb_tasks.verify.dicom import query, storing
from korthweb_tasks.verify.model import Broken, Endpoint, Finding, LeftOut, Options
from korthweb_tasks.verify.tls import certificates
from korthweb_tasks.verify.tls import connection as tls
from korthweb_tasks.verify.web import client as web
from korthweb_tasks.verify.web import dicomweb, stow


@dataclass(frozen=True, slots=True)
class Rung:
    """One thing to hold. ``needs`` come along when only some rungs are wanted, and are the controls of a refusal.

    A broken rung makes all later ones unreachable, unless it is a ``refusal``: something that has to be
    turned away, or ``aside``: something that no later rung rests on. These are red when broken, but hide nothing.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    run: Callable[[CheckContext], Finding]
    refusal: bool = False
    aside: bool = False

    @property
    def blocks(self) -> bool:
        """Return True if later rungs say nothing once this one is broken."""
        return not (self.refusal or self.aside)


RUNGS: tuple[Rung, ...] = (
    Rung("address", "the ingress has an address", (), certificates.address_known),
    Rung("tcp-https", "TCP to the HTTPS port", ("address",), lambda c: certificates.port_open(c, c.https)),
    Rung("tcp-dicom", "TCP to the DICOM port", ("address",), lambda c: certificates.port_open(c, c.dicom)),
    Rung("tls-https", "TLS chain and names, HTTPS", ("tcp-https",), lambda c: certificates.served(c, c.https)),
    Rung("tls-dicom", "TLS chain and names, DICOM", ("tcp-dicom",), lambda c: certificates.served(c, c.dicom)),
    Rung("old-tls-https", "TLS 1.0 and 1.1 refused, HTTPS", ("tls-https",),
         lambda c: certificates.old_versions_refused(c, c.https), refusal=True),
    Rung("old-tls-dicom", "TLS 1.0 and 1.1 refused, DICOM", ("tls-dicom",),
         lambda c: certificates.old_versions_refused(c, c.dicom), refusal=True),
    Rung("suites-dicom", "the cipher suites of the settings, DICOM", ("tls-dicom",),
         certificates.suites_as_set, refusal=True),
    Rung("other-ca-https", "an untrusted CA refused, HTTPS", ("tls-https",),
         lambda c: certificates.other_ca_refused(c, c.https), refusal=True),
    Rung("other-ca-dicom", "an untrusted CA refused, DICOM", ("tls-dicom",),
         lambda c: certificates.other_ca_refused(c, c.dicom), refusal=True),
    Rung("no-password", "401 without a password", ("tls-https",), web.no_password),
    Rung("login", "login", ("no-password",), web.login),
    Rung("wrong-password", "a wrong password refused", ("login",), web.wrong_password_refused, refusal=True),
    Rung("wrong-name-https", "a wrong name refused, HTTPS", ("login",), web.wrong_name_refused, refusal=True),
    Rung("echo", "C-ECHO over TLS", ("tls-dicom",), dicom.echo),
    Rung("no-sni", "C-ECHO without SNI", ("echo",), dicom.without_sni, aside=True),
    Rung("wrong-name-dicom", "a wrong name refused, DICOM", ("echo",), dicom.wrong_name_refused, refusal=True),
    Rung("plain-dicom", "an association without TLS refused", ("echo",), dicom.plain_refused, refusal=True),
    Rung("wrong-aet", "a wrong AE title refused", ("echo",), dicom.wrong_aet_refused, refusal=True),
    Rung("store", "C-STORE of real images", ("echo", "login"), storing.store),
    Rung("find", "found by QIDO", ("store",), dicomweb.find),
    Rung("pixels", "pixel data read back identical", ("find",), dicomweb.read_back),
    Rung("stow", "STOW-RS, chunked too", ("pixels",), stow.stow, aside=True),
    Rung("c-find", "C-FIND", ("pixels",), query.find, aside=True),
    Rung("c-get", "C-GET", ("pixels",), query.get, aside=True),
    Rung("c-move", "C-MOVE to a modality", ("pixels",), query.move, aside=True),
    Rung("commitment", "storage commitment", ("pixels",), query.commitment, aside=True),
    Rung("replicas", "every replica sees the study", ("pixels",), replicas.all_see),
    Rung("survive", "images survive the deletion of every pod", ("replicas",), replicas.survive),
    Rung("clean", "deleted again, nothing left behind", ("store",), dicomweb.clean),
)  # fmt: skip

#: task -> the rungs that it is for; those that these need come along
PARTS: Mapping[str, tuple[str, ...]] = {
    "https": ("old-tls-https", "other-ca-https", "wrong-password", "wrong-name-https"),
    "dicom": (
        "old-tls-dicom",
        "suites-dicom",
        "other-ca-dicom",
        "no-sni",
        "wrong-name-dicom",
        "plain-dicom",
        "wrong-aet",
        "stow",
        "c-find",
        "c-get",
        "c-move",
        "commitment",
        "clean",
    ),
    "certificates": ("old-tls-https", "old-tls-dicom", "suites-dicom", "other-ca-https", "other-ca-dicom"),
}

#: how many times as long as usual the last cleaning waits, since all pods may be just coming back
LAST_PATIENCE = 3

OnRung = Callable[[RungRecord], None]
OnStart = Callable[[Rung], None]
OnProgress = Callable[[Rung, str], None]


def verify(
    endpoint: Endpoint,
    access: ClusterAccess | None,
    options: Options | None = None,
    on_rung: OnRung = lambda _: None,
    on_start: OnStart = lambda _: None,
    on_progress: OnProgress = lambda *_: None,
) -> tuple[RungRecord, ...]:
    """Check the rungs in order; ``on_rung`` is told each result, ``on_start`` each rung that begins,
    ``on_progress`` how far one has come.

    Whatever happens, Ctrl-C included, the images that were sent are deleted again. Raises Interrupted and UsageError.
    """
    options = options or Options()
    run = _Run(CheckContext(endpoint, access, options), on_start, on_progress)
    run.check.be_patient()
    results: list[RungRecord] = []
    try:
        for rung in in_order(chosen(options.only), options):
            results.append(run.record(rung))
            on_rung(results[-1])
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted; {_leave(run.check, results) or 'nothing is left behind'}") from error
    except BaseException:
        _leave(run.check, results)
        raise
    if note := _leave(run.check, results):
        results = [replace(result, detail=note) if result.name == "clean" else result for result in results]
    return tuple(results)


def chosen(only: tuple[str, ...]) -> list[Rung]:
    """Return the rungs named and all that they need, in the ladder's order; all of them for no name."""
    if not only:
        return list(RUNGS)
    by_name = {rung.name: rung for rung in RUNGS}
    wanted: set[str] = set()
    todo = list(only)
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += by_name[name].needs
    return [rung for rung in RUNGS if rung.name in wanted]


def in_order(rungs: list[Rung], options: Options) -> list[Rung]:
    """Return the rungs in the order in which they are checked: at a typed address what must be refused comes last.

    A kubectl port-forward may end at the first refusal, and all else is known by then.
    """
    return sorted(rungs, key=lambda rung: rung.refusal) if options.address else rungs


@dataclass
class _Run:
    """One ladder being checked. ``blocker`` is the broken rung after which no other says anything."""

    check: CheckContext
    on_start: OnStart
    on_progress: OnProgress
    blocker: str = ""

    def record(self, rung: Rung) -> RungRecord:
        """Check a rung, unless it is left out or not reached."""
        if rung.run is replicas.survive and not self.check.options.restart:
            return self._record(rung, "left out", "--no-restart")
        if self.blocker:
            return self._record(rung, "not reached", f"{self.blocker} is broken")
        self.on_start(rung)
        self.check.progress = partial(self.on_progress, rung)
        began = time.perf_counter()
        result = self._outcome(rung)
        return replace(result, ms=round((time.perf_counter() - began) * 1000, 2))

    def _outcome(self, rung: Rung) -> RungRecord:
        closed = len(self.check.closed)
        try:
            for port in (self.check.https, self.check.dicom) if rung.refusal else ():
                self.check.listening(port)
            finding = rung.run(self.check)
        except LeftOut as reason:
            return self._record(rung, "left out", str(reason))
        except Broken as error:
            return self._broken(rung, error.message, error.hint, error.notes, blocks=error.blocks)
        except (Interrupted, UsageError):
            raise
        except KorthwebError as error:
            return self._broken(rung, error.message, error.hint)
        # ValueError: an answer that is not JSON, not a certificate; RuntimeError: an association that ended meanwhile
        except (OSError, ValueError, RuntimeError, httpx.HTTPError) as error:
            return self._broken(rung, *_told(error))
        notes = (*finding.notes, *self.check.closed[closed:])
        return self._record(rung, "passed", finding.detail, measures=dict(finding.measures), notes=notes)

    def _broken(
        self, rung: Rung, detail: str, hint: str, notes: tuple[str, ...] = (), *, blocks: bool = True
    ) -> RungRecord:
        if blocks and rung.blocks:
            self.blocker = rung.name
        return self._record(rung, "broken", " ".join(detail.split()), hint=hint, notes=notes)

    def _record(self, rung: Rung, status: RungStatus, detail: str, **more: Any) -> RungRecord:
        tenant = self.check.endpoint.tenant
        return RungRecord(tenant=tenant, name=rung.name, title=rung.title, status=status, detail=detail, **more)


def _told(error: Exception) -> tuple[str, str]:
    """Return what an error says, and what to do: a handshake that is refused has a diagnosis of its own."""
    if cause := tls.behind(error):
        refusal = tls.refusal(cause)
        return refusal.why, refusal.hint
    return f"{type(error).__name__}: {error}", ""


def _leave(check: CheckContext, results: list[RungRecord]) -> str:
    """Delete what an unfinished run has sent, and return a line about it.

    The rung "clean" has done it already when all went well.
    """
    if check.sent is None or any(r.name == "clean" and r.status == "passed" for r in results):
        return ""
    check.be_patient(LAST_PATIENCE)
    try:
        dicomweb.sweep(check, check.sent)
    except (Broken, OSError, ValueError, httpx.HTTPError) as error:
        return f"images under PatientID {check.sent.patient} may be left: {error}"
    return f"what was sent under {check.sent.patient} is deleted all the same"
