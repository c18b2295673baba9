"""Log in the exact format of the built-in algorithm (modeled on a real job's log of April 2020).

Every line goes to stdout and is flushed, because the log is followed live.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

HOST = "algo-1"


def write(level: str, message: str) -> None:
    stamp = datetime.now(UTC).strftime("%m/%d/%Y %H:%M:%S")
    print(f"[{stamp} {level} {threading.get_ident()}] {message}", flush=True)


def info(message: str) -> None:
    write("INFO", message)


def warn(message: str) -> None:
    write("WARNING", message)


def error(message: str) -> None:
    write("ERROR", message)


def progress(epoch: int, iterations: int, *, speed: float, learning_rate: float | None = None) -> None:
    """Log progress, every 20 batches; `speed` in samples per second; validation logs no learning rate."""
    rate = "" if learning_rate is None else f" learning_rate: {learning_rate:.6f}"
    info(f"#progress_notice. epoch: {epoch}, iterations: {iterations} speed: {speed:.12g} samples/sec{rate}")


def quality(epoch: int, name: str, value: float) -> None:
    """Log a metric; `name` is `train loss`, `validation pixel_accuracy` or `validation mIOU`.

    The value is followed by ` .`.
    """
    info(f"#quality_metric. host: {HOST}, epoch: {epoch}, {name}: {value} .")


def throughput(epoch: int, name: str, samples_per_second: float) -> None:
    info(f"#throughput_metric. host: {HOST}, epoch: {epoch}, {name} throughput: {samples_per_second:.12g} samples/sec.")


def completed(percent: int) -> None:
    info(f"#progress_metric: host={HOST}, completed {percent} % of epochs")


def metrics(values: Mapping[str, float], *, started: float, dimensions: dict[str, Any] | None = None) -> None:
    """Log the `#metrics` JSON of one operation, followed by an empty line. `started`: epoch seconds."""
    body = {
        "Metrics": {k: {"count": 1, "max": v, "sum": float(v), "min": v} for k, v in values.items()},
        "EndTime": time.time(),
        "Dimensions": {
            "Host": HOST,
            **(dimensions or {}),
            "Operation": "training",
            "Algorithm": "AWS/Semantic Segmentation",
        },
        "StartTime": started,
    }
    print(f"#metrics {json.dumps(body)}\n", flush=True)
