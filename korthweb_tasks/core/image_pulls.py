"""Why an image could not be pulled, and whether another try may help. Pure: read from what the kubelet tells."""

from __future__ import annotations

import re

#: what the kubelet says of a container while it can't have its image
PULLING = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")
#: seconds for which a registry that fails, or limits pulls, is waited for; the kubelet tries again within them
PULL_GRACE = 300.0
#: the registry's own answer: no other one will come. Before what passes: "pull access denied ... 503" is denied
_REFUSED = re.compile(
    r"not found|manifest unknown|name unknown|does not exist|denied|unauthorized|authentication required|forbidden"
    r"|no basic auth|insufficient_scope|invalid reference|no match for platform|x509|certificate",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"time(d )?.?out|deadline exceeded|connection re(fused|set)|network is unreachable|no route to host"
    r"|broken pipe|\bEOF\b|server misbehaving|temporary failure|no such host|too ?many ?requests|rate limit"
    r"|\b(429|5[0-9][0-9]) (?-i:[A-Z])|status( code)?:? (429|5[0-9][0-9])\b",
    re.IGNORECASE,
)
_LIMITED = re.compile(r"too ?many ?requests|rate limit|\b429\b", re.IGNORECASE)
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*":? ?(ErrImagePull:? ?)?')
#: the kubelet's own end of a connection, another one at each try
_OWN_END = re.compile(r"[0-9.]+:[0-9]+->")


def may_pass(reason: str, message: str) -> bool:
    """Return True if the pull failed for a reason that may be over in a minute.

    >>> may_pass("ErrImagePull", "dial tcp 10.0.0.1:443: connect: connection refused")
    True
    >>> may_pass("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: x: not found')
    False
    """
    if reason not in PULLING:
        return False
    text = cause(message)
    # a limit of pulls is told with words such as "unauthenticated" and "denied"
    return bool(_LIMITED.search(text)) or (not _REFUSED.search(text) and bool(_PASSING.search(text)))


def refused(reason: str, message: str) -> bool:
    """Return True if the registry has said that this image is not to be had."""
    known = reason in PULLING and bool(_REFUSED.search(cause(message)))
    return known and not may_pass(reason, message)


def cause(message: str) -> str:
    """Return what went wrong, without the kubelet's words around it; the same for a try and for the pause after it."""
    return _OWN_END.sub("", _BACK_OFF.sub("", message)).strip() or message
