"""Loader of gtseg.toml, GTSEG_<TABLE>__<KEY> variables and flags: merge them, validate once, explain every error."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gtseg.core.s3_uris import require_path
from gtseg.errors import SettingsError
from gtseg.settings.settings import Settings
from gtseg.settings.table import duration_text

FILE_NAME = "gtseg.toml"
PREFIX = "GTSEG_"
Keys = tuple[str, ...]
PROPER_NAMES = ("Ground Truth", "Mechanical Turk", "AWS", "S3")
"""Proper names that keep their capital at the start of a message."""


def settings_exist(environ: Mapping[str, str]) -> bool:
    """Return whether the default settings file of `load` exists."""
    return Path(environ.get("GTSEG_SETTINGS", FILE_NAME)).is_file()


def load(
    file: Path | None = None,
    *,
    environ: Mapping[str, str],
    flags: Sequence[tuple[str, Any]] = (),
) -> Settings:
    """Return the settings of one invocation.

    `file` defaults to ./gtseg.toml; `flags` are ("labeling.workers_per_object", 3) pairs, whose text values are parsed
    like those of environment variables. Raises SettingsError naming every wrong key, its value, its source and the
    allowed values.
    """
    name, text = ("settings file", str(file)) if file else ("GTSEG_SETTINGS", environ.get("GTSEG_SETTINGS", FILE_NAME))
    path = Path(require_path(text, name))
    values = _read(path)
    origin: dict[Keys, str] = {}
    for keys, value, source in [*_from_environment(environ), *_from_flags(flags)]:
        _put(values, keys, value=value, source=source)
        origin[keys] = source
    try:
        settings = Settings.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise SettingsError(_explain(error, path, origin)) from None
    return settings.model_copy(update={"folder": path.resolve().parent})


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        json.dumps(values)
    except FileNotFoundError:
        raise SettingsError(f"There is no {path}. `gtseg init` writes one here, with every key explained.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except TypeError as error:
        raise SettingsError(f"{path}: dates and times are not supported by any key ({error})") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if "folder" in values:
        raise SettingsError(f"{path}: unknown key folder. Paths are relative to the folder of the file.")
    return values


def _from_environment(environ: Mapping[str, str]) -> list[tuple[Keys, Any, str]]:
    """Return keys, value and source of each GTSEG_<TABLE>__<KEY> variable.

    Names without a double underscore, like GTSEG_SETTINGS, are not settings.
    """
    found = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and "__" in name:
            keys = tuple(name[len(PREFIX) :].lower().split("__"))
            found.append((keys, _parse(keys, environ[name]), f"environment variable {name}"))
    return found


def _from_flags(flags: Sequence[tuple[str, Any]]) -> list[tuple[Keys, Any, str]]:
    found = []
    for name, value in flags:
        keys = tuple(name.replace("-", "_").split("."))
        parsed = _parse(keys, value) if isinstance(value, str) else value
        found.append((keys, parsed, f"--set {name}"))
    return found


def _parse(keys: Keys, text: str) -> Any:
    """Parse text by the key's type: JSON or TOML unless the key is a string; commas separate list items."""
    if (kind := _annotation(keys)) is None or kind == "str":
        return text
    for read in (json.loads, _inline_toml):
        try:
            return read(text)
        except (ValueError, TypeError):
            continue
    return [part.strip() for part in text.split(",")] if kind == "list" and text.strip() else text


def _inline_toml(text: str) -> Any:
    """Parse an inline TOML table or array. Raises ValueError; TypeError for a date, which no key supports."""
    if not text.lstrip().startswith(("{", "[")):
        raise ValueError("neither a table nor an array")
    value = tomllib.loads(f"value = {text}")["value"]
    json.dumps(value)
    return value


def _annotation(keys: Keys) -> str | None:
    """Return 'str', 'list' or 'other' for a known key, None for an unknown one."""
    model: type[BaseModel] = Settings
    for key in keys[:-1]:
        field = model.model_fields.get(key)
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        model = kind
    if (field := model.model_fields.get(keys[-1])) is None:
        return None
    text = str(field.annotation)
    if "tuple" in text:
        return "list"
    return (
        "str" if ("str" in text and "dict" not in text) or "parse_duration" in str(field.metadata) + text else "other"
    )


def _is_duration(keys: Keys) -> bool:
    if len(keys) != 2:
        return False
    field = Settings.model_fields[keys[0]].annotation.model_fields.get(keys[1])  # type: ignore[union-attr]
    return field is not None and "parse_duration" in f"{field.annotation} {field.metadata}"


def _put(values: dict[str, Any], keys: Keys, *, value: Any, source: str) -> None:
    table = values
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{source}: {key} is a value, not a table")
    table[keys[-1]] = value


def _explain(error: ValidationError, path: Path, origin: Mapping[Keys, str]) -> str:
    lines = []
    problems = error.errors(include_url=False)
    inside = {tuple(p["loc"][:-1]) for p in problems}
    for problem in problems:
        if problem["type"] == "too_short" and tuple(problem["loc"]) in inside:
            continue  # the list only seems too short because its items are invalid
        keys = tuple(str(part) for part in problem["loc"])
        source = next((origin[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in origin), str(path))
        lines.append(f"{source}: {_sentence(keys, problem)}")
    return "\n".join(lines)


def _sentence(keys: Keys, problem: Any) -> str:
    name = _dotted(keys, is_table=isinstance(problem["input"], dict))
    value = json.dumps(problem["input"], default=str, ensure_ascii=False)
    value = value if len(value) <= 120 else value[:117] + "..."
    if problem["type"] == "extra_forbidden":
        return f"unknown key {name} = {value}. {_suggest(keys)}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    may_be_arn = keys[-1].endswith(("_arn", "kms_key"))
    if problem["type"].startswith("string_") and str(problem["input"]).startswith("arn:") and not may_be_arn:
        message = "must be a name or an ID, not an ARN"
    if "than" in problem["type"] and _is_duration(keys):
        limit = next(iter(problem["ctx"].values()))
        message = f"at {'most' if 'less' in problem['type'] else 'least'} {duration_text(limit)}"
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        return f"{name}: {message}"
    return f"{name} = {value}: {message if message.startswith(PROPER_NAMES) else message[:1].lower() + message[1:]}"


def _dotted(keys: Keys, *, is_table: bool = False) -> str:
    """Format keys as in the file: [labeling] labels[2]."""
    if len(keys) == 1:
        return f"[{keys[0]}]" if keys[0] in Settings.model_fields or is_table else keys[0]
    rest = "".join(f"[{k}]" if k.isdigit() else f".{k}" for k in keys[1:]).lstrip(".")
    return f"[{keys[0]}] {rest}"


def _suggest(keys: Keys) -> str:
    model: Any = Settings
    for key in keys[:-1]:
        field = model.model_fields.get(key)
        model = field.annotation if field else model
    known = sorted(name for name in model.model_fields if name != "folder")
    close = difflib.get_close_matches(keys[-1], known, n=1) or [n for n in known if n.startswith(keys[-1])]
    return (f"Did you mean {close[0]}? " if close else "") + f"Known keys: {', '.join(known)}."
