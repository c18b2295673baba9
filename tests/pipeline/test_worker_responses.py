"""Workers' answers of a dataset's labels, on a real server."""

from __future__ import annotations

from dataclasses import replace

from labeling_project import Project
from reviewing_worker import Worker, paint, square

from gtseg.aws.groundtruth import GroundTruth
from gtseg.aws.s3 import S3
from gtseg.core.labeling.chained_jobs import ChainLine, read_chain
from gtseg.pipeline.run.worker_responses import find_responses


def test_answers_are_found_for_a_manifest_in_another_order(project: Project, shared_aws: object) -> None:
    for number in range(3):
        project.image(f"{number}.jpg", color=number)
    job = project.label().labeling_job
    assert job
    Worker(shared_aws).work(job.name, lambda task: paint(square(), ["cat"]))
    state = GroundTruth(project.clients).describe_job(job.name)
    label = state.label_attribute
    lines = read_chain(S3(project.clients).read(state.manifest)[0], label)
    own = find_responses(state, lines, label, project.context())
    assert list(own) == [0, 1, 2]
    following = replace(state, name="a-job-that-answered-nothing")
    turned = find_responses(following, lines[::-1], label, project.context())
    assert turned == {0: own[2], 1: own[1], 2: own[0]}
    metadata = {"internal-color-map": {}, "job-name": "endpoint/cats"}
    model = ChainLine("s3://b/0.jpg", {label: "s3://b/0.png", f"{label}-metadata": metadata}, "labeled")
    assert find_responses(following, [model], label, project.context()) == {}
