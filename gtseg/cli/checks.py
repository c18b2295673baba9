"""Checks of arguments before a command runs: paths, S3 URIs and names of resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import typer

from gtseg.core.resource_names import find_name_problem
from gtseg.core.s3_uris import find_file_problem, find_path_problem, find_problem, is_path

T = TypeVar("T")


def location(value: T) -> T:
    """Callback of arguments that are paths or S3 URIs. Raises BadParameter for a mistyped URI."""
    return _checked(value, find_problem)


def file_location(value: T) -> T:
    """Callback of arguments that are paths of files or S3 URIs of objects. Raises BadParameter for another text."""
    return _checked(value, find_file_problem)


def run_or_folder(value: T) -> T:
    """Callback of arguments that are names of runs or paths of folders. Raises BadParameter for S3 URIs and URLs."""
    words = "must be the name of a run, or a folder on this machine; copy folders from S3 with `aws s3 sync`"
    return _checked(value, lambda text: "" if is_path(text) else words)


def resource_name(value: T) -> T:
    """Callback of arguments that are names of jobs or endpoints. Raises BadParameter for ARNs and URLs."""
    return _checked(value, find_name_problem)


def _checked(value: T, find: Callable[[str], str]) -> T:
    for text in _texts(value):
        if problem := find(text):
            raise typer.BadParameter(f"{text}: {problem}")
    return value


def _texts(value: object) -> Iterator[str]:
    """Yield the words of an argument that may be given several times, or not at all."""
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, str):
            yield one


def refuse_remote_paths(command: Any) -> None:
    """Let all `Path` arguments of a command and of its subcommands refuse S3 URIs and other URLs."""
    for inner in getattr(command, "commands", {}).values():
        refuse_remote_paths(inner)
    for parameter in command.params:
        parameter.process_value = _checked_process(parameter)


def _checked_process(parameter: Any) -> Callable[[Any, Any], Any]:
    """Return the parameter's conversion, with a check of the texts that it converts to `Path`.

    The text is checked, not the Path, which has lost a slash of s3://.
    """
    process = parameter.process_value

    def convert(context: Any, value: Any) -> Any:
        converted = process(context, value)
        several = converted if isinstance(converted, list | tuple) else [converted]
        if any(isinstance(one, Path) for one in several):
            for text in _texts(value):
                if problem := find_path_problem(text):
                    raise typer.BadParameter(f"{text}: {problem}", ctx=context, param=parameter)
        return converted

    return convert
