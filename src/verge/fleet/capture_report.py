"""Print captures: a table for people, one JSON document for machines."""

from __future__ import annotations

from collections.abc import Iterator

from verge.fleet import capture_listing, captures, output


def print_captures(found: captures.Found, as_json: bool = False) -> None:
    """Print the newest captures, how many there are, and what was downloaded."""
    if as_json:
        output.print_json(captures.describe(found))
        return
    places = ", ".join(place.uri for place in found.places)
    if not found.total:
        print(f"No captures in {places}.")
        print(
            f"{output.TIP} a picture that the detector is unsure of becomes one (`scoreBelow`): "
            "`./inv drop PICTURE` shows what it is sure of,\n"
            "    `./inv logs verge.CaptureUploader --device DEVICE` what waits on a device"
        )
        return
    output.print_table(["device", "time (UTC)", "best", "score", "kB", "key"], _rows(found))
    print(_total(found, places))
    if found.download:
        done = found.download
        print(
            f"Downloaded {_captures(done.fetched)} ({done.size / 1e6:,.1f} MB); "
            f"{done.present:,} were there."
        )


def _rows(found: captures.Found) -> Iterator[tuple[str, ...]]:
    for capture, verdict in found.newest:
        score = "" if verdict.score is None else f"{verdict.score:.2f}"
        time = f"{capture.time:%Y-%m-%d %H:%M:%S}"
        best = _best(capture, verdict)
        yield capture.device, time, best, score, f"{capture.size / 1e3:,.0f}", capture.key


def _best(capture: capture_listing.Capture, verdict: captures.Verdict) -> str:
    if capture.result is None:
        return "incomplete: no .json"
    if capture.picture is None:
        return "incomplete: no picture"
    if verdict.score is None:
        return "the .json is no result"
    return verdict.label or "nothing"


def _total(found: captures.Found, places: str) -> str:
    shown = len(found.newest)
    text = f"{_captures(found.total)} in {places} ({found.size / 1e6:,.1f} MB)"
    if found.incomplete:
        text += f", {found.incomplete:,} of them incomplete"
    if shown < found.total:
        text += f"; the newest {shown:,} are shown, `--limit 0` shows all"
    return text + "."


def _captures(count: int) -> str:
    return f"{count:,} capture{'' if count == 1 else 's'}"
