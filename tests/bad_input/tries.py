"""Bad input, as people bring it: what they type and what lies in their folder, and the exit code that is right.

A try is refused with one error, in words, and with advice that helps. Where ``code`` is 0 the input is odd but sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from korthweb_tasks.settings.model import Settings
from korthweb_tasks.settings.schema import Path as Place
from korthweb_tasks.settings.schema import kind_at

OFFLINE = ("config.check",)
CLUSTER = ("manual.status",)


@dataclass(frozen=True)
class Try:
    """What is typed where. ``files``: path in the project to text or bytes; ``says``: a part of the error."""

    name: str
    argv: tuple[str, ...] = OFFLINE
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    code: int = 2
    says: str = ""
    modes: Mapping[str, int] = field(default_factory=dict)


def keys(place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Yield each place of the settings that has a key, with the name of its kind."""
    kind = kind_at(place)
    assert kind
    if place:
        yield place, kind.name
    if kind.name == "section":
        for key in kind.keys:
            yield from keys((*place, key))
    elif kind.name == "table" and kind.item and kind.item.name == "section":
        yield from keys((*place, kind.keys[0] if kind.keys else "one"))
    elif kind.name == "list" and kind.item and kind.item.name == "section":
        yield from keys((*place, 0))


def at(place: Place, value: str) -> str:
    """Return settings in which this value (YAML in one line) stands at this place."""
    text = value
    for key in reversed(place):
        text = f"[{text}]" if isinstance(key, int) else f"{{{key}: {text}}}"
    return text[1:-1] + "\n"


#: what does not belong at a place of this kind
MISPLACED = {
    "section": {"text": "word", "list": "[a]", "number": "7"},
    "table": {"text": "word", "list": "[a]", "number": "7"},
    "list": {"text": "word", "table": "{a: 1}", "number": "7"},
    "text": {"table": "{a: 1}", "list": "[a]", "empty": "''"},
    "value": {"table": "{a: 1}", "list": "[[a]]", "text": "a word"},
    "free": {},
}


def settings() -> Iterator[Try]:
    """A wrong kind of value at each key; files that are no settings; numbers and names that can't work."""
    for place, kind in keys():
        for name, value in MISPLACED[kind].items():
            path = ".".join(map(str, place))
            yield Try(f"{path}={name}", files={"korthweb.yaml": at(place, value)}, says="korthweb.yaml:1")
    for name, text in {
        "a list": "- a\n- b\n",
        "a word": "hello\n",
        "a number": "12\n",
        "a tab": "orthanc:\n\tconnections: 5\n",
        "unclosed": "tenants: [{name: A\n",
        "a key twice": "approach: helm\napproach: manual\n",
        "two documents": "approach: helm\n---\napproach: manual\n",
        "an alias bomb": "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
        "a tag": "approach: !!python/object/apply:os.system ['true']\n",
        "an unknown anchor": "approach: *nowhere\n",
        "jinja": "approach: {{ approach }}\n",
        "a template": "approach: ${APPROACH}\n",
        "JSON with a comma": '{"approach": "helm",, }\n',
        "a merge conflict": "<<<<<<< HEAD\napproach: helm\n=======\napproach: manual\n>>>>>>> x\n",
    }.items():
        yield Try(f"korthweb.yaml is {name}", files={"korthweb.yaml": text}, says="korthweb.yaml")
    for name, raw in {
        "not UTF-8": b"approach: h\xe9lm\n",
        "binary": bytes(range(256)),
        "UTF-16": "approach: helm\n".encode("utf-16"),
        "with a NUL": b"approach: he\0lm\n",
    }.items():
        yield Try(f"korthweb.yaml is {name}", files={"korthweb.yaml": raw}, says="korthweb.yaml")
    for name, sound in {
        "empty": "",
        "only comments": "# nothing\n",
        "Windows": "approach: helm\r\n",
        "a BOM": "\ufeffapproach: helm\n",
        "no end of line": "approach: helm",
    }.items():
        yield Try(f"korthweb.yaml is {name}", files={"korthweb.yaml": sound}, code=0)
    yield from (
        Try(f"a value that can't work: {text}", files={"korthweb.yaml": f"{text}\n"}, says=says)
        for text, says in WRONG_VALUES.items()
    )


WRONG_VALUES = {
    "approach: Helm": "helm",
    "approach: ansible": "approach",
    "aproach: helm": "approach",
    "profile: laboratory": "lab",
    "storage: 10": "storage",
    "tenants: [{name: BHC, domain: bhc.example, storage: 10}]": "10Gi",
    "tenants: [{name: BHC, domain: bhc.example, storage: 10GB}]": "storage",
    "tenants: [{name: BHC, domain: bhc.example, storage: 0Gi}]": "storage",
    "tenants: [{name: BHC, domain: bhc.example, storage: 500m}]": "storage",
    "tenants: [{name: BHC, domain: bhc.example, storage: -5Gi}]": "storage",
    "tenants: [{name: BHC, domain: bhc.example, storage: 1.5.2Gi}]": "storage",
    "tenants: [{name: BHC}]": "domain",
    "tenants: [{domain: bhc.example}]": "name",
    "tenants: []": "tenant",
    "tenants: [{name: '', domain: bhc.example}]": "name",
    "tenants: [{name: 'B H C', domain: bhc.example}]": "name",
    "tenants: [{name: BHC, domain: 'http://bhc.example'}]": "domain",
    "tenants: [{name: BHC, domain: 'bhc.example:443'}]": "domain",
    "tenants: [{name: BHC, domain: 10.0.0.1}]": "domain",
    "tenants: [{name: BHC, domain: '*.example'}]": "domain",
    "tenants: [{name: BHC, domain: localhost}]": "domain",
    "tenants: [{name: BHC, domain: bhc..example}]": "domain",
    "tenants: [{name: BHC, domain: bhc.example}, {name: BHC, domain: two.example}]": "BHC",
    "tenants: [{name: BHC, domain: bhc.example}, {name: bhc, domain: two.example}]": "bhc",
    "tenants: [{name: BHC, domain: bhc.example}, {name: MHR, domain: bhc.example}]": "bhc.example",
    "tenants: [{name: BHC, domain: bhc.example, aet: SEVENTEEN_LETTERS}]": "16",
    "tenants: [{name: BHC, domain: bhc.example, aet: 'a\\\\b'}]": "aet",
    "tenants: [{name: BHC, domain: bhc.example, namespace: kube-system}]": "kube-system",
    "tenants: [{name: BHC, domain: bhc.example, namespace: default}]": "default",
    "tenants: [{name: BHC, domain: bhc.example, namespace: Upper}]": "namespace",
    "tenants: [{name: BHC, domain: bhc.example, users: []}]": "users",
    "tenants: [{name: BHC, domain: bhc.example, users: ['a b']}]": "users",
    "tenants: [{name: BHC, domain: bhc.example, replicas: {min: 5, max: 3}}]": "replicas",
    "tenants: [{name: BHC, domain: bhc.example, replicas: {min: 0, max: 3}}]": "replicas",
    "tenants: [{name: BHC, domain: bhc.example, replicas: {min: -1}}]": "replicas",
    "tenants: [{name: BHC, domain: bhc.example, replicas: {max: 9999}}]": "100",
    "orthanc: {connections: 0}": "connections",
    "orthanc: {connections: 5.5}": "connections",
    "orthanc: {connections: five}": "connections",
    "orthanc: {connections: -1}": "connections",
    "orthanc: {config: {AuthenticationEnabled: false}}": "AuthenticationEnabled",
    "orthanc: {config: {PostgreSQL: {EnableStorage: false}}}": "EnableStorage",
    "orthanc: {config: {OverwriteInstance: true}}": "OverwriteInstances",
    "orthanc: {config: {HttpPort: 8043}}": "HttpPort",
    "orthanc: {config: {HttpPort: eight}}": "HttpPort",
    "orthanc: {config: {DicomAet: OTHER}}": "DicomAet",
    "orthanc: {plugins: [libOrthancDicomWeb.so]}": "PostgreSQL",
    "orthanc: {resources: {requests: {cpu: a lot}}}": "cpu",
    "orthanc: {resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}": "memory",
    "orthanc: {drain_seconds: -1}": "drain_seconds",
    "images: {orthanc: 'orthanc:latest'}": "latest",
    "images: {orthanc: 'Orthanc:1'}": "orthanc",
    "images: {orthanc: orthanc}": "orthanc",
    "images: {registry: 'https://mirror.example'}": "registry",
    "images: {registry: 'mirror.example/'}": "registry",
    "images: {pull_policy: Sometimes}": "pull_policy",
    "versions: {istoi: 1.31.1}": "istio",
    "versions: {istio: latest}": "version",
    "versions: {orthanc: ''}": "orthanc",
    "charts: {traefic: {source: x}}": "traefik",
    "charts: {traefik: {source: 'http://charts.example'}}": "http",
    "components: {istoi: use}": "istio",
    "components: {istio: uses}": "use",
    "timeouts: {step: 10 minutes}": "step",
    "timeouts: {step: 0}": "step",
    "timeouts: {step: -5}": "step",
    "timeouts: {step: 10x}": "step",
    "tools: {source: apt}": "source",
    "lab: {name: My Lab}": "name",
    "lab: {subnet: 10.0.0.0/33}": "subnet",
    "lab: {subnet: everywhere}": "subnet",
    "accept_risks: [everything]": "everything",
    "clusters: {a: {}}": "context",
    "clusters: {a: {context: x, bastion: {}}}": "host",
    "clusters: {a: {context: x, bastion: {host: 'user@host'}}}": "host",
    "clusters: {a: {context: x, tenants: [NOPE]}}": "NOPE",
    "clusters: {a: {context: x, production: maybe}}": "production",
    "clusters: {'': {context: x}}": "clusters",
    "gitops: {url: 'http://git.example/fleet.git'}": "http",
    "gitops: {url: nothing}": "url",
    "gitops: {provider: bitbucket}": "provider",
    "gitops: {interval: soon}": "interval",
    "gitops: {secrets: plain}": "secrets",
    "password: secret": "password",
    "postgres: {instances: 0}": "instances",
    "postgres: {database: 'a; drop'}": "database",
    "postgres: {user: postgres}": "user",
    "observability: {kialy: false}": "kiali",
    "storage_class: 'Not A Class'": "storage_class",
}


def dotenv() -> Iterator[Try]:
    """What people write into .env."""
    for text, says in {
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD=short": "8 characters",
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD=changeme": "everybody knows",
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD=": "ADMIN_PASSWORD",
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD='has \"quotes\" inside'": "ADMIN_PASSWORD",
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD='has ${NAME} inside'": "ADMIN_PASSWORD",
        "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD='back\\slash and more'": "ADMIN_PASSWORD",
        "KORTHWEB__ORTHANC__CONNECTION=5": "connections",
        "KORTHWEB__ORTHANC__CONNECTIONS=five": "connections",
        "KORTHWEB__ORTHANC__CONNECTIONS=": "CONNECTIONS",
        "KORTHWEB__NOPE=1": "nope",
        "KORTHWEB__APPROACH=[helm": "APPROACH",
        "KORTHWEB__TENANTS__9__AET=X": "TENANTS",
        "KORTHWEB__TENANTS__NOPE__AET=X": "NOPE",
        "KORTHWEB__PROFILE=laboratory": "lab",
    }.items():
        yield Try(f".env: {text}", files={".env": f"{text}\n"}, says=says, modes={".env": 0o600})
    for text, says in {  # told, and no reason to stop
        "KORTHWEB_BHC_ADMIN_PASSWORD=long enough 123": "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD",
        "KORTHWEB_SECRET_BHC_ADMIN=long enough 123": "KORTHWEB_SECRET_BHC_ADMIN_PASSWORD",
        "KORTHWEB_SECRET_BHC_NOBODY_PASSWORD=long enough 123": "NOBODY",
        "KORTHWEB_SECRET_NOPE_ADMIN_PASSWORD=long enough 123": "NOPE",
        "KORTHWEB_PROFILE=lab": "KORTHWEB__PROFILE",
    }.items():
        yield Try(f".env: {text}", files={".env": f"{text}\n"}, says=says, modes={".env": 0o600}, code=0)
    for name, raw in {"binary": bytes(range(200)), "not UTF-8": b"A=\xe9\n"}.items():
        yield Try(f".env is {name}", files={".env": raw}, modes={".env": 0o600}, says=".env")


def environment() -> Iterator[Try]:
    """Variables, as a pipeline sets them."""
    for name, value, says in (
        ("KORTHWEB__CONTEXT", "", "KORTHWEB__CONTEXT"),
        ("KORTHWEB__CONTEXT", "  ", "KORTHWEB__CONTEXT"),
        ("KORTHWEB__APPROACH", "argo", "KORTHWEB__APPROACH"),
        ("KORTHWEB__ORTHANC__CONNECTIONS", "many", "KORTHWEB__ORTHANC__CONNECTIONS"),
        ("KORTHWEB__ORTHANC__CONFIG", "word", "KORTHWEB__ORTHANC__CONFIG"),
        ("KORTHWEB__ORTHANC__CONFIG__HttpPort", "80", "HttpPort"),
        ("KORTHWEB__ORTHANC__CONFIG__HTTPPORT", "80", "HttpPort"),
        ("KORTHWEB__TENANTS", "BHC", "KORTHWEB__TENANTS"),
        ("KORTHWEB__TENANTS__BHC", "x", "KORTHWEB__TENANTS__BHC"),
        ("KORTHWEB__TENANTS__BHC__REPLICAS__MIN", "0", "replicas"),
        ("KORTHWEB__TIMEOUTS__STEP", "soon", "KORTHWEB__TIMEOUTS__STEP"),
        ("KORTHWEB__", "x", "KORTHWEB__"),
        ("KORTHWEB____X", "x", "KORTHWEB____X"),
        ("KORTHWEB_SETTINGS", "x.yaml", "--settings"),
        ("KORTHWEB_CONTEXT", "x", "KORTHWEB__CONTEXT"),
        ("KORTHWEB_TENANT", "x", "--tenant"),
        ("KORTHWEB_KUBECONFIG", "x", "KUBECONFIG"),
        ("KORTHWEB_SECRET_BHC_ADMIN_PASSWORD", "short", "8 characters"),
        ("KORTHWEB_SECRET_BHC_ADMIN_PASSWORD", "", "ADMIN_PASSWORD"),
        ("KORTHWEB_SECRET_BHC_ADMIN_PASSWORD", "tab\tin the middle", "ADMIN_PASSWORD"),
    ):
        yield Try(f"{name}={value!r}", env={name: value}, says=says)


#: the words that these tasks take by their place
PLACES = {
    "context.use": ("hospital-a",),
    "gitops.add-tenant": ("CHR", "--domain", "chr.example.org"),
    "gitops.explain": ("BHC",),
    "gitops.reconcile": ("BHC",),
    "gitops.remove-tenant": ("BHC",),
    "gitops.resume": ("BHC",),
    "gitops.suspend": ("BHC",),
    "lab.logs": ("etcd",),
    "manual.render": ("--out", "out"),
    "tools.install": ("kubectl",),
    "verify.isolation": ("--approach", "gitops"),
}


def flags(tasks: Mapping[str, frozenset[str]]) -> Iterator[Try]:
    """Flags that no task has, that lack their value, that are empty, given twice, or mean nothing."""
    for name, known in tasks.items():
        words = PLACES.get(name, ())
        task = (name, *words)
        yield Try(f"{name} --tennant", (*task, "--tennant", "BHC"), says="tennant")
        if "context" in known:
            yield Try(f"{name} --context ''", (*task, "--context", ""), says="--context is empty")
        if "tenant" in known:
            yield Try(f"{name} --tenant ''", (*task, "--tenant="), says="--tenant is empty")
        if "output" in known:
            yield Try(f"{name} --output yaml!", (*task, "--output", "yaml!"), says="output")
        if "timeout" in known:
            yield Try(f"{name} --timeout soon", (*task, "--timeout", "soon"), says="timeout")
        if "settings" in known:
            yield Try(f"{name} --settings nowhere", (*task, "--settings", "/nowhere.yaml"), says="/nowhere.yaml")
    for name, argv, says in (
        ("no such task", ("manual.deplyo",), "manual.deploy"),
        ("a group", ("manual",), "manual"),
        ("a dash instead of a dot", ("manual-deploy",), "manual.deploy"),
        ("an underscore", ("manual.install_isto",), "manual.install-istio"),
        ("upper case", ("MANUAL.DEPLOY",), "manual.deploy"),
        ("a flag before the task", ("--context", "x", "manual.deploy"), "--context"),
        ("no value", ("manual.status", "--context"), "needs a value"),
        ("a flag instead of a value", ("manual.status", "--context", "--tenant", "BHC"), ""),
        ("a tenant twice", ("manual.status", "--tenant", "A", "--tenant", "B"), "twice"),
        ("an unknown tenant", ("manual.status", "--tenant", "XYZ"), "XYZ"),
        ("an unknown context", ("manual.status", "--context", "nope"), "nope"),
        ("a timeout of nothing", ("manual.status", "--timeout", "0"), "timeout"),
        ("a negative timeout", ("manual.status", "--timeout", "-5"), "timeout"),
        ("an unknown approach", ("verify.all", "--approach", "ansible"), "ansible"),
        ("a study that is none", ("verify.all", "--study", "/nope"), "/nope"),
        ("a study that is a file", ("verify.all", "--study", "korthweb.yaml"), "korthweb.yaml"),
        ("a file instead of a task", ("korthweb.yaml",), "korthweb.yaml"),
        ("a second task that is none", ("config.check", "nope"), "nope"),
        ("explain without a name", ("gitops.explain",), "name"),
        ("logs without a component", ("lab.logs",), "component"),
        ("logs of no lab", ("lab.logs", "etcd", "--name", "nope"), "nope"),
        ("an invalid lab name", ("lab.status", "--name", "My Lab"), "My Lab"),
        ("an invalid lab name for up", ("lab.up", "--name", "../x"), "../x"),
        ("an unknown extra", ("lab.up", "--with", "everything", "--dry-run"), "everything"),
        ("context.use nothing", ("context.use",), "name"),
        ("context.use nope", ("context.use", "nope"), "nope"),
        ("context.use empty", ("context.use", ""), "empty"),
        ("a key that is none", ("config.show", "--key", "nope"), "nope"),
        ("a rollback to a word", ("helm.rollback", "--revision", "last"), "last"),
        ("a tenant without a domain", ("gitops.add-tenant", "CHR"), "domain"),
        ("a tenant that is there", ("gitops.add-tenant", "BHC", "--domain", "bhc.example"), "BHC"),
        ("a tenant that is not", ("gitops.remove-tenant", "NOPE"), "NOPE"),
        ("demo with name and context", ("demo", "--name", "a", "--context", "b"), "--name"),
        ("demo on nothing", ("demo", "--context", "nope"), "nope"),
        ("cli with nothing", ("cli.kubectl",), "--"),
    ):
        yield Try(name, argv, says=says)


def places() -> Iterator[Try]:
    """Where results are to go, and can't."""
    for task in ("manual.render", "gitops.render", "helm.package"):
        yield Try(f"{task} --out a file", (task, "--out", "afile"), files={"afile": "x"}, says="afile")
        yield Try(f"{task} --out below a file", (task, "--out", "afile/x"), files={"afile": "x"}, says="afile")
        yield Try(f"{task} --out a device", (task, "--out", "/dev/null"), says="/dev/null")
        yield Try(f"{task} --out /proc", (task, "--out", "/proc/x"), says="/proc")
        yield Try(f"{task} --out empty", (task, "--out", ""), says="out is empty")
        yield Try(f"{task} --out a NUL-long name", (task, "--out", "x" * 300), says="too long")
    for content in ("{", "[]", "", "null", '{"a": 1}'):
        lost = {".korthweb/guards.json": content}
        yield Try(f"guards.json is {content!r}", CLUSTER, files=lost, code=5, says="guards.json")
    several: dict[str, str | bytes] = {"korthweb.yaml": "clusters: {a: {context: admin}, b: {context: other}}\n"}
    broken: tuple[tuple[str, dict[str, str | bytes], dict[str, int]], ...] = (
        (".korthweb is a file", {".korthweb": "x"}, {}),
        (".korthweb/context is a folder", {".korthweb/context/x": "x", **several}, {}),
        (".korthweb/context is binary", {".korthweb/context": bytes(range(128, 256)), **several}, {}),
        ("korthweb.yaml is a folder", {"korthweb.yaml/x": "x"}, {}),
        ("korthweb.yaml is everybody's", {"korthweb.yaml": "approach: helm\n"}, {"korthweb.yaml": 0o666}),
        (".env is a folder", {".env/x": "x"}, {}),
    )
    for name, files, modes in broken:
        yield Try(name, CLUSTER, files=files, modes=modes, says=name.split()[0])


def _kubeconfig(**changed: str) -> str:
    parts = {
        "cluster": "{server: 'https://127.0.0.1:9'}",
        "user": "{token: t}",
        "context": "{cluster: c, user: u}",
        "more": "",
        **changed,
    }
    lists = (
        f"clusters: [{{name: c, cluster: {parts['cluster']}}}]\nusers: [{{name: u, user: {parts['user']}}}]\n"
        f"contexts: [{{name: admin, context: {parts['context']}}}]\n{parts['more']}"
    )
    return f"apiVersion: v1\nkind: Config\n{lists}"


#: what is written at a place of the kubeconfig -> exit code, and what the error says
CLUSTERS = {
    "{}": (2, "server"),
    "{server: ''}": (2, "server"),
    "{server: nonsense}": (4, ""),
    "{server: 'https://'}": (4, "address"),
    "{server: 'ftp://127.0.0.1:9'}": (4, ""),
    "{server: 'https://127.0.0.1:99999'}": (4, ""),
    "{server: 'https://127.0.0.1:word'}": (4, ""),
    "{server: 'https://nowhere.invalid:6443'}": (4, "nowhere.invalid"),
    "{server: 'https://127.0.0.1:9'}": (4, "refused"),
    "{server: 'http://127.0.0.1:9'}": (4, "http"),
    "{server: 'https://127.0.0.1:9', certificate-authority: /nowhere.pem}": (4, "/nowhere.pem"),
    "{server: 'https://127.0.0.1:9', certificate-authority: /tmp}": (4, ""),
    "{server: 'https://127.0.0.1:9', certificate-authority-data: '!!!'}": (4, ""),
    "{server: 'https://127.0.0.1:9', certificate-authority-data: bm9uZQ==}": (4, "certificate"),
    "{server: 'https://127.0.0.1:9', insecure-skip-tls-verify: true}": (2, "insecure-skip-tls-verify"),
    "{server: 'https://127.0.0.1:9', proxy-url: 'nonsense:'}": (4, "proxy"),
    "{server: 'https://127.0.0.1:9', proxy-url: 'http://127.0.0.1:9'}": (4, "proxy"),
    "{server: ['https://127.0.0.1:9']}": (4, ""),
    "word": (2, ""),
    "[]": (2, ""),
    "null": (2, ""),
}
USERS = {
    "{}": (4, "no login"),
    "{tokenFile: /nowhere}": (4, "/nowhere"),
    "{client-certificate: /nowhere, client-key: /nowhere}": (4, "/nowhere"),
    "{client-certificate-data: '!!!', client-key-data: '!!!'}": (4, ""),
    "{client-certificate-data: bm9uZQ==, client-key-data: bm9uZQ==}": (4, "certificate"),
    "{exec: {command: /nowhere/login, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}": (
        3,
        "/nowhere/login",
    ),
    "{exec: {command: no-such-login, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}": (
        3,
        "no-such-login",
    ),
    "{exec: {command: 'false', apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}": (4, "false"),
    "{exec: {command: 'true', apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}}": (3, "true"),
    "{exec: {command: 'true', apiVersion: client.authentication.k8s.io/v9, interactiveMode: Never}}": (3, "version"),
    "{exec: {command: 'true', apiVersion: client.authentication.k8s.io/v1}}": (3, "interactiveMode"),
    "{auth-provider: {name: gcp}}": (3, "gcp"),
    "word": (2, ""),
    "[]": (4, ""),
}
CONTEXTS = {
    "{}": (2, "cluster"),
    "{cluster: gone, user: u}": (2, "gone"),
    "{cluster: c, user: gone}": (2, "gone"),
    "{cluster: c}": (4, "no login"),
    "{user: u}": (2, "cluster"),
    "{cluster: [c], user: u}": (2, ""),
    "{cluster: 7, user: u}": (2, "7"),
    "word": (2, ""),
    "null": (2, ""),
    "[]": (2, ""),
}


def kubeconfigs() -> Iterator[Try]:
    """Kubeconfigs as they come out of mails, wikis and half-finished logins. Nobody listens on port 9."""
    for part, table in (("cluster", CLUSTERS), ("user", USERS), ("context", CONTEXTS)):
        for text, (code, says) in table.items():
            files = {"kubeconfig": _kubeconfig(**{part: text})}
            yield Try(f"kubeconfig: {part} {text}", CLUSTER, files=files, code=code, says=says)
    for name, raw in {
        "empty": b"",
        "only comments": b"# nothing\n",
        "a list": b"- a\n",
        "a word": b"hello\n",
        "an HTML page": b"<!DOCTYPE html><html><body>Sign in</body></html>\n",
        "not YAML": b"clusters: [\n",
        "binary": bytes(range(256)),
        "UTF-16": _kubeconfig().encode("utf-16"),
        "cut off": _kubeconfig()[:100].encode(),
        "tabs": _kubeconfig().replace("clusters: [", "clusters:\n\t[").encode(),
        "a template": b"clusters: {{ clusters }}\n",
        "lists that are maps": b"clusters: {a: 1}\nusers: {}\ncontexts: {admin: {cluster: c}}\n",
        "lists of words": b"clusters: [c]\nusers: [u]\ncontexts: [admin]\n",
        "nulls": b"clusters:\nusers:\ncontexts:\n",
        "a context without a name": _kubeconfig().replace("name: admin, ", "").encode(),
        "a kind of another thing": _kubeconfig().replace("kind: Config", "kind: Pod").encode(),
        "conflict marks": b"<<<<<<< HEAD\n" + _kubeconfig().encode() + b">>>>>>> x\n",
    }.items():
        sound = name == "a kind of another thing"
        yield Try(f"kubeconfig is {name}", CLUSTER, files={"kubeconfig": raw}, code=4 if sound else 2)
    yield Try("kubeconfig is a folder", CLUSTER, files={"kubeconfig/x": "x"})
    for name, value, code in (
        ("nowhere", "/nowhere", 2),
        ("a device", "/dev/null", 2),
        ("two, one of them gone", "/nowhere:kubeconfig", 4),
        ("blank", "  ", 2),
        ("a tilde", "~/kubeconfig", 4),
        ("with quotes", "'kubeconfig'", 2),
    ):
        files = {"kubeconfig": _kubeconfig()}
        yield Try(f"KUBECONFIG is {name}", CLUSTER, files=files, env={"KUBECONFIG": value}, code=code)
    odd = {"kubeconfig": _kubeconfig() + "current-context: gone\n"}
    yield Try("a current context that is gone", CLUSTER, files=odd, code=4, says="refused")


def offline(tasks: Mapping[str, frozenset[str]]) -> list[Try]:
    """Return all tries for which no server is needed."""
    assert Settings.model_fields
    return [*settings(), *dotenv(), *environment(), *flags(tasks), *places()]
