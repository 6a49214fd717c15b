"""The page of the local cloud, as HTML."""

from __future__ import annotations

import html.parser
from typing import Any

from verge.cloud.console import page


class Text(html.parser.HTMLParser):
    """Collects the text, and every element that there is."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))


def device(**members: Any) -> page.Device:
    """Return a device."""
    given = {
        "thing": "press-07",
        "status": "HEALTHY",
        "nucleus": "aws_nucleus_lite 2.6.0",
        "platform": "linux amd64",
        "reported": 1000.0,
        "components": (),
        **members,
    }
    return page.Device(**given)


def shown(**members: Any) -> Text:
    """Return the page of some values."""
    given = {
        "region": "eu-west-1",
        "account": "123456789012",
        "now": 1000.0,
        "devices": [],
        "more_devices": False,
        "deployments": [],
        **members,
    }
    return Text(page.render(page.Shown(**given)))


def component(name: str, state: str = "RUNNING", *, reason: str = "", root: bool = True) -> Any:
    """Return a component."""
    return page.Component(name=name, version="1.0.0", state=state, reason=reason, root=root)


def test_an_empty_cloud() -> None:
    """Without devices and deployments, the page says so."""
    text = shown().text
    assert "No core device has reported itself yet." in text
    assert "Nothing has been deployed yet." in text


def test_what_devices_say_is_text() -> None:
    """Nothing that devices or people named becomes an element of the page."""
    evil = "<script>alert(1)</script>"
    deployment = page.Deployment(
        id="x",
        name=evil,
        target=evil,
        revision="1",
        status=evil,
        created=0.0,
        components=(evil,),
        counts={evil: 1},
        troubles=(evil,),
    )
    hostile = device(
        thing=evil,
        status=evil,
        nucleus=evil,
        platform=evil,
        components=(component(evil, evil, reason=evil),),
    )
    found = shown(region=evil, account=evil, devices=[hostile], deployments=[deployment])
    assert "script" not in found.tags
    assert found.text.count(evil) == 15


def test_what_failed_comes_first() -> None:
    """Of a device's components, those that failed come first with their reasons, then roots."""
    parts = (
        component("lib", root=False),
        component("app"),
        component("bad", "BROKEN", reason="the script ended with 1", root=False),
    )
    text = shown(devices=[device(components=parts)]).text
    places = [text.index(word) for word in ("bad", "the script ended with 1", "app", "lib")]
    assert places == sorted(places)


def test_times_are_told_as_ages() -> None:
    """A report is so many seconds to days old, and never younger than now."""
    for then, word in (
        (1000, "0 s"),
        (2000, "0 s"),
        (880, "2 min"),
        (-9000, "2 h"),
        (-9e5, "10 d"),
    ):
        assert f" {word} ago" in shown(devices=[device(reported=float(then))]).text
