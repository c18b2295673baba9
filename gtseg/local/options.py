"""Options of a server, which `gtseg local up` and `exec` share, and of a simulated crowd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Self

import typer


def read_values(text: str, flag: str) -> tuple[int, ...]:
    """Parse mask values such as 0-10 or 1,3; () for "". Raises ValueError naming the option."""
    if not text:
        return ()
    from gtseg.local.labeling.mask_values import parse_values

    try:
        return parse_values(text)
    except ValueError:
        raise ValueError(f"{flag} {text}: must be distinct values from 0 to 255, e.g. 0-10 or 1,3.") from None


def _check_outline_models(paths: list[Path]) -> None:
    """Check the files of --outline-model. Raises ValueError for an unknown model or a missing runtime."""
    if not paths:
        return
    from gtseg.local.labeling.autosegment.onnx_session import has_onnxruntime
    from gtseg.local.labeling.autosegment.outline_models import choose_kind

    for path in paths:
        if not path.is_file():
            raise ValueError(f"--outline-model {path} is not a file.")
    try:
        kind = choose_kind(paths).kind
    except ValueError as error:
        raise ValueError(f"--outline-model: {error}") from None
    if kind != "DEXTR" and not has_onnxruntime():
        raise ValueError(f"--outline-model: {kind} requires ONNX Runtime: pip install 'gtseg[onnx]'.")


MASKS_HELP = (
    "Value i is the job's i-th label, 0 the background, 255 void (a job's label named void takes it); masks with only "
    "0 and 255 have one class."
)
DROP_VOID_HELP = "In jobs without a label named void, void becomes background."
Workers = Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Number of simulated workers.")]
ErrorFraction = Annotated[
    float,
    typer.Option(
        metavar="FRACTION",
        min=0,
        max=1,
        help="Fraction of the marked area that each worker gets wrong; 0: exact masks.",
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Random seed of the errors.")]
LabelValues = Annotated[
    str,
    typer.Option(
        metavar="VALUES",
        help="Mask values of the job's labels in order, e.g. 0-10 or 1,3. [default: 1, 2, ...]",
    ),
]
VoidValue = Annotated[int | None, typer.Option(min=0, max=255, metavar="VALUE", help="Mask value that means void.")]


@dataclass(frozen=True)
class CrowdOptions:
    """Behavior of a crowd of simulated workers; `ServerOptions` has most of it under the prefix crowd_."""

    masks: Annotated[Path, typer.Option(metavar="FOLDER", help=f"Folder of index masks. {MASKS_HELP}")]
    workers: Workers = 3
    error: ErrorFraction = 0.05
    seed: Seed = 0
    decline: Annotated[
        float, typer.Option(metavar="FRACTION", min=0, max=1, help="Fraction of tasks that each worker declines.")
    ] = 0.0
    slow: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Mean seconds per task; varies between workers.")
    ] = 0.0
    label_values: LabelValues = ""
    void: VoidValue = None
    drop_void: Annotated[bool, typer.Option("--drop-void", help=DROP_VOID_HELP)] = False


@dataclass(frozen=True)
class ServerOptions:
    """Options of a server; none is stored in the data folder."""

    train_seconds: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Time limit of a training job in seconds. Default: none."),
    ] = None
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML or JSON file of faults to inject (for tests).")
    ] = None
    max_jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Training jobs that run concurrently.")] = 1
    outline_model: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE...",
            help="ONNX files that outline objects on the labeling page instead of gtseg's own network: encoder and "
            "decoder of SAM 1, MobileSAM, SAM 2 or EfficientSAM, or one model of DEXTR's type. In any order.",
        ),
    ] = None
    automated_objects: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=20,
            help="Minimum data objects of an automated labeling job. The default is Ground Truth's; `gtseg label` "
            "never sends fewer.",
        ),
    ] = 1250
    crowd_masks: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help=f"Folder of index masks: simulated workers label every job that starts. {MASKS_HELP}"
        ),
    ] = None
    crowd_workers: Workers = CrowdOptions.workers
    crowd_error: ErrorFraction = CrowdOptions.error
    crowd_seed: Seed = CrowdOptions.seed
    crowd_label_values: LabelValues = CrowdOptions.label_values
    crowd_void: VoidValue = CrowdOptions.void
    crowd_drop_void: Annotated[bool, typer.Option("--crowd-drop-void", help=DROP_VOID_HELP)] = CrowdOptions.drop_void

    def check(self) -> Self:
        """Return the options with absolute paths. Raises ValueError naming an invalid option."""
        if self.crowd_masks is not None and not self.crowd_masks.is_dir():
            raise ValueError(f"--crowd-masks {self.crowd_masks} is not a folder.")
        if self.faults is not None and not self.faults.is_file():
            raise ValueError(f"--faults {self.faults} is not a file.")
        if self.train_seconds is not None and self.train_seconds <= 0:
            raise ValueError(f"--train-seconds {self.train_seconds} must be greater than 0.")
        if self.crowd_masks is None and any(name.startswith("crowd_") for name, _ in self.changed()):
            raise ValueError("--crowd-workers, --crowd-error and the other --crowd-* options require --crowd-masks.")
        read_values(self.crowd_label_values, "--crowd-label-values")
        _check_outline_models(self.outline_model or [])
        return replace(
            self,
            outline_model=[path.absolute() for path in self.outline_model] if self.outline_model else None,
            crowd_masks=self.crowd_masks and self.crowd_masks.absolute(),
            faults=self.faults and self.faults.absolute(),
        )

    def changed(self) -> Iterator[tuple[str, object]]:
        """Yield (field, value) of every option that differs from its default."""
        for field in fields(ServerOptions):
            value = getattr(self, field.name)
            if value != field.default:
                yield field.name, value

    def flags(self) -> list[str]:
        """Return the command-line arguments for these options; `check` has made paths absolute."""
        return [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
            for name, values in self.changed()
            for value in (values if isinstance(values, list) else [values])
        ]
