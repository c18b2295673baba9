"""Users' outline models: detection by input names, scaling of images and clicks, errors."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sam_files import RADIUS, save_efficient_sam, save_sam1, save_sam2
from typer.testing import CliRunner

from gtseg.local.cli import app
from gtseg.local.errors import ServiceError
from gtseg.local.labeling.autosegment import load_model, sam, segment
from gtseg.local.labeling.autosegment.onnx_names import parse_model, read_graph
from gtseg.local.labeling.autosegment.outline_models import choose_kind
from gtseg.local.labeling.autosegment.prompts import NONE, Start
from gtseg.local.labeling.autosegment.sam import Sam, choose_mask
from gtseg.local.options import ServerOptions

pytest.importorskip("onnxruntime")
Save = Callable[[Path], list[Path]]

FAMILIES: dict[str, tuple[str, Save]] = {
    "SAM 1": ("SAM 1", save_sam1),
    "SAM 2": ("SAM 2", save_sam2),
    "EfficientSAM, two files": ("EfficientSAM", save_efficient_sam),
    "EfficientSAM, one file": ("EfficientSAM", lambda folder: save_efficient_sam(folder, one_file=True)),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    return {name: save(tmp_path_factory.mktemp("models")) for name, (_, save) in FAMILIES.items()}


def photo(height: int = 300, width: int = 400) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def middle_and_size(mask: np.ndarray) -> tuple[float, float, int, int]:
    ys, xs = np.nonzero(mask)
    return (
        float(xs.mean()),
        float(ys.mean()),
        int(xs.max() - xs.min()) + 1,
        int(ys.max() - ys.min()) + 1,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_models_are_detected_by_the_names_of_their_inputs(files: dict[str, list[Path]], family: str) -> None:
    kind = FAMILIES[family][0]
    assert choose_kind(files[family]).kind == kind
    assert choose_kind(files[family][::-1]).encoder == files[family][0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (1300, 900), (2400, 3300)])
def test_the_mask_is_at_the_clicks(files: dict[str, list[Path]], family: str, shape: tuple[int, int]) -> None:
    """The model returns a disc of 60 input pixels around the mean of the clicks, which shows the scaling."""
    height, width = shape
    image = photo(height, width)
    mask = segment(image, [[200, 180]], inside=[[220, 200]], outside=[[20, 20]], models=files[family])
    unit = max(1, max(shape) / 1024)
    x, y, across, down = middle_and_size(mask.full_mask(shape))
    assert abs(x - 210) < 2 * unit
    assert abs(y - 190) < 2 * unit
    longer = max(shape)
    scales = {"SAM 1": (1024 / longer,) * 2, "SAM 2": (1024 / width, 1024 / height)}
    across_scale, down_scale = scales.get(family, (min(1, 1024 / longer),) * 2)
    assert abs(across - 2 * RADIUS / across_scale) < 4 * unit
    assert abs(down - 2 * RADIUS / down_scale) < 4 * unit


@pytest.mark.parametrize("family", FAMILIES)
def test_a_box_and_four_points_are_sent_as_two_corners(files: dict[str, list[Path]], family: str) -> None:
    box, points = [[100, 90], [200, 190]], [[150, 90], [200, 140], [150, 190], [100, 140]]
    found = [segment(photo(), start, models=files[family]).rows() for start in (box, points)]
    assert found[0] == found[1]
    x, y, *_ = middle_and_size(segment(photo(), box, models=files[family]).full_mask((300, 400)))
    assert abs(x - 150) < 2
    assert abs(y - 140) < 2


def test_an_image_is_embedded_once_and_the_cache_is_bounded(
    files: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tuple(files["SAM 1"]))
    assert isinstance(model, Sam)
    seen, encoder = [], model.encoder
    monkeypatch.setattr(model, "encoder", lambda given: seen.append(1) or encoder(given))  # type: ignore[func-returns-value]
    start = Start("click", np.array([[200, 180]], np.float32))
    for _ in range(3):
        model.segment(photo(), start, inside=NONE, outside=NONE, key="a")
    assert len(seen) == 1
    monkeypatch.setattr(sam, "KEPT_BYTES", 3 * 256 * 64 * 64 * 4)
    for name in "bcde":
        model.prepare(photo(), name)
    assert len(model._kept) == 3
    assert "a" not in model._kept


def test_the_mask_with_the_highest_score_is_used() -> None:
    scores = np.array([0.9, 0.1, 0.7, 0.2], np.float32)
    assert choose_mask(scores, 4, clicks=1) == 2  # the first of four is for several clicks
    assert choose_mask(scores, 4, clicks=2) == 0
    assert choose_mask(scores[1:], 3, clicks=2) == 1
    assert choose_mask(scores[:1], 1, clicks=5) == 0


def test_an_empty_result_is_an_empty_mask() -> None:
    found = sam.enlarge(np.full((64, 64), -1, np.float32), (4.0, 4.0), (200, 250), inside=NONE)
    assert found.rows() == []


def test_unsupported_input_names_are_refused_and_listed(files: dict[str, list[Path]]) -> None:
    encoder, decoder = files["SAM 1"]
    for paths, words in (
        ([encoder], "its decoder"),
        ([decoder], "its encoder"),
        ([encoder, encoder.with_name("other")], "cannot be read"),
        ([encoder, files["EfficientSAM, two files"][1]], "batched_point_coords"),
        ([*files["SAM 2"], encoder], "high_res_feats_0"),
    ):
        with pytest.raises(ValueError, match=words):
            choose_kind(paths)
    with pytest.raises(ServiceError, match="not the inputs of a supported model"):
        segment(photo(), [[1, 1]], models=[encoder, files["EfficientSAM, two files"][1]])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_a_model_or_refused(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert parse_model(memoryview(content)).outputs


def test_names_and_shapes_equal_those_read_by_onnx(files: dict[str, list[Path]]) -> None:
    import onnx

    for paths in files.values():
        for path in paths:
            graph = onnx.load(str(path)).graph
            read = read_graph(path)
            for values, ours in ((graph.input, read.inputs), (graph.output, read.outputs)):
                assert {
                    v.name: tuple(d.dim_value or None for d in v.type.tensor_type.shape.dim) for v in values
                } == ours


def small_sam() -> Any:
    """`segment-anything`'s own model with a very small picture encoder and random weights.

    The package's __init__ also imports torchvision, which neither the model nor its ONNX form needs."""
    import torch

    spec = importlib.util.find_spec("segment_anything")
    assert spec is not None
    if "segment_anything" not in sys.modules:
        package = types.ModuleType("segment_anything")
        package.__path__ = list(spec.submodule_search_locations or [])
        sys.modules["segment_anything"] = package
    modeling = importlib.import_module("segment_anything.modeling")
    torch.manual_seed(0)
    encoder = modeling.ImageEncoderViT(
        depth=1,
        embed_dim=16,
        img_size=1024,
        mlp_ratio=1,
        num_heads=1,
        patch_size=16,
        use_rel_pos=True,
        global_attn_indexes=(),
        window_size=14,
        out_chans=256,
    )
    prompts = modeling.PromptEncoder(
        embed_dim=256, image_embedding_size=(64, 64), input_image_size=(1024, 1024), mask_in_chans=16
    )
    transformer = modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=64, num_heads=8)
    masks = modeling.MaskDecoder(transformer_dim=256, transformer=transformer, num_multimask_outputs=3)
    return modeling.Sam(encoder, prompts, masks).eval()


@pytest.mark.filterwarnings("ignore")
def test_an_exported_sam_1_gives_the_masks_of_its_pytorch_model(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    if importlib.util.find_spec("segment_anything") is None:
        pytest.skip("segment-anything is not installed")
    import torch

    model = small_sam()
    exported = importlib.import_module("segment_anything.utils.onnx").SamOnnxModel(model, return_single_mask=True)
    dummies = {  # names and shapes of segment-anything's scripts/export_onnx_model.py
        "image_embeddings": torch.randn(1, 256, 64, 64),
        "point_coords": torch.randint(0, 1024, (1, 5, 2)).float(),
        "point_labels": torch.randint(0, 4, (1, 5)).float(),
        "mask_input": torch.randn(1, 1, 256, 256),
        "has_mask_input": torch.tensor([1.0]),
        "orig_im_size": torch.tensor([1500.0, 2250.0]),
    }
    dynamic = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}
    outputs = ["masks", "iou_predictions", "low_res_masks"]
    torch.onnx.export(
        exported,
        tuple(dummies.values()),
        str(tmp_path / "decoder.onnx"),
        opset_version=17,
        dynamo=False,
        input_names=list(dummies),
        output_names=outputs,
        dynamic_axes=dynamic,
    )
    torch.onnx.export(
        model.image_encoder,
        (torch.randn(1, 3, 1024, 1024),),
        str(tmp_path / "encoder.onnx"),
        opset_version=17,
        dynamo=False,
        input_names=["images"],
        output_names=["embeddings"],
    )
    image = photo(300, 400)
    found = segment(image, [[200, 150]], inside=[[120, 80]], outside=[[30, 40]], models=sorted(tmp_path.iterdir()))

    scale = 1024 / 400
    resized = np.asarray(sam.cv2.resize(image, (1024, 768), interpolation=sam.cv2.INTER_LINEAR))
    with torch.inference_mode():
        pixels = model.preprocess(torch.from_numpy(resized).permute(2, 0, 1)[None].float())
        points = torch.tensor([[200, 150], [120, 80], [30, 40]]).float()[None] * scale
        sparse, dense = model.prompt_encoder(points=(points, torch.tensor([[1, 1, 0]])), boxes=None, masks=None)
        low, _ = model.mask_decoder(
            image_embeddings=model.image_encoder(pixels),
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        expected = model.postprocess_masks(low, (768, 1024), (300, 400))[0, 0].numpy() > 0
    mask = found.full_mask((300, 400))
    assert 0.01 < expected.mean() < 0.99, "random weights gave an answer that tells nothing"
    assert (mask == expected).mean() > 0.98  # specks are taken out of ours


def test_outline_models_are_checked_before_the_server_starts(tmp_path: Path) -> None:
    encoder, decoder = save_sam1(tmp_path)
    made = ServerOptions(outline_model=[decoder, encoder]).check()
    assert made.flags() == [f"--outline-model={decoder}", f"--outline-model={encoder}"]
    for paths, words in (([tmp_path / "no.onnx"], "is not a file"), ([encoder], "add its decoder")):
        with pytest.raises(ValueError, match=words):
            ServerOptions(outline_model=paths).check()


def test_the_outline_model_option_accepts_several_files(tmp_path: Path) -> None:
    save_sam1(tmp_path)[1].write_bytes(b"no model")
    result = CliRunner().invoke(app, ["up", "--outline-model", *map(str, sorted(tmp_path.iterdir()))])
    assert result.exit_code == 2
    assert "sam1.decoder.onnx is" in result.output
    assert "takes no arguments" in CliRunner().invoke(app, ["up", "a.onnx"]).output
