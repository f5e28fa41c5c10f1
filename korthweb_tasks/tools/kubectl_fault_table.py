"""The table of :mod:`kubectl_faults`: what Kubernetes' Go client says, what it means, and what to do next. Data."""

from __future__ import annotations

from dataclasses import dataclass

from korthweb_tasks.errors import ClusterUnreachable, KorthwebError, ToolMissing

#: how a complaint about the way to the API server begins; the same words further on may be about a webhook's
_AT = r"^.*(?:Unable to connect to the server: |Kubernetes cluster unreachable: |error: Get \"|/api\?timeout=).*"
_LOGIN = r"getting credentials: "


@dataclass(frozen=True)
class Fault:
    """One kind: what stderr says of it, what it means, and what to type or do next.

    ``text`` and ``hint`` are templates of what :func:`_words` has, and ``says`` may name parts of it: plugin, path.
    ``needs`` is the part of the way that must be there for this meaning.
    """

    name: str
    says: str
    text: str
    hint: str
    error: type[KorthwebError] = ClusterUnreachable
    needs: str = ""


_ANEW = "take the kubeconfig anew from whoever runs the cluster"
_LOGGED = r"You must be logged in to the server|the server has asked for the client to provide credentials"

#: trouble that these words mean wherever they are said; the first match counts
ALWAYS: tuple[Fault, ...] = (
    # the login program
    Fault(
        "login program not installed",
        rf"{_LOGIN}exec: executable (?P<plugin>\S+) not found|{_LOGIN}exec: fork/exec (?P<path>\S+): no such file",
        "the login program {plugin} of context {context} is not installed",
        "install {plugin} and have it on the PATH; then {whoami}",
        ToolMissing,
    ),
    Fault(
        "login program can't be run",
        rf"{_LOGIN}exec: fork/exec (?P<path>\S+): ",
        "the login program {plugin} of context {context} can't be run",
        "`command -v {plugin}` shows which one is found: is it executable, and for this kind of machine?",
        ToolMissing,
    ),
    Fault(
        "login program wants a terminal",
        rf"{_LOGIN}exec plugin cannot support interactive mode",
        "the login program {plugin} of context {context} wants to ask somebody, and there is no terminal",
        "log in first, in a terminal: {whoami}; a pipeline takes a login of its own (a service account's token)",
    ),
    Fault(
        "login program of another API version",
        r"exec plugin is configured to use API version|exec plugin: invalid apiVersion"
        r"|interactiveMode must be specified",
        "the login program {plugin} and the kubeconfig of context {context} do not agree on an API version",
        "update {plugin}, and let it write the kubeconfig anew",
        ToolMissing,
    ),
    Fault(
        "login program removed from kubectl",
        r"[Tt]he \S+ auth plugin has been removed|no Auth Provider found for name",
        "context {context} logs in by an auth-provider, which kubectl has no more",
        "install the login program of your cloud (gke-gcloud-auth-plugin, kubelogin), and let it write the kubeconfig",
        ToolMissing,
    ),
    Fault(
        "login program gives no credential",
        rf"{_LOGIN}(decoding stdout|exec plugin didn't return)",
        "the login program {plugin} of context {context} printed something that is not a credential",
        "does it print a greeting, or a question? {whoami} in a terminal shows it",
    ),
    Fault(
        "login program failed",
        rf"{_LOGIN}exec: ",
        "the login program {plugin} of context {context} failed",
        "log in first: {whoami} in a terminal shows what it wants",
    ),
    # the login itself
    Fault(
        "login expired",
        rf"{_LOGGED}|{_AT}remote error: tls: (expired|bad) certificate",
        "the login for {way} expired at {ended}",
        f"log in again, or {_ANEW}; then {{whoami}}",
        needs="ended",
    ),
    Fault(
        "login refused",
        _LOGGED,
        "{way} refuses the login that {plugin} gives (401 Unauthorized)",
        "log out and in again with {plugin}: it may be expired, or for another cluster; then {whoami}",
        needs="plugin",
    ),
    Fault(
        "login refused",
        _LOGGED,
        "{way} refuses the login (401 Unauthorized): it expired, was withdrawn, or is for another cluster",
        f"{_ANEW}; then {{whoami}}",
    ),
    Fault(
        "login expired",
        rf"{_AT}remote error: tls: expired certificate",
        "{way} says that the client certificate of this context expired",
        f"{_ANEW}; then {{whoami}}",
    ),
    Fault(
        "client certificate refused",
        rf"{_AT}remote error: tls: (bad certificate|unknown certificate|certificate required|certificate unknown)",
        "{way} refuses the client certificate of this context: none, or of an authority that it does not know",
        f"{_ANEW}: it may be of a cluster that was made anew",
    ),
    # files of the kubeconfig
    Fault(
        "key and certificate do not match",
        r"^error: tls: private key does not match public key",
        "client-key and client-certificate of context {context} do not belong together",
        f"{_ANEW}: both come from one file",
    ),
    Fault(
        "file of the kubeconfig missing",
        r"unable to read (certificate-authority|client-cert|client-key) (?P<path>\S+) for",
        "the kubeconfig of context {context} names a file that can't be read: {path}",
        "mend the path in the kubeconfig (it is relative to its folder), or copy the file there",
    ),
    Fault(
        "certificate in the kubeconfig broken",
        r"unable to load root certificates|error loading config file .*illegal base64 data|"
        r"^error: tls: failed to find any PEM data",
        "a certificate or key in the kubeconfig of context {context} can't be read",
        f"{_ANEW}: it was cut or changed on the way",
    ),
    Fault(
        "file of the kubeconfig is a folder",
        r"^error: read (?P<path>\S+): is a directory",
        "the kubeconfig of context {context} names a folder where a file is wanted: {path}",
        "mend the path in the kubeconfig",
    ),
    Fault(
        "kubeconfig broken",
        r"^error: error loading config file",
        "the kubeconfig of context {context} is broken",
        f"{_ANEW}: it was cut or changed on the way",
    ),
    Fault(
        "no address of a server",
        r"unsupported protocol scheme|host must be a URL or a host:port pair|dial tcp: address \S+: invalid port",
        "the server of context {context} has no valid address",
        "`server` in the kubeconfig is like https://10.20.0.5:6443",
    ),
    # the server's certificate
    Fault(
        "certificate for another name",
        rf"{_AT}x509: (certificate is (valid|not valid) for|cannot validate certificate for|certificate relies on)",
        "the certificate of {way} is for another name",
        "spell the server in the kubeconfig as the certificate does, or set tls-server-name there",
    ),
    Fault(
        "certificate expired",
        rf"{_AT}x509: certificate has expired or is not yet valid.* is after ",
        "the certificate of {way} expired",
        "whoever runs the cluster renews it; is the clock of this machine right? `date`",
    ),
    Fault(
        "certificate not yet valid",
        rf"{_AT}x509: certificate has expired or is not yet valid",
        "the certificate of {way} is not yet valid",
        "is the clock of this machine right? `date`",
    ),
    Fault(
        "certificate not trusted",
        rf"{_AT}(x509: |tls: failed to verify certificate)",
        "the certificate of {way} is not trusted: it is of another authority than the kubeconfig's",
        f"{_ANEW}; a proxy that opens TLS does this too",
    ),
    # proxies
    Fault(
        "proxy wants a login",
        rf"{_AT}Proxy Authentication Required",
        "the proxy {proxy} on the way to {way} wants a login (407)",
        "put user and password into the proxy's URL, or {host} into NO_PROXY",
    ),
    Fault(
        "proxy not reached",
        rf"The connection to the server \S+ was refused|{_AT}dial tcp\b",
        "the proxy {proxy} on the way to {way} can't be reached",
        "is its address right, and is a VPN needed? {host} in NO_PROXY goes around it",
        needs="proxy",
    ),
    Fault(
        "proxy not reached",
        rf"{_AT}(proxyconnect|socks connect)",
        "the proxy {proxy} on the way to {way} can't be reached",
        "is its address right, and is a VPN needed? {host} in NO_PROXY goes around it",
    ),
    Fault(
        "proxy refuses",
        r"^Unable to connect to the server: (Forbidden|Bad Gateway|Service Unavailable|Gateway Timeout|Bad Request"
        r"|Method Not Allowed|Not Found|Internal Server Error|Proxy .*)$",
        "the proxy {proxy} does not let us through to {way}",
        "let its owner allow {host}, or put {host} into NO_PROXY where there is a direct way",
    ),
    Fault(
        "proxy's address is wrong",
        r"invalid 'proxy-url'",
        "the proxy of context {context} has no valid address",
        "proxy-url in the kubeconfig is like http://proxy.example.com:3128",
    ),
    # what answers there
    Fault(
        "HTTP is spoken there",
        rf"{_AT}(server gave HTTP response to HTTPS client|first record does not look like a TLS handshake)",
        "{way} does not speak TLS: something else than an API server is at that port",
        "look at the port of the server in the kubeconfig; mostly it is 6443 or 443",
    ),
    Fault(
        "HTTPS is spoken there",
        rf"{_AT}(malformed HTTP response|connection reset by peer|EOF\b)",
        "{way} is spoken to without TLS, and does not understand it",
        "the server in the kubeconfig begins with https://",
        needs="plain",
    ),
    # the network
    Fault(
        "name not found",
        rf"{_AT}(no such host|server misbehaving)",
        "the name of {way} is not known to DNS",
        "is the VPN up, and the name right? `getent hosts {host}`",
    ),
    Fault(
        "connection refused",
        rf"The connection to the server \S+ was refused|{_AT}connection refused",
        "{way} refuses the connection: nothing listens there",
        "{clusters} shows which clusters answer",
    ),
    Fault(
        "no route",
        rf"{_AT}(no route to host|network is unreachable)",
        "there is no route to {way}",
        "is the VPN up? {clusters} shows which clusters answer",
    ),
    Fault(
        "connection cut",
        rf"{_AT}(connection reset by peer|EOF\b|broken pipe)",
        "{way} cuts the connection",
        "a firewall, or something else than an API server; {clusters} shows which clusters answer",
    ),
    Fault(
        "timed out",
        rf"{_AT}(i/o timeout|context deadline exceeded|Client\.Timeout|TLS handshake timeout|timed out)",
        "{way} does not answer: timed out",
        "is the VPN up, or a proxy missing? {clusters} shows which clusters answer",
    ),
)
#: what the same program's words mean where they answer the first question; later on they are about a step's objects
FIRST: tuple[Fault, ...] = (
    Fault(
        "no login",
        r"\Aerror: EOF\s*\Z",
        "there is no login for {way} in the kubeconfig",
        f"{_ANEW}; then {{whoami}}",
    ),
    Fault(
        "no login",
        r"User \"system:anonymous\"",
        "{way} takes this login for nobody's (system:anonymous)",
        f"{_ANEW}; then {{whoami}}",
    ),
    Fault(
        "file of the kubeconfig missing",
        r"^error: open (?P<path>\S+): ",
        "the kubeconfig of context {context} names a file that can't be read: {path}",
        "mend the path in the kubeconfig (it is relative to its folder), or copy the file there",
    ),
    Fault(
        "refused on the way",
        r"(?i)\(Forbidden\): .*<(!doctype|html|head|body)",
        "something before {way} forbids it, with a web page: a proxy, a firewall or a portal",
        "is a VPN needed, or a login in the browser? {version} by hand shows the same",
    ),
    Fault(
        "not allowed",
        r"\(Forbidden\)",
        "{way} does not let this login get the namespace kube-system (403 Forbidden)",
        "let an administrator grant it; {rights} lists what this login may do",
    ),
    Fault(
        "HTTPS is spoken there",
        r"rejected our request for an unknown reason",
        "{way} is spoken to without TLS, and does not understand it",
        "the server in the kubeconfig begins with https://",
        needs="plain",
    ),
    Fault(
        "not a Kubernetes API",
        r"\(NotFound\)|\(BadRequest\)|stopped after \d+ redirects|\(MethodNotAllowed\)",
        "{way} is not a Kubernetes API: it does not know what each one has",
        "look at the server in the kubeconfig (host, port, path): is it a web page, or a console?",
    ),
    Fault(
        "overloaded",
        r"\(TooManyRequests\)|has asked us to try again later",
        "{way} is overloaded (429 Too Many Requests)",
        "the same command again in a minute; {version} by hand shows whether it is over",
    ),
    Fault(
        "unavailable",
        r"\((ServiceUnavailable|Timeout|InternalError)\)",
        "{way} is not available: it answers with an error of its own",
        "the same command again in a minute: an upgrade, or a load balancer without an API server behind it",
    ),
)
