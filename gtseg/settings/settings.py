"""Settings: one field per table of gtseg.toml. A new table needs one module and one field here."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from gtseg.settings.budget import Budget
from gtseg.settings.dataset import Dataset
from gtseg.settings.hosting import Batch, Deploy, Evaluate, Predict, Serve
from gtseg.settings.images import Images
from gtseg.settings.labeling import Labeling
from gtseg.settings.project import Project
from gtseg.settings.table import Table
from gtseg.settings.training import Train, Tune


class Settings(Table):
    project: Project
    images: Images = Images()
    labeling: Labeling = Labeling()
    dataset: Dataset = Dataset()
    train: Train = Train()
    tune: Tune = Tune()
    deploy: Deploy = Deploy()
    predict: Predict = Predict()
    batch: Batch = Batch()
    evaluate: Evaluate = Evaluate()
    serve: Serve = Serve()
    budget: Budget = Budget()

    folder: Path = Field(Path(), exclude=True)
    """Folder of gtseg.toml, to which its paths are relative. Not a key of the file."""
