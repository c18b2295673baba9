"""Background, void and the limit of classes are defined once."""

from __future__ import annotations

import re
from pathlib import Path

import gtseg
from gtseg.core.classes import BACKGROUND, MAX_CLASSES, VOID, VOID_NAME


def test_background_void_and_the_limit_of_classes_equal_the_built_in_algorithms() -> None:
    assert (BACKGROUND, VOID, VOID_NAME, MAX_CLASSES) == ("BACKGROUND", 255, "void", 254)


def test_one_module_of_the_product_defines_the_name_background() -> None:
    package = Path(gtseg.__file__).parent
    product = [p for p in package.rglob("*.py") if "local" not in p.relative_to(package).parts]
    spelled = {
        p.relative_to(package).as_posix() for p in product if re.search(r"""["']BACKGROUND["']""", p.read_text())
    }
    assert spelled <= {"core/classes.py", "core/masks/__init__.py"}
