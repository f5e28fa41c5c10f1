"""The fleet repository: what Flux applies, as files for one cluster. Settings in, texts out; no effects.

A *base* (infrastructure/, observability/, tenants/) says what is the same wherever it runs; an *overlay*
(clusters/<cluster>/) says what belongs to one cluster: images, versions, sources, sizes. So that clusters with
settings of their own can share one repository, a base follows no setting of the second kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from korthweb_tasks.approaches.gitops.components import (
    MARK,
    ChartAt,
    ImageParts,
    Part,
    Way,
    infrastructure,
    monitored,
    shared_parts,
    watching_bases,
    ways,
)
from korthweb_tasks.approaches.gitops.readme import README
from korthweb_tasks.approaches.manual.manifests import cert_manager_choices, orthanc_text
from korthweb_tasks.approaches.shared.common import Artifacts, cors_policy
from korthweb_tasks.approaches.shared.policies import FILE as POLICIES
from korthweb_tasks.approaches.shared.policies import tenant_policies
from korthweb_tasks.core.flux_home import BOOTSTRAPPED
from korthweb_tasks.core.render import as_yaml, parse
from korthweb_tasks.settings.merge import deep_merge
from korthweb_tasks.settings.orthanc import password_variable

if TYPE_CHECKING:
    from korthweb_tasks.settings.model import Settings
    from korthweb_tasks.settings.tenant import Tenant

__all__ = ["DATABASE_HOST", "ENCRYPTED", "ChartAt", "Fleet", "Layer", "encrypted_path", "slug", "stale"]

#: Service of the primary, as CloudNativePG names it
DATABASE_HOST = "postgres-rw"
#: file with a tenant's encrypted passwords, in its overlay
ENCRYPTED = "secrets.sops.yaml"
Kind = Literal["infrastructure", "observability", "dependency", "application", "monitoring"]
#: folders of a tenant, and the Flux Kustomizations <tenant>-<folder>
DEPENDENCY: Kind = "dependency"
APPLICATION: Kind = "application"
MONITORING: Kind = "monitoring"


@dataclass(frozen=True, slots=True)
class Layer:
    """One Flux Kustomization: what it applies is in ``folder`` of the cluster's own.

    ``needs`` names those that must be ready before it. ``tenant`` is a name.
    """

    name: str
    needs: tuple[str, ...]
    kind: Kind
    folder: str
    tenant: str | None = None


@dataclass(frozen=True)
class Fleet:
    """One cluster's share of the fleet repository.

    ``cluster`` is its folder below clusters/. ``charts`` says for each chart where it is: oci://… with the chart's
    name, or https://… of a repository. ``registry_ca``: the Secret registry-ca beside the sources vouches for them.
    ``sops`` maps the name of a tenant to its encrypted Secrets.
    """

    settings: Settings
    cluster: str
    tenants: tuple[Tenant, ...]
    artifacts: Artifacts
    charts: Mapping[str, ChartAt]
    registry_ca: bool = False
    sops: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """Return path → text of every generated file, but for those of ``flux bootstrap``.

        Raises KeyError for a chart that ``charts`` lacks, ValueError for a source that Flux can't read.
        """
        found = {"README.md": README}
        found |= self._bases()
        found |= self._top()
        for part in shared_parts(self.settings):
            found |= self._overlay(part)
        for tenant in self.tenants:
            found |= self._tenant(tenant)
        return dict(sorted(found.items()))

    @property
    def bootstrapped(self) -> str:
        """Return the folder that is ``flux bootstrap``'s own."""
        return f"clusters/{self.cluster}/{BOOTSTRAPPED}"

    def layers(self) -> tuple[Layer, ...]:
        """Return the Flux Kustomizations of this cluster; each comes after those that it needs."""
        shared = infrastructure(self.settings)
        layers = [Layer(part.name, (), "infrastructure", part.folder) for part in shared]
        if watching_bases(self.settings):
            layers.append(Layer("observability", ("istio",), "observability", "observability"))
        below = tuple(part.name for part in shared)
        for tenant in self.tenants:
            name = slug(tenant)
            needs = {DEPENDENCY: below, APPLICATION: (f"{name}-{DEPENDENCY}",)}
            if monitored(self.settings):
                needs[MONITORING] = ("observability", f"{name}-{APPLICATION}")
            layers += [
                Layer(f"{name}-{kind}", before, kind, f"tenants/{name}/{kind}", tenant.name)
                for kind, before in needs.items()
            ]
        return tuple(layers)

    def namespace(self, tenant: Tenant) -> dict[str, Any]:
        """Return a tenant's Namespace as Git has it: the base with what this cluster lays over it."""
        path, values = f"tenants/{DEPENDENCY}/namespace.yaml", self._tenant_values(tenant)
        base: dict[str, Any] = next(obj for obj in parse(self._text(path, **values)) if obj["kind"] == "Namespace")
        overlay = parse(self._text(f"clusters/{path}", **values))[0]["metadata"]
        metadata = dict(base["metadata"])
        for kind in ("labels", "annotations"):
            merged = {**(metadata.get(kind) or {}), **(overlay.get(kind) or {})}
            metadata[kind] = {key: value for key, value in merged.items() if value is not None}  # null takes one away
        return {**base, "metadata": metadata}

    def orthanc_json(self, tenant: Tenant) -> str:
        """Return the configuration of Orthanc as text."""
        return orthanc_text(self.settings, tenant, database_host=DATABASE_HOST)

    def _bases(self) -> dict[str, str]:
        names = {name.removesuffix(".j2") for name in self.artifacts.templates.texts}
        shared = "# Follows: nothing; the same on every cluster, and for every approach.\n" + tenant_policies()
        return {
            f"infrastructure/istio/{POLICIES}": MARK + shared,
            **{
                name: self._text(name)
                for name in sorted(names)
                if name.startswith(("infrastructure/", "observability/"))
            },
        }

    def _top(self) -> dict[str, str]:
        home = f"clusters/{self.cluster}"
        watching = bool(watching_bases(self.settings))
        names = ["kustomization.yaml", "infrastructure.yaml", *(["observability.yaml"] if watching else ())]
        parts = [part.name for part in infrastructure(self.settings)]
        values = {"tenants": self.tenants, "observability": watching, "parts": parts}
        return {f"{home}/{name}": self._text(f"clusters/{name}", **values) for name in names}

    def _overlay(self, part: Part) -> dict[str, str]:
        """Return a part's overlay: which bases, from where the charts come, and each release's own values."""
        home = f"clusters/{self.cluster}/{part.folder}"
        releases = [release.at(self.charts[release.name]) for release in part.releases]
        depth = part.folder.count("/") + 2
        shared = {"releases": releases, "bases": part.bases, "depth": depth, "follows": part.follows}
        found = {
            f"{home}/kustomization.yaml": self._text("clusters/part.yaml", **shared),
            **({f"{home}/sources.yaml": self._text("clusters/sources.yaml", **shared)} if releases else {}),
        }
        for release in releases:
            values = self._values(release.name)
            found[f"{home}/{release.name}.yaml"] = self._text("clusters/release.yaml", release=release, values=values)
        return found

    def _values(self, release: str) -> str:
        """Return the values of a release as YAML: korthweb's with its comments, or those of a person laid over them."""
        images = self.settings.images
        known = {
            **cert_manager_choices(self.settings, self.settings.charts["cert-manager"].version),
            "operator": self._image(images.cloudnative_pg),
            "kiali": self._image(images.kiali),
        }
        text = self.artifacts.templates.text(f"clusters/values/{release}.yaml", {**self._shared(), **known})
        free = dict(self.settings.charts[release].values)
        if release == "istiod":
            free = deep_merge(dict(self.settings.istio.values), free)
        own: dict[str, Any] = next(iter(parse(text, release)), {})
        merged = deep_merge(own, free)
        return (text if merged == own else as_yaml([merged]).removeprefix("---\n")).rstrip("\n") if merged else ""

    def _tenant(self, tenant: Tenant) -> dict[str, str]:
        folders = [DEPENDENCY, APPLICATION, *([MONITORING] if monitored(self.settings) else ())]
        home = f"clusters/{self.cluster}"
        values = self._tenant_values(tenant)
        found = {f"{home}/tenant-{slug(tenant)}.yaml": self._text("clusters/tenant.yaml", **values)}
        for name in sorted(self.artifacts.templates.texts):
            room, _, rest = name.removesuffix(".j2").partition("tenants/")
            folder, _, file = rest.partition("/")
            if not rest or room not in ("", "clusters/") or (room and folder not in folders):
                continue
            if file == "egress.yaml" and not tenant.egress:
                continue
            place = f"{home}/tenants" if room else "tenants"
            found[f"{place}/{slug(tenant)}/{folder}/{file}"] = self._text(f"{room}tenants/{rest}", **values)
        if tenant.name in self.sops:
            found[encrypted_path(self.cluster, tenant)] = self.sops[tenant.name]
        return found

    def _tenant_values(self, tenant: Tenant) -> dict[str, Any]:
        config = self.orthanc_json(tenant)
        images = self.settings.images
        egress: tuple[Way, ...] = ways(tenant.egress)
        return {
            "tenant": tenant,
            "cors": cors_policy(tenant),
            "encrypted": tenant.name in self.sops,
            "parts": [part.name for part in infrastructure(self.settings)],
            "monitored": monitored(self.settings),
            "egress": egress,
            "orthanc_json": config,
            "scripts": self.artifacts.scripts,
            "config_digest": self.artifacts.digest(config),
            "probe_user": tenant.users[0],
            "probe_variable": password_variable(tenant.users[0]),
            "images": {"orthanc": self._image(images.orthanc), "postgres": self._image(images.cnpg_postgres)},
        }

    def _image(self, image: str) -> ImageParts:
        return ImageParts.of(self.settings.images.mirrored(image))

    def _shared(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "image": self.settings.images.mirrored,
            "cluster": self.cluster,
            "flux": self.settings.flux,
        }

    def _text(self, name: str, **more: Any) -> str:
        values = {**self._shared(), "registry_ca": self.registry_ca, **more}
        return MARK + self.artifacts.templates.text(name, values)


def slug(tenant: Tenant) -> str:
    """Return a tenant's name as it is in paths and in names of Flux objects."""
    return tenant.name.lower()


def encrypted_path(cluster: str, tenant: Tenant) -> str:
    """Return where a tenant's encrypted passwords are in the repository."""
    return f"clusters/{cluster}/tenants/{slug(tenant)}/{DEPENDENCY}/{ENCRYPTED}"


def stale(existing: Iterable[str], new: Mapping[str, str], cluster: str) -> list[str]:
    """Return the generated files that a checkout has and should not have any more.

    ``existing``: all paths of the checkout; ``new``: what ``files()`` returned for ``cluster``. What belongs to other
    clusters stays, and so do what ``flux bootstrap`` wrote, a base that another cluster uses, and what was never
    generated.
    """
    there = set(existing)
    home = f"clusters/{cluster}/"
    used = {path.split("/")[3] for path in there | set(new) if _is_overlay(path) and not path.startswith(home)}
    used |= {path.split("/")[3] for path in new if _is_overlay(path)}
    mine = {path.split("/")[1] for path in new if path.startswith("tenants/")}

    def goes(path: str) -> bool:
        if path.startswith(home):
            return _generated(path.removeprefix(home))
        if path.startswith("tenants/") and path.count("/") >= 2:
            name = path.split("/")[1]
            return name in mine or name not in used
        return path.startswith(("infrastructure/", "observability/"))

    return sorted(path for path in there - set(new) if goes(path))


def _is_overlay(path: str) -> bool:
    """Return True if ``path`` is clusters/<cluster>/tenants/<tenant>/…"""
    parts = path.split("/")
    return len(parts) > 4 and parts[0] == "clusters" and parts[2] == "tenants"


def _generated(path: str) -> bool:
    """Return True if a path inside of a cluster's folder is of the generated kind."""
    if path.startswith(("infrastructure/", "observability/", "tenants/")):
        return True
    return path in ("kustomization.yaml", "infrastructure.yaml", "observability.yaml") or (
        path.startswith("tenant-") and path.endswith(".yaml") and "/" not in path
    )
