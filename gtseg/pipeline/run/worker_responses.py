"""Locations of the workers' answers behind the labels of an output manifest.

A job that continues another (`gtseg label --continue`, `gtseg adjust --bad`) has answers only for the objects that it
labeled itself; the metadata of every other line names the job that labeled it (`job-name`: labeling-job/<name in lower
case>).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gtseg.aws.groundtruth import JobState
from gtseg.core.labeling.chained_jobs import ChainLine, is_by_machine, read_chain
from gtseg.errors import AWSError
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.sections import Run


def answered_job(run: Run, name: str, context: Context) -> JobState | None:
    """Return the labeling job of this name; for labels that `gtseg import job` merged, a substitute for their job."""
    section = run.labeling_job
    if section is None or section.name != name or section.workforce != "import" or section.made_from is None:
        return context.labeling.find_job(name)
    if not section.output_manifest or "job" not in section.made_from.settings.get("import", {}):
        return None
    return JobState(
        name,
        section.arn,
        "Completed",
        section.label_attribute,
        section.counters,
        f"{run.root}labeling/",
        section.input_manifest,
        run.created,
        run.created,
        output_manifest=section.output_manifest,
    )


def find_responses(state: JobState, lines: Sequence[ChainLine], label: str, context: Context) -> dict[int, str]:
    """Return line number -> URI of the worker-response file behind its `label`, from the job or an earlier one.

    An object that was labeled again has the later file. Labels that `gtseg import job` merged have a folder beside the
    job's own; labels of no job have no file.
    """
    found = _list_responses(state, context)
    others: defaultdict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        if number not in found and line.state == "labeled" and (name := _maker(line, label)):
            others[name].append(number)
    for name, numbers in others.items():
        wanted = {lines[number].image: number for number in numbers}
        found |= _of_another(name, wanted, label, context, beside=state)
    return dict(sorted(found.items()))


def _maker(line: ChainLine, label: str) -> str:
    """Return the labeling job whose workers made the line's label; '' for an import's, an endpoint's or a model's."""
    metadata = line.entry[f"{label}-metadata"]
    if is_by_machine(metadata):
        return ""
    kind, _, name = str(metadata.get("job-name", "")).partition("/")
    return name if kind == "labeling-job" else ""


def _of_another(
    name: str, wanted: Mapping[str, int], label: str, context: Context, *, beside: JobState
) -> dict[int, str]:
    """Return this manifest's line number -> that job's response for the images `wanted`.

    Its lines may be in another order.
    """
    state = context.labeling.find_job(name) or _merged_job(name, beside, context)
    responses = _list_responses(state, context) if state else {}
    if state is None or not responses:
        return {}
    theirs = read_chain(context.s3.read(state.manifest)[0], label)
    return {
        wanted[theirs[number].image]: uri
        for number, uri in responses.items()
        if number < len(theirs) and theirs[number].image in wanted
    }


def _merged_job(name: str, beside: JobState, context: Context) -> JobState | None:
    """Return the folder that stands in for a job whose labels were merged into the run; None if there is none."""
    state = replace(beside, name=name, output_manifest=None)
    return state if context.s3.exists(state.manifest) else None


def _folder(state: JobState) -> str:
    return f"{state.output.rstrip('/')}/{state.name}/"


def _list_responses(state: JobState, context: Context) -> dict[int, str]:
    """Return line number -> URI of its last worker-response file (iteration-<n>/<line>/<time>.json)."""
    uri = f"{_folder(state)}annotations/worker-response/"
    bucket = uri.split("/")[2]
    found: dict[int, tuple[int, str]] = {}
    try:
        listed = list(context.s3.list_objects(uri))
    except AWSError as error:
        if error.exit_code != 3:
            raise
        return {}
    for item in listed:
        iteration, line, file = item.key.split("/")[-3:]
        if file.endswith(".json") and line.isdecimal():
            candidate = (int(iteration.rpartition("-")[2]), item.key)
            found[int(line)] = max(found.get(int(line), candidate), candidate)
    return {line: f"s3://{bucket}/{key}" for line, (_, key) in sorted(found.items())}
