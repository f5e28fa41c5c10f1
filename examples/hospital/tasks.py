"""Our own tasks beside korthweb's: `inv --list` shows both."""

from invoke import Collection, Context, task
from korthweb_tasks import config, errors, manual, verify

CLUSTER = "hospital-a"


@task(pre=[config.check])
def bring(c: Context) -> None:
    """Deploy each department by itself, and prove it; go on with the others where one fails."""
    failed = []
    for tenant in ("RAD", "CARD"):
        try:
            manual.deploy(c, context=CLUSTER, tenant=tenant, yes=True)
            verify.everything(c, context=CLUSTER, tenant=tenant, restart=False, yes=True, report=f"reports/{tenant}")
        except errors.KorthwebError as error:
            print(f"{tenant}: {error.message}; {error.hint}")
            failed.append(tenant)
    if failed:
        raise errors.StepFailed(f"not deployed: {', '.join(failed)}")


ns = Collection(bring)
for group in (config, manual, verify):
    ns.add_collection(group)
