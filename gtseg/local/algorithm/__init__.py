"""The semantic segmentation container on PyTorch: what AWS's built-in algorithm does, on this machine.

It knows a SageMaker container's folders (see `folders`) and the contract of the built-in algorithm, and nothing else:
it imports nothing of gtseg but itself and is run as its own process, `python -m gtseg.local.algorithm train|serve`.
"""
