"""Make the files of this folder with pycocotools, label-studio-converter, supervision, datumaro and cvat-sdk.

pip install pycocotools supervision datumaro; pip install --no-deps label-studio-converter cvat-sdk. Run in this folder.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
SIZE = (30, 40)
CLASSES = ("leaf", "stem")


def masks() -> dict[str, np.ndarray]:
    """(H, W) class indices: a leaf with a hole and a stem on it; two leaves; background alone."""
    one, two = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    one[3:23, 5:30] = 1
    one[8:12, 10:14] = 0
    one[15:29, 20:24] = 2
    two[2:9, 2:30] = 1
    two[14:25, 20:38] = 1
    two[20:28, 3:12] = 2
    return {"one": one, "two": two, "empty": np.zeros(SIZE, np.uint8)}


def images() -> None:
    for number, (name, mask) in enumerate(masks().items()):
        for folder in ("images", "truth"):
            (HERE / folder).mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(90, 160, (*SIZE, 3), np.uint8)
        Image.fromarray(noise).save(HERE / "images" / f"{name}.jpg", quality=80)
        Image.fromarray(mask).save(HERE / "truth" / f"{name}.png")


def coco() -> None:
    from pycocotools import mask as coco_mask

    document = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 3, "name": "leaf"}, {"id": 7, "name": "stem"}],
    }
    for number, (name, mask) in enumerate(masks().items(), 11):
        document["images"].append({"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]})
        for index, category in ((1, 3), (2, 7)):
            rle = coco_mask.encode(np.asfortranarray(mask == index))
            if not (mask == index).any():
                continue
            document["annotations"].append(
                {"id": len(document["annotations"]) + 1, "image_id": number, "category_id": category, "iscrowd": 0,
                 "area": int(coco_mask.area(rle)), "bbox": coco_mask.toBbox(rle).tolist(),
                 "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}}
            )  # fmt: skip
    (HERE / "pycocotools.json").write_text(json.dumps(document))


def label_studio() -> None:
    from label_studio_converter import brush

    tasks = []
    for number, (name, mask) in enumerate(masks().items(), 1):
        results = []
        for index, label in enumerate(CLASSES, 1):
            if not (mask == index).any():
                continue
            rle = brush.mask2rle(((mask == index) * 255).astype(np.uint8))
            results.append(
                {"id": f"r{index}", "type": "brushlabels", "from_name": "tag", "to_name": "image", "image_rotation": 0,
                 "original_width": SIZE[1], "original_height": SIZE[0],
                 "value": {"format": "rle", "rle": [int(v) for v in rle], "brushlabels": [label]}}
            )  # fmt: skip
        tasks.append(
            {"id": number, "data": {"image": f"/data/upload/1/0a1b2c3d-{name}.jpg"},
             "annotations": [{"id": number, "was_cancelled": False, "ground_truth": False, "result": results}]}
        )  # fmt: skip
    (HERE / "label-studio.json").write_text(json.dumps(tasks))


def yolo() -> None:
    import supervision as sv

    shutil.rmtree(HERE / "supervision", ignore_errors=True)
    annotations = {}
    for name, mask in masks().items():
        present = [i for i in (1, 2) if (mask == i).any()]
        layers = np.array([mask == i for i in present], bool).reshape(-1, *SIZE)
        boxes = sv.mask_to_xyxy(layers) if present else np.empty((0, 4))
        annotations[str(HERE / "images" / f"{name}.jpg")] = sv.Detections(
            xyxy=boxes.astype(float),
            mask=layers if present else None,
            class_id=np.array([i - 1 for i in present], int),
        )
    data = sv.DetectionDataset(classes=list(CLASSES), images=list(annotations), annotations=annotations)
    data.as_yolo(
        annotations_directory_path=str(HERE / "supervision/labels"),
        data_yaml_path=str(HERE / "supervision/data.yaml"),
    )


def cvat() -> None:
    import datumaro as dm

    labels = dm.LabelCategories.from_iterable(CLASSES)
    items = []
    for name, mask in masks().items():
        shapes = [dm.Mask((mask == i).astype(bool), label=i - 1, z_order=i) for i in (1, 2) if (mask == i).any()]
        image = dm.Image.from_file(path=str(HERE / "images" / f"{name}.jpg"), size=SIZE)
        items.append(dm.DatasetItem(id=name, media=image, annotations=shapes, subset="train"))
    for kind in ("cvat", "voc_segmentation"):
        target = HERE / f"datumaro-{kind}"
        shutil.rmtree(target, ignore_errors=True)
        copy = dm.Dataset.from_iterable(items, categories={dm.AnnotationType.label: labels})
        if kind == "cvat":
            copy.transform("masks_to_polygons")
        copy.export(str(target), kind, save_media=False)
    shutil.rmtree(HERE / "datumaro-voc_segmentation/SegmentationObject")


def cvat_masks() -> None:
    """CVAT's XML by its documentation, the run lengths by cvat_sdk.masks."""
    import importlib.util
    import sys as system

    spec = importlib.util.find_spec("cvat_sdk")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "masks.py"  # cvat_sdk itself asks for its whole client
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("masks", file))  # type: ignore[arg-type]
    system.modules["masks"] = module
    module.__spec__.loader.exec_module(module)  # type: ignore[union-attr]
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "  <version>1.1</version>",
        "  <meta><job><labels>",
    ]
    lines += [f"    <label><name>{name}</name><color>#ff0000</color></label>" for name in CLASSES]
    lines += ["  </labels></job></meta>"]
    for number, (name, mask) in enumerate(masks().items()):
        lines.append(f'  <image id="{number}" name="{name}.jpg" width="{SIZE[1]}" height="{SIZE[0]}">')
        for index, label in enumerate(CLASSES, 1):
            if (mask == index).any():
                *counts, x1, y1, x2, y2 = (int(v) for v in module.encode_mask(mask == index))
                runs = ", ".join(map(str, counts))
                lines.append(
                    f'    <mask label="{label}" source="manual" occluded="0" rle="{runs}" left="{x1}" top="{y1}" '
                    f'width="{x2 - x1 + 1}" height="{y2 - y1 + 1}" z_order="0">\n    </mask>'
                )
        lines.append("  </image>")
    (HERE / "cvat-masks.xml").write_text("\n".join([*lines, "</annotations>", ""]))


if __name__ == "__main__":
    for make in (images, coco, label_studio, yolo, cvat, cvat_masks):
        if len(sys.argv) < 2 or make.__name__ in sys.argv[1:]:
            make()
