"""Metrics of the built-in semantic segmentation algorithm, parsed from its log lines."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from gtseg.local.training.work import TrainingRecord

DEFINITIONS = {
    "train:loss": r"#quality_metric\. host: \S+, epoch: \d+, train loss: (\S+)",
    "train:throughput": r"#throughput_metric\. host: \S+, epoch: \d+, train throughput: (\S+) samples/sec",
    "validation:mIOU": r"#quality_metric\. host: \S+, epoch: \d+, validation mIOU: (\S+)",
    "validation:pixel_accuracy": r"#quality_metric\. host: \S+, epoch: \d+, validation pixel_accuracy: (\S+)",
    "validation:throughput": r"#throughput_metric\. host: \S+, epoch: \d+, validation throughput: (\S+) samples/sec",
    "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
}
"""SageMaker defines these for a built-in image; names from its documentation, expressions verified on a real log."""
OBJECTIVES = ("validation:mIOU", "validation:pixel_accuracy")
PATTERNS = {name: re.compile(expression) for name, expression in DEFINITIONS.items()}


def read_metrics(lines: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield (metric name, value) for all data points in `lines`, in order; a NaN loss is not a data point."""
    for line in lines:
        if "_metric" not in line:
            continue
        for name, pattern in PATTERNS.items():
            found = pattern.search(line)
            if found and math.isfinite(float(found[1])):
                yield name, float(found[1])


def record_metrics(record: TrainingRecord, metrics: Iterable[tuple[str, float]], moment: datetime) -> None:
    """Store each metric's last value in FinalMetricDataList, and a trial's objective after each epoch for its tuner."""
    final = {item["MetricName"]: item for item in record.answer.get("FinalMetricDataList", [])}
    objective = record.answer.get("HyperParameters", {}).get("_tuning_objective_metric")
    for name, value in metrics:
        final[name] = {"MetricName": name, "Value": value, "Timestamp": moment}
        if name == objective:
            record.work.history.append(value)
    if final:
        record.answer["FinalMetricDataList"] = [final[name] for name in sorted(final)]
