"""A missing package of an extra is named with the extra in one line."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
from test_layers import MODULES, imports_of, module_name

from gtseg.cli import extra_of, main

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
BASE = {
    "PIL",
    "boto3",
    "botocore",
    "click",
    "defusedxml",
    "isal",
    "jinja2",
    "markupsafe",
    "msgspec",
    "numpy",
    "pydantic",
    "rich",
    "tenacity",
    "typer",
    "urllib3",
    "yaml",
}
"""What the base install brings, by the names it is imported under."""


@pytest.fixture(autouse=True)
def as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata that an installation of this tree has."""
    lines = list(PROJECT["dependencies"])
    for extra, packages in PROJECT["optional-dependencies"].items():
        lines += [f"{package}{' and' if ';' in package else ';'} extra == '{extra}'" for package in packages]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)


def test_every_imported_package_is_declared_in_the_base_install_or_an_extra() -> None:
    known = {*sys.stdlib_module_names, *BASE, "gtseg"}
    wanted = {(i.partition(".")[0], module_name(path)) for path in MODULES for i in imports_of(path)}
    assert [(top, where) for top, where in sorted(wanted) if top not in known and not extra_of(top)] == []


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("affine", "geo"),
        ("shapefile", "geo"),
        ("cv2", "local"),
        ("onnxruntime", "onnx"),
        ("sagemaker.core", "sagemaker"),
        ("uvloop", "local"),
        ("gtseg.pipeline", None),
        ("pytest", None),
    ],
)
def test_the_extra_of_a_module_is_found(module: str, extra: str | None) -> None:
    assert extra_of(module) == extra


def test_footprints_without_extra_geo_end_with_one_line_before_any_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("gtseg.imports", "affine", "rasterio"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("affine", "rasterio"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as end:
        main(["predict", "images", "-o", "masks", "--features", "f.geojson"])
    assert end.value.code == 1
    assert "not installed: pip install 'gtseg[geo]'" in capsys.readouterr().err
