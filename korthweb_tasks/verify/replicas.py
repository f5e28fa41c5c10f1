"""Every replica sees the images, and they outlive every pod."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from korthweb_tasks.core import hints
from korthweb_tasks.core.durations import duration
from korthweb_tasks.verify.check_context import CheckContext, ClusterAccess, Pod
from korthweb_tasks.verify.dicom.images import SentImages
from korthweb_tasks.verify.dicom.received import compare, of_answer
from korthweb_tasks.verify.model import Broken, Finding
from korthweb_tasks.verify.web import dicomweb

#: pods asked at one time
SIDE_BY_SIDE = 4
SHARED_HINT = "do all replicas use the same database, with EnableStorage or one shared volume?"


def all_see(check: CheckContext) -> Finding:
    """Ask each pod by itself, past the ingress."""
    access, sent = check.cluster(), check.sent_images()
    pods = _running(check, access)
    _ask_each(access, pods, sent)
    return Finding(f"{len(pods)} of {len(pods)}: {', '.join(pod.name for pod in pods)}", {"replicas": float(len(pods))})


def survive(check: CheckContext) -> Finding:
    """Delete every Orthanc pod, wait for the new ones, and read everything back."""
    access, sent = check.cluster(), check.sent_images()
    old = _running(check, access)
    began = time.monotonic()
    access.delete(old)
    check.be_patient()
    new = access.wait(len(old), frozenset(pod.uid for pod in old), check.options.restart_timeout)
    ready = time.monotonic() - began
    check.be_patient()
    _ask_each(access, new, sent)
    dicomweb.find(check)
    dicomweb.read_back(check)
    back = time.monotonic() - began
    return Finding(
        f"{len(old)} pods deleted, {len(new)} new ones ready in {duration(ready)}, all images identical",
        {"pods": float(len(new)), "ready_s": round(ready, 2), "back_s": round(back, 2)},
    )


def _running(check: CheckContext, access: ClusterAccess) -> list[Pod]:
    """Return the pods, ready; one that the autoscaler has just added is waited for."""
    pods = access.pods()
    if not pods:
        look = hints.kubectl("get", "deployments,pods", namespace=check.endpoint.namespace)
        raise Broken("there is no Orthanc pod", f"`{look}`: is the Deployment there?")
    return (
        pods if all(pod.ready for pod in pods) else access.wait(len(pods), frozenset(), check.options.restart_timeout)
    )


def _ask_each(access: ClusterAccess, pods: list[Pod], sent: SentImages) -> None:
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(pods))) as pool:
        list(pool.map(lambda pod: _ask(access, pod, sent), pods))


def _ask(access: ClusterAccess, pod: Pod, sent: SentImages) -> None:
    """Raise Broken unless this pod lists every study and can read a file that another pod may have written."""
    with access.reach(pod) as get:
        status, _, body = get(f"/dicom-web/studies?PatientID={sent.patient}", dicomweb.JSON_ACCEPT)
        if status not in (200, 204):
            raise Broken(f"{pod.name} answers {status} to a query")
        rows = json.loads(body) if status == 200 and body.strip() else []
        if len(rows) != len(sent.studies):
            raise Broken(f"{pod.name} sees {len(rows)} of {len(sent.studies)} studies", SHARED_HINT)
        image = min(sent.images, key=lambda image: image.length)  # all of it is in memory here
        status, kind, body = get(dicomweb.wado_path(image), dicomweb.WADO_ACCEPT)
        if status != 200:
            raise Broken(f"{pod.name} lists {image.source} and answers {status} for its file", SHARED_HINT)
    with of_answer(kind, (body,)) as file:
        compare(image, file)
