"""A report as JSON. What is here stays: names are only ever added, and ``schema`` counts up otherwise."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from korthweb_tasks.report.model import Failure, Report, outcome_of

SCHEMA = "korthweb.report/1"


def as_data(report: Report) -> dict[str, Any]:
    """Return the report as plain data."""
    ended = failure_data(report.failure) if report.failure else {}
    return {
        "schema": SCHEMA,
        "title": report.title,
        "outcome": report.outcome,
        "context": report.context,
        "server": report.server,
        "settings": report.settings,
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "steps": [{**asdict(step), "start": round(step.start, 3), "end": round(step.end, 3)} for step in report.steps],
        "rungs": [asdict(rung) for rung in report.rungs],
        "tenants": [asdict(tenant) for tenant in report.tenants],
        "cells": [asdict(cell) for cell in report.cells],
        **ended,
    }


def failure_data(failure: Failure) -> dict[str, Any]:
    """Return what --output json says of every failure."""
    return {**asdict(failure), "outcome": outcome_of(failure)}


def render(report: Report) -> str:
    """Return the report as JSON text."""
    return json.dumps(as_data(report), indent=2, ensure_ascii=False) + "\n"
