"""Commands `up` and `exec`: the server in the foreground, or around one command."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gtseg.local.cli.client import Data, exit_code_of, explain, fail, find_folder
from gtseg.local.errors import ServiceError
from gtseg.local.option_groups import grouped
from gtseg.local.options import ServerOptions

app = typer.Typer(rich_markup_mode=None)
Region = Annotated[str, typer.Option(metavar="REGION", help="AWS region of the server.")]


@dataclass(frozen=True)
class ListenOptions:
    """Network address, TLS and proxies of a server."""

    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 or :: admit other machines.")
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="Port; 0: any free port.")] = 4566
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM certificate, to serve HTTPS (with --tls-key).")
    ] = None
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="PEM private key of --tls-cert.")] = None
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Host name of the server, e.g. label.local. Repeatable."),
    ] = None
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS", help="Address or network of a proxy whose X-Forwarded-For is trusted. Repeatable."
        ),
    ] = None

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """Certificate and private key; None without TLS."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise fail("--tls-cert and --tls-key must be used together.", 2)
        return (self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None


@dataclass(frozen=True)
class StorageOptions:
    """Storage of the objects, and the part of the API that is served."""

    s3: Annotated[
        str,
        typer.Option(
            metavar="aws|URL",
            help="Store objects in the buckets of AWS (aws) or another S3 service (https://minio.lan:9000) instead of "
            "the data folder; the server then does not serve S3.",
        ),
    ] = ""
    s3_profile: Annotated[
        str,
        typer.Option(
            metavar="PROFILE",
            help="AWS profile for --s3. Default: as for every AWS client (environment, instance role, SSO).",
        ),
    ] = ""
    cache_gb: Annotated[
        float, typer.Option(metavar="GB", min=0, help="With --s3: maximum size of the disk cache, in 10^9 bytes.")
    ] = 10.0
    only: Annotated[
        str,
        typer.Option(
            metavar="labeling",
            help="Serve only labeling jobs and the portal: no training, endpoints or logs.",
        ),
    ] = ""

    def check(self) -> dict[str, Any]:
        """Return the fields for embedded.Options. Raises typer.Exit naming an invalid option."""
        if self.s3 not in ("", "aws"):
            self._check_url()
        if self.s3_profile and not self.s3:
            raise fail("--s3-profile requires --s3.", 2)
        if self.only not in ("", "labeling"):
            raise fail(f"--only {self.only}: the only valid value is labeling.", 2)
        return vars(self) | {"s3": self.s3.rstrip("/")}

    def _check_url(self) -> None:
        from urllib.parse import urlsplit

        try:
            url = urlsplit(self.s3)
            is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:  # an invalid port or IPv6 address
            is_url = False
        if not is_url or not self.s3.isprintable() or " " in self.s3:
            raise fail(f"--s3 {self.s3}: must be aws or the URL of an S3 service, e.g. https://minio.lan:9000.", 2)
        if re.match(r"[^.]+(\.[^.]+)*\.s3[.-][^/]*amazonaws\.com", url.netloc) and ".vpce." not in url.netloc:
            raise fail(f"--s3 {self.s3}: is the address of one bucket. For the buckets of AWS, use --s3 aws.", 2)
        if "@" in url.netloc or url.query or url.fragment:
            raise fail(
                f"--s3 {url.scheme}://{url.netloc.rpartition('@')[2]}: must be a URL without keys or a query; keys "
                "belong in a profile (--s3-profile) or the environment.",
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
    """Run the server in the foreground; print the environment variables to export.

    Exit code 75: another server uses the data folder.
    """
    from gtseg.local.embedded import Options
    from gtseg.local.execute import serve_here

    if files and not server.outline_model:
        raise fail(f"gtseg local up takes no arguments, but got {files[0]}.", 2)
    if files:  # --outline-model a.onnx b.onnx
        server = replace(server, outline_model=[*(server.outline_model or []), *files])
    tls = listen.tls
    options = Options(
        **vars(check(server)),
        **storage.check(),
        names=tuple(listen.name or ()),
        trusted_proxies=_check_networks(listen.trusted_proxy or []),
    )
    try:
        serve_here(find_folder(data), listen.host, listen.port, options=options, region=region, tls=tls)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), exit_code_of(error)) from None


def check(server: ServerOptions) -> ServerOptions:
    """Return the checked options. Raises typer.Exit naming an invalid option."""
    try:
        return server.check()
    except ValueError as error:
        raise fail(error, 2) from None


def _check_networks(texts: list[str]) -> tuple[str, ...]:
    """Return the addresses and networks of --trusted-proxy, checked. Raises typer.Exit."""
    import ipaddress

    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise fail(f"--trusted-proxy {text} must be an IP address or a network such as 10.0.0.0/8.", 2) from None
    return tuple(texts)


@app.command(context_settings={"allow_interspersed_args": False})
@grouped
def exec(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command and its arguments, after --.")],
    server: ServerOptions,
    data: Data = None,
    region: Region = "us-east-1",
) -> None:
    """Start the embedded AWS, run a command against it, stop it, and exit with the command's exit code.

    Exit code 75: another server, with other options, uses the data folder.
    """
    from gtseg.local.execute import execute

    options = check(server)
    try:
        code = execute(command, find_folder(data), options=options, region=region)
    except (OSError, RuntimeError, ServiceError) as error:
        raise fail(explain(error), exit_code_of(error)) from None
    raise typer.Exit(code)
