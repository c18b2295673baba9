"""Agreement of workers' answers, read from Ground Truth's output."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labeling_project import Project
from PIL import Image
from reviewing_worker import SIZE, Worker, paint, square

from gtseg.core.labeling.agreement import compare, overlap_of
from gtseg.core.labeling.agreement_tally import Agreement
from gtseg.errors import AWSError, MaskError, StageError
from gtseg.local.labeling.portal.agreement import count_pixels, measure_overlap
from gtseg.pipeline.commands.agreement import agreement
from gtseg.pipeline.run import DatasetSection
from gtseg.pipeline.stages.report.labeling import labeling_facts


def measure(project: Project, **options: Any) -> Agreement:
    return agreement(project.run, project.context(), **options)


def label_together(project: Project, aws: Any, shifts: tuple[int, ...], images: int = 3) -> None:
    """Let every worker label every image, one worker per shift of the square."""
    for number in range(images):
        project.image(f"{number}.jpg", color=number)
    project.set("labeling", labels=["cat"], workers_per_object=len(shifts))
    job = project.label().labeling_job
    assert job
    workers = [Worker(aws) for _ in shifts]
    with ThreadPoolExecutor(len(shifts)) as pool:
        done = [
            pool.submit(worker.work, job.name, lambda task, shift=shift: paint(square(shift=shift), ["cat"]))
            for worker, shift in zip(workers, shifts, strict=True)
        ]
        assert all(len(given.result()) == images for given in done)


def write_gold(folder: Path, name: str, mask: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask).save(folder / name)


def test_a_deviating_worker_is_found_with_and_without_gold(project: Project, shared_aws: Any, tmp_path: Path) -> None:
    label_together(project, shared_aws, (0, 0, 6))
    found = measure(project)
    assert [image.answers for image in found.images] == [3, 3, 3]
    off = [worker for worker in found.workers if worker.is_off]
    assert len(off) == 1
    assert off[0].others == pytest.approx(1 / 3), "squares of 12 pixels, 6 apart"
    assert off[0].consolidated is not None
    assert found.miou == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    data = DatasetSection(channels="", classes=("BACKGROUND", "cat"), counts={}, fingerprint="")
    facts = labeling_facts(project.run.update(dataset=data), [], project.context())
    assert facts
    assert facts["agreement"]["miou"] == pytest.approx(found.miou), "the report says the same"
    assert facts["agreement"]["off"] == 1
    write_gold(tmp_path / "gold", "1.png", square())
    with_gold = measure(project, gold=str(tmp_path / "gold"))
    assert {w.gold_images for w in with_gold.workers} == {1}
    assert sorted(w.gold or 0.0 for w in with_gold.workers) == pytest.approx([1 / 3, 1, 1])
    assert [w.worker for w in with_gold.workers if w.is_off] == [off[0].worker]


def test_a_gold_mask_of_other_classes_is_named(project: Project, shared_aws: Any, tmp_path: Path) -> None:
    label_together(project, shared_aws, (0,), images=1)
    write_gold(tmp_path / "gold", "0.png", np.full(SIZE[::-1], 7, np.uint8))
    with pytest.raises(MaskError, match=r"gold mask 0\.png has class 7"):
        measure(project, gold=str(tmp_path / "gold"))


def test_a_missing_job_or_answer_is_named(project: Project) -> None:
    with pytest.raises(StageError, match="has no labeling job"):
        measure(project)
    with pytest.raises(StageError, match="no labeling job 'nobody'"):
        measure(project, job="nobody")


def ask_owner(aws: Any, path: str) -> Any:
    request = urllib.request.Request(f"{aws.url}/_portal/api/owner/{path}")
    request.add_header("Authorization", f"Bearer {aws.owner_token}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_the_owners_page_and_the_command_show_the_same_numbers_and_names(project: Project, shared_aws: Any) -> None:
    label_together(project, shared_aws, (0, 1, 6))
    found = measure(project)
    assert project.run.labeling_job
    page = ask_owner(shared_aws, f"jobs/{project.run.labeling_job.name}")
    assert found.miou == pytest.approx(page["agreement"], abs=1e-12)
    assert 0.3 < page["agreement"] < 0.9
    assert {w.name: w.others for w in found.workers} == pytest.approx({w["name"]: w["iou"] for w in page["workers"]})
    assert all(worker.name.startswith("worker-") for worker in found.workers)


def test_workers_are_shown_by_id_if_their_names_may_not_be_read(
    project: Project, shared_aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    label_together(project, shared_aws, (0,), images=1)

    def refuse(*_: Any) -> None:
        raise AWSError("ListUsers", "AccessDeniedException", "not allowed")

    monkeypatch.setattr("gtseg.pipeline.commands.agreement.find_names", refuse)
    (worker,) = measure(project).workers
    assert (worker.name, worker.worker.startswith("private.")) == ("", True)
    assert "listed by id" in project.messages()


@given(arrays.arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 3)))
def test_product_and_embedded_aws_compute_the_same_agreement(masks: np.ndarray) -> None:
    matrix = compare(masks[0], masks[1], 4)
    assert matrix is not None
    assert measure_overlap(count_pixels(masks[0], masks[1])) == pytest.approx(overlap_of(matrix))
