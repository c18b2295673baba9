"""The dataset stage against the embedded AWS: results, refusals, repetition."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_bench import (
    BLUE,
    CAT_DOG,
    GREEN,
    LABEL,
    ORANGE,
    WHITE,
    Bench,
    drawing,
    ground_truth_png,
    jpeg,
    save,
)
from PIL import Image

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.core.labeling.class_names import LookalikeNames
from gtseg.core.masks import parse_color_map
from gtseg.errors import GtsegError, ManifestError, MaskError, SettingsError, StageError
from gtseg.pipeline.run import Run

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def bench(clients: Clients, bucket: str) -> Bench:
    return Bench(clients, bucket)


def annotation(objects: dict[str, bytes], record: dict[str, Any]) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(objects[f"channels/{record['annotation']}"])))


def test_images_and_right_masks_keep_their_bytes(bench: Bench) -> None:
    bench.fill(10)
    run = bench.make()
    objects = bench.objects()
    for number, record in enumerate(bench.records()):
        assert objects[f"channels/{record['object']}"] == jpeg(number)
        expected = ground_truth_png(drawing(number), list(CAT_DOG.values()))
        assert objects[f"channels/{record['annotation']}"] == expected
        assert Path(record["object"]).stem == Path(record["annotation"]).stem == f"p{number:03}"
    assert run.dataset is not None
    assert run.dataset.classes == ("BACKGROUND", "cat", "dog")
    assert run.dataset.counts == {
        "train": 7,
        "validation": 2,
        "test": 1,
        "rejected": 0,
        "failed": 0,
        "unlabeled": 0,
    }
    assert run.dataset.channels == f"{bench.root}channels/"


def test_dataset_json_counts_every_pixel(bench: Bench) -> None:
    run = bench.fill(5).make()
    described = json.loads(bench.objects()["dataset.json"])
    pixels = np.bincount(np.concatenate([drawing(number).ravel() for number in range(5)]))
    totals = [sum(part[name] for part in described["pixels"].values()) for name in ("BACKGROUND", "cat", "dog")]
    assert totals == pixels.tolist()
    assert run.dataset
    assert described["fingerprint"] == run.dataset.fingerprint


def test_both_label_maps_are_written(bench: Bench) -> None:
    bench.fill(3).make()
    objects = bench.objects()
    assert {
        json.loads(objects[f"channels/label_map/{p}_label_map.json"])["scale"] for p in ("train", "validation")
    } == {1}


def test_the_same_input_again_changes_nothing(bench: Bench) -> None:
    bench.fill(8).make()
    before = {item.key: item for item in S3(bench.clients).list_objects(bench.root)}
    bench.make()
    assert {item.key: item for item in S3(bench.clients).list_objects(bench.root)} == before


def test_the_dataset_of_a_real_job_is_correct(bench: Bench) -> None:
    folder = DATA / "pcb-3-classes"
    line = json.loads((folder / "output.manifest").read_text())
    line["source-ref"] = bench.put("label/s10.png", save(Image.new("RGB", (1696, 959), "green")))
    line["S10-label3-ref"] = bench.put("masks/0_2022-09-09T17:25:31.918770.png", (folder / "mask.png").read_bytes())
    run = bench.make(manifest=bench.put("real.manifest", json.dumps(line).encode()))
    assert run.dataset
    assert run.dataset.classes == ("BACKGROUND", "IC", "resistor1", "resistor2")
    objects = bench.objects()
    assert objects["channels/train_annotation/s10.png"] == (folder / "mask.png").read_bytes()
    assert Image.open(io.BytesIO(objects["channels/train/s10.jpg"])).size == (1696, 959)
    assert bench.records()[0]["pixels"] == {
        "BACKGROUND": 1593284,
        "IC": 27558,
        "resistor1": 2677,
        "resistor2": 2945,
    }


def test_unusable_objects_are_reported_with_their_reasons(bench: Bench) -> None:
    bench.fill(6)
    bench.add("foreign.jpg", mask=ground_truth_png(drawing(1), [WHITE, GREEN, ORANGE]))
    bench.add("small.jpg", mask=ground_truth_png(drawing(1, size=(8, 8)), list(CAT_DOG.values())))
    bench.add("gone.jpg")
    bench.clients.s3.delete_object(Bucket=bench.bucket, Key="images/gone.jpg")
    bench.add("text.jpg", image=b"this is no image")
    bench.add("unsure.jpg", confidence=0.3)
    bench.lines.append({"source-ref": "s3://b/failed.jpg", f"{LABEL}-metadata": {"failure-reason": "nobody came"}})
    bench.lines.append({"source-ref": "s3://b/later.jpg"})
    run = bench.make(min_confidence=0.5)
    reasons = {
        Path(r["image"]).stem: (r["status"], r.get("reason", "")) for r in bench.records() if r["status"] != "accepted"
    }
    assert reasons["foreign"][0] == "rejected"
    assert "#ff7f0e" in reasons["foreign"][1]
    assert reasons["small"] == ("rejected", "mask: it is 8x8 pixels, its image 32x24")
    assert reasons["gone"][0] == "failed"
    assert reasons["text"][0] == "rejected"
    assert reasons["unsure"] == ("rejected", "confidence 0.3 is below min_confidence 0.5")
    assert reasons["failed"] == ("failed", "nobody came")
    assert reasons["later"] == ("unlabeled", "")
    assert run.dataset
    assert run.dataset.counts == {
        "train": 4,
        "validation": 1,
        "test": 1,
        "rejected": 4,
        "failed": 2,
        "unlabeled": 1,
    }


def test_manifests_with_other_label_orders_combine_by_name(bench: Bench) -> None:
    bench.fill(3)
    bench.add("turned.jpg", classes={"BACKGROUND": WHITE, "dog": GREEN, "cow": ORANGE, "cat": BLUE})
    run = bench.make()
    assert run.dataset
    assert run.dataset.classes == ("BACKGROUND", "cat", "dog", "cow")
    record = bench.records()[3]
    made, drawn = annotation(bench.objects(), record), drawing(3, 4)
    assert (made == np.array([0, 2, 3, 1], dtype=np.uint8)[drawn]).all()
    assert record["recoded"]


def test_png_photographs_become_jpeg_and_are_counted(bench: Bench) -> None:
    bench.fill(3)
    bench.add("p000.png", image=save(Image.new("RGBA", (32, 24), (9, 9, 9, 0))))
    bench.make()
    record = bench.records()[3]
    image = Image.open(io.BytesIO(bench.objects()[f"channels/{record['object']}"]))
    assert (image.format, image.size, record["converted"]) == ("JPEG", (32, 24), True)
    assert record["name"] != bench.records()[0]["name"]
    assert "1 PNG images are converted to JPEG" in bench.messages("note")


def test_a_larger_dataset_keeps_all_splits_and_removes_stale_objects(bench: Bench) -> None:
    bench.fill(10).make()
    before = {record["image"]: record["split"] for record in bench.records()}
    bench.lines.pop(0)
    bench.fill(10).make()
    after = {record["image"]: record["split"] for record in bench.records()}
    assert {image: after[image] for image in before if image in after} == {
        i: s for i, s in before.items() if i in after
    }
    expected = {f"channels/{r[kind]}" for r in bench.records() for kind in ("object", "annotation")}
    found = {key for key in bench.objects() if key.startswith("channels/") and "label_map" not in key}
    assert found == expected


def test_images_with_equal_bytes_and_groups_stay_in_one_split(bench: Bench) -> None:
    for number in range(12):
        bench.add(f"scene{number // 3}_{number}.jpg", image=jpeg(number % 3 if number in (0, 11) else number))
    bench.make(group_by=r"scene(\d+)")
    sides = {}
    for record in bench.records():
        sides.setdefault(record["group"], set()).add(record["split"])
    assert all(len(parts) == 1 for parts in sides.values())


def test_a_class_missing_from_train_is_a_warning(bench: Bench) -> None:
    bench.fill(4)
    bench.add(
        "rare.jpg",
        classes={**CAT_DOG, "yak": ORANGE},
        mask=ground_truth_png(drawing(1), list(CAT_DOG.values())),
    )
    bench.make()
    assert "class 'yak' is missing from train: no mask has a pixel of it" in bench.messages()


def test_a_dry_run_checks_everything_and_writes_nothing(bench: Bench) -> None:
    bench.fill(4)
    run = bench.make(dry_run=True)
    assert run.dataset is None
    assert bench.objects() == {}
    assert "would hold 2 train, 1 validation, 1 test" in bench.messages("finished")


def test_local_manifests_and_files_are_read(bench: Bench, tmp_path: Path) -> None:
    line = bench.fill(1).lines[0]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(jpeg(5))
    (tmp_path / "m.png").write_bytes(ground_truth_png(drawing(5), list(CAT_DOG.values())))
    (tmp_path / "output.manifest").write_text(json.dumps({**line, "source-ref": "images/a.jpg", LABEL: "masks/m.png"}))
    bench.make(manifest=str(tmp_path / "output.manifest"))
    assert bench.objects()["channels/train/a.jpg"] == jpeg(5)


@pytest.mark.parametrize(
    ("manifest", "error", "why"),
    [
        (b"", ManifestError, "is empty|no semantic segmentation label"),
        (b"{", ManifestError, "line 1 is not"),
        (b'{"source-ref": "s3://b/k.jpg"}', ManifestError, "no semantic segmentation label"),
    ],
)
def test_a_file_that_is_not_a_manifest_is_refused(
    bench: Bench, manifest: bytes, error: type[GtsegError], why: str
) -> None:
    with pytest.raises(error, match=why):
        bench.make(manifest=bench.put("x.manifest", manifest))


def test_several_labels_need_a_choice(bench: Bench) -> None:
    line = bench.fill(3).lines[0]
    bench.lines[0] = {**line, "old-ref": line[LABEL], "old-ref-metadata": line[f"{LABEL}-metadata"]}
    with pytest.raises(SettingsError, match="--label-attribute"):
        bench.make()
    run = bench.make(label_attribute=LABEL)
    assert run.dataset
    assert run.dataset.counts["train"] == 1


def test_a_run_without_a_job_says_what_to_do(bench: Bench) -> None:
    with pytest.raises(StageError, match="gtseg label"):
        bench.make(manifest=None)


def test_similar_colors_are_refused_with_the_reason(bench: Bench) -> None:
    folder = DATA / "lookalike-cookie"
    lines = [json.loads(text) for text in (folder / "template.first4.manifest").read_text().splitlines()][:2]
    for number, line in enumerate(lines, start=1):
        mask = (folder / f"anomaly-{number}.png").read_bytes()
        line["source-ref"] = bench.put(f"i/{number}.jpg", jpeg(number, Image.open(io.BytesIO(mask)).size))
        line["anomaly-mask-ref"] = bench.put(f"m/{number}.png", mask)
    manifest = bench.put("c.manifest", "\n".join(map(json.dumps, lines)).encode())
    with pytest.raises(MaskError, match="has no BACKGROUND"):
        bench.make(manifest=manifest)


@pytest.mark.parametrize("kind", ["throttle", "fail", "drop", "truncate", "corrupt"])
def test_a_fifth_of_requests_failing_changes_no_byte(
    start_local_aws: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text("{}")
    server = start_local_aws(options={"faults": str(faults)})
    for name, value in server.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    clients = Clients()
    S3(clients).ensure_bucket("faulty")
    bench = Bench(clients, "faulty").fill(12)
    bench.add("photo.png", image=save(Image.new("RGB", (32, 24), "red")))
    manifest = bench.manifest()
    bench.make(manifest=manifest)
    calm = bench.objects()
    S3(clients).delete(f"{bench.root}{key}" for key in calm)
    operations = ["s3:GetObject", "s3:PutObject", "s3:CopyObject", "s3:ListObjectsV2", "s3:HeadObject"]
    faults.write_text(json.dumps({"seed": 5, "fault": [{"kind": kind, "operations": operations, "rate": 0.2}]}))
    bench.make(manifest=manifest)
    fired = json.loads(urllib.request.urlopen(f"{server.url}/_gtseg/faults").read())["fired"]
    faults.write_text("{}")
    assert fired[kind] >= 3
    assert bench.objects() == calm


def test_masks_with_a_palette_are_checked_without_numpy() -> None:
    """Nearly all masks have a palette; a short run saves 0.1 s and 15 MB."""
    code = """
import io, sys
import gtseg.cli.dataset, gtseg.pipeline.stages.dataset
from PIL import Image
from gtseg.core.masks import check_mask, merge_classes, parse_color_map
image = Image.new("P", (8, 4))
image.putpalette([255, 255, 255, 44, 160, 44])
body = io.BytesIO()
image.save(body, "PNG")
colors = parse_color_map({"0": ("BACKGROUND", "#ffffff")})
assert check_mask(body.getvalue(), colors, merge_classes([colors]), size=(8, 4)).pixels == ((0, 32),)
sys.exit("numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- manifests as people have them -----------------------------------------------------------------------------------


def test_url_encoded_keys_are_found_and_recognized_in_a_second_run(bench: Bench) -> None:
    bench.fill(2)
    for number, line in enumerate(bench.lines):
        line["source-ref"] = f"s3://{bench.bucket}/field%20day%2B{number}.jpg"
        bench.put(f"field day+{number}.jpg", jpeg(number))
    bench.lines[1]["source-ref"] = f"s3://{bench.bucket}/field+day%2B1.jpg"  # as S3's events write it
    run = bench.make()
    assert "2 objects with URL-encoded names" in bench.messages("note")
    assert [r["image"] for r in bench.records()] == [f"s3://{bench.bucket}/field day+{n}.jpg" for n in (0, 1)]
    again = bench.make()
    assert again.dataset
    assert run.dataset
    assert again.dataset.fingerprint == run.dataset.fingerprint


def test_the_error_for_a_missing_key_says_that_it_looks_url_encoded(bench: Bench) -> None:
    bench.fill(2)
    bench.lines[0]["source-ref"] = f"s3://{bench.bucket}/no%20where.jpg"
    bench.make()
    assert "looks URL-encoded (%20 for a space)" in bench.messages()


def test_mistyped_uris_in_a_manifest_are_rejected_with_their_lines_and_read_no_file(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mistyped = {
        "S3://BUCKET/a.jpg": f"write s3://{bench.bucket}/a.jpg",
        "s3:/BUCKET/a.jpg": f"write s3://{bench.bucket}/a.jpg",
        "s3:BUCKET/a.jpg": f"write s3://{bench.bucket}/a.jpg",
        "s3://b/a.jpg": "'b' is not a bucket name",
        "s3://arn:aws:s3:us-east-1:111122223333:accesspoint/pics/a.jpg": "write s3://NAME-s3alias/KEY",
        "arn:aws:s3:us-east-1:111122223333:accesspoint/pics/a.jpg": "write s3://NAME-s3alias/KEY",
    }
    bench.fill(len(mistyped) + 4)
    references = [reference.replace("BUCKET", bench.bucket) for reference in mistyped]
    for line, reference in zip(bench.lines, references, strict=False):
        line["source-ref"] = reference
        path = tmp_path / reference
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(1))
    bench.lines[len(mistyped)][LABEL] = f"S3://{bench.bucket}/mask.png"
    for again in (1, 2):  # the second run recalls the findings of the first
        bench.make()
        rejected = [record for record in bench.records() if record["status"] == "rejected"]
        assert [record["line"] for record in rejected] == list(range(1, len(mistyped) + 2)), again
        for record, words in zip(rejected, [*mistyped.values(), "/mask.png"], strict=True):
            assert "is not an S3 URI" in record["reason"]
            assert words in record["reason"]
            assert record["reason"].endswith(f"(line {record['line']})")
    assert "is not an S3 URI" in bench.messages("warning")


def test_web_addresses_of_s3_objects_and_moved_buckets_are_read(bench: Bench) -> None:
    bench.fill(3)
    address = "https://{}.s3.eu-central-1.amazonaws.com"
    bench.lines[0]["source-ref"] = bench.lines[0]["source-ref"].replace(
        f"s3://{bench.bucket}", address.format(bench.bucket)
    )
    bench.lines[1][LABEL] = bench.lines[1][LABEL].replace(bench.bucket, "old-bucket-of-ours")
    bench.lines[2]["source-ref"] = "https://example.com/a.jpg"
    bench.make()
    messages = bench.messages()
    assert "is not an S3 URI" in messages
    assert "--rewrite s3://old-bucket-of-ours/=s3://NEW/" in messages
    rules = {
        "s3://old-bucket-of-ours/": f"s3://{bench.bucket}/",
        "https://example.com/": f"s3://{bench.bucket}/images/",
    }
    bench.put("images/a.jpg", jpeg(2))
    run = bench.make(rewrites=rules)
    assert run.dataset
    assert run.dataset.counts["rejected"] == run.dataset.counts["failed"] == 0
    assert run.dataset.chosen
    assert run.dataset.chosen.rewrites == rules


def test_images_that_group_by_does_not_match_are_named(bench: Bench) -> None:
    for key in ("scene1_a.jpg", "scene1_b.jpg", "scene2_a.jpg", "scene2_b.jpg", "other.jpg"):
        bench.add(key)
    bench.make(group_by=r"scene(\d+)")
    expected = "matches 4 of 5 images; each other one is assigned by itself, for example s3://"
    assert rf"[dataset] group_by 'scene(\d+)' {expected}{bench.bucket}/images/other.jpg" in bench.messages()
    bench.make(group_by="secne")
    assert "group_by 'secne' matches no image; each one is assigned by itself, for example s3://" in bench.messages()
    del bench.lines[-1]
    bench.events.clear()
    bench.make(group_by=r"scene(\d+)")
    assert "group_by" not in bench.messages()


def test_a_rewrite_that_applies_to_nothing_is_named(bench: Bench) -> None:
    bench.fill(3)
    here = f"s3://{bench.bucket}/"
    bench.make(rewrites={"s3://moved/": "s3://elsewhere/", here: here, "s3://missing/": "s3://elsewhere/"})
    lines = [line for line in bench.messages().splitlines() if "rewrite" in line]
    assert [line.partition(" did not apply to any image or mask of s3://")[0] for line in lines] == [
        "the rewrite of s3://moved/ to s3://elsewhere/",
        "the rewrite of s3://missing/ to s3://elsewhere/",
    ]
    assert all(line.endswith(f"for example not to {here}images/p000.jpg") for line in lines)


def test_a_rewrite_of_an_objects_web_address_or_its_s3_uri_is_in_use(bench: Bench) -> None:
    bench.fill(2)
    web = "https://old.s3.amazonaws.com/images/"
    for line in bench.lines:
        line["source-ref"] = web + Path(line["source-ref"]).name
    for rule in (web, "s3://old/images/"):
        run = bench.make(rewrites={rule: f"s3://{bench.bucket}/images/"})
        assert run.dataset
        assert run.dataset.counts["failed"] == 0
        assert "rewrite" not in bench.messages()


def test_lines_of_two_jobs_are_read_with_both_attributes(bench: Bench) -> None:
    bench.fill(4)
    for line in bench.lines[2:]:
        line["tuesday-ref"], line["tuesday-ref-metadata"] = line.pop(LABEL), line.pop(f"{LABEL}-metadata")
    with pytest.raises(SettingsError, match=rf"No line has two of them.*--label-attribute {LABEL},tuesday-ref"):
        bench.make()
    run = bench.make(label_attribute=f"{LABEL},tuesday-ref")
    assert run.dataset
    assert run.dataset.counts["unlabeled"] == 0


def test_a_manifest_without_metadata_is_read_with_a_color_table(bench: Bench) -> None:
    bench.fill(3)
    for line in bench.lines:
        line["annotation-ref"] = line.pop(LABEL)
        del line[f"{LABEL}-metadata"]
    with pytest.raises(
        ManifestError, match=r"annotation-ref \(3 objects\) without metadata.*--colors FILE.*import masks"
    ):
        bench.make()
    table = parse_color_map({"0": ("BACKGROUND", None), "1": ("cat", None), "2": ("dog", None), "255": ("void", None)})
    run = bench.make(table=table)
    assert run.dataset
    assert run.dataset.classes == ("BACKGROUND", "cat", "dog")
    assert run.dataset.counts["rejected"] == 0
    assert Run.model_validate_json(run.model_dump_json()).dataset == run.dataset


def test_similar_class_names_need_a_decision_then_are_merged_or_kept(bench: Bench) -> None:
    bench.fill(2)
    bench.add("x.jpg", classes={"BACKGROUND": WHITE, "Cat": GREEN, "background": ORANGE})
    with pytest.raises(LookalikeNames, match=r"'cat' and 'Cat'.*--merge-labels.*alike_labels"):
        bench.make()
    merged = bench.make(alike_labels="merge")
    assert merged.dataset
    assert merged.dataset.classes == ("BACKGROUND", "cat", "dog")
    assert "'background' is 'BACKGROUND' (index 0)" in bench.messages("note")
    kept = bench.make(alike_labels="keep")
    assert kept.dataset
    assert kept.dataset.classes == ("BACKGROUND", "cat", "dog", "Cat")


def test_few_validation_or_test_images_are_a_warning_with_their_number(bench: Bench) -> None:
    bench.fill(10).make()
    assert "2 validation images of 10" in bench.messages()
    assert "1 test image of 10" in bench.messages()


def test_one_kind_of_reason_is_reported_once_with_a_full_example(bench: Bench) -> None:
    bench.fill(3)
    for number in range(2):
        colors = [WHITE, ORANGE, BLUE] if number else [WHITE, GREEN, ORANGE]
        bench.add(f"foreign{number}.jpg", mask=ground_truth_png(drawing(number + 1), colors))
    bench.make()
    (message,) = [line for line in bench.messages().splitlines() if "color without a label" in line]
    assert message.startswith("2 rejected: ")
    assert f"For example s3://{bench.bucket}/images/foreign0.jpg (line 4): mask: " in message
    assert message.endswith("in the map's exact colors.")


def fill_by_both(bench: Bench) -> Bench:
    """Add ten images labeled by people and twenty by a model."""
    for number in range(30):
        bench.add(f"p{number:03}.jpg", human="yes" if number < 10 else "no", confidence=0.9)
    return bench


def test_validation_and_test_stay_labeled_by_people(bench: Bench) -> None:
    run = fill_by_both(bench).make()
    assert run.dataset is not None
    assert run.dataset.counts | {"train": 27, "validation": 2, "test": 1} == run.dataset.counts
    assert run.dataset.by_machine == {"train": 20}
    records = bench.records()
    assert {r["split"] for r in records if r.get("by_machine")} == {"train"}
    assert sum(r.get("by_machine", False) for r in records) == 20
    assert "labeled by a model: 20 of 27 train" in bench.messages("note")
    assert json.loads(bench.objects()["dataset.json"])["labeled_by_machine"] == {"train": 20}


def test_labels_of_a_model_are_used_unless_the_settings_exclude_them(bench: Bench) -> None:
    run = fill_by_both(bench).make(machine_labels="use")
    assert run.dataset is not None
    assert run.dataset.counts["validation"] == 6
    assert set(run.dataset.by_machine) >= {"train", "validation"}
    run = bench.make(machine_labels="reject")
    assert run.dataset is not None
    assert (run.dataset.by_machine, run.dataset.counts["rejected"]) == ({}, 20)
    assert "a model labeled it" in bench.messages()
    run = bench.make()
    assert run.dataset is not None
    assert run.dataset.counts["rejected"] == 0  # what was left out comes back


def test_a_model_label_in_the_group_of_a_test_image_is_omitted(bench: Bench) -> None:
    for number in range(10):
        bench.add(f"g{number}-a.jpg")
    first = bench.make(group_by=r"(g\d+)")
    for number in range(10):
        bench.add(f"g{number}-b.jpg", human="no")
    run = bench.make(group_by=r"(g\d+)")
    assert first.dataset is not None
    assert run.dataset is not None
    assert run.dataset.counts | {"train": 14, "validation": 2, "test": 1, "rejected": 3} == run.dataset.counts
    assert "its group is in validation or test" in bench.messages()
    assert bench.make(group_by=r"(g\d+)").dataset == run.dataset
    run = bench.make(group_by=r"(g\d+)", machine_labels="use")
    assert run.dataset is not None
    assert run.dataset.counts["rejected"] == 0


def test_checking_by_palette_writes_the_same_channels_without_pixel_counts(bench: Bench) -> None:
    bench.fill(10).make()
    full = bench.objects()
    bench.make(check="palette")
    recalled = json.loads(bench.objects()["dataset.json"])
    assert "masks_unchecked" not in recalled  # what was checked in full once is known
    S3(bench.clients).delete(f"{bench.root}{key}" for key in ("objects.jsonl", "dataset.json"))
    run = bench.make(check="palette")
    quick = bench.objects()
    channels = {key for key in full if key.startswith("channels/")}
    assert {key: quick[key] for key in channels} == {key: full[key] for key in channels}
    assert json.loads(quick["dataset.json"])["masks_unchecked"] == 10
    assert json.loads(quick["dataset.json"])["fingerprint"] == json.loads(full["dataset.json"])["fingerprint"]
    assert "10 masks were checked by palette only" in bench.messages("note")
    assert "is missing from train" not in bench.messages()
    assert run.dataset is not None
    bench.make()
    assert bench.objects()["dataset.json"] == full["dataset.json"]


def test_checking_by_palette_decodes_masks_whose_palette_is_insufficient(bench: Bench) -> None:
    bench.fill(6)
    colored = Image.fromarray(np.array([WHITE, GREEN, BLUE], np.uint8)[drawing(2)])
    body = io.BytesIO()
    colored.save(body, "PNG")
    bench.put("masks/2_2026-01-01T00:00:00.000001.png", body.getvalue())
    bench.put("masks/3_2026-01-01T00:00:00.000001.png", b"no PNG")
    run = bench.make(check="palette")
    assert run.dataset is not None
    assert (
        run.dataset.counts["rejected"],
        json.loads(bench.objects()["dataset.json"])["masks_unchecked"],
    ) == (1, 4)
    assert sum(record.get("recoded", False) for record in bench.records()) == 1
