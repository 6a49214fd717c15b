"""YAML and JSON text to plain values and back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from verge.recipe import building, documents, errors

CASES = Path(__file__).parents[2] / "cases" / "recipe"
BAD = yaml.safe_load((CASES / "bad_documents.yml").read_text(encoding="utf-8"))
Load = Callable[..., Any]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text("0123456789+-.eE_:~ynuloxTF \n\t#'\"{}[]&*!|>%@`,?", max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["<<", "~", "1"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@pytest.fixture(params=[yaml.SafeLoader, documents._LOADER], ids=["python", "fastest"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read with the parser written in Python, which every PyYAML has, and with the fastest."""
    monkeypatch.setattr(documents, "_LOADER", request.param)


def strictly_equal(one: Any, two: Any) -> bool:
    """Return whether two documents are equal, types, order of keys and sign of zero included."""
    return repr(one) == repr(two)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in BAD])
def test_bad_yaml_is_refused_with_its_place(case: dict[str, Any]) -> None:
    """Broken YAML and what devices do not know is refused in one line with line and column."""
    with pytest.raises(errors.RecipeError, match=case["says"]) as caught:
        documents.load_yaml(case["text"], source="recipe.yaml")
    assert str(caught.value).startswith("recipe.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("reader")
def test_both_parsers_build_the_same_document() -> None:
    """Comments, blocks, flows, anchors and quoted keys give plain values."""
    text = """\
    # a comment
    2020-01-25: &a [1, '1', "1", 1.5, yes, ~]
    'quoted': {on: off, 5: [], x: {}}
    again: *a
    empty:
    script: |
      one
      two
    folded: >-
      one
      two
    typed: !!str 5
    """
    expected = {
        "2020-01-25": [1, "1", "1", 1.5, "yes", None],
        "quoted": {"on": "off", "5": [], "x": {}},
        "again": [1, "1", "1", 1.5, "yes", None],
        "empty": None,
        "script": "one\ntwo\n",
        "folded": "one two",
        "typed": "5",
    }
    assert strictly_equal(documents.load_yaml(text), expected)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    "text",
    ["a: b: c", "a: [", "{a: 1, a: 2}", "a: !x y", "&a [*a]", "? [a]\n: b", "a: \x01", "a: 1e999"],
)
def test_both_parsers_refuse_the_same(text: str) -> None:
    """What one parser refuses with our error, the other does too."""
    with pytest.raises(errors.RecipeError):
        documents.load_yaml(text)


def test_aliases_are_copies() -> None:
    """Changing one of two values that share an anchor leaves the other."""
    document = documents.load_yaml("a: &x {n: 1}\nb: *x\n")
    document["b"]["n"] = 2
    assert document["a"] == {"n": 1}


@pytest.mark.usefixtures("reader")
def test_an_alias_bomb_is_refused_at_once() -> None:
    """Aliases of aliases that would make billions of values are refused by their number."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    begin = time.process_time()
    with pytest.raises(errors.RecipeError, match=f"more than {building.MAX_VALUES} values"):
        documents.load_yaml("\n".join(lines))
    assert time.process_time() - begin < 10


@pytest.mark.usefixtures("reader")
def test_nesting_through_aliases_is_bounded() -> None:
    """Anchors that nest within bounds may not nest one another beyond them."""
    half = building.MAX_DEPTH // 2 + 1
    before, after = "[" * half, "]" * half
    # So many that copying the value of the last alias would need more stack than Python has.
    chain = [f"a{n}: &a{n} {before}*a{n - 1}{after}" for n in range(1, 40)]
    text = "\n".join([f"a0: &a0 {before}{after}", *chain])
    with pytest.raises(errors.RecipeError, match="levels of nesting"):
        documents.load_yaml(text)


@pytest.mark.parametrize(
    ("load", "opening", "closing"),
    [
        (documents.load_yaml, "[", "]"),
        (documents.load_yaml, "{a: ", "}"),
        (documents.load_json, "[", "]"),
        (documents.load_json, '{"a":', "}"),
    ],
)
def test_deep_nesting_is_refused(load: Load, opening: str, closing: str) -> None:
    """The deepest allowed nesting is read, one level more and thousands more are refused."""
    deepest = building.MAX_DEPTH
    core = "1" if "a" in opening else ""
    load(opening * deepest + core + closing * deepest)
    for depth in (deepest + 1, 100_000):
        with pytest.raises(errors.RecipeError, match="levels of nesting"):
            load(opening * depth + core + closing * depth)


def test_blocks_nested_deeply_are_refused() -> None:
    """Block sequences on one line nest without brackets and are bounded like them."""
    with pytest.raises(errors.RecipeError, match="levels of nesting"):
        documents.load_yaml("- " * 5000 + "x")


@pytest.mark.parametrize("load", [documents.load_yaml, documents.load_json])
def test_too_many_values_are_refused(load: Load) -> None:
    """A document of more values than any recipe has is refused."""
    with pytest.raises(errors.RecipeError, match="values"):
        load("[" + "1," * building.MAX_VALUES + "1]")


@pytest.mark.parametrize("load", [documents.load_yaml, documents.load_json])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a: \xff", "cannot read byte 3: not UTF-8 text"),
        ('{"a": "\ud800"}', "cannot read character 7: half of a surrogate pair"),
        (b" " * (documents.MAX_BYTES + 1), f"cannot read more than {documents.MAX_BYTES} bytes"),
        ("", "(cannot read JSON|)"),
    ],
    ids=["bytes", "surrogate", "size", "empty"],
)
def test_text_that_is_no_text_is_refused(load: Load, text: str | bytes, says: str) -> None:
    """What is not UTF-8 or is too large is refused before it is parsed."""
    if not text and load is documents.load_yaml:
        assert load(text) is None
        return
    with pytest.raises(errors.RecipeError, match=says):
        load(text)


def test_a_byte_order_mark_is_skipped() -> None:
    """Files that begin with a byte order mark, as some editors write them, are read."""
    assert documents.load_yaml(b"\xef\xbb\xbfa: 1") == {"a": 1}
    assert documents.load_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1,}', "line 1, column 9: cannot read JSON: "),
        ('{\n "a": 1\n "b": 2}', "line 3, column 2: cannot read JSON: Expecting ',' delimiter"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "cannot read JSON: the key 'c' is there twice"),
        ('{"a": NaN}', "cannot keep the number NaN"),
        ('{"a": 1e999}', "cannot keep the number 1e999"),
        ('{"a": 123456789012345678901234567890}', "cannot keep the number"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"\\udfff": 1}', "half of a surrogate pair"),
        ("{} {}", "line 1, column 4: cannot read JSON: Extra data"),
    ],
)
def test_bad_json_is_refused_with_its_place(text: str, says: str) -> None:
    """Broken JSON and what YAML could not hold either is refused in one line."""
    with pytest.raises(errors.RecipeError, match=says) as caught:
        documents.load_json(text, source="recipe.json")
    assert str(caught.value).startswith("recipe.json: ")


@given(values)
def test_dumped_yaml_reads_back_the_same_everywhere(value: Any) -> None:
    """What is dumped is read as the same values by our reader and by one for YAML 1.1."""
    text = documents.dump_yaml(value)
    assert strictly_equal(documents.load_yaml(text), value)
    assert strictly_equal(yaml.safe_load(text), value)


@given(values)
def test_json_reads_as_the_values_it_was_written_from(value: Any) -> None:
    """JSON, escaped or not, gives the values of the document."""
    assert strictly_equal(documents.load_json(json.dumps(value)), value)
    assert strictly_equal(documents.load_json(json.dumps(value, ensure_ascii=False)), value)


def test_dumped_text_of_several_lines_stays_readable() -> None:
    """A script is dumped as a block, and shared values are written out, not referred to."""
    shared = {"x": [1]}
    text = documents.dump_yaml({"run": "one\ntwo\n", "a": shared, "b": shared})
    assert text == "run: |\n  one\n  two\na:\n  x:\n  - 1\nb:\n  x:\n  - 1\n"


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=60),
        st.binary(max_size=60),
        st.text("ab:-[]{}&*!|>'\"#%,? \n\t<0.1~", max_size=40),
    )
)
def test_garbage_is_refused_with_our_error_only(text: str | bytes) -> None:
    """Whatever the input, reading it gives a document or a RecipeError."""
    for load in (documents.load_yaml, documents.load_json):
        with contextlib.suppress(errors.RecipeError):
            documents.dump_yaml(load(text))
