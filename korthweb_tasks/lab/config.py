"""The settings of each component, as data; nothing here reads or writes anything.

Paths below ``INSIDE`` are what the lab's folder is called in its own mount namespace: short, since a socket's path
must stay under 108 bytes, and the same in every lab.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from korthweb_tasks.lab.layout import API_PORT, DOMAIN, HOST_ALIAS, NODE, Layout
from korthweb_tasks.lab.pki import ADMIN

INSIDE = Path("/run/lab")
CA = "ca.crt"
#: how kwok plays nodes and pods; given any stage at all, it has none of its own
STAGES = Path(__file__).with_name("stages.yaml")
#: what a simulated lab's API server notes: the questions of the accounts that context.ci-account makes
AUDIT = Path(__file__).with_name("audit.yaml")

ADDRESS_STAGE = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "service-address"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Service"},
        "selector": {
            "matchExpressions": [
                {"key": ".spec.type", "operator": "In", "values": ["LoadBalancer"]},
                {"key": ".status.loadBalancer.ingress", "operator": "DoesNotExist"},
            ]
        },
        # the Service's own ClusterIP, which the host has a route to; "Proxy" keeps kube-proxy from adding it twice
        "next": {"statusTemplate": 'loadBalancer:\n  ingress:\n  - ip: "{{ .spec.clusterIP }}"\n    ipMode: Proxy\n'},
    },
}


def kwokctl(layout: Layout, programs: Mapping[str, Path], port: int = API_PORT) -> str:
    """Return kwokctl's settings: everything on the loopback, but the API server of a real lab.

    ``programs`` are the paths of etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok.
    """
    options: dict[str, Any] = {
        "runtime": "binary",
        "bindAddress": "127.0.0.1",
        "kubeApiserverPort": port,
        "securePort": True,
        "kubeAuthorization": True,
        "kubeAdmission": True,
        "etcdBinary": str(programs["etcd"]),
        "kubeApiserverBinary": str(programs["kube-apiserver"]),
        "kubeControllerManagerBinary": str(programs["kube-controller-manager"]),
        "kubeSchedulerBinary": str(programs["kube-scheduler"]),
        "kwokControllerBinary": str(programs["kwok"]),
    }
    configuration = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": options,
        "componentsPatches": patches(layout),
    }
    documents = [json.dumps(document, indent=1) for document in (configuration, ADDRESS_STAGE)]
    return "\n---\n".join([*documents, STAGES.read_text()] if layout.simulated else documents) + "\n"


def patches(layout: Layout) -> list[dict[str, Any]]:
    """Return the flags that kwokctl does not set itself."""
    services = {"service-cluster-ip-range": str(layout.services)}
    api: dict[str, str] = {
        **services,
        "api-audiences": f"https://kubernetes.default.svc.{DOMAIN},istio-ca",
        "enable-admission-plugins": "NodeRestriction",
        "requestheader-client-ca-file": str(layout.pki / CA),
        "requestheader-allowed-names": ADMIN,
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
    }
    manager = {**services, "allocate-node-cidrs": "true", "cluster-cidr": str(layout.pods), "leader-elect": "false"}
    manager["node-cidr-mask-size-ipv4"] = str(max(24, layout.pods.prefixlen))
    # 20 a second is what it may ask by default: removing six namespaces with the kinds of a fleet takes minutes of that
    manager |= {"kube-api-qps": "200", "kube-api-burst": "400"}
    if layout.simulated:
        api |= {"audit-policy-file": str(AUDIT), "audit-log-path": str(layout.logs / "audit.log")}
        api |= {"audit-log-maxsize": "20", "audit-log-maxbackup": "1"}
    override: dict[str, str] = {}
    kwok: dict[str, str] = {}
    if not layout.simulated:
        api |= {
            "advertise-address": layout.address,
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-client-certificate": str(layout.pki / "admin.crt"),
            "kubelet-client-key": str(layout.pki / "admin.key"),
            "kubelet-certificate-authority": str(layout.pki / CA),
        }
        override = {"bind-address": "0.0.0.0"}  # noqa: S104 - of the lab's own namespace
        kwok = {"manage-all-nodes": "false", "manage-nodes-with-annotation-selector": "kwok.x-k8s.io/node=fake"}
    return [
        # the lab is made again after a power cut, so etcd need not wait for the disk
        _patch("etcd", {"unsafe-no-fsync": "true"}),
        _patch("kube-apiserver", api, override),
        _patch("kube-controller-manager", manager),
        _patch("kube-scheduler", {"leader-elect": "false"}),
        _patch("kwok-controller", kwok),
    ]


def containerd(sandbox: str, programs: Path) -> str:
    """Return containerd's settings; ``sandbox`` is the pause image, ``programs`` the folder of runc and the shim."""
    return f"""version = 3
root = "{INSIDE}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.internal.v1.opt']
  path = "{INSIDE}/opt"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{sandbox}"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "{INSIDE}/config/registries"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{programs}/cni"]
  conf_dir = "{INSIDE}/config/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "{programs}/containerd-shim-runc-v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = "{programs}/runc"
    SystemdCgroup = false
"""


def cni(layout: Layout) -> str:
    """Return the pods' network: a bridge, with the node's share of the pods' range."""
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": str(node_pods(layout))}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": ipam,
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "1.0.0", "name": "lab", "plugins": plugins}, indent=1) + "\n"


def node_pods(layout: Layout) -> str:
    """Return the part of the pods' range that the node has (the first one, as the controller manager gives it)."""
    prefix = max(24, layout.pods.prefixlen)
    return str(next(layout.pods.subnets(new_prefix=prefix)))


def kubelet(layout: Layout) -> str:
    """Return the kubelet's settings."""
    data = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.address,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / CA)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(INSIDE / "config/kubelet-serving.crt"),
        "tlsPrivateKeyFile": str(INSIDE / "config/kubelet-serving.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.tag}",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "clusterDNS": [layout.dns_service],
        "clusterDomain": DOMAIN,
        "resolvConf": "/dev/null",
        "failSwapOn": False,
        "maxPods": 110,
        # images can't be pulled again, so a disk that is rather full is not a reason to remove them
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        # Orthanc ends when its database is not there yet; nobody wants to wait minutes for its next try
        "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"},
        "makeIPTablesUtilChains": False,
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "5s",
        "serializeImagePulls": False,
        "podLogsDir": str(INSIDE / "logs/pods"),
        "volumePluginDir": str(INSIDE / "kubelet-plugins"),
        "staticPodPath": "",
    }
    return json.dumps(data, indent=1) + "\n"


def kube_proxy(layout: Layout) -> str:
    """Return kube-proxy's settings."""
    data = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": layout.address,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": str(layout.pods),
        "clientConnection": {"kubeconfig": str(INSIDE / "config/kube-proxy.kubeconfig")},
        "hostnameOverride": NODE,
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
    return json.dumps(data, indent=1) + "\n"


def corefile(layout: Layout) -> str:
    """Return CoreDNS's settings: the cluster's names, the host's, and a quick "no such name" for all others.

    A block per zone, since within a block the order of plugins is CoreDNS's own.
    """
    common = f"    bind {layout.address}\n    errors\n"
    host_zone = HOST_ALIAS.partition(".")[2]
    return f"""{DOMAIN} in-addr.arpa ip6.arpa {{
{common}    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {INSIDE}/config/coredns.kubeconfig
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
{host_zone} {{
{common}    hosts {{
        {layout.host_address} {HOST_ALIAS}
    }}
}}
. {{
{common}    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def firewall(layout: Layout) -> str:
    """Return rules (for ``nft``) that let only the host itself in over the cable, also where it forwards for others."""
    return f"""table inet korthweb
delete table inet korthweb
table inet korthweb {{
  chain entrance {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{layout.lab_interface}" ip saddr != {layout.host_address} drop
    iifname "{layout.lab_interface}" meta nfproto ipv6 drop
  }}
}}
"""


def _patch(name: str, extra: Mapping[str, str], override: Mapping[str, str] | None = None) -> dict[str, Any]:
    arguments: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in extra.items()]
    arguments += [{"key": key, "value": value, "override": True} for key, value in (override or {}).items()]
    return {"name": name, "extraArgs": arguments}
