"""Import layers of the package, checked on its import statements."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gtseg"
MODULES = sorted(p for p in PACKAGE.rglob("*.py"))

# What a service of the embedded AWS may use: never the S3 protocol, never how objects are stored.
SERVICE = (
    "gtseg.local.clock", "gtseg.local.embedded", "gtseg.local.errors", "gtseg.local.front.protocol", "gtseg.local.jobs",
    "gtseg.local.logs",
    "gtseg.local.locks", "gtseg.local.loop", "gtseg.local.storage.objects", "gtseg.local.storage.paths",
    "gtseg.local.storage.outages", "gtseg.local.storage.store",
    "gtseg.local.storage.sync",
)  # fmt: skip

# What a stage and a command may use: a stage never another stage, a command never another command.
STAGE = ("gtseg.errors", "gtseg.settings", "gtseg.core", "gtseg.aws", "gtseg.pipeline.run")
COMMAND = (*STAGE, "gtseg.pipeline.stages", "gtseg.imports")
LIBRARIES = ("numpy", "PIL", "jinja2", "pydantic", "msgspec")

# layer: (prefixes of gtseg that it may import, third-party distributions that it may import)
LAYERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "gtseg.errors": ((), ()),
    "gtseg.core": (("gtseg.errors", "gtseg.core"), ("numpy", "PIL", "pydantic", "msgspec", "isal")),
    "gtseg.settings": (("gtseg.errors", "gtseg.core", "gtseg.settings"), ("pydantic",)),
    "gtseg.aws": (("gtseg.errors", "gtseg.aws"), ("msgspec",)),
    "gtseg.aws.clients": (("gtseg.errors", "gtseg.aws"), ("boto3", "botocore")),
    "gtseg.aws.failures": (("gtseg.errors", "gtseg.aws"), ("botocore",)),
    "gtseg.aws.credentials": (("gtseg.errors", "gtseg.aws"), ("botocore",)),
    "gtseg.aws.labeling_profile": (("gtseg.errors", "gtseg.aws"), ("botocore",)),
    "gtseg.aws.labeling_server": (("gtseg.errors", "gtseg.aws"), ("botocore",)),
    "gtseg.aws.waiting": (("gtseg.errors", "gtseg.aws"), ("tenacity",)),
    "gtseg.aws.training": (("gtseg.errors", "gtseg.aws"), ("sagemaker",)),
    "gtseg.aws.s3": (("gtseg.errors", "gtseg.aws", "gtseg.core.s3_uris"), ("botocore", "urllib3")),
    "gtseg.pipeline": ((), ()),
    "gtseg.pipeline.run": (STAGE, ("numpy", "PIL", "pydantic", "msgspec")),
    "gtseg.pipeline.stages": (STAGE, LIBRARIES),
    "gtseg.pipeline.stages.label": ((*STAGE, "gtseg.pipeline.stages.label"), LIBRARIES),
    "gtseg.pipeline.stages.dataset": ((*STAGE, "gtseg.pipeline.stages.dataset"), LIBRARIES),
    "gtseg.pipeline.stages.train": ((*STAGE, "gtseg.pipeline.stages.train"), LIBRARIES),
    "gtseg.pipeline.stages.evaluate": ((*STAGE, "gtseg.pipeline.stages.evaluate"), LIBRARIES),
    "gtseg.pipeline.stages.report": ((*STAGE, "gtseg.pipeline.stages.report"), LIBRARIES),
    "gtseg.pipeline.stages.order": ((*STAGE, "gtseg.pipeline.stages"), ()),
    "gtseg.pipeline.commands": (COMMAND, LIBRARIES),
    "gtseg.pipeline.commands.demo": ((*COMMAND, "gtseg.pipeline.commands.demo"), LIBRARIES),
    "gtseg.pipeline.commands.doctor": ((*COMMAND, "gtseg.pipeline.commands.doctor"), LIBRARIES),
    "gtseg.pipeline.commands.review": ((*COMMAND, "gtseg.pipeline.commands.review"), LIBRARIES),
    "gtseg.pipeline.commands.serve": ((*COMMAND, "gtseg.pipeline.commands.serve"), LIBRARIES),
    "gtseg.imports": (("gtseg.errors", "gtseg.core", "gtseg.imports"),
    ("numpy", "PIL", "rasterio", "shapely", "pyproj", "affine", "shapefile", "msgspec", "defusedxml", "yaml")),
    "gtseg.version": ((), ()),
    "gtseg.library": (
        ("gtseg.errors", "gtseg.core", "gtseg.settings", "gtseg.aws", "gtseg.pipeline", "gtseg.library"),
        ("numpy", "PIL", "pandas", "torch", "IPython"),
    ),
    "gtseg.cli": (("gtseg",), ("typer", "click", "rich")),
    "gtseg.start": (("gtseg.cli",), ()),
    "gtseg.local": (
        ("gtseg.local",),
        (
            "moto", "flask", "flask_cors", "werkzeug", "starlette", "uvicorn", "uvloop", "httptools", "anyio",
            "itsdangerous",
            "botocore", "boto3", "torch", "numpy", "PIL", "cv2", "liquid", "markupsafe", "typer", "rich", "click",
            "pydantic", "msgspec", "prometheus_client",
        ),
    ),
    "gtseg.local.storage": (("gtseg.local.errors", "gtseg.local.locks", "gtseg.local.loop", "gtseg.local.storage"), ()),
    "gtseg.local.storage.wal": ((), ("numpy",)),
    "gtseg.local.storage.clients": (("gtseg.local.errors", "gtseg.local.storage"), ("boto3", "botocore")),
    "gtseg.local.storage.failures": (("gtseg.local.errors", "gtseg.local.storage"), ("botocore",)),
    "gtseg.local.storage.connection": (("gtseg.local.errors", "gtseg.local.storage"), ("botocore", "urllib3")),
    "gtseg.local.storage.answers": ((), ("botocore", "urllib3")),
    "gtseg.local.storage.heads": ((), ("botocore",)),
    "gtseg.local.s3": (
        ("gtseg.local.errors", "gtseg.local.front", "gtseg.local.s3", "gtseg.local.storage"),
        ("numpy", "werkzeug"),
    ),
    "gtseg.local.jobs": (SERVICE, ("msgspec",)),
    "gtseg.local.logs": (SERVICE, ()),
    "gtseg.local.labeling": (
        (
            *SERVICE, "gtseg.local.algorithm.networks.efficientnet", "gtseg.local.algorithm.untrusted.pictures",
            "gtseg.local.algorithm.hardware.precision", "gtseg.local.front.bodies", "gtseg.local.identity",
            "gtseg.local.labeling",
        ),
        ("starlette", "anyio", "itsdangerous", "msgspec", "botocore", "torch", "numpy", "PIL", "cv2", "liquid",
        "markupsafe"),
    ),
    "gtseg.local.labeling.assist": (
        (*SERVICE, "gtseg.local.algorithm.untrusted.pictures", "gtseg.local.labeling"), ("numpy", "cv2", "PIL"),
    ),
    "gtseg.local.labeling.automated": (
        (
            *SERVICE, "gtseg.local.algorithm.untrusted.pictures", "gtseg.local.algorithm.untrusted.model_archive",
            "gtseg.local.hosting.artifact",
            "gtseg.local.hosting.models", "gtseg.local.labeling", "gtseg.local.training",
        ),
        ("msgspec", "numpy"),
    ),
    "gtseg.local.training": ((*SERVICE, "gtseg.local.training"), ()),
    "gtseg.local.tuning": ((*SERVICE, "gtseg.local.training", "gtseg.local.tuning"), ("numpy",)),
    "gtseg.local.hosting": (
        (*SERVICE, "gtseg.local.algorithm.untrusted.model_archive", "gtseg.local.hosting"), ("msgspec",),
    ),
    "gtseg.local.transform": ((*SERVICE, "gtseg.local.hosting", "gtseg.local.transform"), ()),
    "gtseg.local.algorithm": (("gtseg.local.algorithm",), ("torch", "numpy", "PIL", "cv2", "starlette", "uvicorn")),
}  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def layer_of(name: str) -> str | None:
    matching = [layer for layer in LAYERS if within(name, layer)]
    return max(matching, key=len) if matching else None


def imports_of(path: Path) -> Iterator[str]:
    """Yield the absolute dotted names that a module imports, also those under TYPE_CHECKING."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def is_allowed(name: str, layer: str) -> bool:
    own, foreign = LAYERS[layer]
    top = name.split(".")[0]
    if top == "gtseg":
        return within(name, "gtseg.version") or any(within(name, prefix) for prefix in own)
    return top in sys.stdlib_module_names or top in foreign


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_what_its_layer_allows(path: Path) -> None:
    name = module_name(path)
    layer = layer_of(name)
    if layer is None:
        assert name in {"gtseg", "gtseg.__main__"}, f"{name} is in no layer: add it to the table"
        return
    wrong = [imported for imported in imports_of(path) if not is_allowed(imported, layer)]
    assert not wrong, f"{name} ({layer}) must not import {wrong}"


def test_there_are_no_circular_imports() -> None:
    known = {module_name(path) for path in MODULES}

    def module_of(imported: str) -> str:
        while imported and imported not in known:
            imported = imported.rpartition(".")[0]
        return imported

    needs = {module_name(p): {module_of(i) for i in imports_of(p)} - {module_name(p)} for p in MODULES}
    try:
        tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        pytest.fail(f"circular import: {' -> '.join(error.args[1])}")


def test_product_and_embedded_aws_share_no_code() -> None:
    product = [p for p in MODULES if not within(module_name(p), "gtseg.local")]
    crossing = {module_name(p): i for p in product for i in imports_of(p) if within(i, "gtseg.local")}
    assert set(crossing) <= {"gtseg.cli"}, crossing


def test_one_module_of_the_product_imports_boto3() -> None:
    product = [p for p in MODULES if not within(module_name(p), "gtseg.local")]
    places = {module_name(p) for p in product for i in imports_of(p) if within(i, "boto3")}
    assert places <= {"gtseg.aws.clients"}


def test_one_module_of_the_embedded_aws_imports_boto3() -> None:
    local = [p for p in MODULES if within(module_name(p), "gtseg.local")]
    places = {module_name(p) for p in local for i in imports_of(p) if within(i, "boto3")}
    assert places == {"gtseg.local.storage.clients"}
