"""Who works: the team that is named, the public crowd, or the account's only private team."""

from __future__ import annotations

from gtseg.aws.clients import Clients
from gtseg.aws.groundtruth import GroundTruth
from gtseg.core.labeling.regions import public_crowd_arn
from gtseg.errors import AWSError, SettingsError, StageError
from gtseg.settings import Settings


def choose_workteam(settings: Settings, clients: Clients) -> str:
    """The ARN of the team. Raises StageError where the account has none, SettingsError where it has several to choose from."""
    wanted = settings.labeling
    if wanted.workteam_arn:
        _check_team(wanted.workteam_arn, clients)
        return wanted.workteam_arn
    if wanted.workforce == "public":
        return public_crowd_arn(clients.region)
    teams = GroundTruth(clients).list_workteams()
    if not teams:
        raise StageError(
            f"There is no private workteam in {clients.region}. Make one in the SageMaker console (Ground Truth, Labeling "
            "workforces), then run this again."
        )
    if len(teams) > 1:
        listed = "\n".join(f"  {team.arn}" for team in teams)
        raise SettingsError(
            f"There are {len(teams)} private workteams. Name one as [labeling] workteam_arn:\n{listed}"
        )
    return teams[0].arn


def _check_team(arn: str, clients: Clients) -> None:
    """A private team of this region is there: AWS would say so too, but after the images are uploaded.

    Whoever may not list teams learns it from AWS.
    """
    if f":sagemaker:{clients.region}:" not in arn or "workteam/private-crowd/" not in arn:
        return
    try:
        teams = [team.arn for team in GroundTruth(clients).list_workteams()]
    except AWSError as error:
        if error.exit_code == 4:
            return
        raise
    if arn.lower() not in {team.lower() for team in teams}:
        there = ", ".join(teams) or "none"
        raise StageError(f"[labeling] workteam_arn: there is no team {arn}. Private teams here: {there}")
