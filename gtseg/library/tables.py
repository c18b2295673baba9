"""Tables: pandas if installed, plain rows otherwise; and their HTML for a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def make_table(rows: Rows) -> Any:
    """Return a pandas DataFrame of the rows; a list of dicts if pandas is not installed."""
    try:
        import pandas
    except ImportError:
        return [dict(row) for row in rows]
    return pandas.DataFrame([dict(row) for row in rows])


def html_table(rows: Rows) -> str:
    """Return the rows as an HTML table; numbers are right-aligned, None is a dash."""
    if not rows:
        return ""
    head = "".join(f"<th style='text-align:left'>{escape(str(name))}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, bool | str) or value is None:
        text = "–" if value is None else str(value)
        return f"<td style='text-align:left'>{escape(text)}</td>"
    text = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    return f"<td style='text-align:right'>{escape(text)}</td>"
