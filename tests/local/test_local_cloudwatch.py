"""Training metrics in CloudWatch, from the logs of jobs."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

from gtseg.local.embedded import Embedded
from gtseg.local.logs import LogEvents
from gtseg.local.storage.folder import FolderObjects
from gtseg.local.storage.store import Store
from gtseg.local.training import cloudwatch

LINE = "[INFO] #quality_metric. host: algo-1, epoch: {}, validation mIOU: 0.{} ."


def test_every_data_point_is_sent_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    logs = LogEvents(store)
    metrics = cloudwatch.TrainingMetrics(Embedded(store=store, objects=FolderObjects(tmp_path)))
    assert metrics.take_new() == []
    logs.put(cloudwatch.NAMESPACE, "job/algo-1-1", [(60_000, "Training started"), (61_500, LINE.format(0, 25))])
    logs.put("/other", "job/algo-1-1", [(62_000, LINE.format(1, 5))])
    (form,) = metrics.take_new()
    fields = dict(parse_qsl(form.decode()))
    member = "MetricData.member.1."
    assert {name.removeprefix(member): value for name, value in fields.items() if name.startswith(member)} == {
        "MetricName": "validation:mIOU",
        "Value": "0.25",
        "Unit": "None",
        "Timestamp": "1970-01-01T00:01:01Z",
        "Dimensions.member.1.Name": "TrainingJobName",
        "Dimensions.member.1.Value": "job",
    }
    assert metrics.take_new() == []
    logs.put(cloudwatch.NAMESPACE, "job/algo-1-1", [(63_000, LINE.format(1, number)) for number in range(600)])
    assert [json.dumps(dict(parse_qsl(form.decode()))).count("MetricName") for form in metrics.take_new()] == [500, 100]
    store.close()
