"""F17: Orthanc refuses before the volume is full, by the same reckoning in all three approaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from korthweb_tasks.settings import volume
from korthweb_tasks.settings.load import load
from korthweb_tasks.settings.soundness import faults
from tests.renders import APPROACHES, Objects, by_helm, made, pods, refused_by_helm

#: storage -> MB for images, MB for the log
RECKONED = {"1Gi": (537, 128), "10Gi": (5734, 1024), "10G": (5241, 1024), "1.5Gi": (806, 192), "2Ti": (1466572, 1024)}


def tenants(**more: Any) -> dict[str, Any]:
    return {"tenants": [{"name": "BHC", "domain": "bhc.orthweb.com", **more}]}


def config(objects: Objects) -> dict[str, Any]:
    data = (obj.get("data") or {} for obj in objects if obj["kind"] == "ConfigMap")
    (found,) = (one["orthanc.json"] for one in data if "DicomAet" in one.get("orthanc.json", ""))
    return dict(json.loads(found))


def log_size(objects: Objects) -> str:
    for obj in objects:
        if obj["kind"] == "Cluster":
            return str(obj["spec"]["postgresql"]["parameters"]["max_wal_size"])
    words = [word for _, pod in pods(objects) for one in pod["containers"] for word in one.get("args", ())]
    (found,) = (word for word in words if word.startswith("max_wal_size="))
    return str(found).partition("=")[2]


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize("storage", RECKONED)
def test_F17_images_leave_room_for_the_log_and_the_index(storage: str, approach: str) -> None:
    """F17: more is refused, and nothing is deleted for it; log and images never need more than there is."""
    images, log = RECKONED[storage]
    objects = made(approach, tenants(storage=storage))
    found = config(objects)
    assert (found["MaximumStorageSize"], found["MaximumStorageMode"]) == (images, "Reject")
    assert log_size(objects) == f"{log}MB"
    # large objects are a third larger than the files in them
    assert images * 4 / 3 + 2 * log < volume.megabytes(storage)


@pytest.mark.parametrize("approach", APPROACHES)
def test_F17_a_person_may_know_better(approach: str) -> None:
    """F17: storage_limit takes the place of what is reckoned."""
    found = config(made(approach, tenants(storage="10Gi", storage_limit="7Gi")))
    assert (found["MaximumStorageSize"], found["MaximumStorageMode"]) == (7168, "Reject")


def test_F17_a_database_that_is_not_ours_has_a_volume_that_is_not_known() -> None:
    """F17: with postgresql.mode external there is a limit only where it is said."""
    external = {"mode": "external", "existingSecret": "x", "external": {"host": "db.example.org", "caSecret": "ca"}}
    found = config(by_helm({"postgresql": external}))
    assert ("MaximumStorageSize" in found, found["MaximumStorageMode"]) == (False, "Reject")
    assert config(by_helm({"postgresql": external, "storageLimit": "2Ti"}))["MaximumStorageSize"] == 2**21


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (tenants(storage="1Gi", storage_limit="1Gi"), "tenants.BHC.storage_limit"),
        (tenants() | {"orthanc": {"config": {"MaximumStorageSize": 10000}}}, "orthanc.config.MaximumStorageSize"),
    ],
)
def test_F17_a_volume_that_is_too_small_is_refused(given: dict[str, Any], place: str, tmp_path: Path) -> None:
    """F17: config.check says how much there can be."""
    (tmp_path / "korthweb.yaml").write_text(json.dumps(given))
    (fault,) = faults(load(project=tmp_path))
    assert fault.place == place
    assert "do not fit" in fault.text
    assert "images can have" in fault.text


@pytest.mark.parametrize(
    "given",
    [
        {"storageLimit": "10Gi"},
        {"config": {"MaximumStorageSize": 10000}},
        {"postgresql": {"storage": {"size": "2Gi"}}, "storageLimit": "3Gi"},
    ],
)
def test_F17_the_chart_refuses_it_too(given: dict[str, Any]) -> None:
    """F17: also without korthweb's tasks."""
    assert "MB do not fit" in refused_by_helm(given)
