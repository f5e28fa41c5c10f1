"""A pipeline's own tasks: what a pull request changes, told where it is reviewed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.report.model import Report
    from korthweb_tasks.services.session import Session

_BASE = "the branch or commit to compare with (default: what the forge's pipeline names)"
_APPROACH = "manual, helm, gitops or all (default: the approach of the settings)"


@task(
    example="inv ci.diff --base main",
    offline=True,
    changes=False,
    without=("tenant", "timeout"),
    help={
        "base": _BASE,
        "approach": _APPROACH,
        "output": "markdown (cut to what a comment of a forge takes), html or json",
        "out": "a folder for changes.md, changes.html and changes.json, which hold everything (default: none)",
    },
)
def diff(session: Session, base: str = "", approach: str = "", output: str = "markdown", out: str = "") -> None:
    """Show what a pull request changes in what is deployed, and whom that hits; no cluster is asked, exit code 9."""
    from korthweb_tasks.services.ci import diff

    session.output = output
    diff.diff(session, base, approach, output, out)


@task(
    example="inv ci.comment --base main",
    offline=True,
    without=("tenant", "timeout", "yes"),
    help={"base": _BASE, "approach": _APPROACH},
)
def comment(session: Session, base: str = "", approach: str = "") -> None:
    """Write what ci.diff finds as the one comment of the pull request, edited in place; GitHub, GitLab, Gitea."""
    from korthweb_tasks.services.ci import comment

    comment.comment(session, base, approach)


@task(
    example="inv ci.plan --context hospital-a --out plan.json",
    changes=False,
    without=("tenant",),
    help={"approach": "manual or helm (default: the approach of the settings)", "out": "the file to write"},
)
def plan(session: Session, approach: str = "", out: str = "plan.json") -> None:
    """Write what a deployment would do now, with its hash, for a review; ci.apply applies just that."""
    from korthweb_tasks.services.ci import apply

    apply.write(session, approach, out)


@task(
    example="inv ci.apply --context hospital-a --plan plan.json --yes",
    without=("tenant",),
    help={"plan": "the file that ci.plan wrote", "hash": "the hash that was reviewed (default: that of the file)"},
)
def apply(session: Session, plan: str = "plan.json", hash: str = "") -> Report:  # noqa: A002 - what a person types
    """Deploy what was reviewed; refused with all that moved since: settings, renders, versions, the cluster."""
    from korthweb_tasks.services.ci import apply

    return apply.apply(session, plan, hash)
