"""Results of the methods of a run: frozen values with tables, arrays and pictures, which a notebook displays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from gtseg.core.charts import bar_chart, confusion_chart, training_curves
from gtseg.core.masks import draw_overlay
from gtseg.core.s3_uris import require_path
from gtseg.core.training.channels import channel_uri
from gtseg.errors import GtsegError, SettingsError, StageError
from gtseg.library.figures import Figure, Picture, strip
from gtseg.library.manifests import Manifest, read_manifest
from gtseg.library.tables import html_table, make_table
from gtseg.pipeline.commands.predict import classes_of
from gtseg.pipeline.run import DatasetSection, EvaluationSection
from gtseg.pipeline.run.pictures import read_image, read_mask_at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gtseg.core.masks import Classes
    from gtseg.library.data import ChannelDataset
    from gtseg.pipeline.run import Context, Run


SHOWN = 4
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Labeling:
    """Last known state of the run's labeling job."""

    name: str
    status: str
    objects: int
    counters: dict[str, int]
    """LabelCounters: TotalLabeled, HumanLabeled, FailedNonRetryableError, Unlabeled, ..."""
    output_manifest: str | None
    """s3:// URI, once the job has one."""
    label_attribute: str

    def manifest(self) -> Manifest:
        """Return its labels. Raises StageError before there are any."""
        if self.output_manifest is None:
            raise StageError(
                f"{self.name} has no output manifest yet ({self.status}): call watch() and wait for its end"
            )
        return read_manifest(self.output_manifest, label_attribute=self.label_attribute)

    def _repr_html_(self) -> str:
        rows = [{"labeling job": self.name, "status": self.status, "objects": self.objects, **self.counters}]
        return html_table(rows)


@dataclass(frozen=True)
class Dataset:
    """Channels of the run: the input of training, validation and test."""

    classes: tuple[str, ...]
    """Names by class index; 0 is BACKGROUND."""
    counts: dict[str, int]
    """Number of objects by train, validation, test, rejected, failed, unlabeled."""
    channels: str
    """s3:// URI of the folder of all channels."""
    _run: Run = field(repr=False)
    _context: Context = field(repr=False)

    def torch(self, split: str = "train", *, transform: Any = None) -> ChannelDataset:
        """Return a `torch.utils.data.Dataset` of one channel.

        Items are (3, H, W) float32 in 0 to 1 and (H, W) int64 class indices. `split` is train, validation or test.
        `transform` receives both tensors and returns the item. Files are read from S3 on access, in each worker of a
        DataLoader separately.
        """
        from gtseg.library.data import ChannelDataset

        pairs = self.files(split)
        return ChannelDataset(pairs, region=self._context.clients.region, transform=transform)

    def files(self, split: str = "train") -> list[tuple[str, str]]:
        """Return the (image, annotation) URIs of one channel by name. Raises SettingsError for an unknown split."""
        if split not in SPLITS:
            raise SettingsError(f"split = {split!r}: must be one of {', '.join(SPLITS)}")
        images = _stems(channel_uri(self.channels, split), self._context)
        masks = _stems(channel_uri(self.channels, f"{split}_annotation"), self._context)
        return [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]

    def example(self, number: int = 0, *, split: str = "train") -> Picture:
        """Return one image of a channel with its mask drawn over it."""
        image, mask = self.files(split)[number]
        s3 = self._context.s3
        drawn = draw_overlay(read_image(image, s3), read_mask_at(mask, s3), self._classes)
        return Picture(drawn, _stem(image))

    def table(self) -> Any:
        """Return the number of objects in each split. pandas if installed, else dicts."""
        return make_table(self._rows)

    @cached_property
    def _classes(self) -> Classes:
        return classes_of(self._run, self._context.s3)

    @property
    def _rows(self) -> list[dict[str, Any]]:
        return [{"part": part, "objects": count} for part, count in self.counts.items()]

    def _repr_html_(self) -> str:
        count = min(SHOWN, self.counts.get("train", 0))
        pictures = [self.example(number) for number in range(count)]
        return html_table(self._rows) + f"<p>{escape(', '.join(self.classes))}</p>" + strip(pictures)


@dataclass(frozen=True)
class Training:
    """Training job of the run."""

    name: str
    status: str
    model_artifact: str | None
    """s3:// URI of model.tar.gz."""
    hyperparameters: dict[str, str]
    best: dict[str, Any] | None
    """Epoch whose model is kept: number, train_loss, miou, pixel_accuracy."""
    epochs: tuple[dict[str, Any], ...]

    def table(self) -> Any:
        """Return a row per epoch: number, train_loss, miou, pixel_accuracy, ... pandas if installed, else dicts."""
        return make_table(self.epochs)

    @property
    def curves(self) -> dict[str, Figure]:
        """Return the charts `loss` and `validation` by epoch."""
        best = self.best["number"] if self.best else None
        drawn = training_curves(self.epochs, best=best)
        titles = {"loss": "training loss", "validation": "validation mIoU and pixel accuracy"}
        return {name: Figure(svg, titles[name]) for name, svg in drawn.items() if svg}

    def _repr_html_(self) -> str:
        best = self.best or {}
        rows = [
            {
                "training job": self.name,
                "status": self.status,
                "epochs": len(self.epochs),
                "best mIoU": best.get("miou"),
            }
        ]
        return html_table(rows) + "".join(figure._repr_html_() for figure in self.curves.values())


@dataclass(frozen=True)
class Endpoint:
    """Endpoint of the run's model. It costs money until `cleanup()`."""

    name: str
    status: str
    instance_type: str
    instance_count: int

    def _repr_html_(self) -> str:
        on = f"{self.instance_count} x {self.instance_type}"
        return html_table([{"endpoint": self.name, "status": self.status, "on": on}])


@dataclass(frozen=True)
class Prediction:
    """Image and its predicted mask."""

    name: str
    image_uri: str
    mask_uri: str
    _context: Context = field(repr=False)
    _classes: Classes = field(repr=False)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Return (H, W) uint8 class indices, of the image's own size."""
        return read_mask_at(self.mask_uri, self._context.s3)

    @property
    def image(self) -> Picture:
        """Return the photograph."""
        return Picture(read_image(self.image_uri, self._context.s3), self.name)

    @property
    def overlay(self) -> Picture:
        """Return the photograph with the mask drawn over it."""
        return Picture(draw_overlay(self.image.pillow, self.mask, self._classes), self.name)

    def _repr_png_(self) -> bytes:
        return self.overlay._repr_png_()


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """Predicted masks of many images, in the order in which the images were found."""

    output: str
    """Folder or s3:// prefix of the masks."""
    failed: dict[str, str]
    """Image -> reason why it has no mask."""
    classes: tuple[str, ...]
    _items: tuple[Prediction, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | list[Prediction]:
        return list(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self._items)

    def table(self) -> Any:
        """Return a row per image: its mask, or the reason why it has none. pandas if installed, else dicts."""
        rows = [{"image": one.image_uri, "mask": one.mask_uri, "failed": None} for one in self._items]
        rows += [{"image": image, "mask": None, "failed": reason} for image, reason in self.failed.items()]
        return make_table(rows)

    def _repr_html_(self) -> str:
        rows = [{"masks": len(self._items), "failed": len(self.failed), "in": self.output}]
        return html_table(rows) + strip([one.overlay for one in self._items[:SHOWN]])


@dataclass(frozen=True)
class Evaluation:
    """Scores of predictions against reference masks. An unknown score is None."""

    miou: float | None
    """Mean, over the classes that occur, of the IoU of all pixels of the set."""
    pixel_accuracy: float | None
    images: int
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    """(C, C) pixels: rows are the labels, columns the predictions."""
    missing: tuple[str, ...]
    """Images that are not scored."""
    section: EvaluationSection = field(repr=False)
    """All measurements, including intervals."""

    @classmethod
    def of(cls, section: EvaluationSection) -> Evaluation:
        """Convert the scores of a run or of `gtseg.evaluate`."""
        import numpy as np

        confusion = np.array(section.confusion, np.int64).reshape(len(section.classes), len(section.classes))
        names = tuple(one.name for one in section.classes)
        return cls(section.miou, section.pixel_accuracy, section.images, names, confusion, section.missing, section)

    def table(self) -> Any:
        """Return a row per class: iou, precision, recall, f1, boundary_f1, pixels. pandas if installed, else dicts."""
        return make_table(self._rows)

    @property
    def confusion_matrix(self) -> Figure:
        """Return the confusion matrix as a chart: each row's shares in percent."""
        return Figure(
            confusion_chart(self.confusion.tolist(), self.classes),
            "confusion matrix, percent of each true class",
        )

    @property
    def iou(self) -> Figure:
        """Return a bar chart of the IoU of each class."""
        return Figure(
            bar_chart([(one.name, one.iou) for one in self.section.classes], label="IoU by class"),
            "IoU by class",
        )

    @property
    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "class": one.name,
                "iou": one.iou,
                "precision": one.precision,
                "recall": one.recall,
                "f1": one.f1,
                "boundary_f1": one.boundary_f1,
                "pixels": one.truth_pixels,
            }
            for one in self.section.classes
        ]

    def _repr_html_(self) -> str:
        span = self.section.intervals.get("miou")
        interval = f"{span[0]:.3f} to {span[1]:.3f}" if span else None
        head = [
            {
                "mIoU": self.miou,
                "95 % interval": interval,
                "pixel accuracy": self.pixel_accuracy,
                "images": self.images,
                "missing": len(self.missing),
            }
        ]
        return html_table(head) + html_table(self._rows) + self.confusion_matrix._repr_html_()


@dataclass(frozen=True)
class Report:
    """Report of the run: one self-contained page."""

    address: str
    """s3:// URI of report.html."""
    html: str = field(repr=False)
    """HTML text of the page."""

    def save(self, path: str | Path) -> Path:
        """Write the page to a file."""
        target = Path(require_path(str(path), "path"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.html, encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return f"<iframe srcdoc='{escape(self.html, quote=True)}' "


"style='width:100%;height:600px;border:1px solid #ccc'></iframe>"


def _stems(uri: str, context: Context) -> dict[str, str]:
    bucket = uri.split("/")[2]
    keys = (item.key for item in context.s3.list_objects(uri) if not item.key.endswith("/"))
    return {_stem(key): f"s3://{bucket}/{key}" for key in keys}


def _stem(uri: str) -> str:
    return uri.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def section_needed(section: Any, what: str) -> Any:
    """Return a section that its stage has just written."""
    if section is None:
        raise GtsegError(f"the run has no {what}")
    return section


def dataset_of(run: Run, context: Context) -> Dataset:
    """Return the run's dataset as a result."""
    data: DatasetSection = section_needed(run.dataset, "dataset")
    return Dataset(data.classes, dict(data.counts), data.channels, run, context)
