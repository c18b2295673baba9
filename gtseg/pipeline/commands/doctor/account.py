"""Checks of the account: credentials, service endpoints, region, role, team, quotas, closed services."""

from __future__ import annotations

from collections.abc import Iterator

from gtseg.aws.account import find_quota, find_role, simulate, who_am_i
from gtseg.aws.clients import Service
from gtseg.aws.labeling_server import Health, read_health
from gtseg.aws.partitions import is_aws
from gtseg.aws.s3 import split_uri
from gtseg.core.labeling.regions import lambda_arn
from gtseg.core.plurals import counted
from gtseg.core.policies import EXECUTION_ACTIONS
from gtseg.core.training.image_uris import image_uri
from gtseg.errors import AWSError, SettingsError
from gtseg.pipeline.commands.doctor.finding import Finding
from gtseg.pipeline.run import Context

CLOSED = "Ground Truth has taken no new customers since 30 July 2026, and Mechanical Turk closed on 30 September 2026"


def credentials(context: Context, root: str) -> Iterator[Finding]:
    try:
        account, arn = who_am_i(context.clients)
    except AWSError as error:
        yield Finding(
            "bad",
            "credentials",
            f"{error.code}: {error.message}",
            "configure AWS credentials, or use `gtseg local exec -- ...`",
        )
        return
    yield Finding("good", "credentials", f"{arn} of account {account}{_where('sagemaker', context)}")


def _where(service: Service, context: Context) -> str:
    """Return the endpoint of a service that is not AWS's, as text."""
    clients = context.clients
    return "" if clients.is_aws(service) else f" (not AWS: {clients.endpoint(service)})"


def labeling(context: Context, root: str) -> Iterator[Finding]:
    """Check the labeling server, if labeling is not on AWS: its health address reports which objects it can read."""
    clients = context.clients
    if (profile := clients.labeling_profile) is not None:
        where = f"{profile.endpoint} in {profile.region}, by profile {profile.name!r} of {profile.file}"
        yield Finding("good", "labeling", where)
    if clients.is_aws("labeling"):
        return
    health = read_health(clients)
    if health is None:
        words = f"{clients.endpoint('labeling')} does not report which objects it can read"
        yield Finding("warning", "labeling", words, "check that it is a `gtseg local up` of this version")
        return
    yield from _storage(health, context)
    if health.backlog:
        words = f"{counted(health.backlog, 'labeled object')} not written to the storage yet"
        yield Finding(
            "warning", "labeling", words, "nothing to do: they are written as soon as the storage accepts them"
        )


def _storage(health: Health, context: Context) -> Iterator[Finding]:
    """Check whether the labeling server reads the same objects as everything else."""
    clients = context.clients
    ours, theirs = clients.endpoint("s3"), health.storage
    if not theirs and ours != clients.endpoint("labeling"):
        words = f"the labeling server stores objects in a folder of its own; the run's are at {ours}"
        remedy = f"start it with `gtseg local up --s3 {'aws' if clients.is_aws('s3') else ours}`"
        yield Finding("bad", "labeling", words, remedy)
    elif theirs and is_aws(theirs) != clients.is_aws("s3"):
        words = f"the labeling server reads objects at {theirs}; the run's are at {ours}"
        yield Finding("bad", "labeling", words, "use the same S3 endpoint for --s3 of the server and here")
    elif health.trouble:
        words = f"the labeling server cannot currently read {theirs or 'its folder'}: {health.trouble}"
        yield Finding("bad", "labeling", words, "run `gtseg local check --s3` on its machine to test its permissions")
    elif theirs and not is_aws(theirs) and theirs != ours:
        words = f"the labeling server reads objects at {theirs}; here they are at {ours}"
        yield Finding("warning", "labeling", words, "correct if both are addresses of the same service")
    else:
        yield Finding("good", "labeling", f"gtseg {health.version} reads objects at {theirs or ours}")


def region(context: Context, root: str) -> Iterator[Finding]:
    clients = context.clients
    for name, region, ask in (
        ("Ground Truth", clients.labeling_region, lambda r: lambda_arn(r, "PRE-SemanticSegmentation")),
        ("the algorithm", clients.region, image_uri),
    ):
        try:
            ask(region)
            yield Finding("good", "region", f"{region} has {name}")
        except SettingsError as error:
            yield Finding("bad", "region", str(error), "[project] region")


def role(context: Context, root: str) -> Iterator[Finding]:
    arn = context.role_arn
    if not context.clients.is_aws("sagemaker"):
        words = (
            f"{arn}: {context.clients.endpoint('sagemaker')} is not AWS's; the embedded AWS accepts any well-formed "
            "role"
        )
        yield Finding("good", "role", words)
        return
    try:
        role = find_role(context.clients, arn)
    except AWSError as error:
        yield Finding("warning", "role", f"{arn} cannot be inspected ({error.code})", "allow iam:GetRole to check it")
        return
    if role is None:
        yield Finding(
            "bad",
            "role",
            f"role {arn} does not exist",
            "`gtseg init --policies` writes its policies; create it and set [project] role_arn",
        )
        return
    if "sagemaker.amazonaws.com" not in role.trusted:
        yield Finding(
            "bad",
            "role",
            f"{arn} does not trust sagemaker.amazonaws.com",
            "replace its trust policy with policies/trust.json",
        )
        return
    yield Finding("good", "role", f"{arn} trusts SageMaker")
    yield from _simulated(arn, context, root)


def _simulated(arn: str, context: Context, root: str) -> Iterator[Finding]:
    bucket = split_uri(root)[0]
    try:
        denied = [
            action
            for action in EXECUTION_ACTIONS
            if simulate(context.clients, arn, [action], _resource(action, bucket))
        ]
    except AWSError as error:
        yield Finding(
            "warning",
            "role's policy",
            f"permissions cannot be simulated ({error.code})",
            "allow iam:SimulatePrincipalPolicy to check them",
        )
        return
    if denied:
        yield Finding(
            "bad",
            "role's policy",
            f"denies {', '.join(denied)} on {bucket}",
            "attach policies/execution-role.json",
        )
    else:
        yield Finding("good", "role's policy", f"allows what labeling and training need on {bucket}")


def _resource(action: str, bucket: str) -> str:
    if not action.startswith("s3:"):
        return "*"
    return f"arn:aws:s3:::{bucket}" + ("" if action == "s3:ListBucket" else "/*")


def workteam(context: Context, root: str) -> Iterator[Finding]:
    if context.settings.labeling.workforce != "private":
        yield Finding(
            "warning",
            "workteam",
            f"workforce is {context.settings.labeling.workforce}: its team can only be checked by AWS",
        )
        return
    teams = context.labeling.list_workteams()
    wanted = context.settings.labeling.workteam_arn
    if wanted and wanted not in {team.arn for team in teams}:
        yield Finding(
            "bad",
            "workteam",
            f"team {wanted} does not exist",
            f"choose one of {', '.join(t.arn for t in teams) or 'none: create one in the console'}",
        )
    elif not teams:
        yield Finding(
            "bad",
            "workteam",
            f"no private workteam in {context.clients.labeling_region}{_where('labeling', context)}",
            "create one: SageMaker console, Labeling workforces",
        )
    elif not wanted and len(teams) > 1:
        yield Finding(
            "bad",
            "workteam",
            f"{len(teams)} workteams, none selected",
            f"set workteam_arn to one of {', '.join(t.arn for t in teams)}",
        )
    else:
        yield Finding("good", "workteam", wanted or teams[0].arn)


def quotas(context: Context, root: str) -> Iterator[Finding]:
    if not context.clients.is_aws("sagemaker"):
        return
    uses = (
        (
            context.settings.train.instance_type,
            "spot training job usage" if context.settings.train.spot else "training job usage",
        ),
        (context.settings.deploy.instance_type, "endpoint usage"),
    )
    for instance, use in uses:
        try:
            quota = find_quota(context.clients, f"{instance} for {use}")
        except AWSError as error:
            yield Finding("warning", "quota", f"{instance} for {use}: quota cannot be read ({error.code})")
            continue
        if quota == 0:
            yield Finding(
                "bad",
                "quota",
                f"{instance} for {use}: 0",
                "request 1 in the Service Quotas console, or use another type",
            )
        else:
            yield Finding("good", "quota", f"{instance} for {use}: {'not listed' if quota is None else f'{quota:g}'}")


def closure(context: Context, root: str) -> Iterator[Finding]:
    if not context.clients.is_aws("labeling"):
        return
    if context.settings.labeling.workforce == "public":
        yield Finding(
            "bad",
            "the crowd",
            f"{CLOSED}: AWS will most likely refuse",
            'workforce = "private", or label on the embedded AWS',
        )
    else:
        yield Finding(
            "warning",
            "Ground Truth",
            f"{CLOSED}; an account that used it before may still have access",
            "otherwise use your own labeling server: [labeling] profile, `gtseg local up --s3 aws`",
        )
