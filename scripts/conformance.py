"""Run a checkout of Ceph's s3-tests against the embedded S3 and compare the result with scripts/conformance.toml.

    git clone https://github.com/ceph/s3-tests && python3 -m venv s3-tests/.venv
    s3-tests/.venv/bin/pip install -r s3-tests/requirements.txt
    scripts/conformance s3-tests                        # what this server claims to implement
    scripts/conformance s3-tests -k multipart           # arguments after the path go to pytest

Every test of the suite is in one of three groups. `not-claimed` tests are not run: they need a feature that this
server refuses. `differs` tests are run and must fail: the suite expects Ceph's behavior, AWS documents another. All
others must pass. Exit code 0: as the file says; 1: it differs, by test; 2: usage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

from gtseg.local.environment import Serving, environment
from gtseg.local.execute import ServerOptions, hold_server

CLAIMS = Path(__file__).with_suffix(".toml")
# The suite asks for several users; this server has one.
ROLES = ("s3 main", "s3 alt", "s3 tenant", "iam", "iam root", "iam alt root")
ACCOUNT = "123456789012"
TEST_SECONDS = 120


@dataclass(frozen=True)
class Claims:
    """scripts/conformance.toml: the reason for every test that is not run or must fail, by pattern of its name."""

    file: str
    not_claimed: Mapping[str, str]
    differs: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    test: str
    passed: bool
    message: str


def read_claims(path: Path = CLAIMS) -> Claims:
    document = tomllib.loads(path.read_text())
    return Claims(document["file"], _invert(document["not-claimed"]), _invert(document["differs"]))


def _invert(groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {pattern: reason for reason, patterns in groups.items() for pattern in patterns}


def find_reason(reasons: Mapping[str, str], test: str) -> str | None:
    """The reason of the first pattern that matches; a parametrized test is known by its name."""
    name = test.partition("[")[0].removeprefix("test_")
    return next((reason for pattern, reason in reasons.items() if fnmatchcase(name, pattern)), None)


def write_configuration(path: Path, serving: Serving) -> None:
    host, _, port = serving.url.removeprefix("http://").rpartition(":")
    lines = ["[DEFAULT]", f"host = {host}", f"port = {port}", "is_secure = no", "ssl_verify = no"]
    lines += [
        "[fixtures]",
        "bucket prefix = gtseg-{random}-",
        "iam name prefix = gtseg-",
        "iam path prefix = /gtseg/",
    ]
    for role in ROLES:
        lines += [f"[{role}]", f"access_key = {serving.access_key}", f"secret_key = {serving.secret_key}"]
        lines += [
            "display_name = gtseg",
            f"user_id = {ACCOUNT}",
            "email = nobody@example.com",
            "tenant = gtseg",
        ]
    path.write_text("\n".join(lines) + "\n")


@contextmanager
def serve_suite(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of pytest: a server of its own, with an empty data folder."""
    region = "us-east-1"
    with hold_server(folder / "data", options=ServerOptions(), region=region) as (serving, _):
        write_configuration(folder / "s3tests.conf", serving)
        env = environment(os.environ, serving, folder / "data", region=region)
        yield {**env, "S3TEST_CONF": str(folder / "s3tests.conf")}


def choose_python(suite: Path, chosen: str | None) -> str:
    """An interpreter with the suite's requirements."""
    own = suite / ".venv" / "bin" / "python"
    python = chosen or (str(own) if own.exists() else sys.executable)
    wanted = "import pytest, boto3, munch, isodate, requests, pytz, httplib2, lxml, gevent, yaml"
    if subprocess.run([python, "-c", wanted], capture_output=True).returncode:
        sys.exit(f"{python} lacks the suite's requirements: make {suite}/.venv with requirements.txt, or give --python")
    return python


def collect(python: str, suite: Path, env: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Node ids of the suite's tests."""
    command = [python, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
    found = subprocess.run(command, cwd=suite, env=dict(env), text=True, capture_output=True)
    tests = [line for line in found.stdout.splitlines() if "::" in line]
    if not tests:
        sys.exit(f"pytest found no tests in {suite}:\n{found.stdout[-2000:]}{found.stderr[-2000:]}")
    return tests


def run_tests(python: str, suite: Path, env: Mapping[str, str], tests: Sequence[str], report: Path) -> list[Outcome]:
    """Every test's outcome; progress goes to standard error. A test that takes too long ends the run."""
    listed = report.with_suffix(".txt")
    listed.write_text("\n".join(tests))
    command = [python, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    process = subprocess.Popen([*command, f"@{listed}"], cwd=suite, env=dict(env), stdout=sys.stderr)
    timer = threading.Timer(TEST_SECONDS * (1 + len(tests) / 10), process.kill)
    timer.start()
    process.wait()
    timer.cancel()
    return read_report(report)


def read_report(report: Path) -> list[Outcome]:
    """Outcomes of a JUnit file, skipped tests left out."""
    outcomes = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        if case.find("skipped") is None:
            message = "" if failure is None else failure.get("message", "").splitlines()[0]
            outcomes.append(Outcome(case.get("name", ""), failure is None, message))
    return outcomes


def compare(outcomes: Sequence[Outcome], claims: Claims) -> list[str]:
    """What differs from the file, one line a test."""
    lines = []
    for outcome in outcomes:
        reason = find_reason(claims.differs, outcome.test)
        if outcome.passed and reason is not None:
            lines.append(f"passed, but is listed as failing ({reason}): {outcome.test}")
        if not outcome.passed and reason is None:
            lines.append(f"failed: {outcome.test}: {outcome.message[:300]}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, help="checkout of https://github.com/ceph/s3-tests")
    parser.add_argument("--python", help="interpreter with the suite's requirements; default: SUITE/.venv")
    parser.add_argument("--everything", action="store_true", help="also run what is not claimed; only count")
    options, arguments = parser.parse_known_args()
    claims = read_claims()
    if not (options.suite / claims.file).is_file():
        parser.error(f"{options.suite} is no checkout of s3-tests: it has no {claims.file}")
    suite = options.suite.absolute()
    python = choose_python(suite, options.python)
    with tempfile.TemporaryDirectory(prefix="gtseg-conformance-") as name, serve_suite(Path(name)) as env:
        tests = collect(python, suite, env, [claims.file, *arguments])
        left_out = {test: find_reason(claims.not_claimed, test.rpartition("::")[2]) for test in tests}
        chosen = [test for test in tests if options.everything or left_out[test] is None]
        # Tests that fail as expected come last: some leave a bucket behind that others would see.
        chosen.sort(key=lambda test: find_reason(claims.differs, test.rpartition("::")[2]) is not None)
        outcomes = run_tests(python, suite, env, chosen, Path(name) / "report.xml")
    passed = sum(outcome.passed for outcome in outcomes)
    lines = [] if options.everything else compare(outcomes, claims)
    print("\n".join(lines))
    print(
        f"{passed} passed, {len(outcomes) - passed} failed, {len(tests) - len(chosen)} not claimed; "
        f"{len(lines)} unexpected"
    )
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
