"""Small ONNX files with the input names and shapes of SAM 1, SAM 2 and EfficientSAM exports, and random weights.

Their decoders answer with a disc of 60 input pixels around the middle of the points that are not background: where it
comes out shows whether pictures and clicks were scaled as the family's own inference code does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RADIUS = 60
SIZE = 1024
Shape = list[int | str]


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    weights: dict[str, NDArray[np.generic]],
    **kinds: int,
) -> Path:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def save_encoder(path: Path, name: str, outputs: dict[str, tuple[int, int]], *, shape: Shape | None = None) -> Path:
    """An encoder with one convolution per output, of the given channels and stride."""
    rng, weights, nodes = np.random.default_rng(0), {}, []
    for output, (channels, stride) in outputs.items():
        weights[f"w_{output}"] = rng.normal(0, 0.1, (channels, 3, stride, stride)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [name, f"w_{output}"], [output], strides=[stride, stride]))
    shapes: dict[str, Shape] = {o: [1, c, SIZE // s, SIZE // s] for o, (c, s) in outputs.items()}
    return save(path, nodes, {name: shape or [1, 3, SIZE, SIZE]}, shapes, weights)


DISC = [
    ("Less", ["labels", "half"], ["behind"]),  # background and padding
    ("Where", ["behind", "zero", "one"], ["counts"]),
    ("Unsqueeze", ["counts", "last"], ["column"]),
    ("Mul", ["coords", "column"], ["counted"]),
    ("ReduceSum", ["counted", "points_axis"], ["total"]),
    ("ReduceSum", ["column", "points_axis"], ["number"]),
    ("Div", ["total", "number"], ["middle"]),  # (1, 1, 2)
    ("Split", ["middle"], ["cx", "cy"]),
    ("Sub", ["grid_x", "cx"], ["dx"]),
    ("Sub", ["grid_y", "cy"], ["dy"]),
    ("Mul", ["dx", "dx"], ["dxx"]),
    ("Mul", ["dy", "dy"], ["dyy"]),
    ("Add", ["dxx", "dyy"], ["distance2"]),
    ("Sqrt", ["distance2"], ["distance"]),
    ("Sub", ["radius", "distance"], ["disc"]),  # (1, h, w)
]


def disc(**names: str) -> list[onnx.NodeProto]:
    """Nodes from coords (1, N, 2) and labels (1, N) to disc (1, h, w) on grid_x (1, 1, w) and grid_y (1, h, 1)."""
    return [
        helper.make_node(op, [names.get(i, i) for i in inputs], outputs, **({"axis": 2} if op == "Split" else {}))
        for op, inputs, outputs in DISC
    ]


def constants(size: int, step: float) -> dict[str, NDArray[np.generic]]:
    along = (np.arange(size, dtype=np.float32) + 0.5) * step
    return {
        "half": np.float32(0.5), "zero": np.float32(0), "one": np.float32(1), "radius": np.float32(RADIUS),
        "last": np.array([2]), "points_axis": np.array([1]), "channel": np.array([1]),
        "grid_x": along.reshape(1, 1, -1), "grid_y": along.reshape(1, -1, 1), "scores": np.array([[0.9]], np.float32),
    }  # fmt: skip


def save_sam1(folder: Path, *, name: str = "input_image") -> list[Path]:
    """As `segment-anything`'s scripts/export_onnx_model.py names them; the encoder as samexporter does."""
    encoder = save_encoder(folder / "sam1.encoder.onnx", name, {"image_embeddings": (256, 16)})
    inputs: dict[str, Shape] = {
        "image_embeddings": [1, 256, 64, 64],
        "point_coords": [1, "num_points", 2],
        "point_labels": [1, "num_points"],
        "mask_input": [1, 1, 256, 256],
        "has_mask_input": [1],
        "orig_im_size": [2],
    }
    nodes = disc(coords="point_coords", labels="point_labels")
    nodes += [
        helper.make_node("Unsqueeze", ["disc", "channel"], ["low_res_masks"]),
        helper.make_node("Identity", ["low_res_masks"], ["masks"]),
        helper.make_node("Identity", ["scores"], ["iou_predictions"]),
    ]
    outputs: dict[str, Shape] = {
        "masks": [1, 1, "h", "w"],
        "iou_predictions": [1, 1],
        "low_res_masks": [1, 1, 256, 256],
    }
    decoder = save(folder / "sam1.decoder.onnx", nodes, inputs, outputs, constants(256, 4))
    return [encoder, decoder]


def save_sam2(folder: Path) -> list[Path]:
    """As samexporter's export_sam2.py; three masks, of which the second has the highest score."""
    features = {"high_res_feats_0": (32, 4), "high_res_feats_1": (64, 8), "image_embed": (256, 16)}
    encoder = save_encoder(folder / "sam2.encoder.onnx", "image", features)
    inputs: dict[str, Shape] = {
        "image_embed": [1, 256, 64, 64], "high_res_feats_0": [1, 32, 256, 256], "high_res_feats_1": [1, 64, 128, 128],
        "point_coords": ["num_labels", "num_points", 2], "point_labels": ["num_labels", "num_points"],
        "mask_input": ["num_labels", 1, 256, 256], "has_mask_input": ["num_labels"],
    }  # fmt: skip
    nodes = disc(coords="point_coords", labels="point_labels")
    nodes += [
        helper.make_node("Unsqueeze", ["disc", "channel"], ["right"]),
        helper.make_node("Neg", ["right"], ["wrong"]),
        helper.make_node("Concat", ["wrong", "right", "wrong"], ["masks"], axis=1),
        helper.make_node("Identity", ["three"], ["iou_predictions"]),
    ]
    outputs: dict[str, Shape] = {"masks": ["num_labels", 3, 256, 256], "iou_predictions": ["num_labels", 3]}
    weights = constants(256, 4) | {"three": np.array([[0.1, 0.9, 0.2]], np.float32)}
    return [encoder, save(folder / "sam2.decoder.onnx", nodes, inputs, outputs, weights)]


def save_efficient_sam(folder: Path, *, one_file: bool = False) -> list[Path]:
    """As EfficientSAM's export_to_onnx.py: masks in the size of the image, from orig_im_size or the image itself."""
    picture: Shape = ["batch", 3, "height", "width"]
    clicks: dict[str, Shape] = {
        "batched_point_coords": [1, 1, "num_points", 2],
        "batched_point_labels": [1, 1, "num_points"],
    }
    rng = np.random.default_rng(0)
    see = [
        helper.make_node("Resize", ["batched_images", "", "", "sizes"], ["small"], mode="linear"),
        helper.make_node("Conv", ["small", "w"], ["image_embeddings"]),
    ]
    seeing = {"sizes": np.array([1, 3, 64, 64]), "w": rng.normal(0, 0.1, (256, 3, 1, 1)).astype(np.float32)}
    nodes = [
        helper.make_node("Squeeze", ["batched_point_coords", "channel"], ["coords"]),
        helper.make_node("Squeeze", ["batched_point_labels", "channel"], ["labels"]),
        helper.make_node("Gather", ["size", "first"], ["rows"]),
        helper.make_node("Gather", ["size", "second"], ["columns"]),
        helper.make_node("Range", ["none", "rows", "step"], ["ys"]),
        helper.make_node("Range", ["none", "columns", "step"], ["xs"]),
        helper.make_node("Cast", ["ys"], ["yf"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["xs"], ["xf"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["yf", "down"], ["grid_y"]),
        helper.make_node("Reshape", ["xf", "across"], ["grid_x"]),
        *disc(),
        helper.make_node("Unsqueeze", ["disc", "two_axes"], ["right"]),
        helper.make_node("Neg", ["right"], ["wrong"]),
        helper.make_node("Concat", ["right", "wrong", "wrong"], ["output_masks"], axis=2),
        helper.make_node("Identity", ["three"], ["iou_predictions"]),
    ]
    weights = {n: v for n, v in constants(1, 1).items() if not n.startswith(("grid", "scores"))}
    weights |= {
        "first": np.array(0), "second": np.array(1), "none": np.array(0), "step": np.array(1),
        "down": np.array([1, -1, 1]), "across": np.array([1, 1, -1]), "two_axes": np.array([1, 2]),
        "three": np.array([[[0.9, 0.2, 0.1]]], np.float32),
    }  # fmt: skip
    outputs: dict[str, Shape] = {"output_masks": [1, 1, 3, "h", "w"], "iou_predictions": [1, 1, 3]}
    if one_file:
        shape = helper.make_node("Shape", ["batched_images"], ["size"], start=2)
        inputs = {"batched_images": picture, **clicks}
        return [save(folder / "efficient_sam.onnx", [shape, *nodes], inputs, outputs, weights)]
    encoder = save(
        folder / "efficient_sam_encoder.onnx",
        see,
        {"batched_images": picture},
        {"image_embeddings": [1, 256, 64, 64]},
        seeing,
    )
    size = helper.make_node("Identity", ["orig_im_size"], ["size"])
    inputs = {"image_embeddings": [1, 256, 64, 64], **clicks, "orig_im_size": [2]}
    decoder = save(
        folder / "efficient_sam_decoder.onnx", [size, *nodes], inputs, outputs, weights, orig_im_size=TensorProto.INT64
    )
    return [encoder, decoder]
