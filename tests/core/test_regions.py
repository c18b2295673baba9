"""Table of Lambda accounts against the ARNs in botocore's API documentation."""

from __future__ import annotations

import re

import botocore.session
import pytest

from gtseg.core.labeling.regions import LAMBDA_ACCOUNTS, automated_labeling_arn, lambda_arn
from gtseg.errors import SettingsError


def documented(pattern: str) -> set[str]:
    model = botocore.session.get_session().get_service_model("sagemaker")
    shapes = [model.shape_for("HumanTaskConfig"), model.shape_for("AnnotationConsolidationConfig")]
    shapes.append(model.shape_for("LabelingJobAlgorithmsConfig"))
    texts = [member.documentation for shape in shapes for member in shape.members.values()]
    return {arn for text in texts for arn in re.findall(pattern, text)}


@pytest.mark.parametrize("function", ["PRE-SemanticSegmentation", "ACS-SemanticSegmentation"])
def test_every_region_has_the_account_documented_by_the_api(function: str) -> None:
    known = set(documented(rf"arn:aws:lambda:[a-z0-9-]+:\d{{12}}:function:{function}\b"))
    assert known == {lambda_arn(region, function) for region in LAMBDA_ACCOUNTS}


def test_automated_labeling_has_the_documented_algorithm() -> None:
    pattern = r"arn:aws:sagemaker:[a-z<>/0-9-]+:027400017018:labeling-job-algorithm-specification/semantic-segmentation"
    known = documented(pattern)
    assert any(re.sub(r"<i>region</i>", "us-east-1", arn) == automated_labeling_arn("us-east-1") for arn in known), (
        known
    )


def test_a_region_without_ground_truth_is_refused_with_a_list_of_others() -> None:
    with pytest.raises(SettingsError, match=r"eu-north-1.*us-east-1"):
        lambda_arn("eu-north-1", "PRE-SemanticSegmentation")
