"""How a server behaves: the options that `gtseg local up` and `gtseg local exec` share, each described once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Self

import typer

__all__ = ["ServerOptions", "read_values"]


def read_values(text: str, flag: str) -> tuple[int, ...]:
    """The mask values of an option like 0-10 or 1,3; none for "". Raises ValueError naming the option."""
    if not text:
        return ()
    from gtseg.local.labeling.numbers import parse_values

    try:
        return parse_values(text)
    except ValueError:
        raise ValueError(f"{flag} {text}: want different values from 0 to 255, like 0-10 or 1,3.") from None


def check_outline_models(paths: list[Path]) -> None:
    """Raises ValueError naming --outline-model where its files are no model that is known, or cannot be run here."""
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
        raise ValueError(f"--outline-model: {kind} needs ONNX Runtime: pip install 'gtseg[onnx]'.")


@dataclass(frozen=True)
class ServerOptions:
    """Options of one server; nothing here is kept in the data folder."""

    train_seconds: Annotated[
        float | None,
        typer.Option(help="Most wall-clock seconds of a training job. Default: as many as it needs."),
    ] = None
    faults: Annotated[Path | None, typer.Option(help="JSON file of faults to inject (for tests).")] = None
    max_jobs: Annotated[int, typer.Option(min=1, help="Training jobs that run at once.")] = 1
    outline_model: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE...",
            help="ONNX files that outline objects on the labeling page instead of gtseg's own network: encoder and decoder of SAM 1, "
            "MobileSAM or SAM 2, EfficientSAM, or one model of DEXTR's type. In any order.",
        ),
    ] = None
    automated_objects: Annotated[
        int,
        typer.Option(
            min=20,
            help="Fewest data objects of automated labeling. Ground Truth's is the default; `gtseg label` itself sends no fewer.",
        ),
    ] = 1250
    crowd_masks: Annotated[
        Path | None,
        typer.Option(
            help="Folder of index masks: simulated workers label every job that starts. Value i is the job's i-th label, 0 the "
            "background, 255 void (a job's label named void takes it); masks of 0 and 255 alone hold one class."
        ),
    ] = None
    crowd_workers: Annotated[int, typer.Option(min=1, max=100, help="How many simulated workers.")] = 3
    crowd_error: Annotated[
        float,
        typer.Option(min=0, max=1, help="Fraction of the marked area that each one gets wrong; 0: exact masks."),
    ] = 0.05
    crowd_seed: Annotated[int, typer.Option(help="Other seeds make other mistakes.")] = 0
    crowd_label_values: Annotated[
        str,
        typer.Option(
            metavar="VALUES",
            help="The mask values of the job's labels in their order, like 0-10 or 1,3. [default: 1, 2, ...]",
        ),
    ] = ""
    crowd_void: Annotated[
        int | None, typer.Option(min=0, max=255, metavar="VALUE", help="The mask value that is void.")
    ] = None
    crowd_drop_void: Annotated[
        bool,
        typer.Option("--crowd-drop-void", help="Void becomes background in jobs without a label named void."),
    ] = False

    def check(self) -> Self:
        """The same options with absolute paths. Raises ValueError naming the option that cannot be."""
        if self.crowd_masks is not None and not self.crowd_masks.is_dir():
            raise ValueError(f"--crowd-masks {self.crowd_masks} is not a folder.")
        if self.faults is not None and not self.faults.is_file():
            raise ValueError(f"--faults {self.faults} is not a file.")
        if self.train_seconds is not None and self.train_seconds <= 0:
            raise ValueError(f"--train-seconds {self.train_seconds} must be more than 0.")
        if self.crowd_masks is None and any(name.startswith("crowd_") for name, _ in self.changed()):
            raise ValueError("--crowd-workers, --crowd-error and the other --crowd-* need --crowd-masks.")
        read_values(self.crowd_label_values, "--crowd-label-values")
        check_outline_models(self.outline_model or [])
        return replace(
            self,
            outline_model=[path.absolute() for path in self.outline_model] if self.outline_model else None,
            crowd_masks=self.crowd_masks and self.crowd_masks.absolute(),
            faults=self.faults and self.faults.absolute(),
        )

    def changed(self) -> Iterator[tuple[str, object]]:
        """(field, value) of every option that is not at its default."""
        for field in fields(ServerOptions):
            value = getattr(self, field.name)
            if value != field.default:
                yield field.name, value

    def flags(self) -> list[str]:
        """The command line of these options; `check` has made paths absolute."""
        return [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
            for name, values in self.changed()
            for value in (values if isinstance(values, list) else [values])
        ]
