"""ONNX files run by ONNX Runtime (`gtseg[onnx]`); every error names the file."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtseg.local.errors import ServiceError

Array = NDArray[Any]
Run = Callable[[dict[str, Array]], dict[str, Array]]
"""Function from arrays by input name to arrays by output name; converts inputs to the file's types."""

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
}


def has_onnxruntime() -> bool:
    return importlib.util.find_spec("onnxruntime") is not None


def open_session(path: Path) -> Run:
    """Load a model. Loading and each run raise ServiceError InvalidRequest with ONNX Runtime's message."""
    if not has_onnxruntime():
        raise ServiceError(
            "InvalidRequest", f"The outline model {path} requires ONNX Runtime: pip install 'gtseg[onnx]'."
        )
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has its own exception classes
        raise ServiceError("InvalidRequest", f"The outline model {path} cannot be loaded: {error}") from None
    kinds = {item.name: TYPES.get(item.type, np.float32) for item in session.get_inputs()}
    outputs = [item.name for item in session.get_outputs()]

    def run(given: dict[str, Array]) -> dict[str, Array]:
        feed: dict[str, Array] = {name: np.ascontiguousarray(given[name], kind) for name, kind in kinds.items()}
        try:
            return dict(zip(outputs, session.run(None, feed), strict=True))
        except Exception as error:
            raise ServiceError("InvalidRequest", f"The outline model {path} failed: {error}") from None

    return run
