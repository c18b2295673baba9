"""Outline models of the user as ONNX files; the kind of model is detected from the names of their inputs.

    SAM 1, MobileSAM    two files. Decoder: image_embeddings, point_coords, point_labels, mask_input, has_mask_input,
                        orig_im_size, as in `segment-anything`'s exporter. Encoder: one image, (1, 3, S, S) or
                        (height, width, 3).
    SAM 2, SAM 2.1      two files. Decoder: image_embed, high_res_feats_0, high_res_feats_1, point_coords, ...
                        (samexporter), or image_embeddings, image_features_0, image_features_1, ... (ONNX Runtime's
                        converter).
    EfficientSAM        one file with batched_images, batched_point_coords, batched_point_labels; or its encoder
                        (batched_images) and decoder (image_embeddings, batched_point_coords, ...), which makes further
                        clicks much faster.
    DEXTR               one file, one input (1, 4, 512, 512): see dextr.py.

The order of the files does not matter.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gtseg.local.labeling.autosegment.onnx_names import Graph, read_graph

MODEL_ENV = "GTSEG_AUTOSEGMENT_ONNX"
"""Environment variable with file names, separated as in PATH; the equivalent of --outline-model."""

Kind = Literal["DEXTR", "SAM 1", "SAM 2", "EfficientSAM"]

ENCODER_INPUTS = frozenset({"input_image", "image", "images", "x", "input"})
SAM1_DECODER = frozenset(
    {"image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"}
)
SAM2_ALIASES = {
    "image_embeddings": "image_embed",
    "image_features_0": "high_res_feats_0",
    "image_features_1": "high_res_feats_1",
    "input_masks": "mask_input",
    "has_input_masks": "has_mask_input",
    "original_image_size": "orig_im_size",
}
"""ONNX Runtime's names for SAM 2's inputs -> those of samexporter."""
SAM2_EMBEDDING = frozenset({"image_embed", "high_res_feats_0", "high_res_feats_1"})
SAM2_DECODER = SAM2_EMBEDDING | SAM1_DECODER - {"image_embeddings"}
CLICKS = frozenset({"point_coords", "point_labels"})
EFFICIENT_CLICKS = frozenset({"batched_point_coords", "batched_point_labels"})
EFFICIENT_WHOLE = EFFICIENT_CLICKS | {"batched_images"}
EFFICIENT_DECODER = EFFICIENT_CLICKS | {"image_embeddings", "orig_im_size"}


@dataclass(frozen=True)
class Choice:
    """The files of a model: `encoder` takes the image, `decoder` the clicks; a single file is both."""

    kind: Kind
    encoder: Path
    decoder: Path
    graphs: tuple[Graph, Graph]
    """Inputs and outputs of the encoder and of the decoder."""

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.encoder,) if self.encoder == self.decoder else (self.encoder, self.decoder)


def models_of_environment() -> tuple[Path, ...]:
    """Return the files named in the environment variable."""
    return tuple(Path(name) for name in os.environ.get(MODEL_ENV, "").split(os.pathsep) if name)


def choose_kind(paths: Sequence[Path]) -> Choice:
    """Detect the kind of model of the files.

    Raises ValueError with the files, the names of their inputs, and the supported models.
    """
    graphs = {path: read(path) for path in paths}
    if len(graphs) == 1:
        ((path, graph),) = graphs.items()
        if set(graph.inputs) >= EFFICIENT_WHOLE:
            return Choice("EfficientSAM", path, path, (graph, graph))
        if is_dextr(graph):
            return Choice("DEXTR", path, path, (graph, graph))
    if len(graphs) == 2:
        for encoder, decoder in (tuple(graphs), tuple(graphs)[::-1]):
            kind = pair_kind(graphs[encoder], graphs[decoder])
            if kind is not None:
                return Choice(kind, encoder, decoder, (graphs[encoder], graphs[decoder]))
    raise ValueError(refusal(graphs))


def read(path: Path) -> Graph:
    """Read a file's inputs and outputs. Raises ValueError with the file's name."""
    try:
        return read_graph(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ValueError(f"{path} {error}.") from None


def is_dextr(graph: Graph) -> bool:
    """Return whether the model has one input with four planes, or with an open shape."""
    if len(graph.inputs) != 1:
        return False
    (shape,) = graph.inputs.values()
    return not shape or (len(shape) == 4 and shape[1] in (4, None))


def is_encoder(graph: Graph) -> bool:
    """Return whether the model has one image input, as the encoder of SAM has."""
    if len(graph.inputs) != 1:
        return False
    ((name, shape),) = graph.inputs.items()
    return name in ENCODER_INPUTS and (len(shape) == 3 or (len(shape) == 4 and shape[1] in (3, None)))


def pair_kind(encoder: Graph, decoder: Graph) -> Kind | None:
    """Return the kind of model that the two files form; None if they do not match."""
    names = set(decoder.inputs)
    if set(encoder.inputs) == {"batched_images"}:
        fits = EFFICIENT_CLICKS | {"image_embeddings"} <= names <= EFFICIENT_DECODER
        return "EfficientSAM" if fits else None
    if not is_encoder(encoder):
        return None
    if CLICKS | {"image_embeddings"} <= names <= SAM1_DECODER:
        return "SAM 1"
    plain = {SAM2_ALIASES.get(name, name) for name in names}
    if CLICKS | SAM2_EMBEDDING <= plain <= SAM2_DECODER:
        return "SAM 2" if embedding_names(decoder) <= set(encoder.outputs) else None
    return None


def embedding_names(decoder: Graph) -> set[str]:
    """Return the names of a SAM 2 decoder's inputs that come from its encoder."""
    return {name for name in decoder.inputs if SAM2_ALIASES.get(name, name) in SAM2_EMBEDDING}


def refusal(graphs: dict[Path, Graph]) -> str:
    """Return the error message for files that form no supported model."""
    found = "; ".join(f"{path.name} takes {describe(graph)}" for path, graph in graphs.items())
    if len(graphs) == 1:
        (graph,) = graphs.values()
        if is_encoder(graph) or set(graph.inputs) == {"batched_images"}:
            return f"{found}: this is the encoder of a SAM model; add its decoder."
        if CLICKS.issubset(graph.inputs) or EFFICIENT_CLICKS.issubset(graph.inputs):
            return f"{found}: this is the decoder of a SAM model; add its encoder."
    return (
        f"{found}. These are not the inputs of a supported model: SAM 1 or MobileSAM (an encoder, and a decoder with "
        f"the inputs {', '.join(sorted(SAM1_DECODER))}), SAM 2 (an encoder, and a decoder with the inputs "
        f"{', '.join(sorted(SAM2_DECODER))}), EfficientSAM ({', '.join(sorted(EFFICIENT_WHOLE))}, or its encoder and "
        "decoder), DEXTR (one input 1 x 4 x 512 x 512)."
    )


def describe(graph: Graph) -> str:
    def one(name: str) -> str:
        sizes = " x ".join("?" if size is None else str(size) for size in graph.inputs[name])
        return f"{name} ({sizes})" if sizes else name

    return ", ".join(one(name) for name in graph.inputs) or "no input"
