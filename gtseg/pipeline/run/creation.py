"""Creation of resources that cost money, from the dry run to the section in run.json."""

from __future__ import annotations

from gtseg.pipeline.run.attempts import Resource, create_once, next_name, standing
from gtseg.pipeline.run.context import Context
from gtseg.pipeline.run.sections import Run


def begin(run: Run, context: Context, resource: Resource) -> Run:
    """Return the saved run with the one live resource of these settings: existing, adopted, or created now.

    A dry run shows the request in a `plan` event and returns the run unchanged. Raises StageError if the run has a live
    resource with other settings, GtsegError if the user or [budget] refuses, AWSError if AWS does.
    """
    found = standing(run, resource)
    if context.dry_run:
        name = next_name(run, resource)
        shown = resource.shown(name, resource.request(name, resource.signature))
        context.plan(f"would create {resource.what} {name}; nothing was changed", shown)
        return run
    if found:
        name = run.attempts_of(resource.stage)[-1].name
        context.note(f"{name} exists already ({found.status}): nothing to do")
        if resource.record(run, name, found.arn) is run:
            return run
    else:
        resource.prepare(run)
    run, attempt, arn = create_once(context.run_file(run), run, resource)
    kept = resource.record(run, attempt.name, arn)
    return run if kept is run else context.save(kept)
