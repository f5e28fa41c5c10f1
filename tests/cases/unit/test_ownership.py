"""S11, U1, U2, U3: whose a namespace is, and who made what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from korthweb_tasks.approaches.base import approach_of
from korthweb_tasks.approaches.shared.blind import blind
from korthweb_tasks.approaches.shared.contents import Item, foreign, read_contents, read_kinds
from korthweb_tasks.approaches.shared.layers import APPLIED_BY, APPLIED_IN, Layers, question
from korthweb_tasks.approaches.shared.namespaces import (
    RECORD,
    Home,
    Record,
    Standing,
    kept,
    plain_namespace,
    record_for,
    standing,
)
from korthweb_tasks.approaches.shared.ownership import Fate, Place, fate, refusal, removal_refusal, shared_refusal
from korthweb_tasks.approaches.shared.shared_use import foreign_in_shared, in_the_mesh, other_tenants, read_users
from korthweb_tasks.core.cluster import Cluster
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.core.flux_home import BY_BOOTSTRAP, FluxHome
from korthweb_tasks.core.tree import Ref
from korthweb_tasks.errors import GuardRefused
from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.tenant import Tenant
from korthweb_tasks.tools.helm import chart_name
from korthweb_tasks.tools.kubectl import Kubectl, conflicts

GOLDEN = Path(__file__).parents[2] / "golden"
KUBECTL = Kubectl(Cluster("ctx"))
RAD = Tenant(name="RAD", domain="rad.example.org", namespace="radiology")
ADOPTING = RAD.model_copy(update={"adopt_namespace": True})
APPROACHES = ("manual", "helm", "gitops")


def applied(name: str, namespace: str = "flux-system") -> dict[str, str]:
    return {APPLIED_BY: name, APPLIED_IN: namespace}


VIEWER = Item("Deployment", "viewer", ("kubectl-create",))
#: what each approach makes, as the API server tells of it
DEPLOYED = {
    "manual": Item("Deployment", "orthanc", ("korthweb", "kube-controller-manager")),
    "helm": Item("Deployment", "orthanc", ("helm",), {"helm.sh/chart": "orthanc-0.1.0"}, "orthanc"),
    "gitops": Item(
        "Deployment", "orthanc", ("kustomize-controller",), applied("rad-application"), layer="rad-application"
    ),
}


def namespace(record: Record | str | None = None, *, name: str = "radiology", uid: str = "1", **labels: str) -> Any:
    text = record.text() if isinstance(record, Record) else record
    annotations = {RECORD: text} if text is not None else {}
    return {"kind": "Namespace", "metadata": {"name": name, "uid": uid, "annotations": annotations, "labels": labels}}


def ours(approach: str = "manual", **more: Any) -> Record:
    return Record(**{"approach": approach, "tenant": "RAD", "domain": "rad.example.org", "uid": "1", **more})


def answer(*objects: Any, stderr: str = "", code: int = 0) -> Result:
    return Result(Command(argv=("kubectl",)), code, json.dumps({"items": list(objects)}), stderr, 0.1)


@pytest.mark.parametrize("name", ["kube-system", "kube-anything", "default", "istio-system", "cert-manager",
    "flux-system", "observability", "traefik", "cnpg-system", "openshift-monitoring", "openshift"])  # fmt: skip
def test_S11_reserved_namespaces_are_refused(name: str) -> None:
    """S11: no tenant's namespace has a name that Kubernetes or a component uses, and the message says whose it is."""
    with pytest.raises(ValidationError, match="reserved for"):
        Tenant(name="A", domain="a.example.org", namespace=name)
    with pytest.raises(ValidationError, match=r"istio\.namespace"):
        Settings(tenants=({"name": "A", "domain": "a.example.org", "namespace": "mesh"},), istio={"namespace": "mesh"})


def test_S11_every_namespace_that_korthweb_uses_itself_is_reserved() -> None:
    """S11: taken from the renders, so that a new component's namespace can't be forgotten."""
    used = {obj["metadata"]["name"] for obj in _golden("gitops/infrastructure", "gitops/observability", "manual/lab")}
    for name in used - {"bhc-orthweb"} | {"flux-system", "istio-system", "kube-system"}:
        with pytest.raises(ValidationError, match="reserved"):
            Tenant(name="A", domain="a.example.org", namespace=name)


def _golden(*folders: str) -> Iterator[dict[str, Any]]:
    for folder in folders:
        for path in (GOLDEN / folder).rglob("*.yaml"):
            for obj in yaml.safe_load_all(path.read_text("utf-8")):
                if isinstance(obj, dict) and obj.get("kind") == "Namespace":
                    yield obj


@pytest.mark.parametrize(
    ("found", "whose"),
    [
        (None, "absent"),
        (namespace(), "foreign"),
        (namespace("not json"), "foreign"),
        (namespace('{"approach":"manual","word":1}'), "foreign"),
        (namespace("[1]"), "foreign"),
        (namespace(None, **{"app.kubernetes.io/managed-by": "korthweb", "korthweb/tenant": "RAD"}), "foreign"),
        (namespace(ours()), "created"),
        (namespace(ours(), uid="2"), "foreign"),
        (namespace(ours(uid="")), "claimed"),
        (namespace(ours(adopted=True)), "adopted"),
    ],
)
def test_S11_ours_is_what_was_recorded_with_its_own_uid(found: Any, whose: Standing) -> None:
    """S11: a label, a copied annotation and a namespace that was made anew prove nothing."""
    assert standing(found) == whose


@pytest.mark.parametrize("approach", APPROACHES)
def test_U1_a_foreign_namespace_is_refused_with_what_is_in_it_and_the_word(approach: str) -> None:
    """U1: nothing is taken over without a word, by any approach; an empty one is not either."""
    for inside, text in (((VIEWER,), "deployment/viewer"), ((), "nothing is in it")):
        found = refusal(RAD, approach, Place(namespace(), inside))
        assert found is not None
        assert (text in found.message, "adopt_namespace: true" in found.hint, found.exit_code) == (True, True, 5)
    assert refusal(ADOPTING, approach, Place(namespace(), (VIEWER,))) is None
    assert refusal(RAD, approach, Place(None)) is None
    assert refusal(RAD, approach, Place(namespace(ours(approach)), (VIEWER, DEPLOYED[approach]))) is None
    # a run that was killed between the namespace and its record is gone on with, where nothing of others is there
    assert refusal(RAD, approach, Place(namespace(ours(approach, uid="")))) is None
    assert refusal(RAD, approach, Place(namespace(ours(approach, uid="")), (VIEWER,))) is not None


@pytest.mark.parametrize("approach", APPROACHES)
def test_U1_objects_of_others_that_would_be_overwritten_are_refused_even_where_a_namespace_is_adopted(
    approach: str,
) -> None:
    """U1: a Deployment called orthanc of the radiology team is not taken for ours; nor is its Secret."""
    for item in (
        Item("Deployment", "orthanc", ("argocd-controller",)),
        Item("Secret", "orthanc-users", ("Terraform",)),
    ):
        for tenant, place in ((ADOPTING, namespace()), (RAD, namespace(ours(approach)))):
            found = refusal(tenant, approach, Place(place, (item,)))
            assert found is not None
            assert str(item) in found.message
            assert item.managers[0] in found.message


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize("other", APPROACHES)
@pytest.mark.parametrize("tenant", [RAD, ADOPTING], ids=["", "adopting"])
def test_U3_what_another_approach_deployed_is_refused_by_all_three(approach: str, other: str, tenant: Tenant) -> None:
    """U3: one rule, by what the API server notes of each object's writer; nothing is adopted from ourselves either."""
    found = refusal(tenant, approach, Place(namespace(ours(other)), (DEPLOYED[other],)))
    leaving = removal_refusal("RAD", "radiology", approach, Place(namespace(ours(other)), (DEPLOYED[other],)))
    if approach == other:
        assert (found, leaving) == (None, None)
        return
    assert found is not None
    assert leaving is not None
    assert f"the approach {other} deployed" in found.message
    assert other in leaving.message
    way = "gitops.remove-tenant RAD" if other == "gitops" else f"{other}.destroy --tenant RAD"
    assert way in found.hint
    assert way in leaving.hint


@pytest.mark.parametrize("approach", APPROACHES)
def test_U3_labels_of_an_approach_are_not_its_work(approach: str) -> None:
    """U3: with a manifest its labels are copied; who wrote the object is not."""
    marks = {APPLIED_BY: "rad-application", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "orthanc-0.1.0"}
    copy = Item("Deployment", "orthanc", ("kubectl-client-side-apply",), marks, "orthanc")
    assert foreign([copy], "RAD") == [copy]
    found = refusal(RAD, approach, Place(namespace(ours(approach)), (copy,)))
    assert found is not None
    assert "kubectl-client-side-apply" in found.message


@pytest.mark.parametrize("approach", APPROACHES)
def test_U3_another_folders_tenant_in_the_same_namespace_is_refused(approach: str) -> None:
    """U3: another tenant, and a facility of the same short name with other host names."""
    for record in (ours(approach, tenant="OTHER"), ours(approach, domain="rad.elsewhere.org")):
        found = refusal(RAD, approach, Place(namespace(record)))
        assert found is not None
        assert f"{record.tenant} ({record.domain})" in found.message
    assert removal_refusal("RAD", "radiology", approach, Place(namespace(ours(approach, tenant="OTHER")))) is not None


@pytest.mark.parametrize("approach", ["manual", "helm"])
def test_U3_a_namespace_that_flux_looks_after_is_left_to_flux(approach: str) -> None:
    """U3: also where another team's Kustomization made it, and nothing is in it yet."""
    theirs = Ref("Kustomization", "team-b", "apps")
    for flux in (BY_BOOTSTRAP.layer("rad-dependency"), theirs):
        found = refusal(ADOPTING, approach, Place(namespace(), (), flux, flux != theirs))
        assert found is not None
        assert str(flux) in found.message
    mine = Place(namespace(ours("gitops")), (), BY_BOOTSTRAP.layer("rad-dependency"), ours=True)
    assert refusal(RAD, "gitops", mine) is None
    assert refusal(RAD, "gitops", Place(namespace(), (), theirs)) is not None


def kustomization(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """Return a Kustomization as korthweb has it, but for what ``spec`` says."""
    usual = {"path": "./clusters/h/tenants/rad/x", "sourceRef": {"kind": "GitRepository", "name": namespace}}
    return {"kind": "Kustomization", "metadata": {"name": name, "namespace": namespace}, "spec": {**usual, **spec}}


#: Kustomizations of other teams that are called like one of the tenant's
NAMESAKES = {
    "in their namespace": kustomization("rad-application", "team-b"),
    "from their source": kustomization(
        "rad-application", "flux-system", sourceRef={"kind": "GitRepository", "name": "team-b"}
    ),
    "from our source's name in their namespace": kustomization(
        "rad-application", "flux-system",
        sourceRef={"kind": "GitRepository", "name": "flux-system", "namespace": "team-b"},
    ),
    "from another kind of source": kustomization(
        "rad-application", "flux-system", sourceRef={"kind": "OCIRepository", "name": "flux-system"}
    ),
    "from another folder": kustomization("rad-application", "flux-system", path="./apps/rad"),
    "of a name that no tenant has": kustomization("rad-apps", "flux-system"),
}  # fmt: skip


def place_of(there: Any, *living: dict[str, Any], record: Record | None = None, home: FluxHome = BY_BOOTSTRAP) -> Place:
    """Return a namespace in which a Kustomization applied a Deployment called orthanc, and the Namespace as well."""
    marks = applied(there["metadata"]["name"], there["metadata"]["namespace"])
    item = Item("Deployment", "orthanc", ("kustomize-controller",), marks)
    return Place.of(namespace(record, **marks), [item], Layers.read(home, answer(*living)))


@pytest.mark.parametrize("which", NAMESAKES)
@pytest.mark.parametrize("approach", APPROACHES)
def test_U3_another_teams_kustomization_called_like_a_tenants_is_theirs(approach: str, which: str) -> None:
    """U3: what it applied is not ours by its name: not overwritten, not removed, and told as it is."""
    theirs = NAMESAKES[which]
    place = place_of(theirs, theirs, record=ours(approach))
    assert [str(item) for item in foreign(place.items, "RAD")] == ["deployment/orthanc"]
    assert not fate(place, foreign(place.items, "RAD")).goes
    found = refusal(RAD, approach, place)
    assert found is not None
    assert f"{theirs['metadata']['namespace']}/{theirs['metadata']['name']}" in found.message
    assert "gitops.remove-tenant" not in f"{found.message} {found.hint}" or which == "of a name that no tenant has"


@pytest.mark.parametrize("home", [BY_BOOTSTRAP, FluxHome("korthweb-flux", "korthweb")], ids=["install", "use"])
def test_U3_the_tenants_own_kustomization_is_known_by_where_it_points(home: FluxHome) -> None:
    """U3: namespace, source and folder; of one that Flux has taken away already its name is enough."""
    source = {"kind": "GitRepository", "name": home.name}
    mine = kustomization("rad-dependency", home.namespace, sourceRef=source)
    for living in ((mine,), ()):
        place = place_of(mine, *living, record=ours("gitops"), home=home)
        assert foreign(place.items, "RAD") == []
        assert foreign(place.items, "RA") == list(place.items)
        assert place.of_tenant("RAD") is bool(living)
        assert refusal(RAD, "gitops", place) is None


def test_U3_the_end_of_gitops_takes_no_kustomization_of_others() -> None:
    """U3: nor their releases, though they lie in Flux's own namespace and are called like ours."""
    mine = kustomization("mhr-dependency", "flux-system")
    layers = Layers.read(BY_BOOTSTRAP, answer(mine, *NAMESAKES.values()))
    assert layers.own() == [mine, NAMESAKES["of a name that no tenant has"]]
    release = {"kind": "HelmRelease", "metadata": {"name": "r", "labels": applied("rad-application")}}
    assert layers.applied([release]) == []
    assert layers.applied([{"kind": "HelmRelease", "metadata": {"labels": applied("mhr-dependency")}}])
    assert Layers.read(BY_BOOTSTRAP, answer(stderr="no matches for kind", code=1)).living == {}
    assert "--all-namespaces" in question(KUBECTL).argv


def test_F2_beside_another_flux_only_korthwebs_own_kustomization_is_the_tenants() -> None:
    """F2: one of the same name in the other team's namespace is theirs."""
    home = FluxHome("korthweb-flux", "korthweb")
    mine = Place(namespace(ours("gitops")), (), home.layer("rad-dependency"), ours=True)
    assert refusal(RAD, "gitops", mine) is None
    theirs = kustomization("rad-dependency", "flux-system")
    found = refusal(RAD, "gitops", place_of(theirs, theirs, record=ours("gitops"), home=home))
    assert found is not None
    assert "take it out of Git" in (found.hint or "")


@pytest.mark.parametrize("approach", APPROACHES)
def test_S11_nothing_is_removed_from_a_namespace_in_which_nothing_was_recorded(approach: str) -> None:
    """S11: destroy in the namespace of others ends before it begins, whatever its name or labels."""
    labels = {"korthweb/tenant": "RAD", "app.kubernetes.io/managed-by": "korthweb"}
    for place in (namespace(), namespace(None, **labels), namespace(ours(approach), uid="2")):
        found = removal_refusal("RAD", "radiology", approach, Place(place, (VIEWER,)))
        assert found is not None
        assert "deployment/viewer" in found.message
    assert removal_refusal("RAD", "radiology", approach, Place(None)) is None


def test_S11_a_namespace_goes_only_where_korthweb_made_it_and_nothing_else_is_in_it() -> None:
    """S11: what stays is told by name."""
    assert fate(Place(namespace(ours())), []).goes
    for stays in (
        fate(Place(namespace(ours())), [VIEWER]),
        fate(Place(namespace(ours(adopted=True))), []),
        fate(Place(namespace()), []),
        fate(Place(namespace(ours())), [], volumes=False),
        Fate(),
    ):
        assert not stays.goes
    assert "deployment/viewer" in fate(Place(namespace(ours())), [VIEWER]).kept


def test_S11_what_the_cluster_itself_puts_into_a_namespace_is_nobodys() -> None:
    """S11: pods go with their owners; claims of the database and issued certificates are ours."""
    found = read_contents(
        Result(
            Command(argv=("kubectl",)),
            0,
            "ConfigMap|kube-root-ca.crt|kube-controller-manager|||\n"
            "ConfigMap|istio-ca-root-cert|pilot-discovery|||\n"
            "ConfigMap|istio-ca-crl|pilot-discovery|||\n"
            "ServiceAccount|default||||\n"
            'Pod|orthanc-1|kube-controller-manager kubelet|{"app":"orthanc"}||ReplicaSet\n'
            "PersistentVolumeClaim|data-postgres-0|kube-controller-manager|||\n"
            "PersistentVolumeClaim|archive|kubectl-create|||\n"
            "Secret|orthanc-tls|cert-manager-certificates-issuing|||\n"
            'Secret|sh.helm.release.v1.orthanc.v1|Helm|{"name":"orthanc","owner":"helm"}||\n'
            'Secret|sh.helm.release.v1.viewer.v1|Helm|{"name":"viewer","owner":"helm"}||\n'
            'Service|theirs|helm|{"helm.sh/chart":"orthanc-1.0"}|viewer|\n',
            "",
            0.1,
        )
    )
    names = [str(item) for item in foreign(found, "RAD")]
    assert names == [
        "persistentvolumeclaim/archive", "secret/sh.helm.release.v1.viewer.v1", "service/theirs"
    ]  # fmt: skip
    kinds = read_kinds(
        Result(Command(argv=("k",)), 0, "events\npods\npods.metrics.k8s.io\nfoos.example.org\n", "", 0.1)
    )
    assert kinds == ("pods", "foos.example.org")
    shared = [Item("Secret", "cacerts", ("kubectl-create",)), Item("ConfigMap", "istio", ("pilot-discovery",))]
    shared += [
        Item("Gateway", "shop", ("helm",), {}, "shop"),
        Item("ServiceAccount", "istiod", ("helm",), {}, "istiod"),
    ]
    assert [item.name for item in foreign_in_shared(shared)] == ["cacerts", "shop"]


def test_U2_other_tenants_are_those_of_the_cluster_not_of_the_folder() -> None:
    """U2: whatever approach and settings; removed ones do not count, unrecorded ones do."""
    everybody = [
        namespace(ours(), name="radiology"),
        namespace(ours("helm", tenant="B"), name="b-orthweb"),
        namespace(ours(tenant="C", kept=True), name="c-orthweb"),
        namespace(ours(tenant=""), name="istio-system"),
        namespace(None, name="d-orthweb", **{"korthweb/tenant": "D"}),
        namespace(None, name="shop"),
    ]
    assert other_tenants(everybody, ["radiology"]) == ["b-orthweb (B, helm)", "d-orthweb (D, not recorded)"]
    assert other_tenants(everybody, ["radiology", "b-orthweb", "d-orthweb"]) == []


def test_U2_other_teams_that_use_the_mesh_or_its_kinds_keep_what_is_shared() -> None:
    """U2: a namespace with sidecars, a custom resource of somebody else, a Kustomization that no commit asks for."""
    spaces = [namespace(None, name="shop", **{"istio-injection": "enabled"}), namespace(ours(), name="radiology")]
    assert in_the_mesh(spaces, ["radiology"]) == ["shop"]
    assert in_the_mesh([namespace(None, name="x", **{"istio.io/rev": "stable"})], []) == ["x"]
    text = (
        "shop|VirtualService|web|kubectl-create\n"
        "radiology|VirtualService|web|korthweb\n"
        "|ClusterIssuer|letsencrypt|helm\n"
        "flux-system|Kustomization|flux-system|flux kustomize-controller\n"
        "flux-system|Kustomization|apps|kubectl-client-side-apply\n"
        "flux-system|Kustomization|rad-application|kustomize-controller\n"
    )
    found = read_users(Result(Command(argv=("k",)), 0, text, "", 0.1), ["radiology", "flux-system"], BY_BOOTSTRAP)
    assert found == ["virtualservice/web in shop", "clusterissuer/letsencrypt", "kustomization/apps in flux-system"]


def test_S11_a_namespace_is_made_and_recorded_in_one_go() -> None:
    """S11: made by create, which fails where one is there; then the UID that it got, which the server checks again."""
    home = Home(KUBECTL, plain_namespace("radiology", {"a": "b"}), record_for(RAD, "helm"))
    made = _follow(home.command, answer())
    assert "create" in made.argv
    (claim,) = json.loads(made.stdin or "")["items"]
    assert standing(claim | {"metadata": {**claim["metadata"], "uid": "7"}}) == "claimed"
    record = _follow(made, answer({**claim, "metadata": {**claim["metadata"], "uid": "7"}}))
    patch = json.loads(next(word for word in record.argv if word.startswith("--patch="))[8:])["metadata"]
    assert patch["uid"] == "7"
    assert json.loads(patch["annotations"][RECORD]) == {
        "approach": "helm", "tenant": "RAD", "domain": "rad.example.org", "adopted": False, "kept": False, "uid": "7"
    }  # fmt: skip
    assert home.probe().read(answer(namespace(ours("helm"))))
    for other in (
        namespace(),
        namespace(ours("manual")),
        namespace(ours("helm"), uid="2"),
        namespace(ours("helm", kept=True)),
    ):
        assert not home.probe().read(answer(other))


def test_S11_a_namespace_that_came_in_between_is_not_taken() -> None:
    """S11: between the check and the creation somebody else made it."""
    home = Home(KUBECTL, plain_namespace("radiology"), record_for(RAD, "manual"))
    with pytest.raises(GuardRefused, match="somebody else made"):
        _ = home.command.follow and home.command.follow(answer(namespace()))
    adopting = Home(KUBECTL, plain_namespace("radiology"), record_for(RAD, "manual"), adopt=True)
    record = _follow(adopting.command, answer(namespace()))
    assert '\\"adopted\\":true' in " ".join(record.argv)


def test_S11_two_steps_that_make_one_namespace_at_once_both_find_it_ours() -> None:
    """S11: what came in between is looked at again: korthweb's own is as good as made, one of others is refused."""
    home = Home(KUBECTL, plain_namespace("radiology"), record_for(RAD, "manual"))
    made = _follow(home.command, answer())
    said = 'Error from server (AlreadyExists): namespaces "radiology" already exists'
    late = replace(answer(stderr=said, code=1), command=made)
    assert late.answered
    again = _follow(made, late)
    assert again.argv == home.command.argv
    assert again.follow
    assert again.follow(answer(namespace(ours("manual")))) is None
    with pytest.raises(GuardRefused, match="somebody else made"):
        again.follow(answer(namespace()))


def test_S11_an_adopted_namespace_loses_our_labels_when_the_tenant_goes() -> None:
    """S11: by a server-side apply that owns nothing any more; one that korthweb made keeps them for the next time."""
    command = kept(KUBECTL, namespace(ours(adopted=True)))
    assert command is not None
    after = _follow(command, answer())
    assert json.loads(after.stdin or "")["items"] == [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "radiology"}}
    ]
    made = kept(KUBECTL, namespace(ours()))
    assert made is not None
    assert made.follow is None
    assert kept(KUBECTL, namespace()) is None


def _follow(command: Command, result: Result) -> Command:
    assert command.follow is not None
    following = command.follow(result)
    assert following is not None
    return following


@pytest.mark.parametrize(
    ("manager", "forced"),
    [("kubectl-edit", True), ("kubectl-patch", True), ("korthweb-0.0.9", True), ("argocd-controller", False),
     ("kustomize-controller", False), ("helm", False), ("kubectl-client-side-apply", False), ("kubectl", False)],
)  # fmt: skip
def test_U3_another_programs_fields_are_not_taken_by_force(manager: str, forced: bool) -> None:
    """U3: no --force-conflicts over other field managers; what a person changed by hand is put back."""
    command = KUBECTL.apply([namespace()])
    assert "--force-conflicts" not in command.argv
    stderr = f'error: Apply failed with 2 conflicts: conflicts with "{manager}":\n- .data.a\n- .data.b\nPlease review'
    result = Result(command, 1, "", stderr, 0.1)
    assert result.answered
    assert conflicts(stderr) == [manager]
    if forced:
        assert "--force-conflicts" in _follow(command, result).argv
        return
    with pytest.raises(GuardRefused, match=manager):
        _follow(command, result)
    assert command.follow is not None
    assert command.follow(Result(command, 0, "", "", 0.1)) is None


def test_U3_a_release_of_the_same_name_of_another_chart_is_told_apart() -> None:
    """U3: helm.deploy would upgrade it, and helm.destroy uninstall it."""
    names = ("orthanc-0.1.0", "orthanc-0.1.0+abc", "orthanc-0.1.0-rc.1", "orthanc-official-1.0", "postgresql-v1.2")
    assert [chart_name(name) for name in names] == ["orthanc", "orthanc", "orthanc", "orthanc-official", "postgresql"]


@pytest.mark.parametrize("approach", APPROACHES)
def test_U3_the_names_that_would_be_overwritten_are_those_that_are_rendered(approach: str) -> None:
    """U3: the table follows the renders."""
    folders = {"manual": "manual/lab", "helm": "helm", "gitops": "gitops/tenants/bhc"}
    looked_at = {name.partition("/")[0] for name in approach_of(approach).makes} - {"secret", "persistentvolumeclaim"}
    rendered = set()
    for path in (GOLDEN / folders[approach]).rglob("*.yaml"):
        for obj in yaml.safe_load_all(path.read_text("utf-8")):
            meta = obj.get("metadata", {}) if isinstance(obj, dict) else {}
            if meta.get("namespace") == "bhc-orthweb" and obj["kind"].lower() in looked_at:
                rendered.add(f"{obj['kind'].lower()}/{meta['name']}")
    assert rendered <= approach_of(approach).makes


@pytest.mark.parametrize("name", ["observability", "istio-system", "korthweb-flux"])
def test_S11_a_namespace_of_others_is_not_shared_among_tenants_without_a_word(name: str) -> None:
    """S11: what tenants share goes into no namespace that korthweb did not make, unless the settings name it."""
    theirs = Place(namespace(None, name=name), (Item("Deployment", "grafana", ("argocd-controller",)),))
    found = shared_refusal(name, theirs, ())
    assert found is not None
    assert "deployment/grafana" in found.message
    assert f"adopt_namespaces: [{name}]" in (found.hint or "")
    assert shared_refusal(name, theirs, (name,)) is None
    assert shared_refusal(name, Place(None), ()) is None
    assert shared_refusal(name, Place(namespace(Record("manual"), name=name)), ()) is None
    assert shared_refusal(name, replace(theirs, flux=BY_BOOTSTRAP.layer("observability"), ours=True), ()) is None
    assert shared_refusal(name, replace(theirs, flux=Ref("Kustomization", "team-b", "apps")), ()) is not None


def test_U2_a_namespace_that_is_being_removed_is_told_with_what_holds_it() -> None:
    """U2: neither deployed into nor waited for in silence."""
    message = "Some content in the namespace has finalizers remaining: x in 1 resource instances"
    ending = namespace(ours())
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ending["status"] = {"conditions": [{"type": "NamespaceFinalizersRemaining", "status": "True", "message": message}]}
    for refused in (refusal(RAD, "manual", Place(ending)), shared_refusal("radiology", Place(ending), ("radiology",))):
        assert refused is not None
        assert message in refused.message
        assert "since 2026-01-01" in refused.message


def test_U2_a_part_of_the_api_that_nobody_answers_for_is_told_by_name() -> None:
    """U2: unknown is not absent; the API server's own parts have no Service, and always answer."""
    service = {"service": {"name": "metrics-server", "namespace": "kube-system"}}
    told = {"type": "Available", "status": "False", "message": "failing or missing response"}
    own = {"metadata": {"name": "v1.apps"}, "spec": {}, "status": {"conditions": [{**told, "status": "True"}]}}
    gone = {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": service, "status": {"conditions": [told]}}
    new = {"metadata": {"name": "v1.new.io"}, "spec": service}

    def read(*objects: dict[str, Any]) -> GuardRefused | None:
        return blind(Result(Command(argv=("k",)), 0, json.dumps({"items": list(objects)}), "", 0.1))

    assert read(own) is None
    refused = read(own, gone, new)
    assert refused is not None
    assert "APIService v1beta1.metrics.k8s.io (Service kube-system/metrics-server)" in refused.message
    assert "failing or missing response, and 1 more" in refused.message
    assert "kubectl delete apiservice v1beta1.metrics.k8s.io" in (refused.hint or "")
    assert read(new) is not None


@pytest.mark.parametrize("other", ["manual", "helm", "gitops"])
@pytest.mark.parametrize("approach", ["manual", "helm", "gitops"])
def test_U3_what_another_approach_recorded_is_not_removed_by_this_one(approach: str, other: str) -> None:
    """U3: the record alone says so, where nothing in the namespace tells who made it."""
    found = removal_refusal(RAD.name, "radiology", approach, Place(namespace(ours(other))))
    assert (found is None) == (other == approach)
    if found is not None:
        assert f"was deployed by the approach {other}" in found.message
