"""gtseg local: the embedded AWS on the command line. Nothing heavy is imported before the command that needs it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtseg.local.errors import ServiceError
from gtseg.local.grouping import grouped
from gtseg.local.options import ServerOptions, read_values
from gtseg.local.printing import show

if TYPE_CHECKING:
    from gtseg.local.serving import Serving
    from gtseg.local.storage.backup import Findings

app = typer.Typer(
    help="The embedded AWS: the same API calls, answered on your own machine, without an account.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
worker_app = typer.Typer(help="The people who label: add, list, pause, remove.", no_args_is_help=True)
app.add_typer(worker_app, name="worker")

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of everything it keeps. [$GTSEG_LOCAL_DATA or ~/.local/share/gtseg]"),
]
Region = Annotated[str, typer.Option(help="The region that it plays.")]


def find_folder(data: Path | None) -> Path:
    """--data, $GTSEG_LOCAL_DATA or ~/.local/share/gtseg, absolute."""
    return (
        (data or Path(os.environ.get("GTSEG_LOCAL_DATA") or "~/.local/share/gtseg")).expanduser().absolute()
    )


def explain(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, ServiceError):
        return error.message
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split())


def fail(message: object, code: int) -> typer.Exit:
    show(f"gtseg: {message}", err=True)
    return typer.Exit(code)


@dataclass(frozen=True)
class ListenOptions:
    """Where a server is reached, and by whose word."""

    host: Annotated[str, typer.Option(help="Address to listen on; other machines need 0.0.0.0 or ::.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 4566
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate: serve HTTPS (with --tls-key).")] = (
        None
    )
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key of --tls-cert.")] = None
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name under which people reach the server, e.g. label.local. May be repeated."
        ),
    ] = None
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a proxy whose X-Forwarded-For counts. May be repeated."),
    ] = None

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """Certificate and key."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise fail("--tls-cert and --tls-key go together.", 2)
        return (self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None


@dataclass(frozen=True)
class StorageOptions:
    """Where a server's objects are, and how much of it is served."""

    s3: Annotated[
        str,
        typer.Option(
            metavar="aws|URL",
            help="Keep objects in the buckets of AWS (aws) or of another S3 service (https://minio.lan:9000) instead of the data "
            "folder; S3 itself is not served then.",
        ),
    ] = ""
    s3_profile: Annotated[
        str,
        typer.Option(
            help="AWS profile for --s3. Default: environment, instance role, SSO, as for every AWS client."
        ),
    ] = ""
    cache_gb: Annotated[
        float, typer.Option(min=0, help="With --s3: disk space for copies of what is read, 10^9 bytes.")
    ] = 10.0
    only: Annotated[
        str,
        typer.Option(
            metavar="labeling",
            help="Serve labeling jobs and the portal alone: no training, endpoints or logs.",
        ),
    ] = ""

    def check(self) -> dict[str, Any]:
        """The fields for embedded.Options. Raises typer.Exit naming the option that cannot be."""
        if self.s3 not in ("", "aws"):
            self._check_url()
        if self.s3_profile and not self.s3:
            raise fail("--s3-profile needs --s3.", 2)
        if self.only not in ("", "labeling"):
            raise fail(f"--only {self.only}: the only part that can be served alone is labeling.", 2)
        return vars(self) | {"s3": self.s3.rstrip("/")}

    def _check_url(self) -> None:
        from urllib.parse import urlsplit

        try:
            url = urlsplit(self.s3)
            is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:  # a port or an IPv6 address that is none
            is_url = False
        if not is_url or not self.s3.isprintable() or " " in self.s3:
            raise fail(
                f"--s3 {self.s3}: want aws, or the URL of an S3 service like https://minio.lan:9000.", 2
            )
        if "@" in url.netloc or url.query or url.fragment:
            raise fail(
                f"--s3 {url.scheme}://{url.netloc.rpartition('@')[2]}: want the URL alone; keys belong in a profile (--s3-profile) or "
                "the environment.",
                2,
            )


@app.command()
@grouped
def up(
    server: ServerOptions,
    listen: ListenOptions,
    storage: StorageOptions,
    files: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,
    data: Data = None,
    region: Region = "us-east-1",
) -> None:
    """Serve in the foreground and print the lines to export."""
    from gtseg.local.embedded import Options
    from gtseg.local.execute import serve_here

    if files and not server.outline_model:
        raise fail(f"gtseg local up takes options only, not {files[0]}.", 2)
    if files:  # --outline-model a.onnx b.onnx
        server = replace(server, outline_model=[*(server.outline_model or []), *files])
    tls = listen.tls
    options = Options(
        **vars(check(server)),
        **storage.check(),
        names=tuple(listen.name or ()),
        trusted_proxies=check_networks(listen.trusted_proxy or []),
    )
    try:
        serve_here(find_folder(data), listen.host, listen.port, options=options, region=region, tls=tls)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None


def check(server: ServerOptions) -> ServerOptions:
    try:
        return server.check()
    except ValueError as error:
        raise fail(error, 2) from None


def check_networks(texts: list[str]) -> tuple[str, ...]:
    """The addresses and networks of --trusted-proxy, checked."""
    import ipaddress

    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise fail(f"--trusted-proxy {text} is no address and no network (10.0.0.0/8).", 2) from None
    return tuple(texts)


@app.command(context_settings={"allow_interspersed_args": False})
@grouped
def exec(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
    server: ServerOptions,
    data: Data = None,
    region: Region = "us-east-1",
) -> None:
    """Run a command against the embedded AWS: start it, run, stop it, leave with the command's exit code."""
    from gtseg.local.execute import execute

    options = check(server)
    try:
        code = execute(command, find_folder(data), options=options, region=region)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    raise typer.Exit(code)


@dataclass(frozen=True)
class CrowdOptions:
    """How a crowd of simulated workers labels."""

    masks: Annotated[
        Path,
        typer.Option(
            help="Folder of index masks: value i is the i-th label, 0 the background, 255 void (a job's label named void takes "
            "it); masks of 0 and 255 alone hold one class."
        ),
    ]
    workers: Annotated[int, typer.Option(min=1, max=100, help="How many simulated workers.")] = 3
    error: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Fraction of the marked area that each one gets wrong; 0: exact masks."
        ),
    ] = 0.05
    seed: Annotated[int, typer.Option(help="Other seeds make other mistakes.")] = 0
    decline: Annotated[
        float, typer.Option(min=0, max=1, help="Fraction of tasks that each worker declines.")
    ] = 0.0
    slow: Annotated[float, typer.Option(min=0, help="Mean seconds over one task; workers differ.")] = 0.0
    label_values: Annotated[
        str,
        typer.Option(
            metavar="VALUES",
            help="The mask values of the job's labels in their order, like 0-10 or 1,3. [default: 1, 2, ...]",
        ),
    ] = ""
    void: Annotated[
        int | None, typer.Option(min=0, max=255, metavar="VALUE", help="The mask value that is void.")
    ] = None
    drop_void: Annotated[
        bool,
        typer.Option("--drop-void", help="Void becomes background in jobs without a label named void."),
    ] = False


@app.command()
@grouped
def crowd(
    crowd: CrowdOptions,
    data: Data = None,
    url: Annotated[
        str | None,
        typer.Option(help="Server to work for, with $GTSEG_OWNER_TOKEN. Default: the data folder's."),
    ] = None,
) -> None:
    """Label every job with simulated workers until Ctrl-C. They err as people do; --error 0 submits the masks exactly."""
    from gtseg.local.execute import run_crowd_here
    from gtseg.local.labeling.numbers import Choice

    try:
        values = read_values(crowd.label_values, "--label-values")
    except ValueError as problem:
        raise fail(problem, 2) from None
    if not crowd.masks.is_dir():
        raise fail(f"--masks {crowd.masks} is not a folder.", 2)
    try:
        run_crowd_here(
            find_folder(data),
            url,
            masks=crowd.masks,
            workers=crowd.workers,
            error=crowd.error,
            seed=crowd.seed,
            decline=crowd.decline,
            slow=crowd.slow,
            choice=Choice(values, crowd.void, crowd.drop_void),
        )
    except (OSError, RuntimeError, ServiceError) as problem:
        raise fail(explain(problem), 1) from None


@worker_app.command("add")
def add_worker(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    team: Annotated[str, typer.Option(help="Workteam, see `aws sagemaker list-workteams`.")] = "gtseg",
    renew: Annotated[
        bool, typer.Option(help="A new token for a worker who is there; the old one is void.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(help="Address under which people reach this server, e.g. https://label.local."),
    ] = None,
    data: Data = None,
) -> None:
    """Add a worker and print their personal link, which is shown this once."""
    answer = ask_owner(data, "POST", "/workers", {"name": name, "team": team, "renew": renew})
    show(make_link(data, at, answer["token"]))


@worker_app.command("list")
def list_workers(data: Data = None) -> None:
    """List the workers: id, team, state, name."""
    for worker in ask_owner(data, "GET", "/workers")["workers"]:
        show("\t".join((worker["worker_id"], worker["team"], worker["state"], worker["name"])))


@worker_app.command("remove")
def remove_worker(name: str, data: Data = None) -> None:
    """Remove a worker (name or id): the token is void at once, what they submitted stays."""
    ask_owner(data, "DELETE", f"/workers/{find_worker_id(data, name)}")


@worker_app.command("pause")
def pause_worker(
    name: str,
    resume: Annotated[bool, typer.Option("--resume", help="Bring the worker back.")] = False,
    data: Data = None,
) -> None:
    """Give a worker (name or id) no more tasks until `--resume`."""
    state = "active" if resume else "paused"
    ask_owner(data, "PATCH", f"/workers/{find_worker_id(data, name)}", {"state": state})


@app.command("owner")
def show_owner_link(
    at: Annotated[str | None, typer.Option(help="Address under which the server is reached.")] = None,
    data: Data = None,
) -> None:
    """Print the link to the owner's pages: progress, people, agreement, every answer."""
    serving = find_own_server(data)
    if serving is None:
        raise fail("No server is running on this data folder: start it with `gtseg local up`.", 3)
    show(make_link(data, at, serving.owner_token))


@app.command("outlines")
def examine_outlines(
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON on stdout.")] = False,
    data: Data = None,
) -> None:
    """Say what outlines objects on the labeling page, and how quickly: the server outlines a drawn disc with it."""
    import json

    serving = find_own_server(data)
    if serving is None:
        raise fail("No server is running on this data folder: start it with `gtseg local up`.", 3)
    from gtseg.local.execute import ask_server

    problem = ""
    try:
        found = ask_server(find_folder(data), "GET", "/owner/outlines")
    except (OSError, RuntimeError, ServiceError) as error:
        problem = explain(error)
    if as_json:
        show(json.dumps({"url": serving.url.rstrip("/"), **({"problem": problem} if problem else found)}))
    if problem:
        raise fail(problem, 1)
    if as_json:
        return
    show("\n".join([str(found["kind"]), *found["files"]]))
    show(
        f"{found['picture_seconds']:.1f} s for a picture, {1000 * found['click_seconds']:.0f} ms for a further click"
    )


@app.command("profile")
def show_profile(
    name: Annotated[str, typer.Argument(help="Name of the AWS profile, e.g. labels.")],
    write: Annotated[
        bool, typer.Option("--write", help="Write the sections into the two files instead of printing them.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(help="Address under which clients reach this server, e.g. https://label.local."),
    ] = None,
    data: Data = None,
) -> None:
    """Print or write the AWS profile of this server: for `[labeling] profile` of gtseg.toml, boto3 and the AWS CLI.

    It goes into ~/.aws/config and ~/.aws/credentials (or AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE).
    """
    from gtseg.local import profiles
    from gtseg.local.serving import find_certificate

    try:
        profiles.check_name(name)
    except ValueError as error:
        raise fail(error, 2) from None
    serving = find_own_server(data)
    if serving is None:
        raise fail("No server is running on this data folder: start it with `gtseg local up`.", 3)
    endpoint = find_base(data, at, what="profile")
    trusted = find_certificate(find_folder(data)) if endpoint.startswith("https://") and not at else None
    profile = profiles.Profile(
        name,
        endpoint,
        serving.region,
        serving.access_key,
        serving.secret_key,
        ca_bundle=str(trusted) if trusted else None,
    )
    config, credentials = profiles.files(os.environ)
    if not write:
        for path, lines in ((config, profile.config), (credentials, profile.credentials)):
            show("\n".join([f"# {path}", *lines, ""]))
        return
    try:
        changed = profiles.write(profile, os.environ)
    except ServiceError as error:
        raise fail(explain(error), 1) from None
    for path in (config, credentials):
        show(f"{path}: profile {name} {'written' if path in changed else 'was there already'}")


@app.command("backup")
def back_up_folder(
    target: Annotated[Path, typer.Argument(help="New folder for the backup; outside of the data folder.")],
    data: Data = None,
) -> None:
    """Copy the data folder as it is at one moment, also while people work. Exit code 5: with damaged objects, listed."""
    from gtseg.local.storage.backup import back_up

    target = target.expanduser().absolute()
    try:
        findings = back_up(find_folder(data), target)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    show_findings(
        findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, are kept in {target}."
    )


@app.command("restore")
def restore_folder(
    source: Annotated[Path, typer.Argument(help="A folder that `gtseg local backup` made.")],
    data: Data = None,
) -> None:
    """Make the data folder of a backup; it must not be there yet, or be empty. Exit code 5: with damaged objects, listed."""
    from gtseg.local.storage.backup import restore

    folder = find_folder(data)
    try:
        findings = restore(source.expanduser().absolute(), folder)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    show_findings(
        findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, are back in {folder}."
    )


@app.command("check")
def check_data_folder(
    s3: Annotated[
        bool,
        typer.Option(
            "--s3",
            help="Try instead what the running server (gtseg local up --s3) may do in its buckets. Nothing is left.",
        ),
    ] = False,
    place: Annotated[
        list[str] | None,
        typer.Option(
            help="With --s3: s3://bucket/prefix to read and write. May be repeated. [default: those of its jobs]"
        ),
    ] = None,
    data: Data = None,
) -> None:
    """Read every object and both databases and compare them with their checksums. Exit code 5: something is damaged."""
    from gtseg.local.storage.backup import check_folder

    if s3 or place:
        check_storage(data, place or [])
        return
    folder = find_folder(data)
    try:
        findings = check_folder(folder)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None
    show_findings(
        findings, f"{findings.objects} objects, {findings.bytes / 1e6:.1f} MB, were read in {folder}."
    )


def check_storage(data: Path | None, places: list[str]) -> None:
    """Each right that the server tried, and whether it has it; then exit code 4 where one is missing, 3 where S3 is away."""
    found = ask_owner(data, "POST", "/owner/storage/check", {"places": places})
    storage, rights = found["storage"], found["rights"]
    for right in rights:
        show(f"{right['action']:<24} {right['place']}  {right['problem'] or 'allowed'}")
    where = storage["endpoint"] or "the data folder"
    refused = [right for right in rights if right["problem"]]
    if refused:
        raise fail(
            f"{len(refused)} of {len(rights)} rights are missing at {where}: gtseg init --policies writes labeling-server.json,"
            " a policy with all of them.",
            4,
        )
    show(
        f"{len(rights)} rights at {where} are there."
        if rights
        else f"Objects are at {where}; the server has no job yet: give --place s3://bucket/prefix."
    )


def show_findings(findings: Findings, summary: str) -> None:
    """What was done, and a line for everything that is damaged; then exit code 5."""
    for line in findings.damaged:
        show(f"damaged: {line}", err=True)
    show(summary)
    if findings.damaged:
        raise fail(
            f"{len(findings.damaged)} damaged. Upload these objects again, or restore an earlier backup: gtseg local restore.",
            5,
        )


def find_own_server(data: Path | None) -> Serving | None:
    """The server of the data folder, if it runs and proves to be it."""
    from gtseg.local.serving import find_serving

    try:
        return find_serving(find_folder(data))
    except ServiceError as error:
        raise fail(explain(error), 1) from None


def make_link(data: Path | None, at: str | None, token: str) -> str:
    """A link that signs its holder in: what follows # stays in the browser, out of every log."""
    return f"{find_base(data, at, what='link')}/_portal/signin#{token}"


def find_base(data: Path | None, at: str | None, *, what: str) -> str:
    """The address under which people and clients reach the server, without a slash at its end; said where only this machine does."""
    serving = find_own_server(data)
    base = at or (serving.url if serving else "")
    base = base.replace("//0.0.0.0:", f"//{find_own_address()}:").replace(
        "//[::]:", f"//{find_own_address()}:"
    )
    if at is None and "//127.0.0.1:" in base:
        show(
            f"The {what} works on this machine only: serve with --host 0.0.0.0, or give --at ADDRESS.",
            err=True,
        )
    return base.rstrip("/")


def find_own_address() -> str:
    """This machine's address on its network, as the way out would use it; nothing is sent."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def ask_owner(data: Path | None, method: str, path: str, document: Any = None) -> Any:
    """One request of the owner to the server of this data folder."""
    from gtseg.local.execute import ask_server

    try:
        return ask_server(find_folder(data), method, path, document)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), 1) from None


def find_worker_id(data: Path | None, name: str) -> str:
    found = [
        w["worker_id"]
        for w in ask_owner(data, "GET", "/workers")["workers"]
        if name in (w["worker_id"], w["name"])
    ]
    if len(found) != 1:
        raise fail(
            f"{'No worker is' if not found else f'{len(found)} workers are'} called {name!r}: give the id.", 3
        )
    return str(found[0])


if __name__ == "__main__":
    app(prog_name=f"{Path(sys.executable).name} -m gtseg.local.cli")
