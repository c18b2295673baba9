"""Multi-factor authentication: the code is asked for on a terminal, and the session is kept where the AWS CLI keeps its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["ask_on_terminal"]

CACHE = Path("~/.aws/cli/cache")
"""The AWS CLI's: one code serves both for an hour."""


def ask_on_terminal(session: Any) -> None:
    """Let a botocore session ask for an MFA code only where somebody can answer."""
    from botocore.credentials import JSONFileCache

    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider._prompter = _ask
    provider.cache = JSONFileCache(os.path.expanduser(CACHE))


def _ask(words: str) -> str:
    from botocore.exceptions import CredentialRetrievalError

    if not sys.stdin.isatty():
        raise CredentialRetrievalError(
            provider="assume-role",
            error_msg="the profile wants an MFA code, and there is no terminal to ask on",
        )
    from getpass import getpass

    return getpass(words)
