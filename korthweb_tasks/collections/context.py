"""The cluster that the tasks speak to: which there are, which is chosen, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session


@task(example="inv context.list", cluster=False, changes=False, name="list")
def list_(session: Session) -> None:
    """List the clusters: the chosen one (*), its kubeconfig, whether it answers, and its version."""
    from korthweb_tasks.services import context

    session.emit(*context.known_clusters(session))


@task(
    example="inv context.use hospital-a",
    cluster=False,
    changes=False,
    positional=("name",),
    help={
        "name": "a cluster of korthweb.yaml, a kubeconfig context, or a lab",
        "accept": "take the cluster as it is now for the right one, whatever was recorded before",
    },
)
def use(session: Session, name: str, accept: bool = False) -> None:
    """Choose the cluster of this project; kept in .korthweb/context, never in a kubeconfig."""
    from korthweb_tasks.services import context

    session.emit(*context.choose(session, name, accept=accept))


@task(
    example="inv context.show",
    cluster=False,
    changes=False,
    help={"context": "another cluster (default: the one chosen)"},
)
def show(session: Session, context: str | None = None) -> None:
    """Show the cluster that tasks would speak to, why this one, and what was recorded of it."""
    from korthweb_tasks.services import context as service

    session.context_flag = context
    session.emit(*service.described(session))


@task(
    example="inv context.ci-account --tenant BHC --context hospital-a",
    help={
        "role": "platform, tenant-operator or read-only",
        "read_only": "the same as --role read-only",
        "approach": "manual, helm or gitops (default: approach of the settings)",
        "duration": "for how long the token is good",
        "out": "the kubeconfig that is written (default: ACCOUNT.kubeconfig here)",
        "remove": "take the account and its rights away",
        "oidc_issuer": "URL of the forge's issuer of tokens: lets them in by RBAC that is printed only (default: none)",
        "audience": "with --oidc-issuer: for whom the tokens are (default: none)",
        "claim": "with --oidc-issuer: what they say, as repository=hospital/imaging,ref=main (default: none)",
    },
)
def ci_account(
    session: Session,
    role: str = "tenant-operator",
    read_only: bool = False,
    approach: str | None = None,
    duration: str = "1h",
    out: str = "",
    remove: bool = False,
    oidc_issuer: str = "",
    audience: str = "",
    claim: str = "",
) -> Any:
    """Make an account for a pipeline with the least rights, and a kubeconfig with a token that soon ends."""
    from korthweb_tasks.services import ci_account as service

    role = "read-only" if read_only else role
    if oidc_issuer:
        return service.by_forge(session, role, approach, issuer=oidc_issuer, audience=audience, claims=claim)
    if remove:
        return service.remove(session, role, approach)
    return service.account(session, role, approach, duration=duration, out=out)
