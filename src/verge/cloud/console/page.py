"""The page as HTML, from values alone; it needs no script and fetches nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from html import escape

import msgspec

BAD = frozenset({"FAILED", "REJECTED", "TIMED_OUT", "BROKEN", "ERRORED", "UNHEALTHY"})
GOOD = frozenset({"SUCCEEDED", "COMPLETED", "RUNNING", "FINISHED", "HEALTHY"})
TROUBLES = 5
"""How many devices a deployment names that have trouble with it."""
REFRESH = 5
"""Seconds after which a browser asks again."""


class Component(msgspec.Struct, frozen=True, kw_only=True):
    """A component on a device."""

    name: str
    version: str
    state: str
    reason: str
    root: bool


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A core device; `reported` in seconds since the epoch."""

    thing: str
    status: str
    nucleus: str
    platform: str
    reported: float
    components: tuple[Component, ...]


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A revision of a target, with how many devices are how far."""

    id: str
    name: str
    target: str
    revision: str
    status: str
    created: float
    components: tuple[str, ...]
    counts: Mapping[str, int]
    troubles: tuple[str, ...]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """All that stands on the page."""

    region: str
    account: str
    now: float
    devices: list[Device]
    more_devices: bool
    deployments: list[Deployment]


def render(shown: Shown) -> str:
    """Return the page."""
    devices = "".join(_device(each, shown.now) for each in shown.devices)
    deployments = "".join(_deployment(each, shown.now) for each in shown.deployments)
    more = "<p class=note>There are more: <code>aws greengrassv2 list-core-devices</code>"
    return _PAGE.format(
        refresh=REFRESH,
        style=_STYLE,
        where=f"{escape(shown.region)} &middot; account {escape(shown.account)}",
        time=time.strftime("%H:%M:%S", time.localtime(shown.now)),
        devices=devices or _row("No core device has reported itself yet.", 4),
        more=more if shown.more_devices else "",
        deployments=deployments or _row("Nothing has been deployed yet.", 4),
    )


def _device(device: Device, now: float) -> str:
    ordered = sorted(device.components, key=lambda each: (each.state not in BAD, not each.root))
    return (
        f"<tr><td><b>{escape(device.thing)}</b>"
        f"<small>{escape(device.nucleus)}</small><small>{escape(device.platform)}</small>"
        f"<td>{_pill(device.status)}<td>{_ago(device.reported, now)}"
        f"<td><ul>{''.join(map(_component, ordered))}</ul>"
    )


def _component(component: Component) -> str:
    name = escape(component.name)
    reason = f"<small>{escape(component.reason)}</small>" if component.reason else ""
    return (
        f"<li>{_pill(component.state)} {f'<b>{name}</b>' if component.root else name} "
        f"<span class=dim>{escape(component.version)}</span>{reason}"
    )


def _deployment(deployment: Deployment, now: float) -> str:
    counts = "".join(
        f"<li>{_pill(status)} {count} {'device' if count == 1 else 'devices'}"
        for status, count in deployment.counts.items()
    )
    troubles = "".join(f"<li><small>{escape(each)}</small>" for each in deployment.troubles)
    return (
        f"<tr><td><b>{escape(deployment.target)}</b> "
        f"<span class=dim>revision {escape(deployment.revision)}</span>"
        f"<small>{escape(deployment.name or deployment.id)}</small>"
        f"<td>{_pill(deployment.status)}<small>{_ago(deployment.created, now)}</small>"
        f"<td><ul>{_items(deployment.components)}</ul><td><ul>{counts}{troubles}</ul>"
    )


def _items(texts: Iterable[str]) -> str:
    return "".join(f"<li>{escape(text)}" for text in texts)


def _pill(word: str) -> str:
    kind = "good" if word in GOOD else "bad" if word in BAD else "other"
    return f'<span class="pill {kind}">{escape(word)}</span>'


def _row(text: str, columns: int) -> str:
    return f"<tr><td colspan={columns} class=dim>{escape(text)}"


def _ago(then: float, now: float) -> str:
    seconds = max(0, int(now - then))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #888; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; }
body { padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; }
th { color: var(--dim); font-weight: 500; font-size: .85rem; }
td { border-top: 1px solid var(--line); }
ul { list-style: none; margin: 0; padding: 0; } li { margin-bottom: .15rem; }
small { display: block; color: var(--dim); } .dim, .note { color: var(--dim); }
.pill { font-size: .72rem; font-weight: 600; padding: .1rem .5rem; border-radius: 1rem; }
.good { background: #1a7f3722; color: #1a7f37; } .bad { background: #cf222e22; color: #cf222e; }
.other { background: #88888833; color: #777; }
@media (prefers-color-scheme: dark) { .good { color: #3fb950; } .bad { color: #ff7b72; } }
"""

_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<meta http-equiv=refresh content={refresh}><title>Verge: the local cloud</title>
<style>{style}</style>
<h1>The local cloud</h1>
<p class=note>{where} &middot; as of {time}, anew every {refresh} s &middot; read-only</p>
<h2>Core devices</h2>
<table><tr><th>device<th>status<th>reported<th>components</tr>{devices}</table>{more}
<h2>Deployments, newest first</h2>
<table><tr><th>target<th>status<th>components<th>devices</tr>{deployments}</table>
</html>
"""
