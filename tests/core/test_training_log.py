from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gtseg.core.training.log import METRICS, Epoch, Reading, best_epoch, parse_log

LOG = (Path(__file__).parent.parent / "data/training-log/ss_training_log_2020-04.txt").read_text().splitlines()


def test_a_real_log_has_ten_epochs_with_the_right_values() -> None:
    reading = parse_log(LOG)
    assert [epoch.number for epoch in reading.epochs] == list(range(10))
    assert reading.epochs[0] == Epoch(
        0, 1.475714725452465, 55.0439202038, 0.5063982026717044, 0.8472626958559429, 36.7295854993
    )
    assert reading.epochs[2].miou == 0.5644798860486893
    assert all(epoch.is_complete for epoch in reading.epochs)
    assert reading.progress == 100


def test_the_best_epoch_is_the_one_whose_model_is_kept() -> None:
    """The container writes model_best.params after each improvement; the last such epoch is the best."""
    kept, number = None, -1
    for line in LOG:
        if match := re.search(r"epoch: (\d+), validation throughput", line):
            number = int(match[1])
        if "model_best.params" in line:
            kept = number
    best = parse_log(LOG).best
    assert best is not None
    assert best.number == kept


def test_every_published_metric_expression_matches_every_epoch() -> None:
    text = "\n".join(LOG)
    assert {name: len(re.findall(pattern, text)) for name, pattern in METRICS.items()} == dict.fromkeys(METRICS, 10)


@given(st.integers(0, len(LOG)), st.integers(0, len(LOG)))
def test_reading_a_log_in_pieces_equals_reading_it_at_once(one, other) -> None:
    low, high = sorted((one, other))
    assert Reading().read(LOG[:low]).read(LOG[low:high]).read(LOG[high:]) == parse_log(LOG)


@given(st.lists(st.text(max_size=80)))
def test_any_text_is_read_without_an_error(lines) -> None:
    assert parse_log(lines).epochs == ()


def test_an_epoch_logged_again_after_a_restart_replaces_the_first() -> None:
    line = "[..] #quality_metric. host: algo-1, epoch: 0, validation mIOU: {} ."
    assert parse_log([line.format(0.3), line.format(0.4)]).epochs == (Epoch(0, miou=0.4),)


def test_a_value_that_is_not_a_number_is_unknown_and_nan_is_never_best() -> None:
    line = "#quality_metric. host: algo-1, epoch: {}, validation mIOU: {} ."
    assert parse_log([line.format(0, "oops")]).epochs == ()
    assert parse_log([line.format(0, "nan"), line.format(1, 0.1)]).best == Epoch(1, miou=0.1)


def test_the_first_of_equal_epochs_is_best_and_no_epochs_have_none() -> None:
    assert best_epoch([Epoch(0, miou=0.5), Epoch(1, miou=0.5)]) == Epoch(0, miou=0.5)
    assert best_epoch([Epoch(0, train_loss=1.0)]) is None
