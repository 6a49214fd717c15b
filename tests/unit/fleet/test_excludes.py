from __future__ import annotations

import glob
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verge.fleet import excludes, gdk

PATHS = ["main.py", "tests/a.py", "src/tests/b.py", "src/main.py", ".git/config", "src/.env/x"]

CASES = {
    "a plain name matches at the root only": (["tests"], {"tests/a.py"}),
    "two stars match at every depth": (["**/tests"], {"tests/a.py", "src/tests/b.py"}),
    "a star passes over hidden names": (["*"], set(PATHS) - {".git/config"}),
    "a hidden pattern matches hidden names": (["**/.*"], {".git/config", "src/.env/x"}),
    "two stars do not go into hidden folders": (["**/config"], set()),
    "a folder followed by two stars is left out whole": (
        ["src/**"],
        {p for p in PATHS if p[:2] == "sr"},
    ),
    "a closing slash matches folders": (["tests/", "main.py/"], {"tests/a.py"}),
    "a file pattern at any depth": (["**/*.py"], {p for p in PATHS if p.endswith(".py")}),
    "a set of characters": (["src/[lm]ain.py"], {"src/main.py"}),
    "a leading ./ matches nothing": (["./tests"], set()),
    "an absolute pattern matches nothing": (["/tests"], set()),
    "no pattern leaves nothing out": ([], set()),
    "the defaults": (gdk.DEFAULT_EXCLUDES, set(PATHS) - {"main.py", "src/main.py"}),
}


@pytest.mark.parametrize(("patterns", "left_out"), CASES.values(), ids=CASES.keys())
def test_pattern_leaves_out(patterns: list[str], left_out: set[str]) -> None:
    """A pattern leaves out what GDK's would, a folder with all it holds."""
    found = excludes.Excludes(patterns)
    assert {path for path in PATHS if _is_left_out(found, path)} == left_out


def _is_left_out(found: excludes.Excludes, path: str) -> bool:
    """Walk down to the file as a build does, which stops at a folder that is left out."""
    parts = path.split("/")
    return any(
        found.match("/".join(parts[:count]), is_folder=count < len(parts))
        for count in range(1, len(parts) + 1)
    )


names = st.sampled_from(["a", "b", "ab", ".a", "tests", "x.py", "A", "[", "a-b"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
segments = st.sampled_from(
    [
        "**",
        "*",
        "a",
        "b*",
        ".*",
        "?",
        "*.py",
        "[ab]",
        "[!a]",
        "tests",
        "",
        ".",
        "..",
        "a**",
        "[",
        "[[]",
        ".a",
    ]
)
patterns = (
    st.lists(segments, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda pattern: pattern and not pattern.startswith("/") and "//" not in pattern)
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=st.lists(paths, max_size=8), pattern=patterns)
def test_agrees_with_glob(wanted: list[str], pattern: str) -> None:
    """Matching paths gives what GDK gets: the pattern globbed, compared with each path."""
    with tempfile.TemporaryDirectory() as outermost:
        # A pattern may climb as often as it has parts, and must not search the whole machine.
        folder = f"{outermost}/1/2/3/4"
        Path(folder).mkdir(parents=True)
        for path in wanted:
            place = Path(folder, path)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            except OSError:  # a file of that name is where a folder is wanted, or the reverse
                continue
        globbed = set(glob.glob(f"{folder}/{pattern}", recursive=True))  # noqa: PTH207 - what GDK calls
        found = excludes.Excludes([pattern])
        for top, folders, files in os.walk(folder):
            for name in (*folders, *files):
                whole = f"{top}/{name}"
                is_folder = name in folders
                # Some versions of Python take "a/**" for the file a, too; it names a folder.
                expected = whole in globbed or (is_folder and f"{whole}/" in globbed)
                relative = whole.removeprefix(f"{folder}/")
                assert found.match(relative, is_folder=is_folder) == expected, (pattern, relative)
