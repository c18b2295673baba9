"""Checks of a labeling job's inputs: images, labels, worker template, automated labeling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from gtseg.aws.s3 import is_s3_uri, join_uri, split_uri
from gtseg.core.images.examination import examine_image
from gtseg.core.labeling.automated import describe_automated, find_automated_problems
from gtseg.core.labeling.input_manifest import MANIFEST_ENDINGS, is_image_name, parse_input_manifest
from gtseg.core.labeling.task_template import task_template
from gtseg.core.plurals import counted
from gtseg.errors import GtsegError, SettingsError
from gtseg.pipeline.commands.doctor.finding import Finding
from gtseg.pipeline.run import Context
from gtseg.settings.templates import read_template

SAMPLE = 50
CONSOLE_LABELS = 10


def images(context: Context, root: str) -> Iterator[Finding]:
    source = context.settings.images.source
    if source is None:
        yield Finding(
            "warning",
            "images",
            "[images] source is not set yet",
            "set a folder, an s3:// prefix or an input manifest",
        )
        return
    sample = list(islice(_sample(source, context), SAMPLE))
    folder = None if is_s3_uri(source) else context.settings.folder / Path(source).expanduser()
    if folder and not folder.exists():
        yield Finding("bad", "images", f"folder {folder} does not exist", "check [images] source")
        return
    if not sample:
        yield Finding("bad", "images", f"no .jpg, .jpeg or .png in {source}", "check [images] source")
        return
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda item: (item[0], _check_sample(*item)), sample))
    troubled = [(name, problems) for name, problems in results if problems]
    for name, problems in troubled[:10]:
        yield Finding("bad", "image", f"{name} {problems[0].split(': ')[0]}", problems[0].partition(": ")[2])
    if len(troubled) < len(sample):
        yield Finding("good", "images", f"{len(sample) - len(troubled)} of {len(sample)} checked images are fine")


def count_images(context: Context) -> int | None:
    """Return the number of images of the source; None if there is no source or it cannot be read."""
    try:
        return (
            sum(1 for _ in _sample(context.settings.images.source, context)) if context.settings.images.source else None
        )
    except (GtsegError, OSError):
        return None


def _check_sample(name: str, read: Callable[[], bytes]) -> list[str]:
    try:
        return examine_image(name, read())
    except (OSError, GtsegError) as error:
        return [f"cannot be read ({error}): check the file and its permissions"]


def _sample(source: str, context: Context) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield (name, reader) of the source's first images."""
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


def labels(context: Context, root: str) -> Iterator[Finding]:
    count = len(context.settings.labeling.labels)
    if count == 0:
        yield Finding("bad", "labels", "none", "[labeling] labels = [...]")
    elif count > CONSOLE_LABELS:
        yield Finding(
            "warning",
            "labels",
            f"{count}: AWS's console shows at most {CONSOLE_LABELS}; the API accepts more",
            "workers are faster with fewer labels",
        )
    else:
        yield Finding("good", "labels", f"{count}: {', '.join(context.settings.labeling.labels)}")


def automated(context: Context, root: str) -> Iterator[Finding]:
    """Check whether automated labeling can start, and what it needs."""
    wanted = context.settings.labeling
    if not wanted.automated:
        return
    objects = count_images(context)
    if objects is None:
        words = "automated = true, but the number of images is unknown"
        yield Finding("warning", "automated labeling", words, "set [images] source")
        return
    problems = find_automated_problems(
        objects,
        max_labeled_objects=wanted.max_labeled_objects,
        max_labeled_percent=wanted.max_labeled_percent,
    )
    for problem in problems:
        yield Finding("bad", "automated labeling", problem, "set [labeling] automated = false, or fix this")
    if not problems:
        message = describe_automated(objects, is_aws=context.clients.is_aws("labeling"))
        yield Finding("good", "automated labeling", message.removeprefix("automated labeling: "))


def initial_model(context: Context, root: str) -> Iterator[Finding]:
    """Check whether the initial model of automated labeling exists in the job's region and account and is readable."""
    arn, subject = context.settings.labeling.initial_model_arn, "initial model"
    if not arn:
        return
    remedy = "give the FinalActiveLearningModelArn of an earlier labeling job of this account and region"
    region, account, name = arn.split(":", 5)[3], arn.split(":", 5)[4], arn.partition(":model/")[2]
    clients = context.clients
    if region != clients.labeling_region:
        words = f"initial_model_arn is of region {region or 'none'}; the labeling job runs in {clients.labeling_region}"
        yield Finding("bad", subject, words, remedy)
    elif clients.labeling_profile is None and account != clients.account:
        words = f"initial_model_arn is of account {account}; the labeling job runs in account {clients.account}"
        yield Finding("bad", subject, words, remedy)
    elif (artifact := context.labeling.find_model_artifact(name)) is None:
        yield Finding("bad", subject, f"model {arn} does not exist", remedy)
    elif not artifact:
        yield Finding("warning", subject, f"{arn} has no artifact: whether it can be read is unknown", remedy)
    elif (found := context.s3.head(artifact)) is None:
        yield Finding("bad", subject, f"the artifact of {name} does not exist: {artifact}", remedy)
    else:
        yield Finding("good", subject, f"{name}: {artifact} has {counted(found.size, 'byte')}")


def template(context: Context, root: str) -> Iterator[Finding]:
    name = context.settings.labeling.template
    path = context.settings.folder / name if name else None
    text = path.read_text(encoding="utf-8") if path and path.exists() else read_template("template.liquid")
    try:
        task_template(text, header="x", instructions="x")
    except SettingsError as error:
        yield Finding("bad", "template", str(error), f"fix {path}, or start from the template of `gtseg init`")
        return
    yield Finding(
        "good",
        "template",
        f"{path if path and path.exists() else 'the built-in one'} has everything that Ground Truth needs",
    )
