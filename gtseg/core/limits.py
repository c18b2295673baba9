"""AWS's limits and patterns, shared by request builders and settings.

Source: the API's shapes and doc strings (botocore's service model) and the developer guide.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

HOUR, DAY = 3600, 86400
_ARN = r"^arn:aws[a-z\-]*"

RoleArn = Annotated[
    str, Field(pattern=_ARN + r":iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$", min_length=20, max_length=2048)
]
WorkteamArn = Annotated[str, Field(pattern=_ARN + r":sagemaker:[a-z0-9\-]*:[0-9]{12}:workteam/.*$", max_length=256)]
ModelArn = Annotated[str, Field(pattern=_ARN + r":sagemaker:[a-z0-9\-]*:[0-9]{12}:model/.*$", max_length=2048)]
KmsKey = Annotated[str, Field(pattern=r"^[a-zA-Z0-9:/_-]*$", max_length=2048)]
S3Uri = Annotated[str, Field(pattern=r"^s3://[^/]+/.+$", max_length=1024)]
Identifier = Annotated[str, Field(pattern=r"^[-0-9a-zA-Z]+$", max_length=32)]
"""ID of a subnet or a security group."""
Subnets = Annotated[tuple[Identifier, ...], Field(max_length=16)]
SecurityGroups = Annotated[tuple[Identifier, ...], Field(max_length=5)]

LABELS = 255
"""Maximum labels of a job: a mask has one byte per pixel and 0 is the background."""
Description = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\r\n]+$")]
Keyword = Annotated[str, Field(max_length=30, pattern=r"^[A-Za-z0-9]+( [A-Za-z0-9]+)*$")]
Keywords = Annotated[tuple[Keyword, ...], Field(min_length=1, max_length=5)]
WorkersPerObject = Annotated[int, Field(ge=1, le=9)]
ConcurrentTasks = Annotated[int, Field(ge=1, le=5000)]
LabeledObjects = Annotated[int, Field(ge=1)]
LabeledPercent = Annotated[int, Field(ge=1, le=100)]
TASK_TIME: Any = Field(ge=30, le=8 * HOUR)
"""Seconds that a worker has for a task (minimum, maximum)."""
TASK_LIFETIME: Any = Field(ge=60, le=30 * DAY)
"""Seconds that a task waits for workers (minimum, maximum)."""
PRICES = ("0.84", "0.96", "1.08", "1.20")
"""Prices of the public crowd for semantic segmentation, USD per worker and object (PublicWorkforceTaskPrice)."""
FREE_OF_PII = "FreeOfPersonallyIdentifiableInformation"
AUTOMATED_LABELS = 20
"""Maximum labels of automated labeling."""
