"""The main job in one word: a lab, Orthanc on it, and the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task
from korthweb_tasks.report.formats import FILES

if TYPE_CHECKING:
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session


@task(
    example="korthweb demo",
    cluster=False,
    help={
        "name": "the lab's name (default: lab.name of the settings)",
        "context": "a cluster that is there: of korthweb.yaml, or a kubeconfig context (default: a lab is made)",
        "approach": "with --context: manual or helm (default: the approach of the settings)",
        "tenant": "only this tenant (default: the first of the settings)",
        "study": "a folder of DICOM files to send (default: built-in images)",
        "report": f"a folder for {FILES} (default: .korthweb/demo)",
    },
)
def demo(
    session: Session,
    name: str | None = None,
    context: str | None = None,
    approach: str | None = None,
    tenant: str | None = None,
    study: str | None = None,
    report: str | None = None,
) -> Report | None:
    """Make a real Kubernetes on this machine, deploy Orthanc on it by hand, and prove it by DICOM images.

    With --context it makes no lab: it checks, deploys and proves one tenant of korthweb.yaml on the cluster named.
    """
    from korthweb_tasks.services import demo

    if context is None:
        return demo.on_lab(session, name, tenant, study, report, approach=approach)
    return demo.on_cluster(session, context, approach, tenant, study, report, lab=name)
