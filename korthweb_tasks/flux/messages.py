"""What controllers say when something fails, read: which of it passes, which does not, which file it is about. Pure."""

from __future__ import annotations

import re

#: what passes by itself, or when somebody asks again, of what an API server says to an apply
PASSING = re.compile(
    r"failed calling webhook|no endpoints available|connection refused|connection reset|x509|TLS handshake|EOF"
    r"|i/o timeout|dial tcp|deadline exceeded|etcdserver|too many requests|unable to handle the request|terminated"
    r"|object has been modified|no matches for kind|could not find the requested resource|namespaces? .* not found",
    re.IGNORECASE,
)
UNKNOWN_KIND = re.compile(r"no matches for kind|could not find the requested resource", re.IGNORECASE)
#: what a server says of a source that will not be there in a minute either
REFUSED = re.compile(
    r"authentication (required|failed)|authorization failed|permission denied|unauthori[sz]ed|forbidden|\b40[134]\b"
    r"|repository not found|couldn't find remote ref|no chart (name|version) found|chart .* not found"
    r"|MANIFEST_UNKNOWN|NAME_UNKNOWN|manifest unknown|no match found for semver|: not found",
    re.IGNORECASE,
)
#: what a chart's author or the values have to mend
CHART_FAULT = re.compile(
    r"execution error at|parse error|values don't meet the specifications|failed to render|nil pointer"
)
#: the folders in which controllers unpack and build
_TMP = re.compile(r"/[^\s'\"]*?/(?:kustomization-[0-9]+|helmchart-[A-Za-z0-9_.-]+-[0-9]+/source)/")
_FILE = re.compile(r"[A-Za-z0-9_./-]+\.ya?ml")
#: what kustomize says -> what is wrong; the first match counts
_BUILD = tuple(
    (re.compile(pattern), fault)
    for pattern, fault in (
        (r"(?<![\w.])yaml: (?:line (?P<line>\d+): )?(?P<why>.+?) in File: (?P<file>[^\s:'\"]+)", "not YAML: {why}"),
        (r"YAML from (?P<file>\S+?):.* yaml: (?:line (?P<line>\d+): )?(?P<why>.+)", "not YAML: {why}"),
        (r"(?<![\w.])yaml: (?:line (?P<line>\d+): )?(?P<why>.+)", "not YAML: {why}"),
        (
            r"(?:open|lstat|failure on|stat) '?(?P<file>[^\s']+?)'?(?: :.*)?: no such file or directory",
            "there is no such file",
        ),
        (r"unknown field \\?\"(?P<why>[^\"\\]+)", "there is no field {why}"),
    )
)
_INNER = re.compile(r"accumulation of path '([^']+)'")
_SPACE = re.compile(r"\s+")


def clean(message: str) -> str:
    """Return a controller's message in one line, without its temporary folders."""
    return _SPACE.sub(" ", _TMP.sub("", message)).strip()


def build_fault(text: str, folder: str = "") -> str:
    """Return file, line and fault from what kustomize says about a file that is no good; empty for anything else."""
    text = clean(text)
    inner = _INNER.findall(text)  # an overlay's base is another folder
    folder = inner[-1] if inner else folder
    for pattern, fault in _BUILD:
        if found := pattern.search(text):
            told = found.groupdict()
            line = f", line {told['line']}" if told.get("line") else ""
            return f"{_placed(told.get('file') or _FILE.search(text), folder)}{line}: {fault.format(**told)}"
    return ""


def _placed(found: str | re.Match[str] | None, folder: str) -> str:
    """Return a file's path in the repository."""
    if found is None:
        return folder or "a file"
    name = (found if isinstance(found, str) else found[0]).strip("/")
    return name if not folder or name.startswith(folder) else f"{folder}/{name}"


def short(text: str) -> str:
    """Return a revision with the digest cut to what people read: ``main@sha1:1a2b3c4d``."""
    head, colon, digest = text.rpartition(":")
    return f"{head}{colon}{digest[:8]}" if colon else text
