"""Typed layer of `import gtseg` over the functions behind the commands."""
