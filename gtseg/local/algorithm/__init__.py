"""Semantic segmentation container on PyTorch: a local implementation of AWS's built-in algorithm.

It implements a SageMaker container's folders (see `container.Folders`) and the contract of the built-in algorithm. It
imports nothing of gtseg outside this package and runs as its own process, `python -m gtseg.local.algorithm
train|serve|score`.

`train` reads from top to bottom: `hyperparameters`, `recipe`, `data` (from `pairs`), `model`, `optimization`, `state`,
`log`. The subpackages hold the networks, loading of untrusted files, what the processor can do, and inference.
"""
