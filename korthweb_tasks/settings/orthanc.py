"""The orthanc.json of a tenant: korthweb's defaults with the user's JSON laid over them. Pure."""

from __future__ import annotations

from typing import Any

from korthweb_tasks.settings.fields import variable
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.tenant import Tenant

HTTP_PORT = 8042
DICOM_PORT = 4242
#: key of the Secret that holds the database's password; the container has it as PGPASSWORD, which libpq reads
DATABASE_PASSWORD = "ORTHANC_POSTGRES_PASSWORD"
#: variable of the container that holds the name of its pod (downward API)
POD_NAME = "POD_NAME"
#: refuses what another web page makes a browser ask; beside orthanc.json
REQUEST_FILTER = "/etc/korthweb/request-filter.lua"


def password_variable(user: str) -> str:
    """Return the variable of the container that holds a user's password: ``admin`` → ``ORTHANC_ADMIN_PASSWORD``."""
    return f"ORTHANC_{variable(user)}_PASSWORD"


def password_variables(tenant: Tenant) -> dict[str, str]:
    """Return user → variable for everybody who may log in."""
    return {user: password_variable(user) for user in tenant.users}


def orthanc_json(settings: Settings, tenant: Tenant, *, database_host: str = "postgres") -> dict[str, Any]:
    """Return the configuration that every pod of ``tenant`` mounts.

    It holds no password: ``${NAME}`` is replaced by Orthanc itself from the environment of its container, which
    must have ``POD_NAME``, ``PGPASSWORD`` (libpq's) and one ``ORTHANC_<USER>_PASSWORD`` per user.
    """
    defaults = {
        "Name": tenant.name,
        "Plugins": list(settings.orthanc.plugins),
        **_web(tenant),
        **_dicom(tenant),
        **_many_replicas(),
        **_bounded(tenant),
        "PostgreSQL": _database(settings, database_host),
        # Ssl: the addresses in answers begin with https, which is where the gateway listens
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True, "WadoRoot": "/wado", "Ssl": True},
        "OrthancExplorer2": {"Enable": True, "IsDefaultOrthancUI": True},
    }
    found = deep_merge(defaults, settings.orthanc.config)
    if tenant.modalities:
        found["DicomModalities"] = {**found.get("DicomModalities", {}), **tenant.dicom_modalities}
    # last, so that no script of a site's own takes its place; it asks theirs
    found["LuaScripts"] = [*found.get("LuaScripts", ()), REQUEST_FILTER]
    return found


def _web(tenant: Tenant) -> dict[str, Any]:
    return {
        "HttpPort": HTTP_PORT,
        # longer than the gateway keeps an idle connection (2 s), which otherwise sends into one that is being closed
        "KeepAliveTimeout": 10,
        "RemoteAccessAllowed": True,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {user: f"${{{name}}}" for user, name in password_variables(tenant).items()},
        "SslEnabled": False,  # TLS ends at the gateway; inside the mesh it is mTLS
        "HttpsVerifyPeers": True,
        "HttpsCACertificates": "/etc/ssl/certs/ca-certificates.crt",
        "MetricsEnabled": True,
        "ExecuteLuaEnabled": False,
        "RestApiWriteToFileSystemEnabled": False,
    }


def _dicom(tenant: Tenant) -> dict[str, Any]:
    return {
        "DicomAet": tenant.aet,
        "DicomPort": DICOM_PORT,
        "DicomCheckCalledAet": True,  # an association for another AE title is refused
        "DicomTlsEnabled": False,
        # any modality that has come through TLS may store; to search or fetch it must be in DicomModalities
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": False,
        "DicomAlwaysAllowFindWorklist": False,
        "DicomAlwaysAllowGet": False,
        "DicomAlwaysAllowMove": False,
        # one careless query must not occupy a replica; instances: more than the largest series
        "LimitFindResults": 500,
        "LimitFindInstances": 20000,
    }


def _many_replicas() -> dict[str, Any]:
    """Return what several Orthancs on one database need."""
    return {
        "DatabaseServerIdentifier": f"${{{POD_NAME}}}",
        "CheckRevisions": True,
        "SaveJobs": False,  # jobs belong to a pod; another must not take them up
        "ConcurrentJobs": 2,
        "OverwriteInstances": False,
        "StableAge": 15,
    }


def _bounded(tenant: Tenant) -> dict[str, Any]:
    """Return what keeps images from filling the volume, which would stop PostgreSQL with all that are there."""
    # Recycle, which is Orthanc's default, deletes the oldest patients instead of refusing
    return {"MaximumStorageSize": tenant.image_megabytes, "MaximumStorageMode": "Reject"}


def _database(settings: Settings, host: str) -> dict[str, Any]:
    return {
        "EnableIndex": True,
        "EnableStorage": True,
        "Host": host,
        "Port": 5432,
        "Database": settings.postgres.database,
        "Username": settings.postgres.user,
        "EnableSsl": False,  # the mesh encrypts
        "Lock": False,
        "IndexConnectionsCount": settings.orthanc.connections,
        "TransactionMode": "ReadCommitted",
        # of a connection, a second apart, and of a transaction that another pod's ran into, 0.1 s longer each time
        "MaximumConnectionRetries": 20,
        "ConnectionRetryInterval": 1,
    }
