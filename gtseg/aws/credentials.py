"""Multi-factor authentication: prompt for the code on a terminal and cache the session in the AWS CLI's cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

CACHE = Path("~/.aws/cli/cache")
"""Cache folder of the AWS CLI: one code serves both programs for an hour."""


def ask_on_terminal(session: Any) -> None:
    """Make a botocore session prompt for an MFA code only if standard input is a terminal."""
    from botocore.credentials import JSONFileCache

    provider = session.get_component("credential_provider").get_provider("assume-role")
    provider._prompter = _ask
    provider.cache = JSONFileCache(os.path.expanduser(CACHE))


def _ask(words: str) -> str:
    from botocore.exceptions import CredentialRetrievalError

    if not sys.stdin.isatty():
        raise CredentialRetrievalError(
            provider="assume-role",
            error_msg="the profile requires an MFA code, and there is no terminal to enter it on",
        )
    from getpass import getpass

    return getpass(words)
