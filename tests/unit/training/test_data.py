"""Which pictures are learnt from and which are judged by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import data, errors

SHOTS = st.lists(st.text(min_size=1, max_size=8), min_size=4, max_size=40, unique=True)
SEEDS = st.integers(min_value=0, max_value=1_000_000)


@given(SHOTS, SEEDS, st.floats(min_value=0.05, max_value=0.5))
def test_every_shot_is_on_one_side(shots: list[str], seed: int, share: float) -> None:
    """Crops of one photograph are never split between training and validation."""
    split = data.split_shots(shots, share, seed)
    assert not set(split.training) & set(split.validation)
    assert {*split.training, *split.validation} == set(shots)
    assert len(split.validation) == max(1, round(len(shots) * share))


@given(SHOTS, SEEDS, st.randoms(use_true_random=False))
def test_a_seed_fixes_the_split(shots: list[str], seed: int, mixer: Any) -> None:
    """Neither the order of the pictures nor their number per shot changes the split."""
    shuffled = shots * 2
    mixer.shuffle(shuffled)
    assert data.split_shots(shuffled, 0.2, seed) == data.split_shots(shots, 0.2, seed)


def test_the_split_is_the_documented_one() -> None:
    """The hash that orders shots is part of the promise: another one would mix the sets up."""
    shots = [f"shot-{number}" for number in range(10)]
    assert data.split_shots(shots, 0.2, 0).validation == ("shot-4", "shot-5")
    assert data.split_shots(shots, 0.2, 1).validation != ("shot-4", "shot-5")


@given(SHOTS, SEEDS, st.integers(min_value=2, max_value=4))
def test_folds_judge_every_shot_once(shots: list[str], seed: int, count: int) -> None:
    """Each shot is in the validation part of exactly one fold and in the training of the others."""
    folds = data.make_folds(shots, count, seed)
    judged = [shot for fold in folds for shot in fold.validation]
    assert sorted(judged) == sorted(shots)
    for fold in folds:
        assert not set(fold.training) & set(fold.validation)
        assert {*fold.training, *fold.validation} == set(shots)


@pytest.mark.parametrize("shots", [[], ["one"], ["one", "one"]], ids=len)
def test_one_shot_cannot_be_split(shots: list[str]) -> None:
    """Without a shot on either side there is nothing to train or nothing to judge by."""
    with pytest.raises(errors.TrainingError, match=r"cannot split \d shots into 2 parts"):
        data.split_shots(shots, 0.2, 0)
    with pytest.raises(errors.TrainingError, match=r"cannot split \d shots into 5 parts"):
        data.make_folds(shots, 5, 0)


def write_set(folder: Path, **changes: Any) -> None:
    document = {
        "images": [
            {"id": 7, "file_name": "a.png", "shot": "one"},
            {"id": 8, "file_name": "b.png", "shot": "two"},
        ],
        "annotations": [
            {"image_id": 7, "bbox": [10, 20, 30, 5]},
            {"image_id": 7, "bbox": [1.5, 2, 3, 4]},
        ],
        **changes,
    }
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")


def test_reads_boxes_as_corners(tmp_path: Path) -> None:
    """COCO writes corner and size, we use two corners; a picture may have none."""
    write_set(tmp_path)
    first, second = data.read_pictures(tmp_path)
    assert (first.path, first.shot) == (tmp_path / "images" / "a.png", "one")
    np.testing.assert_array_equal(first.boxes, [[10, 20, 40, 25], [1.5, 2, 4.5, 6]])
    assert second.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"images": 3}, "TypeError", id="no list"),
        pytest.param({"images": [{"id": 1}]}, "KeyError", id="no name"),
        pytest.param({"annotations": [{"image_id": 9, "bbox": [1, 1, 1, 1]}]}, "9", id="no such"),
        pytest.param({"annotations": [{"image_id": 7, "bbox": [1, 1, 0, 1]}]}, "empty", id="empty"),
        pytest.param({"annotations": [{"image_id": 7, "bbox": [1, 1]}]}, "ValueError", id="short"),
        pytest.param(
            {"images": [{"id": 7, "file_name": "../a.png", "shot": "s"}], "annotations": []},
            "must lie in images/",
            id="outside",
        ),
    ],
)
def test_refuses_what_is_no_set(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The error names the file and what is wrong with it."""
    write_set(tmp_path, **changes)
    with pytest.raises(errors.TrainingError, match=r"cannot read .*annotations\.json") as caught:
        data.read_pictures(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"], ids=["absent", "cut off", "bytes"])
def test_refuses_a_broken_file(tmp_path: Path, content: bytes | None) -> None:
    """A set without readable annotations is one sentence."""
    if content is not None:
        (tmp_path / "annotations.json").write_bytes(content)
    with pytest.raises(errors.TrainingError, match="cannot read"):
        data.read_pictures(tmp_path)


def test_refuses_a_broken_picture(tmp_path: Path) -> None:
    """A picture that cannot be decoded is named."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    picture = data.Picture(tmp_path / "a.png", "one", np.zeros((0, 4), np.float32))
    with pytest.raises(errors.TrainingError, match=r"a\.png"):
        data.read_pixels(picture)
