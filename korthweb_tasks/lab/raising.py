"""The work of ``lab.up``, as a graph: what can go side by side does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from korthweb_tasks.core.record import StepRecord
from korthweb_tasks.lab import cgroups, control, gitserver, graph, mirror, namespaces, node, objects, teardown
from korthweb_tasks.lab.config import firewall
from korthweb_tasks.lab.graph import Note, Work
from korthweb_tasks.lab.image_recipes import ImageRecipes
from korthweb_tasks.lab.images import image_archives
from korthweb_tasks.lab.layout import DEFAULT_SUBNET
from korthweb_tasks.lab.packages import host_tools
from korthweb_tasks.lab.programs import CLIS, REAL, SIMULATED, Programs
from korthweb_tasks.lab.site import Site
from korthweb_tasks.provision import builder, tools
from korthweb_tasks.run.console import Console

#: seconds that a part of the node may take until it is ready
SECONDS = 300


@dataclass(frozen=True, slots=True)
class Options:
    """What settings say about labs.

    ``images`` None means all that there are recipes for; ``image_mode`` is build, pull or auto, from ``mirror``.
    ``more`` are components that are built along for what comes next, while what they share is still compiled.
    """

    subnet: IPv4Network = DEFAULT_SUBNET
    volume_size: str = "20Gi"
    volumes: int = 24
    fake_nodes: int = 3
    keep_build_caches: bool = False
    images: tuple[str, ...] | None = None
    image_mode: str = "build"
    mirror: str | None = None
    more: tuple[str, ...] = ()


class Raising:
    """One run of ``lab.up`` on one lab."""

    def __init__(self, site: Site, console: Console, options: Options) -> None:
        self.site, self.console, self.options = site, console, options
        self.layout = site.layout
        self.images: dict[str, str] = {} if self.layout.simulated else chosen_images(options)
        self.components = needed(options, self.layout.simulated)
        self.programs = Programs(
            self.components, self._tell_build, keep_caches=options.keep_build_caches, stop=site.runner.stopping
        )
        self.tools = Path()
        self.missing: list[str] = []

    def run(self) -> tuple[StepRecord, ...]:
        """Do it all, and tell how each piece went."""
        self.missing = builder.missing(self.components)
        if forecast := builder.forecast(self.components):
            self.console.line(forecast)
        self.programs.start()
        works = [*self.programs.works(self.missing), Work("tools", "host programs", self._host_tools)]
        works += self._simulated() if self.layout.simulated else self._real()
        return tuple(graph.run(works, self.console, self._stop))

    def _simulated(self) -> list[Work]:
        options = self.options
        items = objects.of_simulation(self.layout, options.volume_size, options.volumes, options.fake_nodes)
        return [
            Work("control-plane", "control plane", self._control, ("tools", *self._built(*SIMULATED))),
            Work("objects", "nodes and volumes", partial(self._play, items), ("control-plane",)),
        ]

    def _play(self, items: list[objects.Object], note: Note) -> bool:
        created = self.site.api.apply(items)
        number, needs = self.options.fake_nodes, ("kwok-controller",)

        def ready() -> bool:
            return node.ready_nodes(self.site) >= number

        # kwok gives up on an API server that is slow to come, too
        self.site.until("fake nodes", ready, seconds=SECONDS, needs=needs, again=partial(self._control, note))
        return created

    def _real(self) -> list[Work]:
        proxy, names = node.kube_proxy, node.coredns
        routers = self._starter(node.kube_router, "kube-router", "kube-router")
        known, built = ("identities",), self._built
        inside = ImageRecipes().components(self.images)
        extra = [Work("registry", "registry", self._registry, known)] if mirror.wanted(self.layout) else []
        extra += [Work("git", "Git server", self._git, known)] if gitserver.wanted(self.layout) else []
        return [
            *extra,
            Work("network", "namespaces and network", self._network, ("tools",)),
            Work("containerd", "containerd", self._containerd, ("network",)),
            Work("images", "images", self._images, ("containerd", *built(*inside))),
            Work("control-plane", "control plane", self._control, ("network", *built(*SIMULATED))),
            Work("identities", "identities", self._identities, ("control-plane",)),
            Work("kubelet", "kubelet", self._kubelet, ("identities", "containerd")),
            Work("kube-proxy", "kube-proxy", self._starter(proxy, "kubernetes", "kube-proxy"), known),
            Work("coredns", "CoreDNS", self._starter(names, "coredns", "coredns"), (*known, *built("coredns"))),
            Work("kube-router", "kube-router", routers, ("kubelet", *built("kube-router"))),
            Work(
                "metrics-server",
                "metrics-server",
                self._metrics,
                ("kubelet", "kube-proxy", *built("metrics-server")),
            ),
            Work("volumes", "volumes", self._volumes, ("control-plane",)),
            Work("names", "names resolve", self._names, ("coredns", "kube-proxy")),
        ]

    def _built(self, *components: str) -> tuple[str, ...]:
        """Return the builds of ``components`` that have to end first: waiting for one is not work of the next."""
        return tuple(f"build:{name}" for name in components if name in self.missing)

    def _tell_build(self, name: str, line: str) -> None:
        self.console.note(f"build:{name}", line)

    def _stop(self) -> None:
        self.site.runner.stop()

    def _host_tools(self, note: Note) -> bool:
        self.tools = host_tools(note)
        self.site.paths = [self.tools]
        return False

    def _network(self, _: Note) -> bool:
        layout, runner = self.layout, self.site.runner
        fresh = not namespaces.intact(layout, runner)
        if fresh:  # what still runs is in namespaces that nobody can enter any more
            teardown.end_processes(layout)
            namespaces.remove_mounts(layout, runner)
            namespaces.remove_network(layout, runner)
        cgroups.prepare(layout.tag)
        namespaces.prepare(layout, runner)
        namespaces.filter_entrance(layout, runner, self.tools / "nft", firewall(layout))
        return fresh

    def _control(self, note: Note) -> bool:
        kubernetes, kwok = self.programs.folder("kubernetes"), self.programs.folder("kwok")
        self.site.paths = [self.tools, kubernetes]  # kwokctl calls kubectl
        parts = {name: kubernetes / name for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")}
        parts |= {"kwok": kwok / "kwok", "kwokctl": kwok / "kwokctl", "etcd": self.tools / "etcd"}
        return control.up(self.site, parts, note)

    def _identities(self, _: Note) -> bool:
        node.identities(self.site)
        ca = (self.layout.pki / "ca.crt").read_bytes()
        return self.site.api.apply([*objects.dns(self.layout), *objects.rights(), *objects.metrics(self.layout, ca)])

    def _containerd(self, _: Note) -> bool:
        return node.containerd(self.site, self.tools, self.images["pause"])

    def _images(self, note: Note) -> bool:
        options, names = self.options, list(self.images)

        def compiled() -> None:  # in their best order; images would take them in their own
            self.programs.finish(ImageRecipes().components(names))

        archives = image_archives(note, names, mode=options.image_mode, mirror=options.mirror, before_build=compiled)
        return node.import_images(self.site, self.tools, archives, self.images, note)

    def _starter(self, start: Callable[[Site, Path], bool], component: str, program: str) -> Callable[[Note], bool]:
        return lambda _: start(self.site, self.programs.folder(component) / program)

    def _kubelet(self, note: Note) -> bool:
        kubelet = self.programs.folder("kubernetes") / "kubelet"
        started = node.kubelet(self.site, kubelet)
        needs = ("kubelet", "containerd")

        def again() -> None:
            # the controller manager, which takes the node's taint away, gives up on an API server that is slow to come
            self._control(note)
            node.kubelet(self.site, kubelet)

        all_needs = (*needs, "kube-controller-manager", "kube-scheduler")
        ready = partial(node.node_ready, self.site)
        self.site.until("the node", ready, seconds=SECONDS, needs=all_needs, again=again)
        if started:
            self.site.until("the kubelet", partial(node.kubelet_knows, self.site), seconds=SECONDS, needs=needs)
        return started

    def _metrics(self, _: Note) -> bool:
        start = partial(node.metrics_server, self.site, self.programs.folder("metrics-server") / "metrics-server")
        started = start()
        ready = partial(node.metrics_ready, self.site)
        self.site.until("the metrics API", ready, seconds=SECONDS, needs=("metrics-server",), again=start)
        return started

    def _registry(self, _: Note) -> bool:
        return mirror.up(self.site, self.tools)

    def _git(self, note: Note) -> bool:
        return gitserver.up(self.site, host_tools(note, recipe_of="git"))

    def _names(self, _: Note) -> bool:
        ready = partial(node.dns_ready, self.layout)
        self.site.until("DNS", ready, seconds=SECONDS, needs=("coredns", "kube-proxy"))
        return False

    def _volumes(self, _: Note) -> bool:
        options = self.options
        for number in range(options.volumes):
            node.make_volume(self.layout, objects.volume_name(number))
        created = self.site.api.apply(objects.storage(self.layout, options.volume_size, options.volumes))
        return bool(node.recycle(self.site)) or created


def chosen_images(options: Options) -> dict[str, str]:
    """Return the images to import, short name → full name; pods can't start without the pause image."""
    recipes = ImageRecipes()
    names = recipes.imported() if options.images is None else ["pause", *options.images]
    return {name: recipes.full_name(name) for name in sorted(set(names))}


def needed(options: Options, simulated: bool) -> list[str]:
    """Return the components whose binaries a lab needs, in the order in which it needs them.

    What is inside of images belongs to them only where images will certainly be made here, not pulled.
    """
    if simulated:
        return list(SIMULATED)
    made_here = options.image_mode == "build" or (options.image_mode == "auto" and not options.mirror)
    inside = ImageRecipes().components(chosen_images(options)) if made_here else []
    # what the next tasks call is built along, while the compiled packages that it shares are still there
    clis = [name for name in CLIS if tools.present(tools.tool_of(name)) is None]
    return list(dict.fromkeys([*REAL, *inside, *clis, *options.more]))
