"""Examples at the end of each command's help. A test checks that the command line accepts every one of them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": (
        "gtseg init",
        "gtseg init cats/ --policies   # also least-privilege IAM policies",
    ),
    "run": ("gtseg run --yes", "gtseg run --settings cats/gtseg.toml --run second"),
    "status": ("gtseg status", "gtseg status --refresh --json"),
    "label": (
        "gtseg label --dry-run         # print the request; create nothing",
        "gtseg label --continue        # images without a good mask",
        "gtseg label --prelabel NAME   # workers correct the masks of endpoint NAME",
    ),
    "watch": ("gtseg watch",),
    "dataset": (
        "gtseg dataset",
        "gtseg dataset --manifest s3://bucket/job/manifests/output/output.manifest",
    ),
    "train": (
        "gtseg train --dry-run         # print the request; create nothing",
        "gtseg train --set train.hyperparameters.epochs=30",
    ),
    "tune": ("gtseg tune --set tune.max_jobs=6",),
    "deploy": (
        "gtseg deploy",
        "gtseg deploy --model s3://bucket/model.tar.gz --set deploy.image_uri=URI \\",
        "    --set deploy.content_type=image/png",
    ),
    "evaluate": (
        "gtseg evaluate",
        "gtseg evaluate --batch   # with a transform job, without an endpoint",
        "gtseg evaluate --predictions predicted/ --masks masks/ --labels cat,dog",
    ),
    "predict": (
        "gtseg predict photos/ --output predicted/ --overlays",
        "gtseg predict --batch s3://bucket/city/ --output s3://bucket/masks/ \\",
        "    --instances 4",
    ),
    "report": (
        "gtseg report",
        "gtseg report --export figures/   # SVG charts, PNG panels, CSV tables",
    ),
    "import masks": ("gtseg import masks photos/ masks/ --colors colors.json",),
    "import tiles": (
        "gtseg import tiles images/ labels/ --config dataset.toml",
        "gtseg import tiles --bbox 1.09,6.05,1.34,6.30 --zoom 15 \\",
        "    --imagery 'https://tiles.example/{z}/{x}/{y}.jpg' --features osm.geojson \\",
        "    --config config.json",
    ),
    "import geo": ("gtseg import geo PS-RGB/ geojson_buildings/ --chip 512",),
    "import coco": ("gtseg import coco photos/ instances.json",),
    "import yolo": ("gtseg import yolo dataset/",),
    "import cvat": ("gtseg import cvat images/ annotations.xml",),
    "import job": (
        "gtseg import job usb/field-label-1/   # copied with `aws s3 sync`",
        "gtseg import job s3://field/survey/labeling/survey-label-1/ --replace",
    ),
    "import label-studio": ("gtseg import label-studio images/ project-1.json",),
    "export": ("gtseg export coco coco/", "gtseg export masks masks/ --split"),
    "agreement": ("gtseg agreement", "gtseg agreement --gold known/"),
    "verify": ("gtseg verify --wait",),
    "adjust": ("gtseg adjust --bad   # only the masks that `gtseg verify` found bad",),
    "doctor": ("gtseg doctor",),
    "cost": ("gtseg cost",),
    "jobs": ("gtseg jobs --all",),
    "compare": ("gtseg compare fcn deeplab predicted/ --out compare.html",),
    "diff": ("gtseg diff first second",),
    "serve": ("gtseg serve",),
    "cleanup": ("gtseg cleanup --dry-run", "gtseg cleanup --orphans --yes"),
    "demo": (
        "gtseg demo                                       # generated images",
        "gtseg demo out --images photos/ --masks masks/   # your own images",
    ),
    "local up": (
        "gtseg local up",
        "gtseg local up --host 0.0.0.0 --name label.local --tls-cert cert.pem --tls-key key.pem",
        "gtseg local up --outline-model encoder.onnx decoder.onnx",
        "gtseg local up --s3 aws --only labeling",
        "gtseg local up --s3 https://minio.lan:9000 --s3-profile minio",
    ),
    "local exec": ("gtseg local exec -- gtseg run", "gtseg local exec -- aws s3 ls"),
    "local crowd": ("gtseg local crowd --masks masks/ --workers 5 --error 0.1",),
    "local owner": ("gtseg local owner",),
    "local outlines": ("gtseg local outlines",),
    "local profile": (
        "gtseg local profile labels --write",
        "gtseg local profile labels --at https://label.lan",
    ),
    "local backup": ("gtseg local backup /backups/monday",),
    "local restore": ("gtseg local restore /backups/monday --data /srv/gtseg",),
    "local check": ("gtseg local check", "gtseg local check --s3 --place s3://photos/2026/"),
    "local worker add": ("gtseg local worker add ada",),
    "local worker list": ("gtseg local worker list",),
    "local worker pause": ("gtseg local worker pause ada", "gtseg local worker pause ada --resume"),
    "local worker remove": ("gtseg local worker remove ada",),
}
"""Path of the command -> lines of its help; the text after ` # ` on a line is a comment."""
