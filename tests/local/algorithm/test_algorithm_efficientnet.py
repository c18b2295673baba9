"""The pretrained network: hand-written gradient, packaged weights, frozen parameters, choice of the start weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drawn_scenes import lay_out, run

from gtseg.local.algorithm.container import AlgorithmError, ClientError, Folders
from gtseg.local.algorithm.hyperparameters import parse
from gtseg.local.algorithm.model import BEST, load_network, write_atomically, write_settings
from gtseg.local.algorithm.networks import efficientnet
from gtseg.local.algorithm.networks.efficientnet import (
    BLOCKS,
    WIDTHS,
    Encoder,
    FixedDepthwise,
    PretrainedNetwork,
    depthwise,
    load_encoder,
)
from gtseg.local.algorithm.recipe import ImageSizes, choose
from gtseg.local.algorithm.state import continue_from

BASE = {"num_classes": "3", "num_training_samples": "6"}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_the_hand_written_gradient_equals_that_of_autograd(stride: int, k: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    kernel, bias = (
        torch.randn(4, 1, k, k, dtype=torch.float64),
        torch.randn(4, dtype=torch.float64, requires_grad=True),
    )
    ours = FixedDepthwise.apply(x, kernel, bias, stride)
    theirs = depthwise(x, kernel, bias, stride)
    assert torch.equal(ours, theirs)
    weights = torch.randn_like(ours)
    gradients = [torch.autograd.grad((y * weights).sum(), (x, bias)) for y in (ours, theirs)]
    for mine, reference in zip(*gradients, strict=True):
        assert torch.allclose(mine, reference, rtol=1e-5, atol=1e-5)


def test_the_encoder_returns_features_at_four_strides() -> None:
    with torch.device("meta"):
        outputs = Encoder()(torch.zeros(1, 3, 64, 96))
    assert [tuple(o.shape[1:]) for o in outputs] == [
        (width, 64 // stride, 96 // stride) for width, stride in zip(WIDTHS, (4, 8, 16, 32), strict=True)
    ]


def test_the_packaged_weights_are_a_trained_encoder() -> None:
    """Its features of an image and of the shuffled image differ; with random weights they are nearly equal."""
    encoder = Encoder()
    load_encoder(encoder)
    x, y = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    disc = ((x**2 + y**2) < 0.4).float().expand(1, 3, 64, 64) * 3 - 1
    with torch.no_grad():
        seen, noise = (encoder(picture)[-1].flatten() for picture in (disc, torch.randn(1, 3, 64, 64)))
    assert float(torch.cosine_similarity(seen, noise, dim=0)) < 0.5
    assert 0.5 < float(seen.std()) < 20


def test_modified_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(efficientnet.WEIGHTS.read_bytes()[:-1] + b"x")
    with pytest.raises(AlgorithmError, match="differs from the file that the package was built with"):
        load_encoder(Encoder(), path)


def test_training_changes_all_parameters_but_the_frozen_ones() -> None:
    torch.manual_seed(0)
    model = PretrainedNetwork("fcn", 3)
    load_encoder(model.encoder)
    model.encoder.freeze(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
    model(torch.randn(2, 3, 64, 64))[0].square().mean().backward()
    optimizer.step()
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    kernels = {f"encoder.blocks.{n}.depthwise.kernel" for n in range(BLOCKS)}
    frozen = {n for n in before if n.startswith(("encoder.stem.", *(f"encoder.blocks.{k}." for k in range(3))))}
    assert same == kernels | frozen


def test_the_network_depends_on_hyperparameters_gpu_and_earlier_model() -> None:
    def network(*, has_gpu: bool = False, earlier: str | None = None, **given: str) -> str:
        return choose(parse({**BASE, **given}), has_gpu=has_gpu, network=earlier).network

    assert network() == network(has_gpu=True) == "efficientnet-lite0"
    assert network(use_pretrained_model="False") == "compact"
    assert network(use_pretrained_model="False", has_gpu=True) == "dilated"
    assert network(backbone="resnet-50") == "dilated"
    assert network(earlier="compact") == "compact"
    assert choose(parse(BASE), has_gpu=False, imagenet=False).network == "compact"


@pytest.mark.parametrize(
    ("pictures", "base", "crop", "seen"),
    [
        (ImageSizes(128, 640), 256, 256, 384),
        (ImageSizes(128, 128), 160, 160, 224),
        (ImageSizes(256, 2000), 448, 320, 640),
        (ImageSizes(256, 256), 269, 192, 384),
    ],
)
def test_image_and_crop_sizes_depend_on_the_images(pictures: ImageSizes, base: int, crop: int, seen: int) -> None:
    """With much detail, crops of larger images are used."""
    r = choose(parse(BASE), has_gpu=False, pictures=pictures)
    assert (r.base_size, r.crop_size, r.inference_size) == (base, crop, seen)


def test_a_short_job_learns_from_six_scenes_and_logs_its_start_weights(tmp_path: Path) -> None:
    root = lay_out(tmp_path, epochs="12", use_pretrained_model="True")
    out = run("train", "--root", str(root))
    assert "Starting from EfficientNet-Lite0 with ImageNet weights" in out
    model, settings = load_network(root / "model")
    assert isinstance(model, PretrainedNetwork)
    assert settings["_network"] == "efficientnet-lite0"


def test_a_model_of_the_earlier_network_is_trained_with_that_network(tmp_path: Path) -> None:
    earlier = lay_out(tmp_path / "earlier", epochs="1", use_pretrained_model="False")
    run("train", "--root", str(earlier))
    root = lay_out(tmp_path / "later", epochs="1")
    (earlier / "model").rename(root / "input/data/model")
    assert "Continuing from the model in channel 'model'." in run("train", "--root", str(root))
    assert load_network(root / "model")[1]["_network"] == "compact"


def test_a_checkpoint_of_the_earlier_network_is_resumed(tmp_path: Path) -> None:
    root = lay_out(tmp_path, epochs="1", use_pretrained_model="False")
    run("train", "--root", str(root))
    path = root / "checkpoints/checkpoint.pt"
    content = torch.load(path, weights_only=True)
    content["configuration"]["use_pretrained_model"] = "True"  # as version 0.1.0 wrote it
    write_atomically(path, content)
    lay_out(tmp_path / "other", epochs="3")
    (root / "input/config/hyperparameters.json").write_bytes(
        (tmp_path / "other/input/config/hyperparameters.json").read_bytes()
    )
    assert "Resuming from" in run("train", "--root", str(root))


def test_training_continues_from_a_model_with_another_crop_size(tmp_path: Path) -> None:
    """Without crop_size the size depends on the images, and may differ from that of the earlier job."""
    h = parse(BASE)
    earlier, later = (choose(h, has_gpu=False, pictures=p) for p in (ImageSizes(128, 640), ImageSizes(256, 640)))
    model = PretrainedNetwork("fcn", 3)
    kept = {"algorithm": "fcn", "backbone": h.backbone, "num_classes": "3", "_network": earlier.network}
    channel = tmp_path / "input/data/model"
    write_settings(channel, {**kept, "_crop_size": str(earlier.crop_size), "_inference_size": "384"})
    write_atomically(channel / BEST, model.state_dict())
    continue_from(PretrainedNetwork("fcn", 3), Folders(tmp_path), h, later)
    with pytest.raises(ClientError, match="crop_size"):
        continue_from(model, Folders(tmp_path), parse({**BASE, "crop_size": "320"}), later)
