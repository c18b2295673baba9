"""The documented hyperparameters: names, ranges, defaults, and errors for invalid values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtseg.local.algorithm.container import ClientError
from gtseg.local.algorithm.hyperparameters import DEFAULTS, READERS, names, parse

REQUIRED = {"num_classes": "3", "num_training_samples": "40"}


def test_only_the_two_counts_are_required() -> None:
    h = parse(REQUIRED)
    assert (h.num_classes, h.num_training_samples, h.algorithm, h.backbone) == (3, 40, "fcn", "resnet-50")
    assert (h.epochs, h.learning_rate, h.base_size, h.crop_size, h.mini_batch_size) == (
        10,
        0.001,
        520,
        240,
        16,
    )
    assert h.given == frozenset(REQUIRED)


@pytest.mark.parametrize("missing", sorted(REQUIRED))
def test_a_missing_count_is_named(missing: str) -> None:
    with pytest.raises(ClientError, match=f"'{missing}' is a required property"):
        parse({k: v for k, v in REQUIRED.items() if k != missing})


def test_an_unknown_name_is_refused_with_the_message_of_the_json_schema() -> None:
    with pytest.raises(ClientError, match=r"Additional properties are not allowed \('mini_batch_siz' was unexpected\)"):
        parse({**REQUIRED, "mini_batch_siz": "4"})


def test_the_containers_private_defaults_cannot_be_set() -> None:
    with pytest.raises(ClientError, match="_aux_weight"):
        parse({**REQUIRED, "_aux_weight": "0.4"})


WRONG = [
    ("num_classes", "1", "minimum of 2"),
    ("num_classes", "255", "maximum of 254"),
    ("num_classes", "2.0", "integer"),
    ("num_training_samples", "0", "minimum of 1"),
    ("algorithm", "unet", "is not one of"),
    ("backbone", "resnet-18", "is not one of"),
    ("use_pretrained_model", "yes", "is not one of"),
    ("base_size", "16", "minimum of 17"),
    ("crop_size", "16", "minimum of 17"),
    ("mini_batch_size", "0", "minimum of 1"),
    ("epochs", "ten", "integer"),
    ("early_stopping_tolerance", "1.5", "maximum of 1"),
    ("optimizer", "adadelta", "is not one of"),
    ("learning_rate", "0", "minimum of 0"),
    ("learning_rate", "nan", "finite"),
    ("lr_scheduler", "linear", "is not one of"),
    ("lr_scheduler_step", "10,x", "integer"),
    ("momentum", "0", "minimum of 0"),
    ("weight_decay", "1", "maximum of 1"),
    ("gamma1", "-0.1", "minimum of 0"),
    ("precision_dtype", "int8", "is not one of"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_wrong_value_is_refused_with_its_name(name: str, value: str, says: str) -> None:
    with pytest.raises(ClientError, match=f"{name}.*{says}"):
        parse({**REQUIRED, name: value})


def test_a_value_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(ClientError, match=r"epochs.*not of type 'string'"):
        parse({**REQUIRED, "epochs": 3})


def test_a_step_schedule_needs_its_steps() -> None:
    with pytest.raises(ClientError, match="lr_scheduler_step"):
        parse({**REQUIRED, "lr_scheduler": "step"})
    assert parse({**REQUIRED, "lr_scheduler": "step", "lr_scheduler_step": "20, 10"}).lr_scheduler_step == (
        10,
        20,
    )


@given(st.integers(17, 5000))
def test_crop_size_is_rounded_up_to_a_multiple_of_eight(size: int) -> None:
    crop = parse({**REQUIRED, "crop_size": str(size)}).crop_size
    assert crop % 8 == 0
    assert size <= crop < size + 8


@given(st.sampled_from(sorted(READERS)), st.text(max_size=12))
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    try:
        h = parse({**REQUIRED, name: text})
    except ClientError:
        return
    value = getattr(h, name)
    assert not isinstance(value, float) or math.isfinite(value)


def test_every_hyperparameter_has_a_reader_and_a_default_or_is_required() -> None:
    assert set(READERS) == set(names())
    assert set(READERS) - set(DEFAULTS) == {"num_classes", "num_training_samples", "lr_scheduler_step"}
