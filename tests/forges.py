"""Forges, as poor as they are: each puts values into its pipeline's YAML as the forge does, and runs the lines.

A step runs in the forge's own shell, in a clean environment, in a checkout that everybody may write to.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from korthweb_tasks.settings.merge import deep_merge

CI = Path(__file__).parents[1] / "ci"
Body = dict[str, Any]


@dataclass
class Runner:
    """A machine that runs steps: a folder with a checkout, a PATH, and what came of each step."""

    checkout: Path
    temp: Path
    path: str
    said: str = ""
    codes: list[int] = field(default_factory=list)

    def run(self, shell: list[str], script: str, environ: dict[str, str], *args: str) -> int:
        """Run one script with exactly ``environ``; what it says is kept, and its code returned."""
        file = self.temp / f"script-{len(self.codes)}"
        file.write_text(script)
        file.chmod(0o755)
        variables = {"PATH": self.path, "HOME": str(self.temp), **environ}
        words = [*(shell or [str(file)]), *([str(file)] if shell else []), *args]
        done = subprocess.run(words, cwd=self.checkout, env=variables, capture_output=True, text=True, check=False)
        self.said += done.stdout + done.stderr
        self.codes.append(done.returncode)
        return done.returncode


@dataclass
class GitHub:
    """GitHub Actions: one job of a workflow, and our composite action in it."""

    runner: Runner
    secrets: dict[str, str]
    outputs: list[Body] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)

    def job(self, workflow: str) -> int:
        """Run the only job of a workflow; returns the first code that is not 0."""
        (job,) = yaml.safe_load((CI / "github" / workflow).read_text())["jobs"].values()
        first = 0
        for step in job["steps"]:
            if first and step.get("if") != "always()":
                continue
            code = self._step(step)
            first = first or code
        return first

    def _step(self, step: Body) -> int:
        uses, given = step["uses"], step.get("with", {})
        if uses.startswith("actions/upload-artifact@"):
            self.uploaded.append(given["path"])
            return 0
        if uses.startswith("actions/checkout@"):
            return 0
        assert uses == "OWNER/korthweb/ci/github@v0.1.0", uses
        values = {f"secrets.{name}": text for name, text in self.secrets.items()} | {"github.token": "job-token"}
        extra = {name: substituted(text, values) for name, text in step.get("env", {}).items()}
        return self.action({name: substituted(text, values) for name, text in given.items()}, extra)

    def action(self, given: dict[str, str], extra: dict[str, str] | None = None) -> int:
        """Run our action with these inputs, as a composite action runs: bash, and files for what steps leave."""
        body = yaml.safe_load((CI / "github" / "action.yml").read_text())
        assert set(given) <= set(body["inputs"])
        inputs = {name: one.get("default", "") for name, one in body["inputs"].items()} | given
        assert all(inputs[name] for name, one in body["inputs"].items() if one.get("required"))
        values = {f"inputs.{name}": text for name, text in inputs.items()}
        values["github.workspace"] = str(self.runner.checkout)
        files = {name: self.runner.temp / name for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT")}
        for file in files.values():
            file.write_text("")
        for step in body["runs"]["steps"]:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "what somebody else may choose would become part of the script"
            if "if" in step and not self._holds(step["if"], values):
                continue
            environ = {**(extra or {})}
            environ |= {name: substituted(text, values) for name, text in step.get("env", {}).items()}
            environ |= dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
            environ |= {name: str(file) for name, file in files.items()}
            environ |= {
                "GITHUB_BASE_REF": "main",
                "RUNNER_TEMP": str(self.runner.temp),
                "GITHUB_ACTION_PATH": str(CI / "github"),
            }
            code = self.runner.run(["bash", "--noprofile", "--norc", "-eo", "pipefail"], step["run"], environ)
            for line in files["GITHUB_PATH"].read_text().splitlines():
                self.runner.path = f"{line}:{self.runner.path}"
            if code:
                return code
        self.outputs.append(dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines()))
        return 0

    def _holds(self, condition: str, values: dict[str, str]) -> bool:
        found = re.fullmatch(r"(inputs\.\w+) != ''", condition)
        assert found, condition
        return values[found[1]] != ""


def substituted(text: str, values: dict[str, str]) -> str:
    """Return ``text`` with ``${{ inputs.x }}`` filled in; what is not known is an error, not nothing."""
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: values[found[1]], text)


@dataclass
class GitLab:
    """GitLab CI: the jobs of our template with a project's inputs."""

    runner: Runner
    variables: dict[str, str]

    def jobs(self, **inputs: str) -> dict[str, Body]:
        """Return the jobs, each with what it extends."""
        head, text = (CI / "gitlab" / "template.yml").read_text().split("\n---\n")
        spec = yaml.safe_load(head)["spec"]["inputs"]
        assert set(inputs) <= set(spec)
        assert {name for name, one in spec.items() if "default" not in (one or {})} <= set(inputs)
        values = {name: one.get("default", "") for name, one in spec.items()} | inputs
        for name, one in spec.items():
            assert values[name] in one.get("options", [values[name]])
        filled = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: values[found[1]], text)
        parsed: dict[str, Body] = yaml.safe_load(filled)
        jobs = {name: job for name, job in parsed.items() if name[0] != "."}
        return {name: deep_merge(parsed.get(job.get("extends", ""), {}), job) for name, job in jobs.items()}

    def job(self, name: str, **inputs: str) -> int:
        """Run one job: before_script and script are one script, which ends at the first line that fails."""
        job = self.jobs(**inputs)[name]
        environ = {"CI_PROJECT_DIR": str(self.runner.checkout), **self.variables}
        for key, text in job["variables"].items():  # one after the other, as a runner expands them
            environ[key] = re.sub(r"\$(\w+)", lambda found: environ[found[1]], text)
        lines = [*job.get("before_script", ()), *job["script"]]
        return self.runner.run(["bash", "-eo", "pipefail"], "\n".join(lines), environ)


@dataclass
class Jenkins:
    """Jenkins: the sh steps of our Jenkinsfile by their stage, with its parameters as variables."""

    runner: Runner
    credentials: dict[str, str]

    def stage(self, name: str, **given: str) -> int:
        """Run the sh steps of one stage with sh -xe, as Jenkins does."""
        text = (CI / "Jenkinsfile").read_text()
        stages = dict(re.findall(r"stage\('([^']+)'\) \{(.*?)(?=\n        stage\(|\n    \}\n)", text, re.DOTALL))
        body = stages[name]
        environ = dict(re.findall(r"string\(name: '(\w+)', defaultValue: '([^']*)'", text))
        environ |= dict(re.findall(r"choice\(name: '(\w+)', choices: \['([^']*)'", text))
        for credential, variable in re.findall(r"file\(credentialsId: '(\w+)', variable: '(\w+)'\)", body):
            environ[variable] = self.credentials[credential]
        assert 'sh "' not in body, "Groovy would put values into the script"
        code = 0
        for long, short in re.findall(r"sh (?:'''(.*?)'''|'([^']*)')", body, re.DOTALL):
            script = (long or short).replace("\\\n", "")  # so Groovy reads a line that ends with a backslash
            code = code or self.runner.run(["sh", "-xe"], script, environ | given)
        return code


@dataclass
class Tekton:
    """Tekton: tasks of our pipeline, whose parameters and workspaces are put into env and args."""

    runner: Runner
    cluster: str

    def pipeline(self, **params: str) -> int:
        """Run the pipeline's tasks in their order; returns the first code that is not 0."""
        spec = yaml.safe_load((CI / "tekton" / "pipeline.yaml").read_text())["spec"]
        values = {one["name"]: one.get("default", "") for one in spec["params"]} | params
        done: list[str] = []
        for task in spec["tasks"]:
            assert set(task.get("runAfter", ())) <= set(done)
            (words,) = (one["value"] for one in task["params"] if one["name"] == "tasks")
            filled = [_filled(word, {f"params.{name}": text for name, text in values.items()}) for word in words]
            bound = {one["name"] for one in task["workspaces"]}
            if code := self.task(filled, bound=bound):
                return code
            done.append(task["name"])
        return 0

    def task(self, words: list[str], *, bound: set[str]) -> int:
        """Run our task with these words."""
        spec = yaml.safe_load((CI / "tekton" / "task.yaml").read_text())["spec"]
        values = {f"params.{one['name']}": one.get("default", "") for one in spec["params"]}
        paths = {"source": str(self.runner.checkout), "cluster": self.cluster}
        for one in spec["workspaces"]:
            assert one.get("optional") or one["name"] in bound
            values[f"workspaces.{one['name']}.path"] = paths[one["name"]] if one["name"] in bound else ""
        (step,) = spec["steps"]
        assert "$(params" not in step["script"]
        environ = {one["name"]: _filled(one["value"], values) for one in step["env"]}
        assert step["args"] == ["$(params.tasks[*])"]
        return self.runner.run([], step["script"], environ, *words)


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\(([\w.]+)\)", lambda found: values[found[1]], text)


def hook(name: str, runner: Runner, args: list[str] | None = None) -> int:
    """Run a hook as pre-commit does: entry and args, without a shell, in the repository."""
    hooks = yaml.safe_load((CI.parent / ".pre-commit-hooks.yaml").read_text())
    (one,) = (one for one in hooks if one["id"] == name)
    words = [*shlex.split(one["entry"]), *(args if args is not None else one.get("args", []))]
    return runner.run([], f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', {})
