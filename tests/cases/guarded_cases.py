"""Settings that undermine a deployment, and such that do not: tried on korthweb's settings and on the chart alike."""

from __future__ import annotations

from typing import Any

from korthweb_tasks.settings.guarded import guarded_table

#: case -> a part of orthanc.json, and the key that is refused
UNDERMINING: dict[str, tuple[dict[str, Any], str]] = {
    "images in the pod": ({"PostgreSQL": {"EnableStorage": False}}, "PostgreSQL.EnableStorage"),
    "index in the pod": ({"PostgreSQL": {"EnableIndex": False}}, "PostgreSQL.EnableIndex"),
    "locked database": ({"PostgreSQL": {"Lock": True}}, "PostgreSQL.Lock"),
    "other database server": ({"PostgreSQL": {"Host": "elsewhere"}}, "PostgreSQL.Host"),
    "other database port": ({"PostgreSQL": {"Port": 6432}}, "PostgreSQL.Port"),
    "other database": ({"PostgreSQL": {"Database": "x"}}, "PostgreSQL.Database"),
    "other role": ({"PostgreSQL": {"Username": "postgres"}}, "PostgreSQL.Username"),
    "password in the ConfigMap": ({"PostgreSQL": {"Password": "geheim"}}, "PostgreSQL.Password"),
    "connection string": ({"PostgreSQL": {"ConnectionUri": "postgresql://x/y"}}, "PostgreSQL.ConnectionUri"),
    "socket": ({"PostgreSQL": {"UnixSocket": "/tmp/x"}}, "PostgreSQL.UnixSocket"),
    "schema": ({"PostgreSQL": {"Schema": "other"}}, "PostgreSQL.Schema"),
    "read-only index": ({"PostgreSQL": {"ReadOnly": True}}, "PostgreSQL.ReadOnly"),
    "server not verified": (
        {"PostgreSQL": {"SslVerifyServerCertificates": False}},
        "PostgreSQL.SslVerifyServerCertificates",
    ),
    "no connection": ({"PostgreSQL": {"IndexConnectionsCount": 0}}, "PostgreSQL.IndexConnectionsCount"),
    "plugins": ({"Plugins": ["/usr/share/orthanc/plugins"]}, "Plugins"),
    "nothing stored": ({"StoreDicom": False}, "StoreDicom"),
    "read only": ({"ReadOnly": True}, "ReadOnly"),
    "oldest deleted": ({"MaximumStorageMode": "Recycle"}, "MaximumStorageMode"),
    "oldest deleted, at a size": ({"MaximumStorageSize": 9, "MaximumStorageMode": "Recycle"}, "MaximumStorageMode"),
    "patients deleted": ({"MaximumPatientCount": 100, "MaximumStorageMode": "Recycle"}, "MaximumStorageMode"),
    "no limit": ({"MaximumStorageSize": 0}, "MaximumStorageSize"),
    "lossy": ({"IngestTranscoding": "1.2.840.10008.1.2.4.50"}, "IngestTranscoding"),
    "no checksums": ({"StoreMD5ForAttachments": False}, "StoreMD5ForAttachments"),
    "checksums and IfChanged": (
        {"StoreMD5ForAttachments": False, "OverwriteInstances": "IfChanged"},
        "StoreMD5ForAttachments",
    ),
    "other folder": ({"StorageDirectory": "/data"}, "StorageDirectory"),
    "folder of the index": ({"IndexDirectory": "/data"}, "IndexDirectory"),
    "folder for the moment": ({"TemporaryDirectory": "/data"}, "TemporaryDirectory"),
    "one name for all pods": ({"DatabaseServerIdentifier": "orthanc"}, "DatabaseServerIdentifier"),
    "revisions": ({"CheckRevisions": False}, "CheckRevisions"),
    "jobs": ({"SaveJobs": True}, "SaveJobs"),
    "no HTTP": ({"HttpServerEnabled": False}, "HttpServerEnabled"),
    "no DICOM": ({"DicomServerEnabled": False}, "DicomServerEnabled"),
    "HTTP port": ({"HttpPort": 8080}, "HttpPort"),
    "DICOM port": ({"DicomPort": 104}, "DicomPort"),
    "addresses": ({"HttpBindAddresses": ["127.0.0.1"]}, "HttpBindAddresses"),
    "AE title": ({"DicomAet": "OTHER"}, "DicomAet"),
    "any AE title": ({"DicomCheckCalledAet": False}, "DicomCheckCalledAet"),
    "modality's address": ({"DicomCheckModalityHost": True}, "DicomCheckModalityHost"),
    "find": ({"DicomAlwaysAllowFind": True}, "DicomAlwaysAllowFind"),
    "worklist": ({"DicomAlwaysAllowFindWorklist": True}, "DicomAlwaysAllowFindWorklist"),
    "get": ({"DicomAlwaysAllowGet": True}, "DicomAlwaysAllowGet"),
    "move": ({"DicomAlwaysAllowMove": True}, "DicomAlwaysAllowMove"),
    "no password": ({"AuthenticationEnabled": False}, "AuthenticationEnabled"),
    "nobody from outside": ({"RemoteAccessAllowed": False}, "RemoteAccessAllowed"),
    "other users": ({"RegisteredUsers": {"eve": "geheimnis"}}, "RegisteredUsers"),
    "other password": ({"RegisteredUsers": {"admin": "orthanc"}}, "RegisteredUsers"),
    "TLS": ({"SslEnabled": True}, "SslEnabled"),
    "DICOM TLS": ({"DicomTlsEnabled": True}, "DicomTlsEnabled"),
    "peers not verified": ({"HttpsVerifyPeers": False}, "HttpsVerifyPeers"),
    "Lua by HTTP": ({"ExecuteLuaEnabled": True}, "ExecuteLuaEnabled"),
    "files by HTTP": ({"RestApiWriteToFileSystemEnabled": True}, "RestApiWriteToFileSystemEnabled"),
    "Lua": ({"LuaScripts": ["/tmp/x.lua"]}, "LuaScripts"),
    "Python": ({"PythonScript": "/tmp/x.py"}, "PythonScript"),
    "WebDAV": ({"WebDavDeleteAllowed": True}, "WebDavDeleteAllowed"),
    "names in logs": ({"DeidentifyLogs": False}, "DeidentifyLogs"),
    "passwords in logs": ({"HttpVerbose": True}, "HttpVerbose"),
    "metrics": ({"MetricsEnabled": False}, "MetricsEnabled"),
    "endless answers": ({"LimitFindResults": 0}, "LimitFindResults"),
    "endless instances": ({"LimitFindInstances": 0}, "LimitFindInstances"),
    "no DICOMweb": ({"DicomWeb": {"Enable": False}}, "DicomWeb.Enable"),
    "DICOMweb elsewhere": ({"DicomWeb": {"Root": "/web/"}}, "DicomWeb.Root"),
    "DICOMweb's addresses": ({"DicomWeb": {"Ssl": False}}, "DicomWeb.Ssl"),
    "database's TLS": ({"PostgreSQL": {"EnableSsl": True}}, "PostgreSQL.EnableSsl"),
}
#: keys of Orthanc that accept_risks may name
ACCEPTED = sorted(row.key for row in guarded_table().keys if row.accept)
#: what the pinned Orthanc takes
GOOD_OPTIONS: dict[str, dict[str, Any]] = {
    **{f"OverwriteInstances {value}": {"OverwriteInstances": value} for value in ("Never", "Always", "IfChanged")},
    **{f"OverwriteInstances {value}": {"OverwriteInstances": value} for value in (True, False)},
    "retrieval": {"DicomDefaultRetrieveMethod": "C-GET", "DicomScuPreferredTransferSyntax": "1.2.840.10008.1.2.1"},
    "new in 1.13": {"StorageLoaderThreadsCount": 8, "TranscoderCacheSize": 128, "DicomParserThreadsCount": 2},
    "serializable": {"PostgreSQL": {"TransactionMode": "Serializable", "HousekeepingInterval": 1}},
    "sections of plugins": {"Worklists": {"Enable": True}, "Authorization": {}, "Gdcm": {"Throttling": 2}},
    "a plugin that is not known": {"SitePlugin": {"Enable": True}},
    "modalities": {"DicomModalities": {"ct": ["CT", "10.0.0.1", 104]}, "DicomModalitiesInDatabase": True},
    "lossless": {"IngestTranscoding": "1.2.840.10008.1.2.4.90"},
    "a bound that deletes nothing": {"MaximumStorageSize": 5000, "MaximumStorageMode": "Reject"},
}
#: what Orthanc would refuse or ignore: a part of orthanc.json, and what is told after the place
BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "choice": ({"OverwriteInstances": "Sometimes"}, "OverwriteInstances: must be one of Never, Always, IfChanged"),
    "case of a choice": ({"OverwriteInstances": "always"}, "OverwriteInstances: must be one of"),
    "choice as number": ({"OverwriteInstances": 1}, "OverwriteInstances: must be one of"),
    "mode": ({"MaximumStorageMode": "reject"}, "MaximumStorageMode: must be one of Recycle, Reject"),
    "boolean as text": ({"SaveJobs": "false"}, "SaveJobs: must be true or false"),
    "boolean as number": ({"AuthenticationEnabled": 0}, "AuthenticationEnabled: must be true or false"),
    "number as text": ({"DicomPort": "4242"}, "DicomPort: must be a whole number"),
    "negative number": ({"StableAge": -1}, "StableAge: must be a whole number"),
    "half a number": ({"StableAge": 1.5}, "StableAge: must be a whole number"),
    "text as number": ({"Name": 7}, "Name: must be text"),
    "list as text": ({"LuaScripts": "/x.lua"}, "LuaScripts: must be a list"),
    "section as list": ({"DicomModalities": []}, "DicomModalities: must be a section"),
    "section of a plugin": ({"PostgreSQL": True}, "PostgreSQL: must be a section"),
    "number in a section": (
        {"PostgreSQL": {"IndexConnectionsCount": "8"}},
        "PostgreSQL.IndexConnectionsCount: must be",
    ),
    "choice in a section": ({"PostgreSQL": {"TransactionMode": "Fast"}}, "PostgreSQL.TransactionMode: must be one of"),
    "case": ({"authenticationEnabled": False}, "authenticationEnabled: Orthanc knows no such option"),
    "misspelt": ({"AuthentificationEnabled": False}, "AuthentificationEnabled: Orthanc knows no such option"),
    "one letter": ({"DicomAlwaysAllowStor": True}, "DicomAlwaysAllowStor: Orthanc knows no such option"),
    "case in a section": ({"PostgreSQL": {"enableStorage": False}}, "PostgreSQL.enableStorage: Orthanc knows no such"),
    "case of a section": ({"Postgresql": {"Lock": True}}, "Postgresql: Orthanc knows no such option"),
    "case of a plugin": ({"dicomWeb": {}}, "dicomWeb: Orthanc knows no such option"),
}
USUAL = ["postgresqlindex", "postgresqlstorage", "dicomweb", "explorer2"]
AVAILABLE = "/usr/share/orthanc/plugins-available"
#: a list of plugins, and which are loaded then
PLUGINS: list[Any] = [
    ([], USUAL),
    (["gdcm"], [*USUAL, "gdcm"]),
    (["Gdcm", "libOrthancGdcm.so", f"{AVAILABLE}/libOrthancGdcm.so"], [*USUAL, "gdcm"]),
    (["libOrthancWorklists.so", "stone-web-viewer"], [*USUAL, "worklists", "stonewebviewer"]),
    (["/opt/site/libSite.so", "/opt/more"], [*USUAL, "site", "/opt/more"]),
    (
        [
            *(f"/usr/share/orthanc/plugins/libOrthanc{name}.so" for name in ("PostgreSQLIndex", "PostgreSQLStorage")),
            *(f"/usr/share/orthanc/plugins/libOrthanc{name}.so" for name in ("DicomWeb", "Explorer2")),
            *(f"{AVAILABLE}/lib{name}.so" for name in ("OrthancGdcm", "Housekeeper")),
        ],
        [*USUAL, "gdcm", "housekeeper"],
    ),
    (["OrthancPostgreSQLIndex", "OrthancPostgreSQLStorage", "OrthancDicomWeb"], USUAL[:3]),
]
PLUGINS_REFUSED: list[Any] = [
    ([f"{AVAILABLE}/libOrthancDicomWeb.so"], "leaves out OrthancPostgreSQLIndex and OrthancPostgreSQLStorage"),
    (["Explorer2", "gdcm"], "leaves out OrthancPostgreSQLIndex"),
    (["OrthancPostgreSQLIndex", "DicomWeb"], "leaves out OrthancPostgreSQLStorage"),
    *(([name], "there can be one only: PostgreSQL") for name in ("AwsS3Storage", "libAdvancedStorage.so")),
    ([f"{AVAILABLE}/libOrthancMySQLIndex.so"], "there can be one only: PostgreSQL"),
]
MOVING_IMAGES = ("registry.example:5000/team/name", "registry.example/team/name:latest")
#: what it is an amount of -> bad amounts, and what is told
AMOUNTS: dict[str, list[tuple[Any, str]]] = {
    "storage": [
        (10, "'10' has no unit, so Kubernetes takes it as bytes; did you mean 10Gi?"),
        ("10", "did you mean 10Gi?"),
        ("10GB", "did you mean 10G or 10Gi?"),
        ("10g", "did you mean 10Gi?"),
        ("10 Gi", "did you mean 10Gi?"),
        ("0Gi", "at least 1Gi"),
        ("500Mi", "at least 1Gi"),
        ("500m", "did you mean 1Gi?"),
        ("ten", "is not a size"),
        ("-5Gi", "is not a size"),
    ],
    "memory": [
        (512, "did you mean 512Mi?"),
        ("2", "did you mean 2Gi?"),
        ("512m", "did you mean 512Mi?"),
        ("2GB", "did you mean 2G or 2Gi?"),
        ("1Mi", "at least 4Mi"),
        ("0Gi", "at least 4Mi"),
    ],
    "cpu": [
        (500, "'500' is 500 cores; did you mean 500m?"),
        ("1Gi", "is not an amount of CPU"),
        ("half", "is not an amount of CPU"),
        ("0", "is not an amount of CPU"),
        ("250M", "is not an amount of CPU"),
    ],
}
