"""C-STORE of real instances: what is sent, what is not, why, and whose fault it is. One bad file ends nothing."""

from __future__ import annotations

import queue
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from korthweb_tasks.verify.check_context import CheckContext
from korthweb_tasks.verify.dicom import images
from korthweb_tasks.verify.dicom.association import (
    CONTEXTS,
    IMPLICIT,
    Kind,
    as_modality,
    association,
    refused_kinds,
    unknown_calling,
)
from korthweb_tasks.verify.dicom.dicomfile import Unreadable
from korthweb_tasks.verify.dicom.images import Image, SentImages
from korthweb_tasks.verify.model import Broken, Finding

#: CT Image Storage, which every archive takes
CT = "1.2.840.10008.5.1.4.1.1.2"
#: PDUs that may wait to be sent, so that a large instance is never in memory as a whole
PENDING = 64
#: bytes a second that Orthanc stores at least, beyond its time-out
SLOWEST = 2e6
#: files in a row at which the connection may end before the rest is given up
LOSSES = 3
NOT_KNOWN = "DicomAlwaysAllowStore is false, and no modality of DicomModalities has it"
BY_ORTHANC, BY_EITHER = "Orthanc", "Orthanc or the gateway"
BY_NETWORK, BY_CLIENT = "the network or the gateway", "this machine"


@dataclass(frozen=True, slots=True)
class Refused:
    """An instance that was not stored: why, and by whose fault."""

    image: Image
    reason: str
    fault: str
    hint: str = ""


@dataclass
class Outcome:
    """What became of the instances: seconds that each stored one took, and those that were not."""

    stored: list[Image] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def store(check: CheckContext) -> Finding:
    """C-STORE of every instance, over as few associations as the contexts allow."""
    limit = check.options.largest
    whole = images.prepare(check.options.study, most=limit.size if limit else None, progress=check.progress)
    _not_too_large(check, whole)
    check.sent = whole
    outcome = deliver(check, whole.images)
    check.sent = SentImages(whole.patient, tuple(outcome.stored), whole.left_out)
    notes = tuple(_notes(outcome, whole))
    if outcome.refused:
        first = outcome.refused[0]
        raise Broken(_summary(outcome, whole), first.hint, notes=notes, blocks=not outcome.stored)
    size, seconds = check.sent.size, sum(outcome.times)
    measures = {
        "images": float(len(outcome.stored)),
        "left_out": float(len(whole.left_out)),
        "bytes": float(size),
        "images_per_s": round(len(outcome.times) / seconds, 1),
        "mb_per_s": round(size / seconds / 1e6, 2),
        "median_ms": round(statistics.median(outcome.times) * 1000, 2),
        "slowest_ms": round(max(outcome.times) * 1000, 2),
    }
    syntaxes = len(images.transfer_syntaxes(outcome.stored))
    speed = f"{measures['images_per_s']:.0f} images/s, {measures['mb_per_s']:.1f} MB/s"
    return Finding(f"{_summary(outcome, whole)}, in {syntaxes} encodings, {speed}", measures, notes)


def _summary(outcome: Outcome, whole: SentImages) -> str:
    """Return the counts, which add up to the number of files."""
    sent, refused, left_out = len(outcome.stored), len(outcome.refused), whole.left_out
    if not refused and not left_out:
        return f"{sent} images"
    parts = [f"{sent} of {sent + refused + len(left_out)} files sent"]
    if refused:
        faults = Counter(file.fault for file in outcome.refused)
        parts.append(", ".join(f"{count} not taken by {fault}" for fault, count in faults.most_common()))
    if left_out:
        parts.append(f"{len(left_out)} left out ({images.by_reason(left_out)})")
    first = f": {outcome.refused[0].image.source}: {outcome.refused[0].reason}" if refused else ""
    return "; ".join(parts) + first


def _notes(outcome: Outcome, whole: SentImages) -> Iterator[str]:
    yield from (f"{file.image.source}: not sent, by fault of {file.fault}: {file.reason}" for file in outcome.refused)
    yield from (f"{file.source}: left out: {file.reason}" for file in whole.left_out)
    yield from outcome.warnings


def _not_too_large(check: CheckContext, whole: SentImages) -> None:
    """Raise Broken before anything is stored where an instance is larger than what Orthanc can take."""
    if (limit := check.options.largest) is None:
        return
    large = [image for image in whole.images if image.length > limit.size]
    if large:
        first = max(large, key=lambda image: image.length)
        raise Broken(
            f"{first.source} has {first.length / 1e6:.0f} MB, more than the {limit.size / 1e6:.0f} MB that Orthanc can "
            f"take in one instance ({limit.why}); {len(large)} such of {len(whole.images)} files; nothing was sent",
            limit.hint,
        )


def send(check: CheckContext, all_images: Iterable[Image]) -> list[float]:
    """C-STORE the images and return the seconds that each took. Raises Broken for the first that is not stored."""
    outcome = deliver(check, all_images)
    if outcome.refused:
        first = outcome.refused[0]
        raise Broken(f"C-STORE of {first.image.source}: {first.reason}", first.hint)
    return outcome.times


def deliver(check: CheckContext, all_images: Iterable[Image]) -> Outcome:
    """C-STORE the instances, one after the other. Raises Broken where no association comes about at all."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="korthweb-") as folder:
        whole = list(all_images)
        sender = _Sender(check, Path(folder, "instance.dcm"), outcome, len(whole))
        for batch in batches(whole):
            sender.send(batch)
    return outcome


def batches(all_images: Iterable[Image]) -> Iterator[list[Image]]:
    """Split images so that each batch needs at most 128 presentation contexts."""
    batch: list[Image] = []
    contexts: set[Kind] = set()
    for image in all_images:
        if image.kind not in contexts and len(contexts) == CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append(image)
        contexts.add(image.kind)
    if batch:
        yield batch


class _Lost(Exception):
    """The association ended while an instance was being sent."""


class _Sender:
    """Sends batches; what ends an association is tried once more by itself, and the rest goes on in another one."""

    def __init__(self, check: CheckContext, file: Path, outcome: Outcome, count: int) -> None:
        self.check, self.file, self.outcome, self.count = check, file, outcome, count
        self.losses = 0

    def send(self, batch: list[Image]) -> None:
        """Send a batch, over as many associations as it takes."""
        todo = list(batch)
        while todo:
            if self.losses >= LOSSES:
                self._give_up(todo, f"the association ended at {self.losses} files in a row")
                return
            try:
                self._send(todo, Counter(image.kind for image in batch))
            except _Lost:
                self._again(todo.pop(0))
            except Broken as error:
                if not self.outcome.stored:
                    raise
                self._give_up(todo, error.message, error.hint)
                return

    def _send(self, todo: list[Image], kinds: Iterable[Kind]) -> None:
        """Send from the front of ``todo``. Raises _Lost where the association ends; what was sent is taken away."""
        with association(self.check, as_modality(self.check, sorted(kinds))) as link:
            refused = refused_kinds(link)
            known = self._known(refused) if refused else frozenset()
            if link.is_established:
                _pace(link, self.check.options.timeout)
            while todo:
                if todo[0].kind in refused:
                    self.outcome.refused.append(_not_negotiated(todo.pop(0), known))
                    continue
                self._one(link, todo[0])
                todo.pop(0)
                self.check.progress(f"{len(self.outcome.stored)} of {self.count} images sent")
                self.losses = 0

    def _known(self, refused: Collection[Kind]) -> frozenset[str]:
        """Return the SOP classes, of those refused, that Orthanc takes in the encoding that everybody must know.

        Its answer to a presentation context does not say whether it is the encoding that it does not take. Raises
        Broken where it takes no image at all from this AE title.
        """
        others = sorted({sop_class for sop_class, _ in refused} - {CT})[: CONTEXTS - 1]
        probe = [(sop_class, IMPLICIT) for sop_class in (CT, *others)]
        with association(self.check, as_modality(self.check, probe)) as link:
            known = frozenset(str(context.abstract_syntax) for context in link.accepted_contexts)
        if not known:
            raise self._unknown()
        return known

    def _one(self, link: Association, image: Image) -> None:
        try:
            image.write(self.file)
        except (OSError, Unreadable) as error:
            self.outcome.refused.append(Refused(image, f"can't be read or copied: {error}", BY_CLIENT))
            return
        link.dimse_timeout = self.check.options.timeout + image.length / SLOWEST
        began = time.perf_counter()
        if not link.is_established:
            raise _Lost
        status = link.send_c_store(self.file)
        if "Status" not in status:
            raise _Lost
        self._judge(image, int(status.Status), str(status.get("ErrorComment", "")), time.perf_counter() - began)

    def _judge(self, image: Image, code: int, comment: str, seconds: float) -> None:
        kind = code_to_category(code)
        words = STORAGE_SERVICE_CLASS_STATUS.get(code, ("", ""))[1] or kind
        said = f"status 0x{code:04X}, {words}{f' ({comment})' if comment else ''}"
        if kind not in ("Success", "Warning"):
            hint = "its log says why" if code & 0xFF00 != 0xA700 else "is its database there, and its volume not full?"
            self.outcome.refused.append(Refused(image, f"C-STORE was answered with {said}", BY_ORTHANC, hint))
            return
        if kind == "Warning":
            self.outcome.warnings.append(f"{image.source}: stored with {said}")
        self.outcome.stored.append(image)
        self.outcome.times.append(seconds)

    def _again(self, image: Image) -> None:
        """Try an instance by itself, and tell whose fault it is where the association ends at it again."""
        with suppress(_Lost):
            self._send([image], (image.kind,))
            return
        self.losses += 1
        try:
            with association(self.check, as_modality(self.check)) as link:
                alive = link.is_established and "Status" in link.send_c_echo()
        except Broken:
            alive = False
        reason = f"the association ended two times while {image.length / 1e6:.1f} MB were being sent"
        if alive:
            self._may_store()
            text = f"{reason}, and C-ECHO is answered"
            self.outcome.refused.append(Refused(image, text, BY_EITHER, "the log of Orthanc, or --timeout"))
        else:
            self.outcome.refused.append(Refused(image, reason, BY_NETWORK, "is the network there? or --timeout"))

    def _may_store(self) -> None:
        """Raise Broken where Orthanc ends every association in which this AE title stores.

        It negotiates everything with everybody, and refuses a C-STORE that is not allowed by ending the association.
        """
        operations = self.check.endpoint.policy.operations
        if not self.outcome.stored and operations is not None and "Store" not in operations:
            raise self._unknown()

    def _unknown(self) -> Broken:
        calling = self.check.options.calling_aet
        return Broken(f"Orthanc takes no image from the AE title {calling}: {NOT_KNOWN}", unknown_calling(calling))

    def _give_up(self, todo: list[Image], reason: str, hint: str = "") -> None:
        self.outcome.refused += [Refused(image, f"not tried: {reason}", BY_NETWORK, hint) for image in todo]


def _not_negotiated(image: Image, known: Collection[str]) -> Refused:
    sop_class, syntax = UID(image.sop_class).name, UID(image.transfer_syntax).name
    if image.sop_class in known:
        hint = "orthanc.config: AcceptedTransferSyntaxes"
        return Refused(image, f"it does not take {sop_class} in {syntax}", BY_ORTHANC, hint)
    hint = "orthanc.config: UnknownSopClassAccepted, AcceptedSopClasses"
    return Refused(image, f"it does not take the SOP class {sop_class}", BY_ORTHANC, hint)


def _pace(link: Association, patience: float) -> None:
    """Let few PDUs of a message wait, where pynetdicom would have the whole message in memory."""
    # The file is sent as it is, piece by piece, and not decoded and encoded again.
    _config.STORE_SEND_CHUNKED_DATASET = True
    link.dul.to_provider_queue = _Paced(patience)


class _Paced(queue.Queue[Any]):
    """A queue that a sender waits for; where nothing is taken any more, the rest is dropped, and no answer comes."""

    def __init__(self, patience: float) -> None:
        super().__init__(PENDING)
        self.patience, self.stalled = patience, False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - Queue's own
        """Wait until there is room, at most ``patience`` seconds."""
        if self.stalled:
            return
        try:
            super().put(item, timeout=self.patience)
        except queue.Full:
            self.stalled = True
