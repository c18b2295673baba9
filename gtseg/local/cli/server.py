"""up and exec: the server itself, in the foreground or around one command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gtseg.local.cli.client import Data, explain, fail, find_folder
from gtseg.local.errors import ServiceError
from gtseg.local.option_groups import grouped
from gtseg.local.options import ServerOptions

app = typer.Typer(rich_markup_mode=None)
Region = Annotated[str, typer.Option(help="The region that it plays.")]


@dataclass(frozen=True)
class ListenOptions:
    """Where a server is reached, and by whose word."""

    host: Annotated[str, typer.Option(help="Address to listen on; other machines need 0.0.0.0 or ::.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 4566
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate: serve HTTPS (with --tls-key).")] = None
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key of --tls-cert.")] = None
    name: Annotated[
        list[str] | None,
        typer.Option(help="Host name under which people reach the server, e.g. label.local. May be repeated."),
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
        typer.Option(help="AWS profile for --s3. Default: environment, instance role, SSO, as for every AWS client."),
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
            raise fail(f"--s3 {self.s3}: want aws, or the URL of an S3 service like https://minio.lan:9000.", 2)
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
