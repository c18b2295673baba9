from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gtseg.errors import SettingsError
from gtseg.settings import Settings, load

MINIMAL = '[project]\nname = "cats"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, text: str = "", **options: Any) -> Settings:
    (folder / "gtseg.toml").write_text(MINIMAL + text)
    return load(folder / "gtseg.toml", environ=options.pop("environ", {}), **options)


def test_only_the_project_name_is_required(folder: Path) -> None:
    settings = read(folder)
    assert settings.project.name == "cats"
    assert settings.dataset.split.model_dump() == {"train": 0.7, "validation": 0.2, "test": 0.1}
    assert settings.folder == folder.resolve()


def test_options_override_the_environment_which_overrides_the_file(folder: Path) -> None:
    text = "[labeling]\nworkers_per_object = 1\n[dataset]\nseed = 1\n"
    environ = {"GTSEG_LABELING__WORKERS_PER_OBJECT": "2", "GTSEG_DATASET__SEED": "2"}
    settings = read(folder, text, environ=environ, flags=[("dataset.seed", "3")])
    assert (settings.labeling.workers_per_object, settings.dataset.seed) == (2, 3)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("GTSEG_LABELING__LABELS", "cat, dog", ("cat", "dog")),
        ("GTSEG_LABELING__LABELS", '["a, b"]', ("a, b",)),
        ("GTSEG_LABELING__TASK_TIME_LIMIT", "1h30m", 5400),
        ("GTSEG_LABELING__TASK_LIFETIME", "2d", 172_800),
        ("GTSEG_LABELING__TITLE", "2026", "2026"),
        ("GTSEG_LABELING__TAGS", '{"team": "x"}', {"team": "x"}),
        ("GTSEG_LABELING__MAX_LABELED_PERCENT", "50", 50),
        (
            "GTSEG_LABELING__WORKTEAM_ARN",
            "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/1",
            "arn:aws:sagemaker:us-east-1:123456789012:workteam/private-crowd/1",
        ),
    ],
)
def test_environment_values_are_converted_to_the_settings_type(folder: Path, name: str, text: str, value: Any) -> None:
    key = name.rpartition("__")[2].lower()
    assert getattr(read(folder, environ={name: text}).labeling, key) == value


def test_a_table_in_the_environment_may_be_toml_or_json(folder: Path) -> None:
    for text in (
        "{ train = 0.5, validation = 0.3, test = 0.2 }",
        '{"train": 0.5, "validation": 0.3, "test": 0.2}',
    ):
        split = read(folder, environ={"GTSEG_DATASET__SPLIT": text}).dataset.split
        assert (split.train, split.validation, split.test) == (0.5, 0.3, 0.2)
    with pytest.raises(SettingsError, match="keywords"):
        read(folder, environ={"GTSEG_LABELING__KEYWORDS": "[2026-01-01]"})


def test_an_invalid_list_item_is_reported_alone(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"keywords\[0\]") as caught:
        read(folder, '[labeling]\nkeywords = ["a!"]\n')
    assert "at least 1 item" not in str(caught.value)


def test_the_environment_sets_nested_keys(folder: Path) -> None:
    environ = {"GTSEG_DATASET__SPLIT__TRAIN": "0.8", "GTSEG_DATASET__SPLIT__VALIDATION": "0.1"}
    assert read(folder, environ=environ).dataset.split.train == 0.8


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('bucket = "s3://my-bucket/x"', "must be the name of a bucket, like my-bucket"),
        ('bucket = "arn:aws:s3:::my-bucket"', "must be the name of a bucket, like my-bucket"),
        ('prefix = "S3://my-bucket/x"', "key prefix inside the bucket"),
        ('role_arn = "SageMakerRole"', "must be the ARN of a role, like arn:aws:iam"),
        ('role_arn = "arn:aws:iam::111122223333:user/me"', "must be the ARN of a role"),
    ],
)
def test_a_uri_or_an_arn_instead_of_a_name_is_explained_and_the_reverse(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "gtseg.toml").write_text(f'[project]\nname = "cats"\n{line}\n')
    with pytest.raises(SettingsError, match=words):
        load(tmp_path / "gtseg.toml", environ={})


@pytest.mark.parametrize("place", ["s3://bucket/gtseg.toml", "S3:/bucket/gtseg.toml", "https://example.com/gtseg.toml"])
def test_a_settings_file_is_never_a_uri(place: str) -> None:
    with pytest.raises(SettingsError, match=r"^settings file .* must be a path on this machine"):
        load(Path(place), environ={})
    with pytest.raises(SettingsError, match=f"^GTSEG_SETTINGS {place}: must be a path on this machine"):
        load(environ={"GTSEG_SETTINGS": place})


def test_other_gtseg_variables_are_ignored(folder: Path) -> None:
    read(folder, environ={"GTSEG_LOCAL_DATA": "/x", "GTSEG": "1", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[labelling]\n", r"unknown key \[labelling\].*Did you mean labeling\?"),
        ("[labeling]\nlabel = []\n", r"unknown key \[labeling\] label = \[\]\. Did you mean labels\?"),
        ('[labeling]\nworkers_per_object = "3"\n', r'workers_per_object = "3": input should be a valid integer'),
        ("[labeling]\nworkers_per_object = 10\n", "workers_per_object = 10: input should be less than or equal to 9"),
        ('[labeling]\nworkforce = "mturk"\n', "workforce = \"mturk\": input should be 'private', 'vendor' or 'public'"),
        (
            "[labeling]\ntask_time_limit = 3600\n",
            'task_time_limit = 3600: a duration must be a string with a unit, like "90s"',
        ),
        ('[labeling]\ntask_time_limit = "1 year"\n', "a duration must be a number with a unit"),
        ('[labeling]\ntask_time_limit = "9h"\n', 'task_time_limit = "9h": at most 8h'),
        ('[labeling]\nlabels = ["a", "a"]\n', "label given more than once: a"),
        ('[labeling]\nlabels = ["a"]\ncolors = {b = "#000000"}\n', "colors has names that are not in labels: b"),
        ('[labeling]\nlabels = ["a"]\ncolors = {a = "red"}\n', "colors"),
        (
            '[labeling]\nlabels = ["a", "b"]\ncolors = {a = "#AA0000", b = "#aa0000"}\n',
            "colors gives two labels the same color",
        ),
        ('[labeling]\nlabels = ["Background"]\n', ": Ground Truth adds BACKGROUND itself"),
        ('[labeling]\nlabels = ["a", ""]\n', r"labels\[1\] = \"\""),
        ("[labeling]\nprice_per_task = 0.5\n", "0.84, 0.96, 1.08, 1.20"),
        ("[labeling]\nprice_per_task = 0.84\n", 'price_per_task needs workforce = "public"'),
        ('[labeling]\nworkforce = "public"\n', "needs price_per_task"),
        ('[labeling]\nworkforce = "public"\nprice_per_task = 0.84\n', "needs content_classifiers"),
        ('[labeling]\nworkforce = "vendor"\n', "needs workteam_arn"),
        (
            '[labeling]\nworkteam_arn = "arn:aws:sagemaker:us-east-1:123456789012:workteam/vendor-crowd/x"\n',
            "does not belong",
        ),
        ('[labeling]\nsubnets = ["subnet-1"]\n', "need automated = true"),
        ("[dataset]\nsplit = { train = 0.5, validation = 0.2, test = 0.2 }\n", "must be 1; the sum is 0.9"),
        ("[dataset]\nsplit = { train = 0.5, val = 0.5 }\n", "unknown key .*split.val.*Did you mean validation"),
        ('[dataset]\ngroup_by = "("\n', "invalid regular expression"),
        ("[dataset]\nmin_confidence = 2\n", "min_confidence = 2"),
        ('[images]\nsource = "http://x/y"\n', "must be an s3:// URI"),
        ('[images]\nsource = "S3:/bucket/x"\n', "write s3://bucket/x"),
        ('[labeling]\ngold = "s3://b/x"\n', "'b' is not a bucket name"),
        ('[labeling]\ntemplate = "s3://bucket/t.html"\n', "path on this machine"),
        ('[deploy]\nmodel_data = "s3://bucket"\n', "it names no object"),
        ('[train]\ninitial_model = "arn:aws:sagemaker:us-east-1:111122223333:training-job/j"\n', "not an ARN: write j"),
        ('[labeling]\nworkteam_arn = "my-team"\n', "must be the ARN of a workteam, like arn:aws:sagemaker"),
        ('[labeling]\nautomated = true\ninitial_model_arn = "my-model"\n', "must be the ARN of a model, like arn:aws"),
        ('[train]\nsubnets = ["arn:aws:ec2:us-east-1:111122223333:subnet/subnet-1"]\n', "an ID, not an ARN"),
        (
            '[train]\nimage_uri = "arn:aws:ecr:us-east-1:111122223333:repository/seg"\n',
            "must be the URI of a container",
        ),
        ('[deploy]\nimage_uri = "s3://bucket/image.tar"\n', "must be the URI of a container image, like 111122223333"),
        ("[dataset]\nseed = 2026-01-01\n", "date"),
        ('folder = "x"\n', "folder"),
    ],
)
def test_an_invalid_setting_is_one_error_with_key_value_and_allowed_values(folder: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read(folder, text)


def test_all_invalid_keys_are_reported_at_once_with_their_sources(folder: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(
            folder,
            "[dataset]\nseed = -1\n",
            environ={"GTSEG_LABELING__WORKERS": "3"},
            flags=[("images.src", "x")],
        )
    file, variable, flag = sorted(
        str(caught.value).splitlines(), key=lambda line: "GTSEG" in line or 2 * ("--set" in line)
    )
    assert file.startswith(str(folder / "gtseg.toml"))
    assert "environment variable GTSEG_LABELING__WORKERS" in variable
    assert "--set images.src" in flag


def test_a_missing_file_names_gtseg_init(folder: Path) -> None:
    with pytest.raises(SettingsError, match="gtseg init"):
        load(folder / "gtseg.toml", environ={})


def test_invalid_toml_is_reported_with_its_position(folder: Path) -> None:
    with pytest.raises(SettingsError, match="line 3"):
        read(folder, "[dataset\n")


def test_the_environment_can_name_the_settings_file(folder: Path) -> None:
    (folder / "other.toml").write_text(MINIMAL)
    assert load(environ={"GTSEG_SETTINGS": str(folder / "other.toml")}).project.name == "cats"


def test_the_shipped_example_is_valid_with_and_without_its_settings_commented_out(folder: Path) -> None:
    from gtseg.settings.templates import read_template

    text = read_template("gtseg.toml")
    (folder / "gtseg.toml").write_text(text)
    assert load(folder / "gtseg.toml", environ={}).labeling.labels == ("cat",)
    shown = set(re.findall(r"^(?:# )?(\w+) = ", text, re.M))
    tables = {Settings.model_fields[name].annotation for name in ("project", "images", "labeling", "dataset")}
    assert shown >= {key for table in tables for key in table.model_fields}  # type: ignore[union-attr]


def test_settings_are_frozen(folder: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        read(folder).labeling.title = "x"  # type: ignore[misc]
