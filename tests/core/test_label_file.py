from __future__ import annotations

import json

from gtseg.core.labeling.label_file import label_file


def test_the_label_file_has_labels_in_index_order_and_ground_truths_version() -> None:
    assert json.loads(label_file(["sea turtle", "ébène"])) == {
        "document-version": "2018-11-28",
        "labels": [{"label": "sea turtle"}, {"label": "ébène"}],
    }
