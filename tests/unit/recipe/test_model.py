"""What the values of a recipe say about themselves."""

from __future__ import annotations

import pytest

from verge.recipe import model

NONE, OWNER, ALL = model.Access.NONE, model.Access.OWNER, model.Access.ALL


@pytest.mark.parametrize(
    ("read", "execute", "mode"),
    [
        (NONE, NONE, 0o400),
        (OWNER, NONE, 0o440),
        (ALL, NONE, 0o444),
        (NONE, OWNER, 0o550),
        (OWNER, OWNER, 0o550),
        (ALL, OWNER, 0o554),
        (NONE, ALL, 0o555),
        (OWNER, ALL, 0o555),
        (ALL, ALL, 0o555),
    ],
)
def test_permissions_become_file_modes(
    read: model.Access, execute: model.Access, mode: int
) -> None:
    """The bits of a file are those of the table in contract 1.6."""
    assert oct(model.Permission(read, execute).file_mode) == oct(mode)


@pytest.mark.parametrize(
    ("uri", "scheme", "file_name", "stem"),
    [
        ("s3://BUCKET/a/1.0.0/edge.zip", "s3", "edge.zip", "edge"),
        ("S3://BUCKET/edge.tar.gz", "s3", "edge.tar.gz", "edge.tar"),
        ("greengrass:edge.zip", "greengrass", "edge.zip", "edge"),
        ("s3://BUCKET/edge", "s3", "edge", "edge"),
        ("s3://BUCKET/.zip", "s3", ".zip", ".zip"),
        ("docker:repo/image:latest", "docker", "image:latest", "image:latest"),
    ],
)
def test_artifacts_know_their_names(uri: str, scheme: str, file_name: str, stem: str) -> None:
    """Scheme, file name and the directory an archive unpacks into come from the address."""
    artifact = model.Artifact(uri)
    assert (artifact.scheme, artifact.file_name, artifact.archive_stem) == (scheme, file_name, stem)
