"""S16: the password of Orthanc's role is not in PostgreSQL's log. Asked of a real PostgreSQL that logs all it can."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.verify_doubles.orthanc import free_port

REPOSITORY = Path(__file__).parents[3]
SCRIPT = REPOSITORY / "helm" / "orthanc" / "files" / "dbinit.sh"
#: how it is run: a job of the manual approach, a container beside PostgreSQL in the chart
WAYS: dict[str, dict[str, str]] = {"job": {}, "beside": {"SERVES_AT": "127.0.0.1"}}
PASSWORD = "it's-a \\secret: $word"
#: as talkative as an administrator can make it
TALKATIVE = {
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_min_messages": "debug5",
    "log_min_error_statement": "debug5",
    "log_duration": "on",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
    "log_transaction_sample_rate": "1",
    "debug_print_parse": "on",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
}


def programs() -> Path:
    """Return the folder of PostgreSQL's programs on this machine; initdb is not on the PATH of Debian."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if path := shutil.which("initdb"):
        return Path(path).resolve().parent
    pytest.skip("there is no PostgreSQL on this machine")


@dataclass
class Server:
    """A PostgreSQL of its own on the loopback."""

    folder: Path
    port: int

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def environment(self, **more: str) -> dict[str, str]:
        found = {"PATH": f"{programs()}:/usr/bin:/bin", "PGHOST": "127.0.0.1", "PGPORT": str(self.port)}
        return {**found, "PGUSER": "postgres", "PGPASSWORD": "of-the-superuser", "LC_ALL": "C", **more}

    def sql(self, statement: str) -> str:
        argv = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname=postgres", f"--command={statement}"]
        done = subprocess.run(argv, env=self.environment(), capture_output=True, text=True, check=False)
        return done.stdout + done.stderr


def _started(server: Server, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Make a cluster of databases and start it; PostgreSQL refuses root, who is somebody else in a user namespace."""
    other = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
    (server.folder / "password").write_text("of-the-superuser")
    words = ("--username=postgres", "--auth=scram-sha-256", "--no-sync", f"--pwfile={server.folder / 'password'}")
    argv = [*other, str(programs() / "initdb"), f"--pgdata={server.folder / 'data'}", *words]
    subprocess.run(argv, env=server.environment(), capture_output=True, check=True)
    options = [f"-c{name}={value}" for name, value in {**settings, "fsync": "off"}.items()]
    where = (f"-D{server.folder / 'data'}", f"-p{server.port}", f"-k{server.folder}")
    with (server.folder / "log").open("wb") as log:
        argv = [*other, str(programs() / "postgres"), *where, *options]
        return subprocess.Popen(argv, env=server.environment(), stdout=log, stderr=log)


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(tmp_path, free_port())
    child = _started(made, getattr(request, "param", TALKATIVE))
    try:
        end = time.monotonic() + 30
        while made.sql("SELECT 1").strip() != "1":
            assert child.poll() is None, made.log
            assert time.monotonic() < end, made.log
            time.sleep(0.1)
        yield made
    finally:
        child.terminate()
        child.wait()


def script(server: Server, way: str, *without: str, **more: str) -> str:
    """Run the script as its container does, and return what it says; the chart's waits at its end, and is ended.

    Lines that begin with one of ``without`` are taken out of it.
    """
    lines = SCRIPT.read_text().splitlines(keepends=True)
    assert all(any(line.startswith(begin) for line in lines) for begin in without)
    changed = server.folder / "dbinit.sh"
    changed.write_text("".join(line for line in lines if not line.startswith(without)) if without else "".join(lines))
    known = {"OWNER": "orthanc", "DATABASE": "orthanc", "ORTHANC_POSTGRES_PASSWORD": PASSWORD, **WAYS[way], **more}
    argv = ["timeout", "4", "sh", str(changed)]
    done = subprocess.run(argv, env=server.environment(**known), capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def leaked(text: str) -> bool:
    """Say whether the password stands in ``text``, as it is or as SQL writes it."""
    return any(
        word in text
        for word in (PASSWORD, PASSWORD.replace("'", "''"), PASSWORD.replace("\\", "\\\\"), "secret: $word")
    )


@pytest.mark.parametrize("way", WAYS)
def test_S16_the_password_of_the_role_is_in_no_line_of_the_log(server: Server, way: str) -> None:
    """S16: every statement, every slow one and every failed one is logged here, and none has the password."""
    assert "database orthanc is ready" in script(server, way)
    server.sql("SELECT 'the control is logged'")
    assert "the control is logged" in server.log
    assert not leaked(server.log)
    # it is the password all the same
    asked = subprocess.run(
        ["psql", "--no-psqlrc", "--dbname=orthanc", "--command=SELECT 1"],
        env=server.environment() | {"PGUSER": "orthanc", "PGPASSWORD": PASSWORD}, capture_output=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize("way", WAYS)
def test_S16_a_statement_that_fails_tells_nobody_the_password(server: Server, way: str) -> None:
    """S16: a failed ALTER ROLE is logged with its statement, and psql shows the line that it is in."""
    # PostgreSQL lets nobody change its own roles
    said = script(server, way, OWNER="pg_database_owner")
    assert "ready" not in said
    assert "ERROR" in said
    assert not leaked(said + server.log)


@pytest.mark.parametrize("way", WAYS)
def test_S16_the_statistics_have_no_password(server: Server, way: str) -> None:
    """S16: pg_stat_statements keeps the text of what it counts."""
    assert "CREATE EXTENSION" in server.sql("CREATE EXTENSION pg_stat_statements")
    script(server, way)
    assert "pg_trgm" in (kept := server.sql("SELECT query FROM pg_stat_statements"))
    assert not leaked(kept + server.sql("SELECT query FROM pg_stat_activity"))


#: what a site logs of statements: each by itself is enough to have the password in the log
USUAL = {
    "statements": ({"log_statement": "all"}, "SET log_statement", "orthanc"),
    "slow ones": ({"log_min_duration_statement": "0"}, "SET log_min_duration_statement", "orthanc"),
    "failed ones": ({"log_min_error_statement": "error"}, "SET log_min_error_statement", "pg_database_owner"),
}


@pytest.mark.parametrize(
    ("server", "line", "owner"),
    [pytest.param(*case, id=name) for name, case in USUAL.items()],
    indirect=["server"],
)
def test_S16_each_line_keeps_the_password_out_of_the_log_by_itself(server: Server, line: str, owner: str) -> None:
    """S16: `log_min_messages` hides them all where it may be set; without it each has a line of its own.

    With that line taken out, too, the password is in the log: the line is no decoration.
    """
    script(server, "job", "SET log_min_messages", OWNER=owner)
    assert not leaked(server.log)
    script(server, "job", "SET log_min_messages", line, OWNER=owner)
    assert leaked(server.log)


def test_S16_the_first_line_keeps_out_what_no_other_does(server: Server) -> None:
    """S16: an administrator's debug output has parse trees, with the password in them."""
    script(server, "job", "SET log_min_messages")
    assert leaked(server.log)


def test_S16_who_looks_at_sessions_sees_no_password(server: Server) -> None:
    """S16: pg_stat_activity shows what a session does, and a crash logs it; not of this one."""
    for without, seen in (((), False), (("SET track_activities",), True)):
        blocked = threading.Thread(
            target=server.sql, args=("BEGIN; LOCK TABLE pg_authid IN EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT",)
        )
        blocked.start()
        time.sleep(0.4)
        running = threading.Thread(target=script, args=(server, "job", *without))
        running.start()
        found = ""
        while blocked.is_alive():
            found += server.sql("SELECT query FROM pg_stat_activity")
        blocked.join()
        running.join()
        assert "pg_sleep" in found
        assert leaked(found) is seen


def test_S16_the_statistics_are_switched_off_by_their_line(server: Server) -> None:
    """S16: taken out, pg_stat_statements keeps the statement."""
    server.sql("CREATE EXTENSION pg_stat_statements")
    script(server, "job", "SET pg_stat_statements.track")
    assert leaked(server.sql("SELECT query FROM pg_stat_statements"))
