"""Who works: the team that is named, the public crowd, or the account's only private team."""

from __future__ import annotations

from gtseg.core.labeling.regions import public_crowd_arn
from gtseg.errors import AWSError, SettingsError, StageError
from gtseg.pipeline.run import Context


def choose_workteam(context: Context) -> str:
    """The ARN of the team. Raises StageError where the account has none, SettingsError where it has several to choose from."""
    wanted, region = context.settings.labeling, context.clients.labeling_region
    if wanted.workteam_arn:
        _check_team(wanted.workteam_arn, context)
        return wanted.workteam_arn
    if wanted.workforce == "public":
        return public_crowd_arn(region)
    teams = context.labeling.list_workteams()
    if not teams:
        raise StageError(
            f"There is no private workteam in {region}. Make one in the SageMaker console (Ground Truth, Labeling "
            "workforces), then run this again."
        )
    if len(teams) > 1:
        listed = "\n".join(f"  {team.arn}" for team in teams)
        raise SettingsError(f"There are {len(teams)} private workteams. Name one as [labeling] workteam_arn:\n{listed}")
    return teams[0].arn


def _check_team(arn: str, context: Context) -> None:
    """A private team of this region is there: AWS would say so too, but after the images are uploaded.

    Whoever may not list teams learns it from AWS.
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
        raise StageError(f"[labeling] workteam_arn: there is no team {arn}. Private teams here: {there}")
