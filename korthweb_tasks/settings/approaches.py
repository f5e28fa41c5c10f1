"""The names of the approaches. A new one is a folder below approaches/ with an approach.py, and its name here."""

from __future__ import annotations

APPROACHES = ("manual", "helm", "gitops")
