from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gtseg.core.cost import total
from gtseg.errors import GtsegError
from gtseg.pipeline.run import EndpointSection, LabelingJobSection
from gtseg.pipeline.run.cost import check_budget, past_rows, planned_rows

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
JOB = LabelingJobSection(
    name="j",
    arn="a",
    label_attribute="j-ref",
    workforce="private",
    objects=100,
    counters={"TotalLabeled": 50},
)
ENDPOINT = EndpointSection(
    name="e",
    arn="a",
    config="c",
    model="m",
    model_data="s3://b/m",
    image_uri="i",
    instance_type="ml.c5.xlarge",
    since=NOON - timedelta(hours=10),
)


def remote(project: Any) -> Any:
    project.clients.__dict__["is_aws"] = lambda service: True
    _ = project.clients.sagemaker  # made by the real session
    project.clients.__dict__["session"] = NoPriceList(project.clients.session)
    return project.clients


class NoPriceList:
    """Session without access to the price list."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def client(self, name: str, **options: Any) -> Any:
        if name != "pricing":
            return self._session.client(name, **options)
        import boto3
        from botocore.stub import Stubber

        client = boto3.client(name, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
        stub = Stubber(client)
        stub.add_client_error("get_products", "AccessDeniedException")
        stub.activate()
        return client


def test_an_existing_endpoint_is_billed_until_now_with_an_hourly_price(project: Any) -> None:
    bill = past_rows(project.run.update(endpoint=ENDPOINT), project.context(), clock=lambda: NOON)
    assert total(bill.spent)[0] == Decimal("2.04")
    assert [row.what for row in bill.running] == ["endpoint on 1 x ml.c5.xlarge"]


def test_a_deleted_endpoint_costs_nothing_after_its_deletion(project: Any) -> None:
    deleted = ENDPOINT.model_copy(update={"deleted": NOON - timedelta(hours=9)})
    bill = past_rows(project.run.update(endpoint=deleted), project.context(), clock=lambda: NOON)
    assert total(bill.spent)[0] == Decimal("0.204")
    assert not bill.running


def test_labeled_objects_are_billed_and_not_requested_ones(project: Any) -> None:
    bill = past_rows(project.run.update(labeling_job=JOB), project.context(), clock=lambda: NOON)
    assert total(bill.spent)[0] == Decimal("4.00")


def test_workers_are_paid_for_their_labels_and_the_fee_is_due_for_every_object(project: Any) -> None:
    project.set(
        "labeling",
        labels=["cat"],
        workforce="public",
        price_per_task="0.84",
        task_lifetime="6h",
        content_classifiers=["FreeOfPersonallyIdentifiableInformation"],
    )
    counters = {"TotalLabeled": 50, "HumanLabeled": 20, "MachineLabeled": 30}
    job = JOB.model_copy(update={"workforce": "public", "counters": counters})
    fee, workers = past_rows(project.run.update(labeling_job=job), project.context(), clock=lambda: NOON).spent
    assert (fee.quantity, workers.quantity, workers.usd) == (50, 20, Decimal("16.80"))


def test_the_ceiling_of_automated_labeling_is_labeling_by_people_alone(project: Any) -> None:
    project.set("labeling", labels=["cat"], automated=True)
    assert total(planned_rows("label", project.context(), objects=2000))[0] == Decimal("160.00")


def test_stopping_conditions_lower_the_ceiling(project: Any) -> None:
    project.set("labeling", labels=["cat"], max_labeled_objects=10)
    assert total(planned_rows("label", project.context(), objects=100))[0] == Decimal("0.80")


@pytest.mark.parametrize(("stage", "usd"), [("train", "0.7364"), ("tune", "7.364")])
def test_the_planned_cost_of_training_is_that_of_its_time_limit(project: Any, stage: str, usd: str) -> None:
    project.set("train", max_runtime="1h")
    assert total(planned_rows(stage, project.context()))[0] == Decimal(usd)


def test_a_budget_refuses_work_that_would_exceed_it(project: Any) -> None:
    project.set("budget", max_usd=5)
    run = project.run.update(labeling_job=JOB)
    with pytest.raises(GtsegError, match=r"train may cost 17\.67 USD and the run has cost 4\.00 USD: more than 5 USD"):
        check_budget("train", run, project.context(clients=remote(project)))


def test_a_budget_may_only_warn(project: Any) -> None:
    project.set("budget", max_usd=5, on_exceed="warn")
    _, words = check_budget("train", project.run, project.context(clients=remote(project)))
    assert words is not None


def test_a_budget_refuses_an_endpoint_without_an_end(project: Any) -> None:
    project.set("budget", max_usd=500)
    with pytest.raises(GtsegError, match="time_to_live"):
        check_budget("deploy", project.run, project.context(clients=remote(project)))
    project.set("deploy", time_to_live="4h")
    assert check_budget("deploy", project.run, project.context(clients=remote(project)))[1] is None


def test_work_within_the_budget_gives_no_message(project: Any) -> None:
    project.set("budget", max_usd=100)
    assert check_budget("label", project.run, project.context(clients=remote(project)), objects=10)[1] is None
