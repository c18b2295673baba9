"""The host names of AWS, played by one HTTPS proxy: S3 in several regions, STS, IAM Identity Center, instance metadata.

A program that is given `AWSHosts.environment` sends its requests for `*.amazonaws.com` here, by CONNECT. The proxy ends
TLS with certificates of its own authority, checks every signature and its region, and keeps each request.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import ssl
import threading
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gtseg.local.errors import ServiceError
from gtseg.local.front.signature import parse_signed, verify

ACCOUNT, OTHER_ACCOUNT = "111122223333", "444455556666"
HOSTS = {
    "point": re.compile(r"(?P<point>[a-z0-9-]+)-(?P<account>\d{12})\.s3-accesspoint\.(?P<region>[a-z0-9-]+)\.amazon.*"),
    "bucket": re.compile(r"(?P<bucket>.+)\.s3(?:\.(?P<region>[a-z0-9-]+))?\.amazonaws\.com"),
    "path": re.compile(r"s3(?:\.(?P<region>[a-z0-9-]+))?\.amazonaws\.com"),
}
INVALID_REGION = "The authorization header is malformed; the region '{0}' is wrong; expecting '{1}'"


@dataclass
class Bucket:
    """A bucket: `objects` are key -> (body, response headers)."""

    region: str
    account: str = ACCOUNT
    is_public: bool = False
    readers: set[str] = field(default_factory=set)
    """Other accounts that the bucket policy admits."""
    requester_pays: bool = False
    objects: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    host: str
    path: str
    """Decoded."""
    query: dict[str, str]
    headers: dict[str, str]
    access_key: str = ""
    region: str = ""
    """Of the signature."""

    @property
    def kms_key(self) -> str:
        """Key of SSE-KMS, of a request that asks for it."""
        is_kms = self.headers.get("x-amz-server-side-encryption") == "aws:kms"
        return self.headers["x-amz-server-side-encryption-aws-kms-key-id"] if is_kms else ""

    @property
    def is_part(self) -> bool:
        return "uploadId" in self.query

    @property
    def operation(self) -> str:
        return f"{self.method} {self.host}{self.path}"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class AWSHosts:
    """Buckets, access points and temporary credentials that are there now; `seen` is what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.buckets: dict[str, Bucket] = {}
        self.points: dict[tuple[str, str, str], str] = {}
        """(name, account, region) of an access point -> bucket."""
        self.keys: dict[str, tuple[str, str, str]] = {}
        """Access key -> (secret, session token, account)."""
        self.expired: set[str] = set()
        """Access keys that S3 answers with ExpiredToken."""
        self.refusals: dict[str, Answer] = {}
        """Beginning of a host name, or "169.254.169.254" -> the answer to every request."""
        self.forward = ""
        """URL of a server that answers every request, which is not kept, instead of this proxy."""
        self.unreachable = "-"
        """Beginning of a host name to which there is no way."""
        self.lifetime = 3600
        """Seconds for which temporary credentials are given."""
        self.seen: list[Seen] = []
        self.versions = 0
        self._authority, self._authority_key = make_certificate("AWSHosts")
        self.bundle = folder / "authority.pem"
        self.bundle.write_bytes(self._authority.public_bytes(serialization.Encoding.PEM))
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> AWSHosts:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"hosts": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    # --- what a test sets up ---

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead a program here, without credentials."""
        return {
            "HTTPS_PROXY": self.url,
            "https_proxy": self.url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "AWS_CA_BUNDLE": str(self.bundle),
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
            "AWS_CONFIG_FILE": str(self.folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "credentials"),
        }

    def give_keys(self, *, account: str = ACCOUNT, is_temporary: bool = False) -> tuple[str, str, str]:
        """Return a new access key, its secret and its session token."""
        number = len(self.keys)
        access_key = f"{'ASIA' if is_temporary else 'AKIA'}{number:016}"
        self.keys[access_key] = (f"secret-{number}", f"token-{number}" if is_temporary else "", account)
        return access_key, *self.keys[access_key][:2]

    def put(self, bucket: str, key: str, body: bytes, *, etag: str = "", headers: dict[str, str] | None = None) -> str:
        """Store a new version of an object; return its ETag."""
        etag = etag or hashlib.md5(body).hexdigest()
        self.versions += 1
        about = {"last-modified": "Fri, 20 Nov 2026 10:00:00 GMT", "content-type": "binary/octet-stream"}
        about |= {"etag": f'"{etag}"', "x-amz-version-id": f"version-{self.versions}", **(headers or {})}
        self.buckets[bucket].objects[key] = body, about
        return etag

    def requests(self, start: str) -> list[Seen]:
        """Requests whose "METHOD host/path" starts so."""
        return [seen for seen in self.seen if seen.operation.startswith(start)]

    # --- services ---

    def answer(self, seen: Seen, raw_path: bytes, pairs: list[tuple[str, str]], body: bytes) -> Answer:
        for start, refusal in self.refusals.items():
            if seen.host.startswith(start):
                return refusal
        if seen.host == "169.254.169.254":
            return self.serve_metadata(seen)
        if seen.host.startswith("sts."):
            return self.assume_role(parse_qs(body.decode()))
        if seen.host.startswith("portal.sso."):
            return self.serve_federation()
        try:
            account = self.check_signature(seen, raw_path, pairs)
            return self.serve_s3(seen, body, account)
        except ServiceError as error:
            fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in error.fields.items())
            document = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message>{fields}</Error>"
            region = {"x-amz-bucket-region": error.fields["Region"]} if "Region" in error.fields else {}
            return Answer(error.status, document.encode(), region)

    def serve_metadata(self, seen: Seen) -> Answer:
        """IMDSv2: a token, the role's name, its credentials."""
        if seen.method == "PUT" and seen.path == "/latest/api/token":
            return Answer(200, b"metadata-token", {"x-aws-ec2-metadata-token-ttl-seconds": "21600"})
        if seen.headers.get("x-aws-ec2-metadata-token") != "metadata-token":
            return Answer(401)
        if not seen.path.startswith("/latest/meta-data/iam/security-credentials/"):
            return Answer(404)
        if seen.path.endswith("/"):
            return Answer(200, b"labeling-server")
        access_key, secret, token = self.give_keys(is_temporary=True)
        document = {"Code": "Success", "AccessKeyId": access_key, "SecretAccessKey": secret, "Token": token}
        return Answer(200, json.dumps(document | {"Expiration": self.expiry.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode())

    def assume_role(self, form: dict[str, list[str]]) -> Answer:
        """AssumeRoleWithWebIdentity."""
        access_key, secret, token = self.give_keys(is_temporary=True)
        assert form["WebIdentityToken"], form
        return Answer(
            200,
            f'<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access_key}</AccessKeyId>"
            f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
            f"<Expiration>{self.expiry:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>".encode(),
        )

    def serve_federation(self) -> Answer:
        """GetRoleCredentials of IAM Identity Center."""
        access_key, secret, token = self.give_keys(is_temporary=True)
        role = {"accessKeyId": access_key, "secretAccessKey": secret, "sessionToken": token}
        role["expiration"] = int(self.expiry.timestamp() * 1000)  # type: ignore[assignment]
        return Answer(200, json.dumps({"roleCredentials": role}).encode(), {"content-type": "application/json"})

    @property
    def expiry(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.lifetime)

    def check_signature(self, seen: Seen, raw_path: bytes, pairs: list[tuple[str, str]]) -> str:
        """Return the account of the signature; "" for an anonymous request. Raises ServiceError."""
        signed = parse_signed(seen.headers, seen.query)
        if signed is None:
            return ""
        if signed.access_key in self.expired:
            raise ServiceError("ExpiredToken", "The provided token has expired.", 400)
        secret, token, account = self.keys.get(signed.access_key, ("", "", ""))
        if seen.headers.get("x-amz-security-token", "") != token:
            raise ServiceError("InvalidToken", "The provided token is malformed or otherwise invalid.", 400)
        verify(
            signed,
            method=seen.method,
            raw_path=raw_path,
            query=pairs,
            headers=seen.headers,
            payload_hash=seen.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            find_secret=lambda access_key: secret or None,
            now=dt.datetime.now(dt.UTC),
        )
        return account

    def find_bucket(self, seen: Seen) -> tuple[str, str, str]:
        """Return (bucket, key, region of the host); "" for the host without a region. Raises ServiceError."""
        for kind, pattern in HOSTS.items():
            if not (found := pattern.fullmatch(seen.host)):
                continue
            parts, path = found.groupdict(), seen.path.removeprefix("/")
            if kind == "path":
                bucket, _, path = path.partition("/")
            elif kind == "bucket":
                bucket = parts["bucket"]
            else:
                bucket = self.points.get((parts["point"], parts["account"], parts["region"]), "")
            if bucket not in self.buckets:
                raise ServiceError("NoSuchBucket", "The specified bucket does not exist", 404)
            return bucket, path, parts.get("region") or ""
        raise ServiceError("InvalidHost", seen.host, 404)

    def serve_s3(self, seen: Seen, body: bytes, account: str) -> Answer:
        name, key, region = self.find_bucket(seen)
        bucket = self.buckets[name]
        if region not in ("", bucket.region) and "s3-accesspoint" not in seen.host:
            raise ServiceError(
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified endpoint.",
                301,
                fields={"Region": bucket.region, "Bucket": name},
            )
        if seen.access_key and seen.region != bucket.region:
            message = INVALID_REGION.format(seen.region, bucket.region)
            raise ServiceError("AuthorizationHeaderMalformed", message, 400, fields={"Region": bucket.region})
        is_read = seen.method in ("GET", "HEAD")
        if account != bucket.account and not (is_read and (bucket.is_public or account in bucket.readers)):
            raise ServiceError("AccessDenied", "Access Denied", 403)
        if bucket.requester_pays and seen.headers.get("x-amz-request-payer") != "requester":
            raise ServiceError("AccessDenied", "Access Denied", 403)
        if not key:
            return self.list_objects(name, seen.query) if "list-type" in seen.query else Answer(200)
        return self.read(bucket, key, seen) if is_read else self.write(name, key, seen, body)

    def list_objects(self, name: str, query: dict[str, str]) -> Answer:
        found = sorted(key for key in self.buckets[name].objects if key.startswith(query.get("prefix", "")))
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified><ETag>"
            f"{about['etag']}</ETag><Size>{len(body)}</Size></Contents>"
            for key in found
            for body, about in [self.buckets[name].objects[key]]
        )
        body = f"<ListBucketResult><Name>{name}</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        return Answer(200, body.encode())

    def read(self, bucket: Bucket, key: str, seen: Seen) -> Answer:
        if key not in bucket.objects:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
        body, headers = bucket.objects[key]
        is_kept = seen.headers.get("if-none-match") == headers["etag"]
        return Answer(304, b"", headers) if is_kept else Answer(200, body, headers)

    def write(self, name: str, key: str, seen: Seen, body: bytes) -> Answer:
        """PutObject, and the calls of a multipart upload."""
        uploads, query = self.buckets[name].uploads, seen.query
        if seen.method == "POST" and "uploads" in query:
            upload = f"upload-{len(self.seen)}"
            uploads[upload] = {}
            return Answer(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode(),
            )
        if seen.method == "DELETE":
            uploads.pop(query.get("uploadId", ""), None)
            return Answer(204)
        if seen.method == "POST":
            body = b"".join(part for _, part in sorted(uploads.pop(query["uploadId"]).items()))
            etag = self.put(name, key, body)
            return Answer(
                200, f'<CompleteMultipartUploadResult><ETag>"{etag}-2"</ETag></CompleteMultipartUploadResult>'.encode()
            )
        if "partNumber" in query:
            uploads[query["uploadId"]][int(query["partNumber"])] = body
            return Answer(200, b"", {"etag": f'"{hashlib.md5(body).hexdigest()}"'})
        about = {
            n: v for n, v in seen.headers.items() if n.startswith(("x-amz-server-side-encryption", "content-type"))
        }
        etag = self.put(name, key, body, headers=about)
        return Answer(200, b"", {"etag": f'"{etag}"'})

    # --- TLS ---

    def find_context(self, host: str) -> ssl.SSLContext:
        """A context with a certificate for `host`, signed by the authority."""
        with self._lock:
            if host not in self._contexts:
                self._contexts[host] = self._certify(host)
            return self._contexts[host]

    def _certify(self, host: str) -> ssl.SSLContext:
        certificate, key = make_certificate(host, issuer=(self._authority, self._authority_key))
        path = self.folder / f"{hashlib.md5(host.encode()).hexdigest()}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def make_certificate(
    name: str, *, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for a host name; without an issuer, that of an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:60])])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key())
        builder = builder.add_extension(identifier, critical=False)
    else:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


class Handler(BaseHTTPRequestHandler):
    hosts: AWSHosts
    protocol_version = "HTTP/1.1"
    host = "169.254.169.254"  # what is asked in plain HTTP

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        if self.host.startswith(self.hosts.unreachable):
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        context = self.hosts.find_context(self.host)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def answer(self) -> None:
        body = self.read_body()
        if self.hosts.forward:
            self.pass_on(body)
            return
        parts = urlsplit(self.path)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/", headers.get("authorization", ""))
        key, region = (scope[1], scope[2]) if scope else ("", "")
        seen = Seen(self.command, self.host, unquote(parts.path), dict(pairs), headers, key, region)
        self.hosts.seen.append(seen)
        answer = self.hosts.answer(seen, parts.path.encode(), pairs, body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(answer.body)

    def read_body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        blocks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            blocks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(blocks)

    def pass_on(self, body: bytes) -> None:
        """Send the request on as it is, with its Host, which its signature covers."""
        connection = HTTPConnection(self.hosts.forward.partition("://")[2], timeout=120)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", "transfer-encoding", "content-length"):
                connection.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = answer.getheader("content-length") if self.command == "HEAD" else str(len(content))
        if answer.status not in (204, 304):
            self.send_header("content-length", length or "0")
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass
