from __future__ import annotations

import pytest

from gtseg.core.training.image_uris import ACCOUNTS, image_uri
from gtseg.errors import SettingsError


def test_the_table_equals_sagemaker_cores_in_every_region() -> None:
    theirs = pytest.importorskip("sagemaker.core.image_uris")
    config = theirs.config_for_framework("semantic-segmentation")
    version = next(iter(config["versions"].values())) if "versions" in config else config["training"]
    assert (config.get("registries") or version["registries"]) == ACCOUNTS
    assert {region: image_uri(region) for region in ACCOUNTS} == {
        region: theirs.retrieve("semantic-segmentation", region) for region in ACCOUNTS
    }


def test_there_are_37_regions_and_others_are_refused_with_a_remedy() -> None:
    assert len(ACCOUNTS) == 37
    with pytest.raises(SettingsError, match=r"not available in region 'mx-central-1'.*us-east-1.*image_uri"):
        image_uri("mx-central-1")


def test_regions_of_china_have_another_host_suffix() -> None:
    assert image_uri("cn-north-1") == "390948362332.dkr.ecr.cn-north-1.amazonaws.com.cn/semantic-segmentation:1"
