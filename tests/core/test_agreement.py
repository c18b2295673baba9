from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from gtseg.core.labeling.agreement import pairwise_agreement, read_answers
from gtseg.errors import MaskError

CLASSES = ("BACKGROUND", "cat")


def answer(mask: list[list[int]], worker: str = "w") -> dict:
    """Return an answer of the crowd element: labeled pixels in the label's color, others transparent."""
    pixels = np.zeros((*np.shape(mask), 4), np.uint8)
    pixels[np.array(mask) == 1] = (0x2C, 0xA0, 0x2C, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    value = {
        "labelMappings": {"cat": {"color": "#2ca02c"}},
        "labeledImage": {"pngImageData": base64.b64encode(buffer.getvalue()).decode()},
    }
    return {
        "answerContent": {"crowd-semantic-segmentation": value},
        "workerId": worker,
        "timeSpentInSeconds": 4.5,
    }


def test_colors_become_classes() -> None:
    (found,) = read_answers({"answers": [answer([[0, 1]])]}, CLASSES)
    assert found.mask.tolist() == [[0, 1]]
    assert (found.worker, found.seconds) == ("w", 4.5)


def test_agreement_is_the_mean_over_pairs() -> None:
    masks = [a.mask for a in read_answers({"answers": [answer([[1, 1]]), answer([[1, 1]]), answer([[0, 1]])]}, CLASSES)]
    overlap, equal = pairwise_agreement(masks, 2) or (0, 0)
    assert overlap == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert equal == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_two_empty_answers_agree_and_an_empty_one_disagrees_with_a_labeled_one() -> None:
    empty = np.zeros((2, 2), np.uint8)
    assert pairwise_agreement([empty, empty], 2) == (1.0, 1.0)
    assert pairwise_agreement([empty], 2) is None


@pytest.mark.parametrize(
    "response", [{}, {"answers": [{}]}, {"answers": [{"answerContent": {"x": 1}}]}, {"answers": 3}]
)
def test_an_invalid_answer_is_a_mask_error(response) -> None:
    with pytest.raises(MaskError):
        read_answers(response, CLASSES)
