"""The worker API: authentication, contents of a task, refused answers, concurrency."""

from __future__ import annotations

import base64
import io
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from labeling_fixture import SIZE, TEMPLATE, Api, Labeling, draw_answer, draw_picture, square
from local_aws import LocalAWS
from PIL import Image
from polling import wait_for


@pytest.fixture(scope="module")
def own_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAWS]:
    """A separate server, because other tests' jobs rely on the shared one having a single workteam."""
    server = LocalAWS(tmp_path_factory.mktemp("labeling") / "aws")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def labeling(own_aws: Any) -> Labeling:
    return Labeling(own_aws)


@pytest.fixture(scope="module")
def leased(labeling: Labeling) -> tuple[Api, dict[str, Any]]:
    """A worker with one task of a job with the labels cat and dog."""
    job = labeling.create(1, labels=("cat", "dog"))
    worker = labeling.hire()
    return worker, labeling.lease(worker, job)


def test_a_task_describes_image_labels_and_times(labeling: Labeling, leased: tuple[Api, dict]) -> None:
    worker, task = leased
    uri = f"s3://{labeling.bucket}/images/000.jpg"
    assert task["input"] == {"taskObject": uri, "labels": ["cat", "dog"], "manifestLine": {"source-ref": uri}}
    assert (task["object"], task["labels"], task["time_limit_seconds"]) == ("0", ["cat", "dog"], 3600)
    assert (task["width"], task["height"]) == SIZE
    for method, path in (
        ("GET", f"/tasks/{task['task']}"),
        ("POST", f"/jobs/{task['job']}/tasks"),
    ):  # a reload gets the same lease
        again = worker(method, path)[1]
        assert task["now"] <= again["now"] < again["expires_at"]
        assert again | {"now": ""} == task | {"now": ""}
    assert worker("GET", f"/tasks/{task['task']}/image") == (200, draw_picture(0))
    (job,) = [job for job in worker("GET", "/jobs")[1]["jobs"] if job["job"] == task["job"]]
    assert (job["title"], job["answered"]) == ("Mark cats", 0)
    assert job["available"] == 1, "what is in hand is left to do"


def test_counts_of_available_tasks_include_later_iterations(labeling: Labeling) -> None:
    job, worker = labeling.create(12), labeling.hire()  # the first iteration has ten
    labeling.lease(worker, job)
    (row,) = [row for row in worker("GET", "/jobs")[1]["jobs"] if row["job"] == job]
    assert (row["available"], row["later"], row["answered"]) == (10, 2, 0)


def test_the_page_is_the_rendered_template_with_presigned_links(labeling: Labeling, leased: tuple[Api, dict]) -> None:
    import html
    import re
    import urllib.request

    worker, task = leased
    status, page = worker("GET", f"/tasks/{task['task']}/page")
    text = page.decode()
    assert status == 200
    assert 'labels="[&#34;cat&#34;, &#34;dog&#34;]"' in text
    assert 'header="Mark cat, dog"' in text
    link = html.unescape(re.search(r'src="(http[^"]+)"\s', text.partition("<crowd-semantic")[2])[1])
    assert link.startswith(f"{labeling.aws.url}/{labeling.bucket}/images/000.jpg?")
    assert urllib.request.urlopen(link).read() == draw_picture(0)


def test_removing_a_worker_revokes_their_image_links_only(labeling: Labeling) -> None:
    import html
    import re
    import urllib.error
    import urllib.request

    job, links = labeling.create(2), []
    for name in ("Leaver", "Stayer"):
        worker = labeling.hire(name)
        page = worker("GET", f"/tasks/{labeling.lease(worker, job)['task']}/page")[1].decode()
        links.append(html.unescape(re.search(r'src="(http[^"]+)"\s', page.partition("<crowd-semantic")[2])[1]))
    (leaver,) = [row for row in labeling.owner("GET", "/workers")[1]["workers"] if row["name"] == "Leaver"]
    assert labeling.owner("DELETE", f"/workers/{leaver['worker_id']}")[0] == 204
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(links[0])
    assert caught.value.code == 403
    assert urllib.request.urlopen(links[1]).read() == draw_picture(1)


@pytest.mark.parametrize("token", ["", "wrong", "Ünicode".encode().decode("latin-1")])
def test_requests_without_a_valid_token_are_unauthorized(
    labeling: Labeling, leased: tuple[Api, dict], token: str
) -> None:
    stranger = Api(labeling.aws.url, token)
    for method, path in (
        ("GET", "/jobs"),
        ("GET", f"/tasks/{leased[1]['task']}"),
        ("POST", "/workers"),
        ("GET", "/workers"),
    ):
        assert stranger(method, path)[0] == 401


def test_a_worker_cannot_use_owner_routes_or_see_others_tasks(labeling: Labeling, leased: tuple[Api, dict]) -> None:
    worker, task = leased
    assert worker("GET", "/workers")[0] == 401
    other = labeling.hire()
    for method, path in (
        ("GET", ""),
        ("GET", "/image"),
        ("POST", "/answer"),
        ("POST", "/decline"),
        ("POST", "/release"),
    ):
        assert other(method, f"/tasks/{task['task']}{path}", {"answer": {}} if method == "POST" else None)[0] == 404


def test_workers_are_added_listed_paused_and_removed(labeling: Labeling) -> None:
    worker = labeling.hire("Ada Ölmez")
    assert labeling.owner("POST", "/workers", {"name": "Ada Ölmez", "team": "gtseg"})[0] == 409
    (row,) = [row for row in labeling.owner("GET", "/workers")[1]["workers"] if row["name"] == "Ada Ölmez"]
    assert "token" not in row
    path = f"/workers/{row['worker_id']}"
    job = labeling.create(1)
    task = labeling.lease(worker, job)
    assert worker("POST", f"/tasks/{task['task']}/release")[0] == 200
    assert labeling.owner("PATCH", path, {"state": "paused"})[1]["state"] == "paused"
    assert worker("POST", f"/jobs/{job}/tasks")[0] == 403
    labeling.owner("PATCH", path, {"state": "active"})
    assert labeling.lease(worker, job)["object"] == "0"  # given back, so it may come again
    assert labeling.owner("DELETE", path)[0] == 204
    assert worker("GET", "/jobs")[0] == 401
    assert labeling.owner("DELETE", path)[0] == 404
    assert labeling.lease(labeling.hire(), job)["object"] == "0"  # the lease went with the worker
    assert labeling.owner("POST", "/workers", {"name": "x", "team": "nobody"})[0] == 404
    for document in ({}, {"name": 5, "team": "gtseg"}, {"name": " ", "team": "gtseg"}, b"[", b"[]"):
        assert labeling.owner("POST", "/workers", document)[0] == 400


def test_a_job_of_another_team_is_not_offered(labeling: Labeling) -> None:
    member = {"CognitoMemberDefinition": {"UserPool": "us-east-1_x", "UserGroup": "g", "ClientId": "c"}}
    labeling.sagemaker.create_workteam(WorkteamName="Others", MemberDefinitions=[member], Description="d")
    job = labeling.create(1)
    stranger, one_of_us = labeling.hire(team="others"), labeling.hire()
    assert [entry["job"] for entry in stranger("GET", "/jobs")[1]["jobs"]] == []
    assert stranger("POST", f"/jobs/{job}/tasks")[0] == 403
    labeling.lease(one_of_us, job)
    assert one_of_us("POST", "/jobs/nobody/tasks")[0] in (400, 404)


def test_an_image_with_an_expired_lease_can_be_leased_again(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    job = labeling.create(2)
    ada, bob = labeling.hire(), labeling.hire()
    task = labeling.lease(ada, job)
    again = f"/tasks/{task['task']}/again"
    assert ada("POST", again)[1]["task"] == task["task"]  # still held
    local_aws.kill9()
    local_aws.change_state("UPDATE labeling_tasks SET expires = ?", time.time() - 1)
    local_aws.start(port=local_aws.port)
    status, renewed = ada("POST", again)
    assert (status, renewed["object"]) == (200, task["object"])
    assert renewed["task"] != task["task"]
    assert ada("POST", f"/tasks/{renewed['task']}/release")[0] == 200
    assert labeling.lease(bob, job)["object"] == task["object"]
    assert ada("POST", again)[0] == 410  # somebody else's now
    assert labeling.lease(ada, job)["object"] != task["object"]
    assert ada("POST", again)[0] == 409  # one at a time
    assert bob("POST", again)[0] == 404


# ---------------------------------------------------------------- answers


def png(width: int, height: int, rows: bytes, *, color_type: int = 6) -> bytes:
    """A PNG with the given chunks; `rows` is the decompressed IDAT."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encode(image: Image.Image) -> bytes:
    output = io.BytesIO()
    image.save(output, "PNG")
    return output.getvalue()


def spoil(**changes: Any) -> dict[str, Any]:
    answer = draw_answer(square(), ["cat", "dog"])
    answer["crowd-semantic-segmentation"].update(changes)
    return answer


def labeled(content: bytes) -> dict[str, Any]:
    return spoil(labeledImage={"pngImageData": base64.b64encode(content).decode()})


HOSTILE: dict[str, tuple[Any, str]] = {
    "no object": ([], "must be a JSON object"),
    "no element": ({}, "exactly one element"),
    "two elements": ({"a": {"labeledImage": {}}, "b": {"labeledImage": {}}}, "exactly one element"),
    "no size": (spoil(inputImageProperties=None), "width 32 and height 24"),
    "swapped size": (spoil(inputImageProperties={"width": 24, "height": 32}), "width 32 and height 24"),
    "no mappings": (spoil(labelMappings=[]), "labelMappings must be an object"),
    "foreign label": (spoil(labelMappings={"bird": {"color": "#000001"}}), "'bird', which is not a label"),
    "no color": (spoil(labelMappings={"cat": {"color": "green"}}), "#rrggbb"),
    "one color twice": (
        spoil(labelMappings={"cat": {"color": "#2ca02c"}, "dog": {"color": "#2CA02C"}}),
        "same color",
    ),
    "no base64": (spoil(labeledImage={"pngImageData": "%%%"}), "base64"),
    "no image": (spoil(labeledImage={}), "base64"),
    "a JPEG": (labeled(draw_picture(1)), "is not a PNG"),
    "other size": (labeled(encode(Image.new("RGBA", (33, 24)))), "33x24 pixels"),
    "billions of pixels": (labeled(png(100_000, 100_000, b"\0" * 1_000_000)), "100000x100000 pixels"),
    "cut short": (labeled(png(*SIZE, b"\0" * 50_000)[:-20]), "truncated"),
    "fewer rows than said": (labeled(png(*SIZE, b"\0" * 10)), "cannot be decoded"),
    "foreign color": (
        labeled(encode(Image.new("RGBA", SIZE, (1, 2, 3, 255)))),
        "which is no label's color, first at column 0, row 0",
    ),
    "anti-aliased": (labeled(encode(Image.new("RGBA", SIZE, (44, 160, 45, 128)))), "#2ca02d"),
    "16 bits": (labeled(encode(Image.new("I;16", SIZE))), "8 bits"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused_with_the_reason_and_the_lease_continues(
    leased: tuple[Api, dict], name: str
) -> None:
    worker, task = leased
    answer, words = HOSTILE[name]
    status, body = worker("POST", f"/tasks/{task['task']}/answer", {"answer": answer})
    assert (status, body["error"]) == (400, "InvalidAnswer")
    assert words in body["message"]
    assert worker("GET", f"/tasks/{task['task']}")[1]["state"] == "leased"


def test_bodies_that_are_too_large_or_not_json_are_refused(leased: tuple[Api, dict]) -> None:
    worker, task = leased
    path = f"/tasks/{task['task']}/answer"
    for body, status in (
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b"[" * 100_000, 400),
        (b" " * (49 << 20), 413),
    ):
        try:
            assert worker("POST", path, body)[0] == status
        except OSError:  # the server hangs up on what it will not read
            assert status == 413


def test_white_black_and_transparent_pixels_are_background_in_any_png_mode(labeling: Labeling) -> None:
    job = labeling.create(4)
    worker = labeling.hire()
    cat = (0x2C, 0xA0, 0x2C)
    pictures = []
    for background in ((255, 255, 255), (0, 0, 0)):
        image = Image.new("RGB", SIZE, background)
        image.paste(cat, (8, 6, 20, 18))
        pictures += [image, image.quantize(2)]
    for picture in pictures:
        task = labeling.lease(worker, job)
        element = draw_answer(square(), ["cat"])["crowd-semantic-segmentation"]
        element["labeledImage"] = {"pngImageData": base64.b64encode(encode(picture)).decode()}
        assert worker("POST", f"/tasks/{task['task']}/answer", {"answer": {"annotatedResult": element}}) == (
            200,
            {"state": "answered"},
        )
    labeling.await_end(job)
    for line in labeling.manifest(job):
        assert np.array_equal(np.array(Image.open(io.BytesIO(labeling.read(line[f"{job}-ref"])))), square())


def test_repeating_an_answer_has_no_effect_and_another_answer_is_refused(labeling: Labeling) -> None:
    job = labeling.create(1)
    worker = labeling.hire()
    task = labeling.lease(worker, job)
    answer = {"answer": draw_answer(square(), ["cat"])}
    for _ in range(2):
        assert worker("POST", f"/tasks/{task['task']}/answer", answer)[0] == 200
    assert worker("POST", f"/tasks/{task['task']}/answer", {"answer": draw_answer(square(0), ["cat"])})[0] == 410
    assert worker("POST", f"/tasks/{task['task']}/decline", {})[0] == 410
    assert labeling.await_end(job)["LabelCounters"]["TotalLabeled"] == 1


def test_concurrent_workers_get_each_object_as_often_as_required(labeling: Labeling) -> None:
    job = labeling.create(30, workers=3)
    workers = [labeling.hire() for _ in range(8)]
    done: list[list[str]] = [[] for _ in workers]

    def work(place: int) -> None:
        done[place] = labeling.label_all(workers[place], job)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert labeling.await_end(job)["LabelCounters"]["TotalLabeled"] == 30
    assert all(len(objects) == len(set(objects)) for objects in done)
    everything = [name for objects in done for name in objects]
    assert all(everything.count(str(number)) == 3 for number in range(30))


# ---------------------------------------------------------------- previews, teams


def test_render_ui_template_returns_content_or_errors(labeling: Labeling) -> None:
    task = {"Input": '{"taskObject": "s3://b/ä b.jpg", "labels": ["a\\"<b"]}'}
    role = "arn:aws:iam::111122223333:role/GroundTruth"
    answer = labeling.sagemaker.render_ui_template(UiTemplate={"Content": TEMPLATE}, Task=task, RoleArn=role)
    assert answer["Errors"] == []
    assert "X-Amz-Signature" in answer["RenderedContent"]
    assert "/b/%C3%A4%20b.jpg?" in answer["RenderedContent"]
    raw = labeling.sagemaker.render_ui_template(
        UiTemplate={"Content": "{{ task.input.labels[0] }}{{ '<i>' | skip_autoescape }}"},
        Task=task,
        RoleArn=role,
    )
    assert raw["RenderedContent"] == "a&#34;&lt;b<i>"
    broken = labeling.sagemaker.render_ui_template(UiTemplate={"Content": "{% if %}"}, Task=task, RoleArn=role)
    assert broken["Errors"][0]["Code"] == "TemplateError"


def test_an_account_has_one_workforce_and_up_to_25_workteams(labeling: Labeling) -> None:
    client = labeling.sagemaker
    first = client.describe_workteam(WorkteamName="gtseg")["Workteam"]
    assert first["SubDomain"] == labeling.aws.url.removeprefix("http://")
    (force,) = client.list_workforces()["Workforces"]
    assert (force["WorkforceName"], force["Status"]) == ("default", "Active")
    members = first["MemberDefinitions"]
    created = []
    room = 25 - len(client.list_workteams()["Workteams"])
    for number in range(room):
        created.append(f"Team-{number:02}")
        client.create_workteam(WorkteamName=created[-1], MemberDefinitions=members, Description="d")
    with pytest.raises(client.exceptions.ResourceLimitExceeded):
        client.create_workteam(WorkteamName="one-too-many", MemberDefinitions=members, Description="d")
    with pytest.raises(client.exceptions.ResourceInUse):
        client.create_workteam(WorkteamName="team-00", MemberDefinitions=members, Description="d")
    updated = client.update_workteam(WorkteamName="Team-00", Description="changed")["Workteam"]
    assert (updated["Description"], updated["WorkteamArn"]) == (
        "changed",
        f"arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/{created[0]}",
    )
    pages = client.get_paginator("list_workteams").paginate(NameContains="Team", PaginationConfig={"PageSize": 7})
    assert [team["WorkteamName"] for page in pages for team in page["Workteams"]] == created
    for name in created:
        assert client.delete_workteam(WorkteamName=name)["Success"]
    assert client.list_subscribed_workteams()["SubscribedWorkteams"] == []
    with pytest.raises(client.exceptions.ClientError, match="ValidationException"):
        client.describe_workteam(WorkteamName="Team-00")


def test_a_workteam_with_a_job_in_progress_cannot_be_deleted(labeling: Labeling) -> None:
    job = labeling.create(1)
    wait_for(lambda: labeling.describe(job)["LabelingJobStatus"] == "InProgress")
    with pytest.raises(labeling.sagemaker.exceptions.ClientError, match="in use by the labeling job"):
        labeling.sagemaker.delete_workteam(WorkteamName="gtseg")


def test_workers_can_only_connect_from_the_workforces_addresses(local_aws: Any) -> None:
    labeling = Labeling(local_aws)
    worker = labeling.hire()
    labeling.sagemaker.update_workforce(WorkforceName="default", SourceIpConfig={"Cidrs": ["10.0.0.0/8"]})
    assert worker("GET", "/jobs")[0] == 403
    labeling.sagemaker.update_workforce(WorkforceName="default", SourceIpConfig={"Cidrs": ["127.0.0.0/8"]})
    assert worker("GET", "/jobs")[0] == 200
