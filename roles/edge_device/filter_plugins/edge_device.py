"""Where a simulated device gets its Debian packages from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

_ONE_LINE = re.compile(
    r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$"
)


@dataclass(frozen=True)
class Source:
    """One place of packages, as a stanza or a line of apt's sources names it."""

    uris: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str

    def is_debians_own(self) -> bool:
        """Say whether this is Debian's archive and not a third party's."""
        return "main" in self.components and (
            not self.signed_by or "debian-archive" in self.signed_by
        )


def read_sources(directory: Path) -> Iterator[Source]:
    """Yield the enabled binary sources under an apt configuration directory (`/etc/apt`)."""
    lists = directory / "sources.list.d"
    for path in sorted(lists.glob("*.sources")):
        yield from _stanzas(path.read_text(encoding="utf-8", errors="replace"))
    for path in (directory / "sources.list", *sorted(lists.glob("*.list"))):
        if path.is_file():
            yield from _lines(path.read_text(encoding="utf-8", errors="replace"))


def _stanzas(text: str) -> Iterator[Source]:
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", kept):
        fields = {
            name.lower(): " ".join(value.split())
            for name, value in re.findall(r"(?m)^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza)
        }
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
            yield Source(
                tuple(fields.get("uris", "").split()),
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", ""),
            )


def _lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.split("#", 1)[0].strip()):
            signed_by = re.search(r"signed-by=(\S+)", match["options"] or "")
            yield Source(
                (match["uri"],),
                tuple(match["components"].split()),
                signed_by[1] if signed_by else "",
            )


def debian_sources(apt_directory: str, suite: str, mirror: str = "") -> str:
    """Return deb822 sources of a Debian release, from the mirrors this machine uses itself.

    Third parties' sources are left out: a device is made of Debian's packages alone. `mirror`
    replaces the machine's own mirrors; it is asked for the release only, not for updates. Raises
    AnsibleFilterError if there is neither.
    """
    if mirror:
        return _stanza(mirror, suite)
    archive = security = ""
    own = [source for source in read_sources(Path(apt_directory)) if source.is_debians_own()]
    for uri in reversed([uri for source in own for uri in source.uris]):
        folder = urlsplit(uri).path.rstrip("/").rsplit("/", 1)[-1]
        if folder == "debian-security":
            security = uri
        elif folder == "debian":
            archive = uri
    if not archive:
        raise AnsibleFilterError(
            f"cannot tell where Debian's packages come from: {apt_directory} names no Debian "
            "mirror; set edge_device_podman_mirror"
        )
    stanzas = [_stanza(archive, f"{suite} {suite}-updates")]
    if security:
        stanzas.append(_stanza(security, f"{suite}-security"))
    return "\n".join(stanzas)


def _stanza(uri: str, suites: str) -> str:
    return f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {KEYRING}\n"


class FilterModule:
    """The filters of the role."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return the filters by name."""
        return {"edge_device_debian_sources": debian_sources}
