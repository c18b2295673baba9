"""The clients named in the README, configured only by the lines that `gtseg local up` prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Name in the README -> command; {bucket} has the objects a.txt (b"hello") and p.tif (a picture of 4 x 4 pixels).
CLIENTS: dict[str, tuple[list[str], str]] = {
    "boto3": (
        [
            "python",
            "-c",
            "import boto3; print(boto3.client('s3').get_object(Bucket='b-1', Key='a.txt')['Body'].read())",
        ],
        "b'hello'",
    ),
    "AWS CLI": (["aws", "s3", "cp", "s3://b-1/a.txt", "-"], "hello"),
    "s5cmd": (["s5cmd", "cat", "s3://b-1/a.txt"], "hello"),
    "sagemaker.core": (
        [
            "python",
            "-c",
            "from sagemaker.core.resources import TrainingJob; print(list(TrainingJob.get_all()))",
        ],
        "[]",
    ),
    "obstore": (
        [
            "python",
            "-c",
            "from obstore.store import S3Store; print(bytes(S3Store('b-1').get('a.txt').bytes()))",
        ],
        "b'hello'",
    ),
    "rasterio": (
        ["python", "-c", "import rasterio; print(rasterio.open('s3://b-1/p.tif').read().sum())"],
        "16",
    ),
    "gtseg": (["python", "-m", "gtseg", "local", "worker", "list"], "ada"),
}
MODULES = {"sagemaker.core": "sagemaker.core", "obstore": "obstore", "rasterio": "rasterio"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a new shell after running the printed lines."""
    folder = tmp_path_factory.mktemp("clients")
    command = [
        sys.executable,
        "-m",
        "gtseg",
        "local",
        "up",
        "--data",
        str(folder / "a data folder"),
        "--port",
        "0",
    ]
    log = (folder / "log").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    lines = "".join(iter(process.stdout.readline, "unset AWS_PROFILE AWS_SESSION_TOKEN\n"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = {"PATH": path, "HOME": str(folder)}
    pasted = subprocess.run(
        ["bash", "-c", f"{lines}env -0"], env=shell, capture_output=True, text=True, check=True, cwd=ROOT
    )
    environment = dict(pair.split("=", 1) for pair in pasted.stdout.split("\0") if pair)
    prepare(environment)
    yield environment
    process.terminate()
    process.communicate(timeout=30)
    log.close()


def prepare(environment: dict[str, str]) -> None:
    script = (
        "import boto3, cv2, numpy; s3 = boto3.client('s3'); s3.create_bucket(Bucket='b-1');"
        "s3.put_object(Bucket='b-1', Key='a.txt', Body=b'hello');"
        "picture = cv2.imencode('.tif', numpy.ones((4, 4), numpy.uint8))[1].tobytes();"
        "s3.put_object(Bucket='b-1', Key='p.tif', Body=picture)"
    )
    run(["python", "-c", script], environment)
    run(["python", "-m", "gtseg", "local", "worker", "add", "ada"], environment)


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_work_with_the_exported_lines_alone(exported: dict[str, str], client: str) -> None:
    if client in MODULES:
        pytest.importorskip(MODULES[client])
    command, expected = CLIENTS[client]
    assert expected in run(command, exported)


def test_every_client_named_in_the_readme_is_tested() -> None:
    readme = (ROOT / "README.md").read_text()
    promised = re.search(r"with the lines that `up` prints and nothing else:\s+([^:]*?)\.\s+These need", readme)
    assert promised is not None
    named = {name.strip().strip("`").removeprefix("the ") for name in promised[1].replace("\n", " ").split(",")}
    assert named == CLIENTS.keys() - {"gtseg"}
