"""A report as JSON. What is here stays: names are only ever added, and ``schema`` counts up otherwise."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from korthweb_tasks.report.model import Failure, Report, RungRecord, StepRecord, outcome_of

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
        "steps": [_step(step) for step in report.steps],
        "rungs": [_rung(rung) for rung in report.rungs],
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


def _step(step: StepRecord) -> dict[str, Any]:
    return {
        "name": step.name,
        "title": step.title,
        "needs": list(step.needs),
        "verdict": step.verdict,
        "start": round(step.start, 3),
        "end": round(step.end, 3),
        "attempts": step.attempts,
        "detail": step.detail,
    }


def _rung(rung: RungRecord) -> dict[str, Any]:
    return {
        "tenant": rung.tenant,
        "name": rung.name,
        "title": rung.title,
        "status": rung.status,
        "ms": rung.ms,
        "detail": rung.detail,
        "hint": rung.hint,
        "measures": dict(rung.measures),
        "notes": list(rung.notes),
    }
