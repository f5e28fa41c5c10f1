"""How a tenant's way in for DICOM is encrypted: TLS versions and cipher suites, by names that both gateways know."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, StrictInt, field_validator

from korthweb_tasks.core.words import nearest
from korthweb_tasks.settings.fields import AeTitle, Model

#: of BCP 195 (RFC 9325): OpenSSL's name, which Istio takes, and the registered one, which Traefik takes
_MODERN = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
#: what old modalities may need: no forward secrecy, or no authenticated encryption
_OLD = {
    "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE-RSA-AES128-SHA": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE-RSA-AES256-SHA": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "AES128-GCM-SHA256": "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "AES256-GCM-SHA384": "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "AES128-SHA": "TLS_RSA_WITH_AES_128_CBC_SHA",
    "AES256-SHA": "TLS_RSA_WITH_AES_256_CBC_SHA",
}
SUITES = {**_MODERN, **_OLD}
#: stands for all of BCP 195 in a list
MODERN = "modern"
_BY_ANY_NAME = {**{name: name for name in SUITES}, **{registered: name for name, registered in SUITES.items()}}


class TlsSettings(Model):
    """TLS of the DICOM port."""

    minimum: Literal["1.0", "1.1", "1.2", "1.3"] = Field("1.2", description="oldest TLS version that is accepted")
    ciphers: tuple[str, ...] = Field(
        (MODERN,),
        min_length=1,
        description="cipher suites up to TLS 1.2, by OpenSSL's or their registered names; modern: those of BCP 195",
    )

    @field_validator("ciphers")
    @classmethod
    def _known(cls, ciphers: tuple[str, ...]) -> tuple[str, ...]:
        for name in ciphers:
            if name != MODERN and name.upper() not in _BY_ANY_NAME:
                near = nearest(name, (MODERN, *_BY_ANY_NAME))
                known = f"there are: {MODERN} (BCP 195), {', '.join(SUITES)}"
                raise ValueError(f"the gateways know no cipher suite {name!r}{near}; {known}")
        return tuple(dict.fromkeys(name if name == MODERN else _BY_ANY_NAME[name.upper()] for name in ciphers))

    @property
    def suites(self) -> tuple[str, ...]:
        """Return OpenSSL's name of each suite."""
        given = (one for name in self.ciphers for one in (_MODERN if name == MODERN else (name,)))
        return tuple(dict.fromkeys(given))

    @property
    def registered(self) -> tuple[str, ...]:
        """Return the registered name of each suite, which Traefik takes."""
        return tuple(SUITES[name] for name in self.suites)

    @property
    def istio_minimum(self) -> str:
        """Return the oldest version as Istio writes it.

        >>> TlsSettings().istio_minimum
        'TLSV1_2'
        """
        return f"TLSV{self.minimum.replace('.', '_')}"

    @property
    def traefik_minimum(self) -> str:
        """Return the oldest version as Traefik writes it.

        >>> TlsSettings().traefik_minimum
        'VersionTLS12'
        """
        return f"VersionTLS{self.minimum.replace('.', '')}"

    @property
    def outdated(self) -> tuple[str, ...]:
        """Return what BCP 195 advises against."""
        version = (f"TLS {self.minimum}",) if self.minimum in ("1.0", "1.1") else ()
        return (*version, *(name for name in self.suites if name in _OLD))


#: what an entry of Orthanc's DicomModalities may say beside AE title, host and port
OF_MODALITY = (
    *("Manufacturer", "LocalAet", "Timeout", "UseDicomTls", "RetrieveMethod", "AllowTranscoding"),
    *("AllowEcho", "AllowFind", "AllowFindWorklist", "AllowGet", "AllowMove", "AllowStore"),
    *("AllowStorageCommitment", "AllowNAction", "AllowNEventReport"),
)


class Modality(Model):
    """A modality that Orthanc knows: it may search and fetch, and images can be sent to it."""

    aet: AeTitle = Field(description="its AE title")
    host: str = Field(min_length=1, description="name or address at which Orthanc reaches it")
    port: StrictInt = Field(104, ge=1, le=65535, description="port at which Orthanc reaches it")
    config: dict[str, Any] = Field(
        default_factory=dict, description="more of its entry in DicomModalities (AllowFind, Manufacturer, ...)"
    )

    @field_validator("config")
    @classmethod
    def _options(cls, config: dict[str, Any]) -> dict[str, Any]:
        for name in config:
            if name in ("AET", "Host", "Port"):
                raise ValueError(f"{name} is said by {name.lower()}")
            if name not in OF_MODALITY:
                raise ValueError(f"Orthanc knows no {name!r} of a modality{nearest(name, OF_MODALITY)}")
        return config

    @property
    def entry(self) -> dict[str, Any]:
        """Return its entry in Orthanc's DicomModalities."""
        return {"AET": self.aet, "Host": self.host, "Port": self.port, **self.config}


class DicomSettings(Model):
    """The way in for DICOM."""

    tls: TlsSettings = Field(default_factory=TlsSettings, description="TLS of the DICOM port; the web keeps BCP 195")
    without_sni: StrictInt | None = Field(
        None, ge=1, le=65535, description="port of its own for modalities that name no server (SNI), such as 11114"
    )
