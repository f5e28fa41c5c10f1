"""The main job from end to end, as a person runs it: killed three times, started again, green, and gone again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab_site import holds

PROGRAM = (sys.executable, "-m", "korthweb_tasks.main")
#: korthweb is run in another folder than the checkout
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
#: what the demo prints just before it is killed: while the lab comes up, in the deployment, in the verification
MOMENTS = ("containerd: done", "BHC: passwords: done", "C-STORE of real images")


@dataclass
class Person:
    """Types commands in a project of their own, about a lab of their own."""

    project: Path
    lab: str
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> list[str]:
        return [*PROGRAM, *words]

    def runs(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.project,
            env={**ENVIRONMENT, **self.environment},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def is_killed(self, moment: str, *words: str) -> None:
        """Start a command and SIGKILL it at the moment it prints ``moment``."""
        with subprocess.Popen(
            self.command(*words),
            cwd=self.project,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            assert child.stdout is not None
            seen = []
            for line in child.stdout:
                seen.append(line)
                if moment in line:
                    child.send_signal(signal.SIGKILL)
                    return
        raise AssertionError(f"{moment!r} never came:\n{''.join(seen)}")

    def on_lab(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.runs(*words, "--context", f"korthweb-{self.lab}", code=code)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    someone = Person(tmp_path_factory.mktemp("project"), f"d{os.getpid()}")
    try:
        yield someone
    finally:
        someone.runs("lab.down", "--name", someone.lab, "--yes")


@pytest.fixture(scope="module")
def demo(person: Person) -> dict[str, Any]:
    """The demo's report, after three attempts that were killed."""
    for moment in MOMENTS:
        person.is_killed(moment, "demo", "--name", person.lab)
    done = person.runs("demo", "--name", person.lab, "--output", "json")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_demo_ends_green_after_it_was_killed_three_times(demo: dict[str, Any], person: Person) -> None:
    assert demo["outcome"] == "passed"
    assert len(demo["rungs"]) >= 23
    assert holds(demo)
    page = (person.project / ".korthweb/demo/report.html").read_text()
    assert "images survive the deletion of every pod" in page


def test_a_second_deployment_changes_nothing_and_says_so(demo: dict[str, Any], person: Person) -> None:
    report = json.loads(person.on_lab("manual.deploy", "--tenant", "BHC", "--output", "json").stdout)
    assert {step["verdict"] for step in report["steps"]} == {"unchanged"}


def test_a_demo_on_a_cluster_that_another_checkout_made_is_green_twice(
    demo: dict[str, Any], person: Person, tmp_path: Path
) -> None:
    """The stand-in for a hospital's cluster: a kubeconfig, a korthweb.yaml, and no lab that this person knows of."""
    from korthweb_tasks.paths import lab_dir

    kubeconfig = lab_dir(person.lab) / "kubeconfig"
    stranger = Person(tmp_path, "", {"KUBECONFIG": str(kubeconfig), "KORTHWEB_STATE": str(tmp_path / "state")})
    words = ("demo", "--context", "hospital-a", "--output", "json")
    context = f"korthweb-{person.lab}"
    assert "no korthweb.yaml" in stranger.runs("demo", "--context", context, code=2).stderr
    (tmp_path / "korthweb.yaml").write_text(f"profile: lab\nclusters: {{hospital-a: {{context: {context}}}}}\n")
    for _ in range(2):
        report = json.loads(stranger.runs(*words).stdout)
        assert report["outcome"] == "passed"
        assert report["context"] == context
        assert holds(report)
        assert not [step["name"] for step in report["steps"] if step["name"].startswith("lab:")]
    assert (tmp_path / ".korthweb/demo/report.html").is_file()


def test_what_was_changed_by_hand_is_seen_and_put_back(demo: dict[str, Any], person: Person) -> None:
    from korthweb_tasks.paths import lab_dir

    kubeconfig = lab_dir(person.lab) / "kubeconfig"
    from korthweb_tasks.provision.tools import locate

    by_hand = [str(locate("kubectl").path), "--kubeconfig", str(kubeconfig), "--namespace", "bhc-orthweb"]
    by_hand += ["patch", "service", "orthanc", "--patch", '{"spec":{"ports":[{"port":8042,"name":"by-hand"}]}}']
    subprocess.run(by_hand, check=True, timeout=60, capture_output=True)
    assert "by-hand" in person.on_lab("manual.diff", "--tenant", "BHC", code=9).stdout
    person.on_lab("manual.install-orthanc", "--tenant", "BHC")
    person.on_lab("manual.diff", "--tenant", "BHC")


def test_passwords_stay_private(demo: dict[str, Any], person: Person) -> None:
    shown = json.loads(person.on_lab("manual.credentials", "--tenant", "BHC", "--show", "--output", "json").stdout)
    passwords = [row["password"] for row in shown]
    assert passwords
    assert all(len(password) >= 16 for password in passwords)
    for path in (person.project / ".korthweb").rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8", "replace")
            assert not any(password in text for password in passwords), path


def test_a_password_in_env_wins_and_a_wrong_one_is_refused_before_anything(
    demo: dict[str, Any], person: Person
) -> None:
    env = person.project / ".env"
    try:
        env.write_text("KORTHWEB_SECRET_BHC_ADMIN_PASSWORD=short\n")
        env.chmod(0o600)
        refused = person.on_lab("manual.deploy", "--tenant", "BHC", code=2)
        assert ".env:1" in refused.stderr
        assert "short" not in refused.stderr.replace("too short", "").replace("shorter", "")
        env.write_text("KORTHWEB_SECRET_BHC_ADMIN_PASSWORD=another-long-passw0rd\n")
        person.on_lab("manual.deploy", "--tenant", "BHC")
        person.on_lab("verify.https", "--tenant", "BHC")
    finally:
        env.unlink()


def test_destroy_keeps_the_volume_and_with_volumes_nothing(demo: dict[str, Any], person: Person) -> None:
    from korthweb_tasks.paths import lab_dir
    from korthweb_tasks.provision.tools import locate

    def found(*words: str) -> str:
        asked = [str(locate("kubectl").path), "--kubeconfig", str(lab_dir(person.lab) / "kubeconfig"), "get", *words]
        return subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout

    person.on_lab("manual.destroy", "--tenant", "BHC", "--yes")
    left = json.loads(person.on_lab("manual.deploy", "--tenant", "BHC", "--dry-run", "--output", "json").stdout)
    assert any(step["verdict"] == "planned" for step in left)
    assert "data-postgres-0" in found("persistentvolumeclaims", "--namespace", "bhc-orthweb")
    # what the mesh writes into every namespace is nobody's
    assert "istio-ca-" in found("configmaps", "--namespace", "bhc-orthweb")
    person.on_lab("manual.destroy", "--tenant", "BHC", "--volumes", "--yes")
    assert "bhc-orthweb" not in found("namespaces")
    person.on_lab("manual.destroy", "--yes")
    assert "istio-system" not in found("namespaces")
