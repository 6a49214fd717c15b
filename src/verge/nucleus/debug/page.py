"""The debug console's page: one table, and the last lines of every log. No script runs in it."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

from verge.nucleus import settings

NUCLEUS = settings.NUCLEUS

_STYLE = (
    "body{font:14px sans-serif;margin:2em}td,th{padding:.2em 1em .2em 0;text-align:left}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}.BROKEN,.ERRORED{color:#b00}"
)


def render(
    thing: str,
    components: Sequence[Mapping[str, str]],
    lines: Callable[[str], Sequence[str]],
) -> str:
    """Return the page; `lines` gives the last lines of a component's log."""
    title = html.escape(f"{thing or 'this device'}: components")
    rows = "".join(_row(component) for component in components)
    parts = "".join(_log(component["name"], lines(component["name"])) for component in components)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>"
        "<table><tr><th>Component<th>Version<th>State<th>Reason"
        f"{rows}</table>{parts}</html>"
    )


def _row(component: Mapping[str, str]) -> str:
    name, version, state, reason = (
        html.escape(component[key]) for key in ("name", "version", "state", "reason")
    )
    return (
        f'<tr><td><a href="#{name}">{name}</a><td>{version}<td class="{state}">{state}<td>{reason}'
    )


def _log(name: str, lines: Sequence[str]) -> str:
    text = html.escape("\n".join(lines)) or "nothing yet"
    return f'<h2 id="{html.escape(name)}">{html.escape(name)}</h2><pre>{text}</pre>'
