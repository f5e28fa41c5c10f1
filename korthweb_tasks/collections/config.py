"""The settings: what they are, where each comes from, and whether they fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from korthweb_tasks.collections.flags import task

if TYPE_CHECKING:
    from korthweb_tasks.services.session import Session

_CONTEXT = {"context": "the cluster whose settings are meant; a lab's brings the profile lab (default: the one chosen)"}


@task(
    example="inv config.show --key tenants.BHC",
    cluster=False,
    changes=False,
    help={
        "key": "only this setting, or all inside this section: tenants.BHC, images (default: all)",
        "output": "table, json or yaml",
        "changed": "only what is not a default",
        **_CONTEXT,
    },
)
def show(
    session: Session,
    key: str = "",
    output: str = "table",
    changed: bool = False,
    context: str | None = None,
) -> None:
    """Print the effective settings, each with its origin; secrets are masked."""
    from korthweb_tasks.services import config

    session.context_flag, session.output = context, output
    session.emit(*config.shown(session.loaded, key, output, changed=changed))


@task(
    example="inv config.keys --key tenants",
    cluster=False,
    changes=False,
    help={"key": "only those with this word in them (default: all)"},
)
def keys(session: Session, key: str = "") -> None:
    """Print every key of korthweb.yaml with its default and what it means; no settings are read."""
    from korthweb_tasks.services import config

    session.emit(*config.keys(key))


@task(example="inv config.schema", cluster=False, changes=False)
def schema(session: Session) -> None:
    """Print the JSON Schema of korthweb.yaml, by which editors complete and check it; no settings are read."""
    from korthweb_tasks.services import config

    session.emit(*config.schema())


@task(example="inv config.check", cluster=False, changes=False, help=_CONTEXT)
def check(session: Session, context: str | None = None) -> None:
    """Validate the settings without a cluster, the database connections included; exit code 2 if they are wrong."""
    from korthweb_tasks.services import config

    session.emit(*config.checked(context))


@task(example="inv config.init", cluster=False, without=("yes",))
def init(session: Session) -> None:
    """Write a korthweb.yaml and a .env.example here, with every key and its meaning; nothing is overwritten."""
    from korthweb_tasks.services import config

    session.emit(*config.begun(dry_run=session.dry_run))
