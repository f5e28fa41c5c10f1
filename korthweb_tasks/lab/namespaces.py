"""The lab's two namespaces: a network one with a cable to the host, and a mount one.

The mount namespace is what keeps the host clean: the lab's own /run and /var/log, the kubelet's tmpfs
and the containers' file systems are in there only, and all of it is gone when its last process is. The kernel settings
that the kubelet insists on are covered by files that already say what it wants, so the host's stay.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from korthweb_tasks.core import hints
from korthweb_tasks.core.command import Command, Result
from korthweb_tasks.errors import CommandFailed, LabImpossible
from korthweb_tasks.lab.layout import Layout, blocks
from korthweb_tasks.run.runner import Runner, failure

#: what the kubelet writes for the whole machine when it finds other values
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
#: folders that become empty ones in memory, seen by the lab only
PRIVATE = ("/run", "/var/log")


def inside(layout: Layout, argv: Sequence[str]) -> tuple[str, ...]:
    """Return ``argv`` run inside both namespaces (``ip netns exec`` would remount /sys and hide the cgroups)."""
    if layout.simulated:
        return tuple(argv)
    return ("nsenter", f"--net={layout.netns}", f"--mount={layout.mountns}", "--", *argv)


def prepare(layout: Layout, runner: Runner) -> None:
    """Make both namespaces and the cable, or what is missing of them."""
    prepare_network(layout, runner)
    prepare_mounts(layout, runner)


def prepare_network(layout: Layout, runner: Runner) -> None:
    """Make the network namespace, the cable, the addresses and the routes."""
    if not is_mounted(layout.netns):
        layout.netns.unlink(missing_ok=True)
        _run(runner, "ip", "netns", "add", layout.tag)
    if not (Path("/sys/class/net") / layout.host_interface).exists():
        peer = ("peer", "name", layout.lab_interface, "netns", layout.tag)
        _run(runner, "ip", "link", "add", layout.host_interface, "type", "veth", *peer)
    host, lab = layout.host_interface, layout.lab_interface
    prefix = layout.link.prefixlen
    _batch(
        runner,
        f"address replace {layout.host_address}/{prefix} dev {host}",
        f"link set {host} up",
        f"route replace {layout.services} via {layout.address} dev {host}",
        f"route replace {layout.pods} via {layout.address} dev {host}",  # answers to pods that call the host
    )
    _batch(
        runner,
        "link set lo up",
        f"address replace {layout.address}/{prefix} dev {lab}",
        f"link set {lab} up",
        # looked up before the translation to a pod's address; without it webhooks are "unreachable" for the API server
        f"route replace {layout.services} dev {lab}",
        netns=layout.tag,
    )
    _prepare_kernel(layout, runner)


def _prepare_kernel(layout: Layout, runner: Runner) -> None:
    """Let the lab's network forward, and let its packet filter see what containers say to each other on their bridge.

    Raises LabImpossible where the kernel can't do the latter: Services would answer the host and no pod.
    """
    bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    lines = [
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        f"[ -e {bridged} ] || modprobe br_netfilter || true",
        f"[ -e {bridged} ] || exit 3",
        f"echo 1 > {bridged}",
    ]
    call = ("nsenter", f"--net={layout.netns}", "sh", "-ec", "\n".join(lines))
    if runner.run(Command(argv=call, timeout=30, ok=frozenset({0, 3}))).code == 3:
        raise LabImpossible(
            "a lab needs the kernel module br_netfilter, which is not to be had here",
            hint=f"`{hints.task('lab.up', simulated=True)}`, or an existing cluster: `{hints.task('context.list')}`",
        )


def filter_entrance(layout: Layout, runner: Runner, nft: Path, rules: str) -> None:
    """Put the rules into the lab's packet filter that keep out whoever the host might forward for."""
    call = ("nsenter", f"--net={layout.netns}", str(nft), "--file", "-")
    runner.run(Command(argv=call, stdin=rules, timeout=30))


def intact(layout: Layout, runner: Runner) -> bool:
    """Return True if both namespaces are there and finished."""
    if not is_mounted(layout.netns) or not is_mounted(layout.mountns):
        return False
    return runner.check(Command(argv=inside(layout, ("test", "-e", "/run/ready")))).code == 0


def prepare_mounts(layout: Layout, runner: Runner) -> None:
    """Make the mount namespace, unless it is there."""
    if intact(layout, runner):
        return
    remove_mounts(layout, runner)
    layout.namespaces.mkdir(parents=True, exist_ok=True)
    folder = str(layout.namespaces)
    _run(runner, "mount", "--bind", folder, folder)
    _run(runner, "mount", "--make-private", folder)  # the kernel keeps namespaces on private mounts only
    layout.mountns.touch()
    _run(runner, "unshare", f"--mount={layout.mountns}", "--propagation", "slave", "true")
    _run(runner, "nsenter", f"--mount={layout.mountns}", "sh", "-ec", furnish(layout.root))


def furnish(root: Path) -> str:
    """Return the script that makes the inside of a new mount namespace."""
    lines = ["mount --make-rshared /"]
    lines += [f"mount -t tmpfs -o mode=755 korthweb {folder}" for folder in PRIVATE]
    lines += ["mkdir -p /run/netns /run/lock /run/sysctl /run/lab"]
    # libcni keeps its notes in /var/lib/cni, whoever asks it not to
    over = "lowerdir=/var/lib,upperdir=/run/var-lib/upper,workdir=/run/var-lib/work"
    if Path("/var/lib") not in (root, *root.parents):
        lines += ["mkdir -p /run/var-lib/upper /run/var-lib/work", f"mount -t overlay -o {over} korthweb /var/lib"]
    # the lab's folder under its short name; a peer group of its own, or every mount would be there twice
    lines += [f"mount --bind {shlex.quote(str(root))} /run/lab", "mount --make-private /run/lab"]
    lines += ["mount --make-shared /run/lab"]
    for name, value in SYSCTLS.items():
        cover = f"/run/sysctl/{name.replace('/', '.')}"
        lines.append(
            f"[ ! -e /proc/sys/{name} ] || {{ echo {value} > {cover}; mount --bind {cover} /proc/sys/{name}; }}"
        )
    return "\n".join([*lines, "touch /run/ready"])


def remove_mounts(layout: Layout, runner: Runner) -> None:
    """Let go of the mount namespace; it ends with its last process."""
    for path in (layout.mountns, layout.namespaces):
        while is_mounted(path):
            _remove(runner, partial(is_mounted, path), "umount", "--lazy", str(path))


def remove_network(layout: Layout, runner: Runner) -> None:
    """Remove cable, routes and network namespace, or what there is of them."""
    cable = Path("/sys/class/net") / layout.host_interface
    # the kernel takes a cable away by itself, some time after the last process of the namespace at its other end
    _remove(runner, cable.exists, "ip", "link", "delete", layout.host_interface)  # the routes over it go too
    _remove(runner, layout.netns.exists, "ip", "netns", "delete", layout.tag)


def is_mounted(path: Path) -> bool:
    """Return True if something is mounted on ``path``, from this process's own list of mounts."""
    target = _escaped(path)
    return any(line.split()[4] == target for line in Path("/proc/self/mountinfo").read_text().splitlines())


def mounts_below(folder: Path) -> list[str]:
    """Return the mount points at or below ``folder``, the deepest first."""
    top = _escaped(folder)
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted((p for p in points if p == top or p.startswith(f"{top}/")), key=len, reverse=True)


def taken(runner: Runner, subnet: IPv4Network) -> set[int]:
    """Return the indices whose block meets a route of the host or whose interface exists."""
    used: set[int] = set()
    for line in runner.run(Command(argv=("ip", "-4", "route", "show", "table", "all"))).stdout.splitlines():
        words = [word for word in line.split()[:2] if "." in word]
        for word in words[:1]:
            with suppress(ValueError):
                network = IPv4Network(word, strict=False)
                used.update(i for i in range(blocks(subnet)) if Layout("", Path(), i, subnet).block.overlaps(network))
    names = (
        name.removeprefix("kw").removesuffix("-host")
        for name in (path.name for path in Path("/sys/class/net").iterdir())
    )
    return used | {int(name) for name in names if name.isdigit()}


def members(netns: Path) -> list[int]:
    """Return the processes in a network namespace, whoever started them."""
    try:
        wanted = f"net:[{netns.stat().st_ino}]"
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and str((entry / "ns/net").readlink()) == wanted:
                found.append(int(entry.name))
    return found


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\134").replace(" ", "\\040")


def _run(runner: Runner, *argv: str) -> Result:
    return runner.run(Command(argv=argv, timeout=30))


def _remove(runner: Runner, exists: Callable[[], bool], *argv: str) -> None:
    """Remove what exists. Raises CommandFailed where it is still there afterwards, not where it went by itself."""
    if not exists():
        return
    result = runner.check(Command(argv=argv, timeout=30))
    if result.code != 0 and exists():
        raise failure(result)


def _batch(runner: Runner, *lines: str, netns: str | None = None) -> None:
    """Run lines of ``ip`` in one process."""
    where = ("-netns", netns) if netns else ()
    result = runner.check(Command(argv=("ip", *where, "-batch", "-"), stdin="\n".join(lines) + "\n", timeout=30))
    if result.code != 0:
        raise CommandFailed("the lab's network can not be made", code=result.code, stderr=result.stderr)
