"""Python library of gtseg: from unlabeled images to a measured, deployed segmentation model.

    import gtseg

    project = gtseg.Project.open("gtseg.toml")
    run = project.run("turtles")
    run.label()
    run.watch()
    run.dataset()
    run.train()
    run.deploy()
    predictions = run.predict("photos/")
    run.evaluate()
    run.report()

Each method runs the command of the same name through the same functions and returns a typed result, which a notebook
displays with its images. The names in `__all__` follow semantic versioning; everything else in the package may change.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gtseg.version import __version__

if TYPE_CHECKING:
    from gtseg.errors import GtsegError
    from gtseg.library.data import ChannelDataset
    from gtseg.library.evaluation import evaluate
    from gtseg.library.figures import Figure, Picture
    from gtseg.library.manifests import LabeledImage, Manifest, read_manifest
    from gtseg.library.project import Project, ProjectRun
    from gtseg.library.results import (
        Dataset,
        Endpoint,
        Evaluation,
        Labeling,
        Prediction,
        Predictions,
        Report,
        Training,
    )

_MODULES = {
    "Project": "project",
    "ProjectRun": "project",
    "Labeling": "results",
    "Dataset": "results",
    "Training": "results",
    "Endpoint": "results",
    "Prediction": "results",
    "Predictions": "results",
    "Evaluation": "results",
    "Report": "results",
    "read_manifest": "manifests",
    "Manifest": "manifests",
    "LabeledImage": "manifests",
    "evaluate": "evaluation",
    "Figure": "figures",
    "Picture": "figures",
    "ChannelDataset": "data",
}
"""Modules of gtseg.library, imported on first use of one of their names, so that `import gtseg` stays fast."""

__all__ = [
    "ChannelDataset",
    "Dataset",
    "Endpoint",
    "Evaluation",
    "Figure",
    "GtsegError",
    "LabeledImage",
    "Labeling",
    "Manifest",
    "Picture",
    "Prediction",
    "Predictions",
    "Project",
    "ProjectRun",
    "Report",
    "Training",
    "__version__",
    "evaluate",
    "read_manifest",
]


def __getattr__(name: str) -> Any:
    if name == "GtsegError":
        return import_module("gtseg.errors").GtsegError
    if name not in _MODULES:
        raise AttributeError(f"module 'gtseg' has no attribute {name!r}")
    return getattr(import_module(f"gtseg.library.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
