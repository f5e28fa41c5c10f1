"""A hospital site on the loopback: a real Orthanc behind the gateway double, sound or with one fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from korthweb_tasks.report.model import RungRecord
from korthweb_tasks.verify.check_context import ClusterAccess
from korthweb_tasks.verify.ladder import verify
from korthweb_tasks.verify.model import Endpoint, Options
from tests.verify_doubles.cluster import LoopbackCluster
from tests.verify_doubles.gateway import Faults, Gateway, Listener
from tests.verify_doubles.orthanc import PASSWORD, USER, Orthanc
from tests.verify_doubles.pki import Authority

WEB, DICOM = "web.bhc.test", "dicom.bhc.test"
#: ends a wait for what will never come
SOUND = Faults()
QUICK = Options(restart=False, settle=0.2, timeout=5.0)


@dataclass
class Site:
    """What to verify. ``web_pem`` and ``dicom_pem`` are keys with certificates; None means sound ones."""

    orthanc: Orthanc
    authority: Authority
    pods: list[Orthanc] = field(default_factory=list)
    web_faults: Faults = SOUND
    dicom_faults: Faults = SOUND
    web_pem: bytes | None = None
    dicom_pem: bytes | None = None
    access: ClusterAccess | None = None
    endpoint: dict[str, Any] = field(default_factory=dict)

    def check(
        self,
        options: Options = QUICK,
        on_rung: Callable[[RungRecord], None] = lambda _: None,
    ) -> LadderResult:
        """Verify the site."""
        access = self.access or LoopbackCluster(self.pods or [self.orthanc] * 3)
        with self.open() as endpoint:
            return LadderResult(verify(endpoint, access, options, on_rung))

    @contextmanager
    def open(self) -> Iterator[Endpoint]:
        """Give the endpoint while the gateway runs."""
        sound = self.authority.leaf(WEB, DICOM)
        web = Listener(self.orthanc.http, WEB, self.web_pem or sound, http=True, faults=self.web_faults)
        dicom = Listener(self.orthanc.dicom, DICOM, self.dicom_pem or sound, http=False, faults=self.dicom_faults)
        with Gateway((web, dicom)):
            endpoint = Endpoint(
                tenant="BHC",
                address="127.0.0.1",
                web_host=WEB,
                dicom_host=DICOM,
                aet="BHC",
                ca_pem=self.authority.pem,
                username=USER,
                password=SecretStr(PASSWORD),
                https_port=web.port,
                dicom_port=dicom.port,
            )
            yield replace(endpoint, **self.endpoint)


@dataclass(frozen=True)
class LadderResult:
    """Every rung in order."""

    rungs: tuple[RungRecord, ...]

    @property
    def broken(self) -> RungRecord | None:
        """Return the first broken rung."""
        return next((rung for rung in self.rungs if rung.status == "broken"), None)

    @property
    def ok(self) -> bool:
        """Return True if at least one rung passed and all others did, except those left out on request."""
        return {rung.status for rung in self.rungs} - {"left out"} == {"passed"}


def a_study(folder: Path) -> Path:
    """Write one small image into ``folder``."""
    import pydicom.data

    source = Path(pydicom.data.__file__).parent / "test_files/MR_small.dcm"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image.dcm").write_bytes(source.read_bytes())
    return folder


def rung(result: LadderResult, name: str) -> RungRecord:
    """Return how one rung ended."""
    return next(rung for rung in result.rungs if rung.name == name)


def red(result: LadderResult) -> list[str]:
    """Return the names of the broken rungs."""
    return [rung.name for rung in result.rungs if rung.status == "broken"]
