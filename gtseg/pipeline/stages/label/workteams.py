"""Work team of a job: the given one, the public crowd, or the account's only private team."""

from __future__ import annotations

from gtseg.core.labeling.regions import public_crowd_arn
from gtseg.errors import AWSError, SettingsError, StageError
from gtseg.pipeline.run import Context


def choose_workteam(context: Context) -> str:
    """Return the ARN of the team. Raises StageError if the account has none, SettingsError if it has several."""
    wanted, region = context.settings.labeling, context.clients.labeling_region
    if wanted.workteam_arn:
        _check_team(wanted.workteam_arn, context)
        return wanted.workteam_arn
    if wanted.workforce == "public":
        return public_crowd_arn(region)
    teams = context.labeling.list_workteams()
    if not teams:
        raise StageError(
            f"There is no private workteam in {region}. Create one in the SageMaker console (Ground Truth, Labeling "
            "workforces), then run this again."
        )
    if len(teams) > 1:
        listed = "\n".join(f"  {team.arn}" for team in teams)
        raise SettingsError(f"There are {len(teams)} private workteams. Set one as [labeling] workteam_arn:\n{listed}")
    return teams[0].arn


def _check_team(arn: str, context: Context) -> None:
    """Check that a private team exists in this region, before images are uploaded.

    Does nothing if the caller may not list teams; AWS checks the team later.
    """
    if f":sagemaker:{context.clients.labeling_region}:" not in arn or "workteam/private-crowd/" not in arn:
        return
    try:
        teams = [team.arn for team in context.labeling.list_workteams()]
    except AWSError as error:
        if error.exit_code == 4:
            return
        raise
    if arn.lower() not in {team.lower() for team in teams}:
        there = ", ".join(teams) or "none"
        raise StageError(f"[labeling] workteam_arn: team {arn} does not exist. Private teams here: {there}")
