from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from botocore.session import get_session

from gtseg.core.training.job import hyperparameter_strings
from gtseg.errors import SettingsError
from gtseg.settings import Settings, load
from gtseg.settings.training import INSTANCE_TYPES, Hyperparameters

TEMPLATE = Path(__file__).parents[2] / "templates/gtseg.toml"
TABLE = {
    "algorithm",
    "backbone",
    "use_pretrained_model",
    "base_size",
    "crop_size",
    "mini_batch_size",
    "validation_mini_batch_size",
    "epochs",
    "early_stopping",
    "early_stopping_min_epochs",
    "early_stopping_patience",
    "early_stopping_tolerance",
    "optimizer",
    "learning_rate",
    "lr_scheduler",
    "lr_scheduler_factor",
    "lr_scheduler_step",
    "momentum",
    "weight_decay",
    "gamma1",
    "gamma2",
    "syncbn",
    "precision_dtype",
}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(body: str, **environ: str) -> Settings:
        (tmp_path / "gtseg.toml").write_text(f'[project]\nname = "x"\n{body}\n')
        return load(tmp_path / "gtseg.toml", environ=environ)

    return read


def test_every_documented_hyperparameter_is_a_setting_and_unset_ones_are_not_sent() -> None:
    assert set(Hyperparameters.model_fields) - {"num_classes", "num_training_samples"} == TABLE
    assert hyperparameter_strings(Hyperparameters().model_dump()) == {}


WRONG = [
    ("num_classes = 3", "num_classes = 3: is set from the dataset"),
    ("num_training_samples = 9", "is set from the dataset"),
    ("epochz = 3", "unknown key.*Did you mean epochs"),
    ("epochs = 0", "epochs = 0"),
    ("epochs = 2.5", "epochs = 2.5"),
    ('epochs = "3"', "epochs"),
    ("learning_rate = 0.0", "learning_rate"),
    ("learning_rate = 1.1", "learning_rate"),
    ('algorithm = "unet"', "'fcn', 'psp' or 'deeplab'"),
    ('backbone = "resnet-18"', "resnet-50"),
    ("crop_size = 16", "crop_size = 16"),
    ("base_size = 16", "base_size"),
    ('optimizer = "adadelta"', "optimizer"),
    ("early_stopping_tolerance = 2.0", "early_stopping_tolerance"),
    ("weight_decay = 1.0", "weight_decay"),
    ("momentum = 0.0", "momentum"),
    ("gamma1 = 1.5", "gamma1"),
    ("mini_batch_size = 0", "mini_batch_size"),
    ('syncbn = "yes"', "syncbn"),
    ('lr_scheduler = "step"', "needs lr_scheduler_step"),
    ("lr_scheduler_step = [10]", 'need lr_scheduler = "step"'),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_an_invalid_hyperparameter_is_refused_by_name(read: Any, line: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read(f"[train.hyperparameters]\n{line}")


def test_typed_values_become_the_strings_of_the_api(read: Any) -> None:
    settings = read(
        '[train.hyperparameters]\nlr_scheduler = "step"\nlr_scheduler_step = [10, 20]\n'
        "use_pretrained_model = false\nlearning_rate = 1e-4"
    )
    assert hyperparameter_strings(settings.train.hyperparameters.model_dump()) == {
        "lr_scheduler": "step",
        "lr_scheduler_step": "10,20",
        "use_pretrained_model": "False",
        "learning_rate": "0.0001",
    }


def test_the_environment_sets_hyperparameters(read: Any) -> None:
    settings = read("", GTSEG_TRAIN__HYPERPARAMETERS__EPOCHS="7", GTSEG_TRAIN__SPOT="true")
    assert (settings.train.hyperparameters.epochs, settings.train.keeps_checkpoints) == (7, True)


def test_instance_types_are_gpu_instances_of_the_api() -> None:
    known = get_session().get_service_model("sagemaker").shape_for("TrainingInstanceType").enum
    assert set(INSTANCE_TYPES) <= set(known)
    assert {name.split(".")[1] for name in INSTANCE_TYPES} == {"g4dn", "g5", "p3", "p3dn", "p2"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('[train]\ninstance_type = "ml.c5.xlarge"', "instance_type"),
        ('[train]\nmax_wait = "1h"', "needs spot = true"),
        ('[train]\nspot = true\nmax_runtime = "2h"\nmax_wait = "1h"', "at least max_runtime"),
        ('[train]\nsubnets = ["subnet-1"]', "must be given together"),
        ('[train]\ninput = "augmented-manifest"\ninitial_model = "s3://bucket/m.tar.gz"', "supports no other input"),
        ('[train]\ntags = { "aws:x" = "1" }', "without an aws:"),
        ("[tune]\nlearning_rate = [0.1, 0.2]", "within 0.0001 to 0.1"),
        ("[tune]\nmini_batch_size = [8, 4]", "the smaller first"),
        ('[tune]\nstrategy = "Grid"', "categorical ranges only"),
        ("[tune]\nmax_jobs = 2\nmax_parallel_jobs = 3", "at most max_jobs"),
        ('[deploy]\ntime_to_live = "8"', "number with a unit"),
        ('[deploy]\nmodel_data = "model.tar.gz"', "model_data"),
        ("[predict]\ntile_size = 128\ntile_overlap = 65", "half of tile_size"),
        ('[serve]\nuntil = "fly"', "until"),
    ],
)
def test_impossible_combinations_are_refused(read: Any, body: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read(body)


def test_the_given_ranges_are_searched_by_default_all_documented_ones(read: Any) -> None:
    assert set(read("").tune.ranges) == {
        "learning_rate",
        "mini_batch_size",
        "momentum",
        "weight_decay",
        "optimizer",
    }
    assert read("[tune]\nmomentum = [0.9, 0.95]").tune.ranges == {"momentum": (0.9, 0.95)}


def test_the_shipped_settings_list_every_training_key_with_its_default(read: Any, tmp_path: Path) -> None:
    text = TEMPLATE.read_text()
    shown = text[text.index("[train]") :]
    for table in ("train", "tune", "deploy", "predict", "evaluate", "serve"):
        fields = set(Settings.model_fields[table].annotation.model_fields) - {"hyperparameters"}  # type: ignore[union-attr]
        body = shown.split(f"[{table}]")[1].split("\n[")[0]
        assert fields <= set(re.findall(r"^(?:# )?([a-z_]+) =", body, re.MULTILINE)), table
    plain = re.sub(
        r'^# (?=[a-z_]+ =)(?!.*(= ""|= \[\]|tags|environment|lr_scheduler|max_wait|checkpoints|time_to_live|seed))',
        "",
        shown,
        flags=re.MULTILINE,
    )
    settings = read(plain)
    defaults = read("")
    for table in ("evaluate", "predict", "serve", "deploy"):
        assert getattr(settings, table) == getattr(defaults, table), table
