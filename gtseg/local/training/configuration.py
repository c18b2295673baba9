"""Configuration files of a training container below `input/config`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtseg.local.jobs.channels import describe_channel


def write_configuration(root: Path, answer: Mapping[str, Any]) -> None:
    """Write hyperparameters.json, inputdataconfig.json and resourceconfig.json from a job's Describe response.

    `_tuning_objective_metric` is omitted: it is for SageMaker's tuner, not for the algorithm.
    """
    mode = answer["AlgorithmSpecification"]["TrainingInputMode"]
    given = answer.get("HyperParameters", {})
    documents = {
        "hyperparameters": {key: value for key, value in given.items() if key != "_tuning_objective_metric"},
        "inputdataconfig": {
            channel["ChannelName"]: describe_channel(channel, mode) for channel in answer.get("InputDataConfig", [])
        },
        "resourceconfig": {
            "current_host": "algo-1",
            "current_instance_type": answer["ResourceConfig"]["InstanceType"],
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"],
            "network_interface_name": "eth0",
        },
    }
    for folder in ("input/config", "input/data", "model", "output/data", "checkpoints"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (root / "input" / "config" / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
