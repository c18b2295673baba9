"""Write docs/library.md from the docstrings of what `import gtseg` offers.

scripts/library_page.py            write the page
scripts/library_page.py --check    leave with 1 where it differs
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gtseg

TARGET = Path(__file__).resolve().parents[1] / "docs" / "library.md"
ORDER = (
    "Project",
    "ProjectRun",
    "Labeling",
    "Dataset",
    "ChannelDataset",
    "Training",
    "Endpoint",
    "Predictions",
    "Prediction",
    "Evaluation",
    "Report",
    "read_manifest",
    "Manifest",
    "LabeledImage",
    "evaluate",
    "Figure",
    "Picture",
)
"""GtsegError and __version__ are told in the introduction."""
INTRODUCTION = """# gtseg as a library

{module}

Two notebooks show all of it: `docs/notebooks/label-to-report.ipynb` and `docs/notebooks/old-ground-truth-job.ipynb`.

Every error that a user may cause or cure is a `gtseg.GtsegError` with one clear message. `gtseg.__version__` follows
semantic versioning: this page changes incompatibly only with a new major version (before 1.0: a new minor one).

Tables are pandas DataFrames if pandas is installed, otherwise lists of dicts. Arrays are NumPy arrays. `Dataset.torch`
needs torch.

This page is written by `scripts/library_page.py` from the docstrings; a test holds both equal.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION.format(module=paragraphs(inspect.getdoc(gtseg) or ""))]
    for name in ORDER:
        thing = getattr(gtseg, name)
        parts += class_part(thing) if inspect.isclass(thing) else [function_part(thing, f"gtseg.{name}", "##")]
    return "\n".join(parts).rstrip() + "\n"


def class_part(kind: type) -> Iterator[str]:
    yield f"## gtseg.{kind.__name__}\n\n{paragraphs(inspect.getdoc(kind) or '')}\n"
    rows = list(attribute_rows(kind))
    if rows:
        lines = (f"| `{name}` | `{kind.replace('|', 'or')}` | {text} |\n" for name, kind, text in rows)
        yield "| attribute | type | |\n|---|---|---|\n" + "".join(lines)
    for name, member in vars(kind).items():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, classmethod)):
            function = member.__func__ if isinstance(member, classmethod) else member
            yield function_part(function, name, "###")


def attribute_rows(kind: type) -> Iterator[tuple[str, str, str]]:
    """Public fields with the strings below them, and properties with their docstrings."""
    told = attribute_strings(kind)
    if is_dataclass(kind):
        for one in fields(kind):
            if not one.name.startswith("_"):
                yield one.name, plain(one.type), joined(told.get(one.name, ""))
    for name, member in vars(kind).items():
        if not name.startswith("_") and isinstance(member, property | cached_property):
            getter = member.fget if isinstance(member, property) else member.func
            kind_of = getter.__annotations__.get("return", "")
            yield name, plain(kind_of), joined(inspect.getdoc(member) or "")


def attribute_strings(kind: type) -> dict[str, str]:
    """Field -> the string literal that stands below it in the source."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            continue
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            found[field.target.id] = str(after.value.value)
    return found


def function_part(function: Any, name: str, mark: str) -> str:
    return (
        f"{mark} {name}\n\n```python\n{signature(function, name)}\n```\n\n"
        f"{paragraphs(inspect.getdoc(function) or '')}\n"
    )


def signature(function: Any, name: str) -> str:
    """The signature as it is written, without `self` and `cls`."""
    found = inspect.signature(function)
    kept = [
        one.replace(annotation=Bare(one.annotation))
        for key, one in found.parameters.items()
        if key not in ("self", "cls")
    ]
    text = str(found.replace(parameters=kept, return_annotation=Bare(found.return_annotation)))
    return f"{name.rsplit('.', 1)[-1]}{text}"


class Bare:
    """An annotation that is shown as it is written."""

    def __init__(self, annotation: Any) -> None:
        self.text = plain(annotation)

    def __repr__(self) -> str:
        return self.text


def plain(annotation: Any) -> str:
    return str(annotation).replace("'", "")


def paragraphs(text: str) -> str:
    """Lines of a paragraph joined; indented blocks are code."""
    blocks = re.split(r"\n\s*\n", text)
    joined_blocks, code = [], list[str]()
    for block in [*blocks, ""]:
        if block.startswith("    "):
            code.append(textwrap.dedent(block))
            continue
        if code:
            joined_blocks.append("```python\n" + "\n\n".join(code) + "\n```")
            code = []
        joined_blocks.append(joined(block))
    return "\n\n".join(one for one in joined_blocks if one)


def joined(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    text = page()
    if "--check" in sys.argv[1:]:
        raise SystemExit(int(not TARGET.exists() or TARGET.read_text() != text))
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
