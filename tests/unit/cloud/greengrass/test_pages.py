"""Pages and their tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verge.cloud.greengrass import faults, pages


@given(st.sets(st.integers(0, 200)), st.integers(1, 100))
def test_walk(numbers: set[int], size: int) -> None:
    """Following the tokens shows every entry once, in order, in pages of the size asked for."""
    ordered = sorted(numbers)
    shown: list[int] = []
    token: str | None = None
    while True:
        params = {"maxResults": size, **({"nextToken": token} if token else {})}
        page = pages.Page.of("List", params)
        rest = [n for n in ordered if page.after is None or n > int(page.after)]
        part, token = page.cut(rest[: page.fetch], lambda number: number)
        assert len(part) == size or token is None
        shown += part
        if token is None:
            break
    assert shown == ordered


@pytest.mark.parametrize("token", ["x", "bm9uZQ==", "WyJ4Iiwge31d", "é", "W10=", "=" * 9])
def test_foreign_tokens(token: str) -> None:
    """A token that no list gave is refused."""
    with pytest.raises(faults.ValidationFault, match="nextToken"):
        pages.Page.of("List", {"nextToken": token})


@given(st.text(max_size=60))
def test_any_token(token: str) -> None:
    """Whatever stands for a token is a page or a refusal."""
    try:
        pages.Page.of("List", {"nextToken": token})
    except faults.ValidationFault:
        return
    assert not token


def test_token_of_other_filters() -> None:
    """A token belongs to the operation and the filters that it was made for."""
    _, token = pages.Page.of("List", {"maxResults": 1, "scope": "A"}).cut([1, 2], lambda n: n)
    assert pages.Page.of("List", {"nextToken": token, "scope": "A"}).after == 1
    for operation, scope in (("List", "B"), ("Other", "A")):
        with pytest.raises(faults.ValidationFault, match="begin again"):
            pages.Page.of(operation, {"nextToken": token, "scope": scope})
