"""torch Dataset of a channel of a run. Needs torch, which the extra gtseg[local] installs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from gtseg.aws.clients import Clients
from gtseg.aws.s3 import S3
from gtseg.pipeline.run.pictures import read_image, read_mask_at

Pair = tuple[torch.Tensor, torch.Tensor]


class ChannelDataset(torch.utils.data.Dataset[Any]):
    """Pairs of (3, H, W) float32 pixels in 0 to 1 and (H, W) int64 class indices (255 is void), read from S3 on demand.

    Works with worker processes of a `torch.utils.data.DataLoader`: each process opens its own connections to S3.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        region: str | None = None,
        transform: Callable[[torch.Tensor, torch.Tensor], Any] | None = None,
    ) -> None:
        self.pairs, self.region, self.transform = list(pairs), region, transform
        self._s3: S3 | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Any:
        image, mask = self.pairs[index]
        pixels = np.asarray(read_image(image, self.s3), np.float32).transpose(2, 0, 1) / 255
        indices = read_mask_at(mask, self.s3).astype(np.int64)
        pair = torch.from_numpy(pixels.copy()), torch.from_numpy(indices)
        return self.transform(*pair) if self.transform else pair

    @property
    def s3(self) -> S3:
        """Connections of this process."""
        if self._s3 is None:
            self._s3 = S3(Clients(region=self.region))
        return self._s3

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_s3": None}
