"""The installed wheel with a real helm: the chart that it brings along is whole."""

from __future__ import annotations

from pathlib import Path

import yaml

from korthweb_tasks.provision.tools import locate
from tests.package import build, install


def test_the_wheel_renders_and_packs_its_chart(tmp_path: Path) -> None:
    helm = str(locate("helm").path.parent)
    there = install(build(tmp_path / "dist").wheel, tmp_path, KORTHWEB_CACHE=str(tmp_path / "cache"))
    (there.bin / "helm").symlink_to(Path(helm) / "helm")
    (there.folder / "korthweb.yaml").write_text(
        "tenants: [{name: BHC, domain: bhc.example.org}]\ncomponents: {traefik: use}\ntools: {source: path}\n"
    )
    objects = [found for found in yaml.safe_load_all(there.run("helm.template")) if found]
    assert {"Deployment", "StatefulSet", "IngressRouteTCP"} <= {found["kind"] for found in objects}
    there.run("helm.package")
    assert list((there.folder / "dist").glob("orthanc-*.tgz"))
