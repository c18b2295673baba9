"""doctor: what would go wrong, found before it costs anything. Each finding says what was seen and how to mend it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from gtseg.aws.account import find_quota, find_role, simulate, who_am_i
from gtseg.aws.clients import Service
from gtseg.aws.labeling_server import Health, read_health
from gtseg.aws.partitions import is_aws
from gtseg.aws.s3 import is_s3_uri, join_uri, split_uri
from gtseg.core.counting import counted
from gtseg.core.images.examination import examine_image
from gtseg.core.labeling.automated import describe_automated, find_automated_problems
from gtseg.core.labeling.cors import has_labeling_rule
from gtseg.core.labeling.input_manifest import MANIFEST_ENDINGS, is_image_name, parse_input_manifest
from gtseg.core.labeling.regions import lambda_arn
from gtseg.core.labeling.task_template import task_template
from gtseg.core.policies import EXECUTION_ACTIONS
from gtseg.core.training.image_uris import image_uri
from gtseg.errors import AWSError, GtsegError, SettingsError
from gtseg.pipeline.run import Context
from gtseg.pipeline.run.regions import region_of
from gtseg.pipeline.stages.label.buckets import needs_cors
from gtseg.settings.templates import read_template

__all__ = ["Finding", "count_images", "examine"]

SAMPLE = 50
CONSOLE_LABELS = 10
CLOSED = "Ground Truth has taken no new customers since 30 July 2026, and Mechanical Turk closed on 30 September 2026"


@dataclass(frozen=True)
class Finding:
    """One line: `good`, `warning` (works, or cannot be told) or `bad` (will fail), what was found, how to mend it."""

    level: Literal["good", "warning", "bad"]
    subject: str
    found: str
    mend: str = ""


Check = Callable[[Context, str], Iterator[Finding]]


def examine(context: Context, root: str) -> Iterator[Finding]:
    """Every check in turn; one that AWS refuses is itself a finding, never the end."""
    said: dict[str, str] = {}
    for subject, check in CHECKS:
        try:
            yield from check(context, root)
        except GtsegError as error:
            first = said.setdefault(str(error), subject)
            yield Finding(
                "bad",
                subject,
                str(error) if first == subject else f"cannot be told, for the reason at {first}",
            )


def _credentials(context: Context, root: str) -> Iterator[Finding]:
    try:
        account, arn = who_am_i(context.clients)
    except AWSError as error:
        yield Finding(
            "bad",
            "credentials",
            f"{error.code}: {error.message}",
            "configure AWS credentials, or try `gtseg local exec -- ...`",
        )
        return
    yield Finding("good", "credentials", f"{arn} of account {account}{_where('sagemaker', context)}")


def _where(service: Service, context: Context) -> str:
    """The endpoint of a service that is not AWS's."""
    clients = context.clients
    return "" if clients.is_aws(service) else f" (not AWS: {clients.endpoint(service)})"


def _labeling(context: Context, root: str) -> Iterator[Finding]:
    """The side that labels, where it is not AWS: what its health address says that it can read."""
    clients = context.clients
    if (profile := clients.labeling_profile) is not None:
        where = f"{profile.endpoint} in {profile.region}, by profile {profile.name!r} of {profile.file}"
        yield Finding("good", "labeling", where)
    if clients.is_aws("labeling"):
        return
    health = read_health(clients)
    if health is None:
        words = f"{clients.endpoint('labeling')} does not say what it can read"
        yield Finding("warning", "labeling", words, "check that it is a `gtseg local up` of this version")
        return
    yield from _storage(health, context)
    if health.backlog:
        words = f"{counted(health.backlog, 'labeled object')} not written to the storage yet"
        yield Finding(
            "warning", "labeling", words, "nothing to do: it is written as soon as the storage takes it"
        )


def _storage(health: Health, context: Context) -> Iterator[Finding]:
    """Whether the labeling server reads the objects that everything else reads."""
    clients = context.clients
    ours, theirs = clients.endpoint("s3"), health.storage
    if not theirs and ours != clients.endpoint("labeling"):
        words = f"the labeling server keeps objects in a folder of its own; the run's are at {ours}"
        mend = f"start it with `gtseg local up --s3 {'aws' if clients.is_aws('s3') else ours}`"
        yield Finding("bad", "labeling", words, mend)
    elif theirs and is_aws(theirs) != clients.is_aws("s3"):
        words = f"the labeling server reads objects at {theirs}; the run's are at {ours}"
        yield Finding(
            "bad", "labeling", words, "let --s3 of the server and the endpoint of S3 here be the same"
        )
    elif health.trouble:
        words = f"the labeling server cannot read {theirs or 'its folder'} now: {health.trouble}"
        yield Finding(
            "bad", "labeling", words, "`gtseg local check --s3` on its machine tests what it may do"
        )
    elif theirs and not is_aws(theirs) and theirs != ours:
        words = f"the labeling server reads objects at {theirs}; here they are at {ours}"
        yield Finding("warning", "labeling", words, "right if both are addresses of one service")
    else:
        yield Finding("good", "labeling", f"gtseg {health.version} reads objects at {theirs or ours}")


def _region(context: Context, root: str) -> Iterator[Finding]:
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


def _bucket(context: Context, root: str) -> Iterator[Finding]:
    bucket, door = split_uri(root)[0], context.s3
    if not door.bucket_exists(bucket):
        mend = (
            "`gtseg label` creates it"
            if context.settings.project.bucket is None
            else "`gtseg label --create-bucket` creates it"
        )
        yield Finding("warning", "bucket", f"{bucket} does not exist yet", mend)
        return
    yield _place("bucket", bucket, context)
    yield from _writing(root, context)


def _place(subject: str, bucket: str, context: Context) -> Finding:
    """Whether a bucket lies where the jobs would run."""
    region, ours = region_of(bucket, context.s3), context.clients.region
    if region is None:
        return Finding(
            "warning", subject, f"{bucket} does not say in which region it is", f"it must be in {ours}"
        )
    if region != ours:
        mend = f'[project] region = "{region}", or copy what is needed to a bucket in {ours}'
        return Finding("bad", subject, f"{bucket} is in {region}, the jobs would be in {ours}", mend)
    return Finding("good", subject, f"{bucket} in {region}")


def _writing(root: str, context: Context) -> Iterator[Finding]:
    """One object is written and deleted: no policy proves as much."""
    uri = f"{root}.gtseg-doctor-{secrets.token_hex(4)}"
    try:
        context.s3.write(uri, b"gtseg doctor", content_type="text/plain")
    except AWSError as error:
        yield Finding(
            "bad", "writing", f"{uri} cannot be written ({error.code}: {error.message})", error.hint
        )
        return
    try:
        context.s3.delete([uri])
    except AWSError as error:
        yield Finding(
            "warning", "writing", f"{uri} was written, but cannot be deleted ({error.code})", error.hint
        )
        return
    yield Finding("good", "writing", f"an object below {root} was written and deleted")


def _other_buckets(context: Context, root: str) -> Iterator[Finding]:
    """Buckets that jobs read from, beside the run's own."""
    settings = context.settings
    named = {
        "images": settings.images.source,
        "initial model": settings.train.initial_model,
        "model": settings.deploy.model_data,
    }
    own = split_uri(root)[0]
    for subject, uri in named.items():
        if uri and is_s3_uri(uri) and (bucket := split_uri(uri)[0]) != own:
            yield _place(subject, bucket, context)


def _cors(context: Context, root: str) -> Iterator[Finding]:
    source = context.settings.images.source or ""
    bucket = split_uri(source)[0] if is_s3_uri(source) else split_uri(root)[0]
    if not needs_cors(context) or not context.s3.bucket_exists(bucket):
        return
    if has_labeling_rule(context.s3.cors_rules(bucket)):
        yield Finding("good", "CORS", f"workers' browsers may load images of {bucket}")
    else:
        yield Finding(
            "warning",
            "CORS",
            f"{bucket} has no rule that lets browsers load its images",
            "`gtseg label` puts it there",
        )


def _role(context: Context, root: str) -> Iterator[Finding]:
    arn = context.role_arn
    if not context.clients.is_aws("sagemaker"):
        words = f"{arn}: {context.clients.endpoint('sagemaker')} is not AWS's; the embedded AWS takes any well-formed role"
        yield Finding("good", "role", words)
        return
    try:
        role = find_role(context.clients, arn)
    except AWSError as error:
        yield Finding(
            "warning", "role", f"{arn} may not be looked at ({error.code})", "allow iam:GetRole to be sure"
        )
        return
    if role is None:
        yield Finding(
            "bad",
            "role",
            f"there is no role {arn}",
            "`gtseg init --policies` writes its policies; create it and set [project] role_arn",
        )
        return
    if "sagemaker.amazonaws.com" not in role.trusted:
        yield Finding(
            "bad",
            "role",
            f"{arn} does not trust sagemaker.amazonaws.com",
            "replace its trust policy by policies/trust.json",
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
            f"cannot be simulated ({error.code})",
            "allow iam:SimulatePrincipalPolicy to be sure",
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


def _workteam(context: Context, root: str) -> Iterator[Finding]:
    if context.settings.labeling.workforce != "private":
        yield Finding(
            "warning",
            "workteam",
            f"workforce is {context.settings.labeling.workforce}: AWS alone knows its team",
        )
        return
    teams = context.labeling.list_workteams()
    wanted = context.settings.labeling.workteam_arn
    if wanted and wanted not in {team.arn for team in teams}:
        yield Finding(
            "bad",
            "workteam",
            f"there is no {wanted}",
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
            f"{len(teams)} workteams, none chosen",
            f"set workteam_arn to one of {', '.join(t.arn for t in teams)}",
        )
    else:
        yield Finding("good", "workteam", wanted or teams[0].arn)


def _quotas(context: Context, root: str) -> Iterator[Finding]:
    if not context.clients.is_aws("sagemaker"):
        return
    uses = ((context.settings.train.instance_type, "spot training job usage" if context.settings.train.spot else "training job usage"),
            (context.settings.deploy.instance_type, "endpoint usage"))  # fmt: skip
    for instance, use in uses:
        try:
            quota = find_quota(context.clients, f"{instance} for {use}")
        except AWSError as error:
            yield Finding("warning", "quota", f"{instance} for {use}: may not be asked ({error.code})")
            continue
        if quota == 0:
            yield Finding(
                "bad",
                "quota",
                f"{instance} for {use}: 0",
                "ask AWS for 1 in the Service Quotas console, or take another type",
            )
        else:
            yield Finding(
                "good", "quota", f"{instance} for {use}: {'not listed' if quota is None else f'{quota:g}'}"
            )


def _images(context: Context, root: str) -> Iterator[Finding]:
    source = context.settings.images.source
    if source is None:
        yield Finding(
            "warning",
            "images",
            "no [images] source yet",
            "name a folder, an s3:// prefix or an input manifest",
        )
        return
    sample = list(islice(_sample(source, context), SAMPLE))
    folder = None if is_s3_uri(source) else context.settings.folder / Path(source).expanduser()
    if folder and not folder.exists():
        yield Finding("bad", "images", f"there is no folder {folder}", "check [images] source")
        return
    if not sample:
        yield Finding("bad", "images", f"no .jpg, .jpeg or .png in {source}", "check [images] source")
        return
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda item: (item[0], _look(*item)), sample))
    troubled = [(name, problems) for name, problems in results if problems]
    for name, problems in troubled[:10]:
        yield Finding("bad", "image", f"{name} {problems[0].split(': ')[0]}", problems[0].partition(": ")[2])
    if len(troubled) < len(sample):
        yield Finding("good", "images", f"{len(sample) - len(troubled)} of {len(sample)} looked at are fine")


def count_images(context: Context) -> int | None:
    """How many images the source has; None where there is no source or it cannot be read."""
    try:
        return (
            sum(1 for _ in _sample(context.settings.images.source, context))
            if context.settings.images.source
            else None
        )
    except (GtsegError, OSError):
        return None


def _look(name: str, read: Callable[[], bytes]) -> list[str]:
    try:
        return examine_image(name, read())
    except (OSError, GtsegError) as error:
        return [f"cannot be read ({error}): check the file and its permissions"]


def _sample(source: str, context: Context) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name, reader) of the source's first images."""
    if source.lower().endswith(MANIFEST_ENDINGS):
        for uri, _ in parse_input_manifest(_reader(source, context)()):
            yield uri, _reader(uri, context)
    elif is_s3_uri(source):
        bucket = split_uri(source)[0]
        for item in context.s3.list_objects(source):
            if is_image_name(item.key):
                uri = join_uri(bucket, item.key)
                yield uri, _reader(uri, context)
    else:
        folder = context.settings.folder / Path(source).expanduser()
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and is_image_name(p.name)):
            relative = path.relative_to(folder)
            if not any(part.startswith(".") for part in relative.parts):
                yield str(relative), path.read_bytes


def _reader(uri: str, context: Context) -> Callable[[], bytes]:
    if is_s3_uri(uri):
        return lambda: context.s3.read(uri)[0]
    return (context.settings.folder / Path(uri).expanduser()).read_bytes


def _labels(context: Context, root: str) -> Iterator[Finding]:
    count = len(context.settings.labeling.labels)
    if count == 0:
        yield Finding("bad", "labels", "none", "[labeling] labels = [...]")
    elif count > CONSOLE_LABELS:
        yield Finding(
            "warning",
            "labels",
            f"{count}: AWS's console shows at most {CONSOLE_LABELS}; the API takes them",
            "workers choose among many: fewer is faster",
        )
    else:
        yield Finding("good", "labels", f"{count}: {', '.join(context.settings.labeling.labels)}")


def _automated(context: Context, root: str) -> Iterator[Finding]:
    """Whether automated labeling can start, and what it will take."""
    wanted = context.settings.labeling
    if not wanted.automated:
        return
    objects = count_images(context)
    if objects is None:
        words = "automated = true, and how many images there are is not known"
        yield Finding("warning", "automated labeling", words, "name a source in [images]")
        return
    problems = find_automated_problems(
        objects,
        max_labeled_objects=wanted.max_labeled_objects,
        max_labeled_percent=wanted.max_labeled_percent,
    )
    for problem in problems:
        yield Finding("bad", "automated labeling", problem, "[labeling] automated = false, or mend that")
    if not problems:
        told = describe_automated(objects, is_aws=context.clients.is_aws("labeling"))
        yield Finding("good", "automated labeling", told.removeprefix("automated labeling: "))


def _template(context: Context, root: str) -> Iterator[Finding]:
    name = context.settings.labeling.template
    path = context.settings.folder / name if name else None
    text = path.read_text(encoding="utf-8") if path and path.exists() else read_template("template.liquid")
    try:
        task_template(text, header="x", instructions="x")
    except SettingsError as error:
        yield Finding("bad", "template", str(error), f"mend {path}, or start from `gtseg init`'s")
        return
    yield Finding(
        "good",
        "template",
        f"{path if path and path.exists() else 'the built-in one'} has all that Ground Truth needs",
    )


def _closure(context: Context, root: str) -> Iterator[Finding]:
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
            f"{CLOSED}; an account that used it before may go on",
            "otherwise label on a labeling server of your own: [labeling] profile, `gtseg local up --s3 aws`",
        )


CHECKS: tuple[tuple[str, Check], ...] = (
    ("credentials", _credentials),
    ("region", _region),
    ("labeling", _labeling),
    ("bucket", _bucket),
    ("other buckets", _other_buckets),
    ("CORS", _cors),
    ("role", _role),
    ("workteam", _workteam),
    ("quota", _quotas),
    ("images", _images),
    ("labels", _labels),
    ("automated labeling", _automated),
    ("template", _template),
    ("Ground Truth", _closure),
)
