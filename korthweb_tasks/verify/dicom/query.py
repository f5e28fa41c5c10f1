"""C-FIND, C-GET, C-MOVE and storage commitment, where the tenant's configuration allows them to the AE title."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from korthweb_tasks.core import hints
from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.dicom.association import CONTEXTS, IMPLICIT, as_modality, association
from korthweb_tasks.verify.dicom.images import Image, SentImages
from korthweb_tasks.verify.dicom.received import compare
from korthweb_tasks.verify.model import Broken, Finding, LeftOut

#: of the study root
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
REQUEST_COMMITMENT, ALL_COMMITTED = 1, 1
SUCCESS, NO_DESTINATION = 0x0000, 0xA801
#: instances that C-GET fetches at the most
SAMPLE = 20

#: the answers to a query: status, and what was found or counted
Answers = list[tuple["Dataset", "Dataset | None"]]


def find(check: CheckContext) -> Finding:
    """C-FIND: every study that was sent, by its PatientID."""
    sent = check.sent_images()
    with association(check, as_modality(check, [(FIND, IMPLICIT)])) as link:
        query = _identifier("STUDY", PatientID=sent.patient, StudyInstanceUID="")
        answers: Answers = list(link.send_c_find(query, FIND)) if link.is_established else []
    _judge(check, "Find", answers)
    studies = {str(row.StudyInstanceUID) for _, row in answers if row is not None and "StudyInstanceUID" in row}
    if studies != set(sent.studies):
        raise Broken(f"C-FIND finds {len(studies & set(sent.studies))} of {len(sent.studies)} studies")
    return Finding(f"{len(studies)} found by C-FIND")


def get(check: CheckContext) -> Finding:
    """C-GET: one instance of each SOP class comes back over the association that asked, as it was sent."""
    sample = _sample(check.sent_images())
    kinds = sorted({image.kind for image in sample})[: CONTEXTS - 1]
    came: dict[str, bytes] = {}

    def keep(event: Event) -> int:
        came[str(event.dataset.SOPInstanceUID)] = event.encoded_dataset()
        return SUCCESS

    roles = tuple(dict.fromkeys(sop_class for sop_class, _ in kinds))
    ask = as_modality(check, [(GET, IMPLICIT), *kinds], roles=roles, handlers=((evt.EVT_C_STORE, keep),))
    with association(check, ask) as link:
        answers = _all(link, (link.send_c_get(_one(image), GET) for image in sample))
    _judge(check, "Get", answers)
    for image in sample:
        if image.instance not in came:
            raise Broken(f"C-GET does not bring {image.source}")
        compare(image, BytesIO(came[image.instance]))
    return Finding(f"{len(sample)} came back by C-GET, identical")


def move(check: CheckContext) -> Finding:
    """C-MOVE of everything that was sent to a modality of the configuration. It keeps what it gets."""
    sent, target = check.sent_images(), check.options.move_to
    if not target:
        raise LeftOut("no destination: --move-to AET names a modality of DicomModalities, which keeps the study")
    with association(check, as_modality(check, [(MOVE, IMPLICIT)])) as link:
        queries = (_identifier("STUDY", StudyInstanceUID=study) for study in sent.studies)
        answers = _all(link, (link.send_c_move(query, target, MOVE) for query in queries))
    if any(status.get("Status") == NO_DESTINATION for status, _ in answers):
        raise Broken(f"Orthanc knows no modality {target}", "orthanc.config: DicomModalities")
    _judge(check, "Move", answers)
    ends = [status for status, _ in answers if status.get("Status") == SUCCESS]
    moved = sum(int(status.get("NumberOfCompletedSuboperations", 0)) for status in ends)
    if moved < len(sent.images):
        raise Broken(f"C-MOVE to {target}: {moved} of {len(sent.images)} instances", "does it take them?")
    return Finding(f"{moved} moved to {target}, which keeps them")


def commitment(check: CheckContext) -> Finding:
    """Ask Orthanc to commit itself to what was sent, and take its report where it comes to this machine."""
    transaction, sample = str(generate_uid(prefix=None)), _sample(check.sent_images())
    operations, place = check.endpoint.policy.operations, check.endpoint.policy.reports_to
    if operations is not None and "StorageCommitment" not in operations:
        raise LeftOut(f"DicomModalities has no {check.options.calling_aet}, to which Orthanc would report")
    with _reports(place, transaction) as report:
        with association(check, as_modality(check, [(COMMITMENT, IMPLICIT)])) as link:
            asked = _commitment_of(sample, transaction)
            words = (REQUEST_COMMITMENT, COMMITMENT, COMMITMENT_INSTANCE)
            answers: Answers = [link.send_n_action(asked, *words)] if link.is_established else []
        _judge(check, "StorageCommitment", answers)
        if report is None:
            where = f"{place[0]}:{place[1]}" if place else "its modality"
            return Finding(f"accepted for {len(sample)}; the report goes to {where}, not to this machine")
        if not report.came.wait(check.options.timeout):
            raise Broken(f"storage commitment: no report in {check.options.timeout:g} s", "jobs in the log of Orthanc")
    if report.kind != ALL_COMMITTED:
        raise Broken(f"Orthanc does not commit itself to all of {len(sample)} instances")
    return Finding(f"Orthanc commits itself to {len(sample)}, by its report")


class _Report:
    """What Orthanc reports of one transaction."""

    def __init__(self, transaction: str) -> None:
        self.transaction, self.kind, self.came = transaction, 0, threading.Event()

    def take(self, event: Event) -> tuple[int, None]:
        """Take one report, and note it if it is ours."""
        if str(event.event_information.get("TransactionUID", "")) == self.transaction:
            self.kind = int(event.event_type or 0)
            self.came.set()
        return SUCCESS, None


@contextmanager
def _reports(place: tuple[str, int] | None, transaction: str) -> Iterator[_Report | None]:
    """Listen where Orthanc reports to; None where that is another machine, or a port that is in use."""
    report = _Report(transaction)
    entity = AE()
    entity.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    entity.require_called_aet = False
    try:
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, report.take)]
        server = entity.start_server(place, block=False, evt_handlers=handlers) if place else None
    except OSError:
        server = None
    try:
        yield report if server else None
    finally:
        if server:
            server.shutdown()


def _commitment_of(sample: list[Image], transaction: str) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for image in sample:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.sop_class, image.instance
        asked.ReferencedSOPSequence.append(item)
    return asked


def _sample(sent: SentImages) -> list[Image]:
    """Return the smallest instance of each SOP class, twenty at the most."""
    smallest: dict[str, Image] = {}
    for image in sorted(sent.images, key=lambda image: image.length):
        smallest.setdefault(image.sop_class, image)
    return list(smallest.values())[:SAMPLE]


def _identifier(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(identifier, name, value)
    return identifier


def _one(image: Image) -> Dataset:
    return _identifier(
        "IMAGE", StudyInstanceUID=image.study, SeriesInstanceUID=image.series, SOPInstanceUID=image.instance
    )


def _all(link: Association, queries: Iterable[Iterable[tuple[Dataset, Dataset | None]]]) -> Answers:
    """Return the answers to queries, made one after the other until one is not done."""
    answers: Answers = []
    if link.is_established:
        for query in queries:
            answers += query
            if answers[-1][0].get("Status") != SUCCESS:
                break
    return answers


def _judge(check: CheckContext, operation: str, answers: Answers) -> None:
    """Return if the operation was done and may be; LeftOut if it may not and was not; Broken where these differ."""
    codes = [status.get("Status") for status, _ in answers]
    done = bool(codes) and codes[-1] == SUCCESS
    operations, calling = check.endpoint.policy.operations, check.options.calling_aet
    if done and (operations is None or operation in operations):
        return
    if done:
        deploy = hints.task(f"{check.options.approach or 'manual'}.deploy", tenant=check.endpoint.tenant)
        raise Broken(f"Orthanc does it for {calling}, which the settings do not allow", deploy)
    said = f"status 0x{codes[-1]:04X}" if codes and codes[-1] is not None else "the association was ended"
    if operations is not None and operation in operations:
        hint = "was it deployed since the settings changed? else the log of Orthanc"
        raise Broken(f"the settings allow it to {calling}, and Orthanc does not do it: {said}", hint)
    flag = f"DicomAlwaysAllow{operation} is false, and " if operation != "StorageCommitment" else ""
    raise LeftOut(f"{flag}DicomModalities does not let {calling} do it")
