from __future__ import annotations

import json

from gtseg.core.labeling.label_file import label_file


def test_labels_come_in_the_order_of_their_index_under_ground_truths_own_version() -> None:
    assert json.loads(label_file(["sea turtle", "ébène"])) == {
        "document-version": "2018-11-28",
        "labels": [{"label": "sea turtle"}, {"label": "ébène"}],
    }
