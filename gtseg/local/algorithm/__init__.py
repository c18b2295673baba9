"""Semantic segmentation container on PyTorch: a local implementation of AWS's built-in algorithm.

It implements a SageMaker container's folders (see `container.Folders`) and the contract of the built-in algorithm. It
imports nothing of gtseg outside this package and runs as its own process, `python -m gtseg.local.algorithm
train|serve|score`.
"""
