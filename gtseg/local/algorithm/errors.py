"""Why a job fails: what the user gave (ClientError) or what went wrong here (AlgorithmError)."""

from __future__ import annotations


class ClientError(Exception):
    """The data or the hyperparameters cannot be used; the message names them and the way out."""


class AlgorithmError(Exception):
    """The algorithm itself could not go on."""


class Stopped(BaseException):
    """SIGTERM: save and leave. A BaseException, so that no `except Exception` swallows it."""
