"""gtseg.toml, then GTSEG_<TABLE>__<KEY>, then flags: one dict, checked once, errors in the user's own words."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gtseg.errors import SettingsError
from gtseg.settings.settings import Settings
from gtseg.settings.table import duration_text

FILE_NAME = "gtseg.toml"
PREFIX = "GTSEG_"
Path_ = tuple[str, ...]
AS_WRITTEN = ("Ground Truth", "Mechanical Turk", "AWS", "S3")
"""Names keep their capital at the start of a reason."""


def is_there(environ: Mapping[str, str]) -> bool:
    """Whether there is a settings file where `load` looks for one by itself."""
    return Path(environ.get("GTSEG_SETTINGS", FILE_NAME)).is_file()


def load(
    file: Path | None = None,
    *,
    environ: Mapping[str, str],
    flags: Sequence[tuple[str, Any]] = (),
) -> Settings:
    """Settings of one invocation.

    `file` defaults to ./gtseg.toml; `flags` are ("labeling.workers_per_object", 3) pairs, text parsed like the environment.
    Raises SettingsError naming every wrong key, its value, where it came from and what is allowed.
    """
    path = file or Path(environ.get("GTSEG_SETTINGS", FILE_NAME))
    values = _read(path)
    origin: dict[Path_, str] = {}
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
        raise SettingsError(f"{path}: no key takes a date or time ({error})") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if "folder" in values:
        raise SettingsError(f"{path}: unknown key folder. Paths in the file start at the file's own folder.")
    return values


def _from_environment(environ: Mapping[str, str]) -> list[tuple[Path_, Any, str]]:
    """GTSEG_LABELING__WORKERS_PER_OBJECT=3; names without the double underscore are not settings (GTSEG_SETTINGS)."""
    found = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and "__" in name:
            keys = tuple(name[len(PREFIX) :].lower().split("__"))
            found.append((keys, _parse(keys, environ[name]), f"environment variable {name}"))
    return found


def _from_flags(flags: Sequence[tuple[str, Any]]) -> list[tuple[Path_, Any, str]]:
    found = []
    for name, value in flags:
        keys = tuple(name.replace("-", "_").split("."))
        parsed = _parse(keys, value) if isinstance(value, str) else value
        found.append((keys, parsed, f"--set {name}"))
    return found


def _parse(keys: Path_, text: str) -> Any:
    """Text as the key's own type: JSON or TOML where the key is no text, commas where it is a list."""
    if (kind := _annotation(keys)) is None or kind == "str":
        return text
    for read in (json.loads, _inline_toml):
        try:
            return read(text)
        except (ValueError, TypeError):
            continue
    return [part.strip() for part in text.split(",")] if kind == "list" and text.strip() else text


def _inline_toml(text: str) -> Any:
    """A table or an array as the settings file has it. Raises ValueError, or TypeError for a date, which no key takes."""
    if not text.lstrip().startswith(("{", "[")):
        raise ValueError("no table, no array")
    value = tomllib.loads(f"value = {text}")["value"]
    json.dumps(value)
    return value


def _annotation(keys: Path_) -> str | None:
    """'str', 'list' or 'other' for a known key; None for an unknown one."""
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


def _is_duration(keys: Path_) -> bool:
    field = Settings.model_fields[keys[0]].annotation.model_fields.get(keys[1]) if len(keys) == 2 else None  # type: ignore[union-attr]
    return field is not None and "parse_duration" in f"{field.annotation} {field.metadata}"


def _put(values: dict[str, Any], keys: Path_, *, value: Any, source: str) -> None:
    table = values
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{source}: {key} is a value, not a table")
    table[keys[-1]] = value


def _explain(error: ValidationError, path: Path, origin: Mapping[Path_, str]) -> str:
    lines = []
    problems = error.errors(include_url=False)
    inside = {tuple(p["loc"][:-1]) for p in problems}
    for problem in problems:
        if problem["type"] == "too_short" and tuple(problem["loc"]) in inside:
            continue  # it counts the members that are wrong already
        keys = tuple(str(part) for part in problem["loc"])
        source = next((origin[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in origin), str(path))
        lines.append(f"{source}: {_sentence(keys, problem)}")
    return "\n".join(lines)


def _sentence(keys: Path_, problem: Any) -> str:
    name = _dotted(keys, is_table=isinstance(problem["input"], dict))
    value = json.dumps(problem["input"], default=str, ensure_ascii=False)
    value = value if len(value) <= 120 else value[:117] + "..."
    if problem["type"] == "extra_forbidden":
        return f"unknown key {name} = {value}. {_suggest(keys)}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if "than" in problem["type"] and _is_duration(keys):
        limit = next(iter(problem["ctx"].values()))
        message = f"at {'most' if 'less' in problem['type'] else 'least'} {duration_text(limit)}"
    if problem["type"] == "value_error" and isinstance(problem["input"], dict):
        return f"{name}: {message}"
    return f"{name} = {value}: {message if message.startswith(AS_WRITTEN) else message[:1].lower() + message[1:]}"


def _dotted(keys: Path_, *, is_table: bool = False) -> str:
    """[labeling] labels[2], as the file shows it."""
    if len(keys) == 1:
        return f"[{keys[0]}]" if keys[0] in Settings.model_fields or is_table else keys[0]
    rest = "".join(f"[{k}]" if k.isdigit() else f".{k}" for k in keys[1:]).lstrip(".")
    return f"[{keys[0]}] {rest}"


def _suggest(keys: Path_) -> str:
    model: Any = Settings
    for key in keys[:-1]:
        field = model.model_fields.get(key)
        model = field.annotation if field else model
    known = sorted(name for name in model.model_fields if name != "folder")
    close = difflib.get_close_matches(keys[-1], known, n=1) or [n for n in known if n.startswith(keys[-1])]
    return (f"Did you mean {close[0]}? " if close else "") + f"Known here: {', '.join(known)}."
