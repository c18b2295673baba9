"""Arguments that are paths, S3 URIs or names, of every command: mistyped values are refused before anything is done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from gtseg.cli import COMMANDS, SECTIONS, commands_of, main
from gtseg.cli.checks import file_location, location, resource_name, run_or_folder
from gtseg.cli.lazy import group

MISTYPED = {
    "S3://bucket/x": "write s3://bucket/x",
    "s3:/bucket/x": "write s3://bucket/x",
    "s3:bucket/x": "write s3://bucket/x",
    " s3://bucket/x": "write s3://bucket/x",
    "s3://b/x": "'b' is not a bucket name",
    "s3://": "no bucket name",
    "s3://arn:aws:s3:us-east-1:111122223333:accesspoint/pics/x": "write s3://NAME-s3alias/KEY",
    "arn:aws:s3:::bucket/x": "write s3://bucket/x",
    "https://bucket.s3.amazonaws.com/x": "write s3://bucket/x",
    "https://eu-west-1.console.aws.amazon.com/s3/buckets/bucket?prefix=x/": "write s3://bucket/x/",
}
ARN = "arn:aws:sagemaker:us-east-1:111122223333:labeling-job/field-1"
CONSOLE = (
    "https://eu-west-1.console.aws.amazon.com/sagemaker/groundtruth?region=eu-west-1#/labeling-jobs/details/field-1"
)
NAMES = {
    "dataset --job",
    "deploy --job",
    "label --prelabel",
    "predict --endpoint",
    "verify --job",
    "adjust --job",
    "agreement --job",
}
TEXTS = {
    "at", "bands", "bbox", "class_attribute", "command", "contains", "crowd_label_values", "date_attribute",
    "features_crs", "form", "host", "imagery", "instance_type", "label", "label_attribute", "label_values", "labels",
    "mask_suffix", "name", "one", "only", "other", "overrides", "percentiles", "place", "region", "rewrite", "run_name",
    "s3", "s3_profile", "team", "token", "trusted_proxy", "until", "url",
}  # fmt: skip
"""Parameters whose texts are neither paths nor names of jobs or endpoints; the commands check them."""


def parameters(command: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield (words on the command line, command, parameter) of a command and its subcommands."""
    for inner_name, inner in getattr(command, "commands", {}).items():
        yield from parameters(inner, f"{name} {inner_name}")
    for parameter in command.params:
        yield f"{name} {parameter.opts[0]}", command, parameter


def every_parameter() -> list[tuple[str, Any, Any]]:
    commands = group(SECTIONS, commands_of, "", {})
    return [found for name in COMMANDS for found in parameters(commands.get_command(None, name), name)]


def convert(command: Any, parameter: Any, text: str) -> Any:
    """Convert and check a word of the command line."""
    several = getattr(parameter, "multiple", False) or parameter.nargs != 1
    with command.context_class(command) as context:
        found = parameter.process_value(context, (text,) if several else text)
    return found[0] if several else found


def takes(parameter: tuple[str, Any, Any], kind: type) -> bool:
    try:
        return isinstance(convert(*parameter[1:], "photos"), kind)
    except typer.BadParameter:
        return False


EVERY = every_parameter()
PATHS = [found for found in EVERY if takes(found, Path)]
LOCATIONS = [found for found in EVERY if takes(found, str) and found[2].name not in TEXTS and found[0] not in NAMES]


def named(found: list[tuple[str, Any, Any]]) -> Any:
    return pytest.mark.parametrize(("command", "parameter"), [f[1:] for f in found], ids=[f[0] for f in found])


def test_all_paths_and_locations_of_the_commands_are_found() -> None:
    assert {"export out", "init folder", "local backup target", "report --output"} <= {f[0] for f in PATHS}
    assert {"predict images", "predict --output", "dataset --manifest", "import job source"} <= {
        f[0] for f in LOCATIONS
    }


@named(PATHS)
def test_a_path_refuses_s3_uris_and_mistyped_ones(command: Any, parameter: Any) -> None:
    for text in ("s3://bucket/x", *MISTYPED):
        with pytest.raises(typer.BadParameter, match=r"must be a path on this machine.*`aws s3 cp`") as refused:
            convert(command, parameter, text)
        assert str(refused.value.message).startswith(f"{text}: ")
        assert refused.value.param is parameter


@named(LOCATIONS)
def test_a_location_refuses_mistyped_s3_uris(command: Any, parameter: Any) -> None:
    for text in MISTYPED:
        with pytest.raises(typer.BadParameter):
            convert(command, parameter, text)
    if parameter.name != "contenders":
        assert convert(command, parameter, "s3://bucket/x") == "s3://bucket/x"


@named([found for found in EVERY if found[0] in NAMES])
def test_a_name_refuses_arns_and_addresses(command: Any, parameter: Any) -> None:
    for text in (ARN, CONSOLE):
        with pytest.raises(typer.BadParameter, match=r"must be a name, not an \w+: write field-1$"):
            convert(command, parameter, text)
    assert convert(command, parameter, "field-1") == "field-1"


@named([*PATHS, *LOCATIONS])
def test_a_folder_whose_name_begins_with_s3_is_a_path(command: Any, parameter: Any) -> None:
    assert str(convert(command, parameter, "s3data/x")) == "s3data/x"


@pytest.mark.parametrize(("text", "words"), MISTYPED.items())
def test_the_checks_of_locations_tell_the_solution(text: str, words: str) -> None:
    for check in (location, file_location):
        with pytest.raises(typer.BadParameter, match=re.escape(words)):
            check(text)
        with pytest.raises(typer.BadParameter, match=re.escape(words)):
            check(["photos", text])
        assert check(None) is None
        assert check(["photos", "s3://bucket/x"]) == ["photos", "s3://bucket/x"]


def test_a_bucket_alone_is_a_location_but_no_file() -> None:
    assert location("s3://bucket") == "s3://bucket"
    with pytest.raises(typer.BadParameter, match="names no object"):
        file_location("s3://bucket")
    with pytest.raises(typer.BadParameter, match="s3://bucket: must be the name of a run, or a folder on this machine"):
        run_or_folder("s3://bucket")
    assert resource_name(None) is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with masks and a project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    (tmp_path / "gtseg.toml").write_text('[project]\nname = "checks"\n')
    for name in ("masks", "s3data/x"):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / name / "a.png")
    return tmp_path


@pytest.mark.parametrize("text", MISTYPED)
@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("--predictions", ["evaluate", "--masks", "masks", "--predictions", "TEXT"]),
        ("--export", ["evaluate", "--masks", "masks", "--predictions", "masks", "--export", "TEXT"]),
        ("'--output' / '-o'", ["predict", "masks", "--output", "TEXT"]),
        ("--manifest", ["dataset", "--manifest", "TEXT"]),
        ("DIR", ["export", "masks", "TEXT"]),
        ("IMAGES", ["import", "masks", "TEXT", "masks"]),
        ("--out", ["import", "masks", "masks", "masks", "--out", "TEXT"]),
        ("FOLDER", ["init", "TEXT"]),
        ("--data", ["local", "check", "--data", "TEXT"]),
    ],
)
def test_a_mistyped_uri_ends_the_command_with_2_and_no_file_appears(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, argument: str, arguments: list[str]
) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main([text if word == "TEXT" else word for word in arguments])
    message = " ".join(capsys.readouterr().err.split())
    assert end.value.code == 2
    assert argument in message
    assert " ".join(text.split()) in message
    assert sorted(folder.rglob("*")) == before


def test_a_folder_whose_name_begins_with_s3_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--masks", "masks", "--predictions", "s3data/x", "--export", "s3charts"])
    assert end.value.code == 0, capsys.readouterr().err
    assert (folder / "s3charts" / "scores.csv").exists()


@pytest.mark.parametrize(
    ("variable", "arguments"), [("GTSEG_SETTINGS", ["cost"]), ("GTSEG_LOCAL_DATA", ["local", "owner"])]
)
def test_a_uri_in_a_variable_for_a_path_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    arguments: list[str],
) -> None:
    monkeypatch.setenv(variable, "s3://bucket/x")
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert re.search(rf"{variable} s3:/+bucket/x: must be a path on this machine", capsys.readouterr().err)
