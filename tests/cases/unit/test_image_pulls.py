"""F24: a registry that fails for a minute, or limits pulls, is waited for; one that says no is believed at once."""

from __future__ import annotations

from typing import Any

import pytest

from korthweb_tasks.approaches.shared import status
from korthweb_tasks.core import kstatus
from korthweb_tasks.core.image_pulls import PULL_GRACE
from korthweb_tasks.core.plan import Ready
from korthweb_tasks.errors import NotReady
from korthweb_tasks.flux.objects import Objects
from korthweb_tasks.flux.state import STAYS, look
from korthweb_tasks.run import watch

IMAGE = "harbor.example.com/ext/orthanc:503"
HEAD = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
DO = f'{HEAD}failed to do request: Head "https://harbor.example.com/v2/ext/orthanc/manifests/503": '
#: what containerd and CRI-O tell of a registry that may answer in a minute
PASSING = {
    "down": f"{DO}dial tcp 10.0.0.1:443: connect: connection refused",
    "reset": f"{DO}read tcp 10.0.0.9:4711->10.0.0.1:443: read: connection reset by peer",
    "slow": f"{DO}dial tcp 10.0.0.1:443: i/o timeout",
    "slow to greet": f"{DO}net/http: TLS handshake timeout",
    "slow headers": f"{DO}net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
    "no way": f"{DO}dial tcp 10.0.0.1:443: connect: no route to host",
    "names fail": f"{DO}dial tcp: lookup harbor.example.com on 10.96.0.10:53: server misbehaving",
    "broken off": f"{DO}EOF",
    "503": f"{HEAD}unexpected status from HEAD request to https://harbor.example.com/v2/: 503 Service Unavailable",
    "502": "reading manifest 503 in harbor.example.com/ext/orthanc: received unexpected HTTP status: 502 Bad Gateway",
    "429": f"{HEAD}unexpected status code 429 Too Many Requests",
    "limit": f"{HEAD}toomanyrequests: You have reached your unauthenticated pull rate limit.",
    "limit, denied": "requested access to the resource is denied: toomanyrequests: rate limit exceeded",
    "token's server": f"{HEAD}failed to fetch anonymous token: unexpected status: 500 Internal Server Error",
    "deadline": "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
}
#: ... and of one that has answered
FINAL = {
    "not found": f"rpc error: code = NotFound desc = {HEAD}{IMAGE}: not found",
    "unknown": "reading manifest 503 in harbor.example.com/ext/orthanc: manifest unknown",
    "denied": f"{HEAD}pull access denied, repository does not exist or may require authorization: insufficient_scope",
    "unauthorized": f"{HEAD}failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
    "forbidden": f"{HEAD}unexpected status from HEAD request to https://harbor.example.com/v2/: 403 Forbidden",
    "not trusted": f"{DO}tls: failed to verify certificate: x509: certificate signed by unknown authority",
    "architecture": f"{HEAD}no match for platform in manifest: not found",
    "a tag like a status": "reading manifest 503 in harbor.example.com/ext/orthanc: it is broken",
    "nothing that is known": "",
}


def pod(reason: str, message: str, name: str = "orthanc-1") -> dict[str, Any]:
    one = {"name": "orthanc", "ready": False, "restartCount": 0}
    waiting = {"state": {"waiting": {"reason": reason, "message": message}}}
    meta = {"name": name, "namespace": "bhc-orthweb", "labels": {"app": "orthanc"}}
    return {"kind": "Pod", "metadata": meta, "status": {"phase": "Pending", "containerStatuses": [one | waiting]}}


def both(message: str) -> list[dict[str, Any]]:
    """Return the pod as it tries, and as it waits for its next try."""
    backed = f'Back-off pulling image "{IMAGE}": ErrImagePull: {message}'
    return [pod("ErrImagePull", message), pod("ImagePullBackOff", backed)]


@pytest.mark.parametrize("what", PASSING)
def test_F24_a_registry_that_fails_is_no_fault_of_the_pod(what: str) -> None:
    """F24: the reason is the same while it tries and while it pauses, so it is told once."""
    faults = [kstatus.fault_of(one) for one in both(PASSING[what])]
    assert all(fault and fault.passing for fault in faults)
    assert len({fault.text for fault in faults if fault}) == 1
    assert PASSING[what].rpartition(": ")[2] in str(faults[0])
    assert not any(kstatus.pod_fault(one) for one in both(PASSING[what]))


@pytest.mark.parametrize("what", FINAL)
def test_F24_what_the_registry_says_is_believed_at_once(what: str) -> None:
    """F24: not found, denied, not trusted: also at the first try, where there is a reason."""
    tried, pausing = both(FINAL[what])
    known = what not in ("nothing that is known", "a tag like a status")
    assert bool(kstatus.pod_fault(tried)) is known
    assert kstatus.pod_fault(pausing)


def test_F24_a_name_that_is_none_is_final() -> None:
    """F24: no registry is asked for it."""
    assert kstatus.pod_fault(pod("InvalidImageName", "couldn't parse image name: timeout"))
    assert kstatus.pod_fault(pod("ErrImageNeverPull", "not present with pull policy of Never"))


def test_F24_one_that_is_final_counts_before_one_that_passes() -> None:
    """F24: of two containers, the one that no waiting heals is told."""
    found = pod("ErrImagePull", PASSING["down"])
    found["status"]["containerStatuses"] += pod("ErrImagePull", FINAL["denied"])["status"]["containerStatuses"]
    assert "denied" in kstatus.pod_fault(found)


class Clock:
    """Stands for the module time."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def deployment() -> dict[str, Any]:
    meta = {"name": "orthanc", "namespace": "bhc-orthweb", "generation": 1}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "orthanc"}}}
    return {"kind": "Deployment", "metadata": meta, "spec": spec, "status": {"observedGeneration": 1}}


def waited(monkeypatch: pytest.MonkeyPatch, story: list[tuple[float, dict[str, Any]]], until: float) -> list[str]:
    """Tell a wait what happens when, and look each second; return what it said."""
    clock, said = Clock(), list[str]()
    monkeypatch.setattr(watch, "time", clock)
    seen = watch._Seen(Ready("deployment", "orthanc", "bhc-orthweb"), said.append)
    seen.settles(deployment())
    waiting = list(story)
    while clock.now <= until:
        while waiting and waiting[0][0] <= clock.now:
            seen.settles(waiting.pop(0)[1])
        seen.refuse_faults()
        clock.now += 1
    return said


def test_F24_a_wait_outlives_an_outage_and_says_why_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """F24: 40 seconds without a registry, and four minutes; one line tells it."""
    first, second = both(PASSING["down"])
    said = waited(monkeypatch, [(0, first), (10, second), (40, first), (41, second)], PULL_GRACE - 10)
    assert len([line for line in said if "connection refused" in line]) == 1


def test_F24_a_registry_that_stays_away_ends_the_wait_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """F24: the grace has an end."""
    with pytest.raises(NotReady, match="connection refused"):
        waited(monkeypatch, [(0, both(PASSING["down"])[1])], PULL_GRACE + 10)


def test_F24_a_registry_that_comes_back_and_says_no_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """F24: the grace is for the outage alone; what is final has its own few seconds."""
    refused = both(FINAL["denied"])[1]
    waited(monkeypatch, [(0, both(PASSING["503"])[1]), (60, refused)], 60 + watch.FAULT_STAYS - 1)
    with pytest.raises(NotReady, match="denied"):
        waited(monkeypatch, [(0, both(PASSING["503"])[1]), (60, refused)], 60 + watch.FAULT_STAYS + 2)


def test_F24_flux_is_followed_with_the_same_patience() -> None:
    """F24: gitops.explain names the registry, gitops.wait gives it the same grace."""
    seen = look(Objects([]), both(PASSING["limit"])[1])
    assert (seen.state, seen.patience) == ("waiting", PULL_GRACE)
    assert "rate limit" in seen.message
    assert look(Objects([]), both(FINAL["denied"])[1]).patience == STAYS


def test_F24_status_tells_it_without_calling_it_failed() -> None:
    """F24: manual.status and helm.status."""
    row, refused = (status._row(both(text)[1]) for text in (PASSING["503"], FINAL["denied"]))
    assert row
    assert refused
    assert (row.state, "503 Service Unavailable" in row.message) == ("progress", True)
    assert refused.state == "failed"
