"""The four arrangements of docs/deployment.md run as they are written there.

Each "machine" has a home directory of its own, and bash executes the lines of the page. AWS is an embedded server,
reached at AWS's own host names through an HTTPS proxy (tests/aws_hosts.py), without any endpoint setting. Only host
names and ports are replaced, `--yes` answers for the person, and `--crowd-masks` labels for the people.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aws_hosts import AWSHosts
from local_aws import LocalAWS
from moto.server import ThreadedMotoServer
from polling import wait_for
from test_two_servers import draw

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PAGE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
CROWD = ["--crowd-masks", "masks", "--crowd-workers", "2", "--crowd-error", "0"]
KEYS = "[{}]\naws_access_key_id = {}\naws_secret_access_key = {}\n"


def section(title: str) -> str:
    """The text of the page from a bold title to the next one."""
    start = PAGE.index(f"**{title}")
    return PAGE[start : PAGE.index("\n**", start)]


def find_line(title: str, start: str) -> str:
    """The line of code of a section that starts so, without its comment."""
    found = re.search(rf"(?:^    |`)({re.escape(start)}[^`#\n]*)", section(title), re.MULTILINE)
    assert found is not None, f"{title!r} has no line {start!r}"
    return found[1].strip()


def find_settings(title: str, start: str) -> str:
    """The lines of configuration of a section from `start` to the next blank line, without comments and indentation."""
    found = re.search(rf"^    {re.escape(start)}.*?\n\n", section(title), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{title!r} has no settings {start!r}"
    return "\n".join(line[4:].partition("#")[0].rstrip() for line in found[0].splitlines()) + "\n"


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


class Machine:
    """A home directory, a folder to work in, and a shell."""

    def __init__(self, home: Path, folder: Path, variables: dict[str, str] | None = None) -> None:
        (home / ".aws").mkdir(parents=True)
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "GTSEG_", "XDG_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.home, self.folder = home, folder
        self.variables = {**inherited, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1"}
        self.variables |= {"AWS_EC2_METADATA_DISABLED": "true", **(variables or {})}
        self.servers: list[subprocess.Popen[bytes]] = []

    def configure(self, *, config: str = "", credentials: str = "") -> None:
        for name, text in (("config", config), ("credentials", credentials)):
            with (self.home / ".aws" / name).open("a") as file:
                file.write(text)

    def run(self, line: str, *, stdin: str = "") -> str:
        """Execute a line; return what it printed."""
        done = subprocess.run(
            ["bash", "-ec", line], cwd=self.folder, env=self.variables, input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def serve(self, line: str) -> str:
        """Execute a line that serves, with a crowd and any free port; return the server's URL."""
        words = [line, "--port", "0", *CROWD]
        command = ["bash", "-ec", f"exec {' '.join(words)}"]
        with (self.home / "server.log").open("wb") as log:
            self.servers.append(subprocess.Popen(command, cwd=self.folder, env=self.variables, stdout=log, stderr=log))
        place = self.home / ".local" / "share" / "gtseg" / "server.json"
        wait_for(lambda: place.exists() or self.servers[-1].poll() is not None)
        assert place.exists(), (self.home / "server.log").read_text()
        return str(json.loads(place.read_bytes())["url"])

    def stop(self) -> None:
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return draw(tmp_path / "project")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def play_aws(opened: ExitStack, folder: Path, **crowd: str) -> tuple[dict[str, str], str, LocalAWS]:
    """Variables and credentials of a machine with an AWS account, and the server that plays AWS."""
    server = LocalAWS(folder / "aws", options=crowd)
    opened.callback(server.stop)
    server.client("iam").create_role(RoleName="gtseg", AssumeRolePolicyDocument=json.dumps(TRUST))
    (folder / "hosts").mkdir()
    hosts = opened.enter_context(AWSHosts(folder / "hosts"))
    hosts.forward = server.url
    kept = ("PROXY", "AWS_CA_BUNDLE")
    variables = {name: value for name, value in hosts.environment.items() if name.upper().endswith(kept)}
    return variables, KEYS.format("default", server.access_key, server.secret_key), server


DEFAULT = "[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n"
"""Path style, because the embedded S3 has no host names for buckets."""


def answer_yes(line: str) -> str:
    return line.replace("gtseg run", "gtseg run --yes")


def check_results(machine: Machine) -> None:
    """The run is complete: masks, model, evaluation, report."""
    assert (machine.folder / "report.html").exists()
    assert "everything is done" in machine.run("gtseg status --refresh")


def test_everything_on_aws(project: Path, tmp_path: Path, opened: ExitStack) -> None:
    crowd = {"crowd_masks": str(project / "masks"), "crowd_workers": "2", "crowd_error": "0"}
    variables, keys, aws = play_aws(opened, tmp_path, **crowd)
    machine = Machine(tmp_path / "home", project, variables)
    machine.configure(config=DEFAULT, credentials=keys)
    machine.run(answer_yes(find_line("1. ", "gtseg doctor && gtseg run")))
    check_results(machine)
    assert {"CreateLabelingJob", "CreateTrainingJob", "CreateEndpoint"} <= {call["operation"] for call in aws.calls()}


def test_everything_on_one_machine(project: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", project)
    line = find_line("2. ", "gtseg local exec -- gtseg run")
    machine.run(line.replace(" exec ", f" exec {' '.join(CROWD)} "))
    assert (project / "report.html").exists()


def test_labeling_on_your_own_server_and_everything_else_on_aws(
    project: Path, tmp_path: Path, opened: ExitStack
) -> None:
    variables, keys, aws = play_aws(opened, tmp_path)
    title = "3. "
    server = Machine(tmp_path / "server", project, variables)
    client = Machine(tmp_path / "client", project, variables)
    for machine in (server, client):
        machine.configure(config=DEFAULT, credentials=keys)
    opened.callback(server.stop)
    client.run(find_line(title, "gtseg init --policies"))
    assert (project / "policies" / "labeling-server.json").exists()
    url = server.serve(find_line(title, "gtseg local up --s3 aws --only labeling"))
    line = find_line(title, "gtseg local profile labels --at")
    config, credentials = split_sections(server.run(line.replace("https://label.example.org", url)))
    first, second = find_line(title, "cat >> ~/.aws/config; cat >> ~/.aws/credentials").split(";")
    client.run(first, stdin=config)
    client.run(second, stdin=credentials)
    with (project / "gtseg.toml").open() as file:
        settings = file.read()
    added = find_settings(title, "[labeling]").replace("[labeling]\n", "")
    (project / "gtseg.toml").write_text(settings.replace("[labeling]\n", f"[labeling]\n{added}"))
    client.run(answer_yes("gtseg doctor && gtseg run"))
    check_results(client)
    created = {call["operation"] for call in aws.calls() if call["operation"].startswith("Create")}
    assert {"CreateTrainingJob", "CreateEndpoint"} <= created
    assert "CreateLabelingJob" not in created


def split_sections(printed: str) -> tuple[str, str]:
    """What `gtseg local profile` prints: the section for ~/.aws/config and the one for ~/.aws/credentials."""
    start = printed.index("[labels]")
    config = printed[:start]
    return "\n".join(line for line in config.splitlines() if not line.startswith("#")) + "\n", printed[start:]


def test_everything_on_your_own_servers_with_your_own_s3_service(
    project: Path, tmp_path: Path, opened: ExitStack
) -> None:
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    opened.callback(store.stop)
    s3, title = "http://{}:{}".format(*store.get_host_and_port()), "4. "
    machine = Machine(tmp_path / "home", project)
    opened.callback(machine.stop)
    settings = find_settings(title, "[profile own]").replace("https://minio.lan:9000", s3)
    machine.configure(config=settings, credentials=KEYS.format("own", "OWN", "own"))
    url = machine.serve(find_line(title, "gtseg local up --s3").replace("https://minio.lan:9000", s3))
    path = machine.home / ".aws" / "config"
    path.write_text(path.read_text().replace("http://127.0.0.1:4566", url))
    machine.run(find_line(title, "AWS_PROFILE=own gtseg run"))
    machine.variables["AWS_PROFILE"] = "own"
    check_results(machine)
