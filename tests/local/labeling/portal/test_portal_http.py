"""The portal over HTTP: sign-in, sessions, access to pages, security headers."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
import uuid
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gtseg.local.labeling.portal.agreement import count_pixels, measure_overlap

GUARD = {"X-Gtseg-Portal": "1"}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def ask(
    aws: Any, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """-> status, headers (lower case), body."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(aws.url + path, method=method, data=data, headers=headers or {})
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=30) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def add_worker(aws: Any) -> tuple[str, str]:
    """-> worker id, token."""
    owner = {"Authorization": f"Bearer {aws.owner_token}", "Content-Type": "application/json"}
    body = {"name": uuid.uuid4().hex, "team": "gtseg"}
    _, _, answer = ask(aws, "POST", "/_portal/api/workers", body=body, headers=owner)
    made = json.loads(answer)
    return made["worker_id"], made["token"]


def sign_in(aws: Any, token: str) -> dict[str, str]:
    """Sign in; return the Cookie header for later requests."""
    status, headers, body = ask(aws, "POST", "/_portal/api/session", body={"token": token}, headers=GUARD)
    assert status == 200, body
    cookie = SimpleCookie(headers["set-cookie"])
    return {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in cookie.items())}


def test_a_personal_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(shared_aws: Any) -> None:
    _, token = add_worker(shared_aws)
    _, headers, body = ask(shared_aws, "POST", "/_portal/api/session", body={"token": token}, headers=GUARD)
    assert json.loads(body) == {"to": "/_portal/"}
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert token not in headers["set-cookie"]


def test_a_sign_in_without_the_portals_header_is_refused(shared_aws: Any) -> None:
    _, token = add_worker(shared_aws)
    status, headers, _ = ask(shared_aws, "POST", "/_portal/api/session", body={"token": token})
    assert status == 403
    assert "set-cookie" not in headers


def test_a_removed_worker_loses_access_at_once(shared_aws: Any) -> None:
    worker, token = add_worker(shared_aws)
    cookie = sign_in(shared_aws, token)
    assert ask(shared_aws, "GET", "/_portal/", headers=cookie)[0] == 200
    owner = {"Authorization": f"Bearer {shared_aws.owner_token}"}
    ask(shared_aws, "DELETE", f"/_portal/api/workers/{worker}", headers=owner)
    assert ask(shared_aws, "GET", "/_portal/", headers=cookie)[0] == 303


@pytest.mark.parametrize("path", ["/_portal/", "/_portal/work/x", "/_portal/owner", "/_portal/owner/jobs/x"])
def test_an_unauthenticated_browser_is_redirected_to_sign_in(shared_aws: Any, path: str) -> None:
    status, headers, _ = ask(shared_aws, "GET", path)
    assert (status, headers["location"]) == (303, "/_portal/signin")


BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}


def test_the_root_redirects_browsers_to_the_portal_and_answers_programs_as_s3(shared_aws: Any) -> None:
    status, headers, _ = ask(shared_aws, "GET", "/", headers=BROWSER)
    assert (status, headers["location"]) == (303, "/_portal/")
    assert b"<Code>AccessDenied</Code>" in ask(shared_aws, "GET", "/")[2]


@pytest.mark.parametrize("path", ["/nothing", "/no-bucket/a%3Cb%3E.png", "/_portal/nothing", "/_portal/api/jobs"])
def test_an_unknown_path_shows_browsers_a_page_with_links(shared_aws: Any, path: str) -> None:
    status, headers, body = ask(shared_aws, "GET", path, headers=BROWSER)
    assert status == 404
    assert headers["content-type"].startswith("text/html")
    assert b"There is nothing at this address" in body
    assert b"<b>" not in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not ask(shared_aws, "GET", path)[1].get("content-type", "").startswith("text/html")
    signed = f"{path}?X-Amz-Signature=0"
    assert not ask(shared_aws, "GET", signed, headers=BROWSER)[2].startswith(b"<!doctype html>")


OWNER_PATHS = [
    "/_portal/api/owner/jobs",
    "/_portal/api/owner/jobs/x",
    "/_portal/api/owner/jobs/x/objects",
    "/_portal/api/owner/jobs/x/objects/0/image",
    "/_portal/api/owner/jobs/x/objects/0/mask",
    "/_portal/api/owner/jobs/x/objects/0/someone",
]


@pytest.mark.parametrize("path", OWNER_PATHS)
def test_owner_routes_refuse_a_workers_cookie_and_token(shared_aws: Any, path: str) -> None:
    _, token = add_worker(shared_aws)
    assert ask(shared_aws, "GET", path, headers=sign_in(shared_aws, token))[0] == 401
    assert ask(shared_aws, "GET", path, headers={"Authorization": f"Bearer {token}"})[0] == 401
    assert ask(shared_aws, "GET", path)[0] == 401


def test_owner_pages_accept_the_owners_cookie(shared_aws: Any) -> None:
    cookie = sign_in(shared_aws, shared_aws.owner_token)
    assert ask(shared_aws, "GET", "/_portal/owner", headers=cookie)[0] == 200
    assert "jobs" in json.loads(ask(shared_aws, "GET", "/_portal/api/owner/jobs", headers=cookie)[2])
    assert ask(shared_aws, "GET", "/_portal/api/owner/jobs/no-such-job", headers=cookie)[0] == 400


@pytest.mark.parametrize("path", ["/_portal/signin", "/_portal/static/task.js"])
def test_pages_have_nosniff_and_a_strict_content_security_policy(shared_aws: Any, path: str) -> None:
    status, headers, _ = ask(shared_aws, "GET", path)
    assert status == 200
    assert headers["x-content-type-options"] == "nosniff"
    if path.endswith("signin"):
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_static_files_outside_their_folder_are_not_served(shared_aws: Any) -> None:
    for path in (
        "/_portal/static/../__init__.py",
        "/_portal/static/%2e%2e/__init__.py",
        "/_portal/static/..%2f__init__.py",
    ):
        assert ask(shared_aws, "GET", path)[0] == 404


def test_a_workers_name_is_escaped_in_pages(shared_aws: Any) -> None:
    owner = {"Authorization": f"Bearer {shared_aws.owner_token}"}
    body = {"name": "<img src=x onerror=alert(1)>", "team": "gtseg", "renew": True}
    token = json.loads(ask(shared_aws, "POST", "/_portal/api/workers", body=body, headers=owner)[2])["token"]
    _, _, page = ask(shared_aws, "GET", "/_portal/", headers=sign_in(shared_aws, token))
    assert b"<img" not in page
    assert b"&lt;img src=x" in page


def test_signing_out_deletes_the_cookie_and_ends_the_session(shared_aws: Any) -> None:
    _, token = add_worker(shared_aws)
    cookie = sign_in(shared_aws, token)
    status, headers, _ = ask(shared_aws, "DELETE", "/_portal/api/session", headers=cookie | GUARD)
    assert status == 200
    assert "max-age=0" in headers["set-cookie"].lower()
    assert ask(shared_aws, "GET", "/_portal/", headers=cookie)[0] == 303, "the session ended on the server"


def test_logs_contain_no_tokens(local_aws: Any) -> None:
    _, token = add_worker(local_aws)
    sign_in(local_aws, token)
    kept = [p for p in Path(local_aws.folder).rglob("*") if p.is_file()] + [Path(local_aws.log)]
    assert not [p for p in kept if token.encode() in p.read_bytes()]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b'{"token": 3}', 400), (b'{"token": "wrong"}', 403), (b"x" * 70_000, 413)],
)
def test_a_wrong_sign_in_is_explained(shared_aws: Any, body: bytes, status: int) -> None:
    request = urllib.request.Request(shared_aws.url + "/_portal/api/session", data=body, headers=GUARD)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == status
    assert json.loads(caught.value.read())["message"]


@pytest.mark.parametrize(
    ("other", "overlap"),
    [((0, 0, 1, 1), 1), ((0, 0, 0, 1), 1 / 2), ((0, 0, 2, 2), 0), ((0, 2, 1, 1), 1 / 2), ((0, 0, 0, 0), 0)],
)
def test_agreement_is_the_mean_iou_of_the_classes_in_either_answer_without_background(
    other: tuple[int, ...], overlap: float
) -> None:
    first, second = (np.array([row], np.uint8) for row in ((0, 0, 1, 1), other))
    assert measure_overlap(count_pixels(first, second)) == pytest.approx(overlap)


def test_two_empty_answers_agree_fully() -> None:
    nothing = np.zeros((2, 2), np.uint8)
    assert measure_overlap(count_pixels(nothing, nothing)) == 1


def test_the_background_of_a_shown_mask_is_transparent() -> None:
    from gtseg.local.labeling.portal.gallery import make_background_transparent

    mask = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    mask.putpalette([255, 255, 255, 44, 160, 44])
    body = io.BytesIO()
    mask.save(body, "PNG")
    shown = Image.open(io.BytesIO(make_background_transparent(body.getvalue()))).convert("RGBA")
    assert shown.getpixel((0, 0))[3] == 0
    assert shown.getpixel((1, 0)) == (44, 160, 44, 255)
