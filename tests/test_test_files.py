"""Every module of the package has a test file: one with its name, one that imports it, or one listed here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "gtseg"

TESTED_THROUGH_A_CALLER = {
    "aws/test_s3_bulk.py": ("aws/s3", "answers bodies bucket_regions endpoints objects"),
    "cli/test_import_commands.py": ("cli", "export remote_scenes imports/annotated imports/masks imports/shared"),
    "cli/test_interrupts.py": ("", "__main__ start"),
    "core/masks/test_mask_check.py": ("core/masks", "unknown_colors"),
    "core/masks/test_mask_overlays.py": ("core/masks", "overlays"),
    "core/test_labeling_job.py": ("core", "limits"),
    "core/test_scenes.py": ("core/images/scenes", "shapes textures"),
    "local/algorithm/test_algorithm_train.py": ("local/algorithm", "log hardware/precision"),
    "local/labeling/portal/test_gate.py": ("local/labeling/portal", "attempts"),
    "local/labeling/portal/test_portal_http.py": ("local", "front/browser_pages labeling/portal/overview"),
    "local/labeling/test_automated_jobs.py": ("local/labeling/automated", "requests"),
    "local/labeling/test_child_process.py": ("local/labeling", "portal/outline_process template_process"),
    "local/labeling/test_engine.py": ("local/labeling", "wakeup"),
    "local/labeling/test_gold.py": ("local/labeling/portal", "gold_scores"),
    "local/labeling/test_labeling_http.py": ("local/labeling", "earlier_annotations previews"),
    "local/labeling/test_outline_models.py": ("local/labeling/autosegment", "onnx_session"),
    "local/labeling/test_worker_pages_http.py": ("local/labeling/portal", "worker_pages"),
    "local/s3/test_s3_app.py": (
        "local/s3",
        "access attributes buckets checksums conditions copy deletion get multipart ownership presigned_v2 put "
        "settings tags uploads_listing versions",
    ),
    "local/test_local_backup.py": ("local/storage", "verification"),
    "local/test_local_bucket.py": ("local", "front/external_s3 storage/answers storage/failures storage/heads"),
    "local/test_local_cli.py": ("local/cli", "__main__ client data_folder outlines people"),
    "local/test_local_folder.py": ("local/storage", "atomic_files"),
    "local/test_local_hosting.py": ("local/hosting", "endpoints operations"),
    "local/test_local_logs.py": ("local/logs", "events operations"),
    "local/test_local_members.py": ("local/jobs", "requests tags"),
    "local/test_local_server.py": ("local/front", "moto_services"),
    "local/test_local_training.py": ("local/training", "configuration execution jobs operations requests"),
    "local/test_local_transform.py": ("local/transform", "operations"),
    "local/test_local_tuning.py": ("local/tuning", "jobs operations requests trials"),
    "pipeline/test_compare.py": ("cli", "comparison"),
    "pipeline/test_created_once.py": ("pipeline/run", "creation"),
    "pipeline/test_doctor.py": ("pipeline/commands/doctor", "buckets finding inputs"),
    "pipeline/test_freshness.py": ("pipeline/run", "drift"),
    "pipeline/test_job_import.py": ("", "cli/imports/job pipeline/commands/imports"),
    "pipeline/test_label.py": ("pipeline/stages/label", "reports stage"),
    "pipeline/test_library.py": (
        "",
        "library/data library/manifests library/progress library/project pipeline/run/pictures",
    ),
    "pipeline/test_pipeline_dataset.py": (
        "pipeline",
        "run/label_source stages/dataset/downloads stages/dataset/earlier_dataset stages/dataset/messages "
        "stages/dataset/object_records stages/dataset/records stages/dataset/sources stages/dataset/stage "
        "stages/dataset/writer",
    ),
    "pipeline/test_pipeline_demo.py": ("pipeline/commands/demo", "masks project"),
    "pipeline/test_pipeline_review.py": (
        "pipeline/commands/review",
        "chained_job continuation earlier_labels next_images",
    ),
    "pipeline/test_pipeline_serve.py": ("pipeline/commands/serve", "health service"),
    "pipeline/test_pipeline_tune.py": ("pipeline/stages/train", "tuning"),
    "pipeline/test_policy_calls.py": (
        "",
        "cli/hosting cli/labeling cli/review cli/training",
    ),
    "pipeline/test_run_file.py": ("pipeline/run", "frozen locations outcomes sections"),
    "pipeline/test_train_to_cleanup.py": (
        "pipeline",
        "run/hosted_model stages/train/monitor stages/train/plan stages/train/stage",
    ),
    "pipeline/test_watch.py": ("pipeline/run", "pending_jobs"),
    "settings/test_loader.py": ("settings", "dataset images labeling project settings"),
    "test_cli.py": ("cli", "epochs listeners run"),
    "test_packaging.py": ("", "version"),
}  # fmt: skip
"""Test file: (folder below gtseg/, its modules that no test imports or is named after). Tests there reach them through
commands, servers or other modules.
"""


def listed() -> dict[str, str]:
    """Return {module path below gtseg/: test file} of the table."""
    entries = TESTED_THROUGH_A_CALLER.items()
    return {str(Path(folder) / name): test for test, (folder, names) in entries for name in names.split()}


def imported_by_tests() -> set[str]:
    """Return the dotted names that modules below tests/ import."""
    names: set[str] = set()
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def modules_without_a_test() -> set[str]:
    """Return modules, as paths below gtseg/, that no test file imports or is named after: test_<module>.py or
    test_<folder>_<module>.py.
    """
    stems = {path.stem for path in TESTS.rglob("test_*.py")}
    imported = imported_by_tests()
    without = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_named = any(f"test_{prefix}{parts[-1]}" in stems for prefix in ("", *(f"{part}_" for part in parts[:-1])))
        if parts[-1] != "__init__" and not is_named and ".".join(("gtseg", *parts)) not in imported:
            without.add("/".join(parts))
    return without


def test_every_module_has_a_test_file() -> None:
    missing = modules_without_a_test() - listed().keys()
    assert not missing, f"write a test file for {sorted(missing)}, or add them to the table of {Path(__file__).name}"


def test_the_table_has_only_modules_that_need_it() -> None:
    unneeded = listed().keys() - modules_without_a_test()
    assert not unneeded, f"remove {sorted(unneeded)} from the table: they have test files, or do not exist"


@pytest.mark.parametrize("name", TESTED_THROUGH_A_CALLER)
def test_the_listed_test_file_exists(name: str) -> None:
    assert (TESTS / name).is_file()
