"""What `gdk component publish` asks of a cloud (contract 6.5), call by call and by the tool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from botocore import exceptions

from tests.contract.cloud import account as accounts
from tests.support import running_cloud

Account = accounts.Account
TOOLS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def next_patch(account: Account, name: str) -> str:
    """Return the version that comes after the newest, as the tool finds it."""
    arn = f"arn:aws:greengrass:{account.region}:{account.id}:components:{name}"
    found = account.greengrass.list_component_versions(arn=arn)["componentVersions"]
    if not found:
        return "1.0.0"
    major, minor, patch = found[0]["componentVersion"].split("-")[0].split("+")[0].split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def test_sequence(account: Account, tmp_path: Path) -> None:
    """The calls of the tool, in its order, publish a version, and the next one comes after it."""
    name, bucket = account.name("hello"), account.name("bucket")
    artifact = tmp_path / "hello.zip"
    artifact.write_bytes(b"PK" * 5000)
    assert account.client("sts").get_caller_identity()["Account"] == account.id
    s3 = account.client("s3")
    for version in ("1.0.0", "1.0.1"):
        assert next_patch(account, name) == version
        bucket = bucket if version == "1.0.1" else account.bucket()
        assert s3.get_bucket_location(Bucket=bucket)
        key = f"{name}/{version}/{artifact.name}"
        s3.upload_file(str(artifact), bucket, key, ExtraArgs={"Metadata": {"by": "test"}})
        uri = f"s3://{bucket}/{key}"
        made = account.register(accounts.recipe(name, version, artifacts={uri: "ZIP"}))
        assert made["componentVersion"] == version
        account.settled(made["arn"])
    with accounts.refused("ConflictException"):
        account.register(accounts.recipe(name, "1.0.1"))


def test_bucket_that_is_missing(account: Account) -> None:
    """The tool tells a bucket that is missing from one that is another's by the answer's code."""
    with pytest.raises(exceptions.ClientError) as caught:
        account.client("s3").get_bucket_location(Bucket=account.name("none"))
    assert caught.value.response["Error"]["Code"] == "NoSuchBucket"


@accounts.local_only("the tool leaves its bucket behind")
@pytest.mark.skipif(
    shutil.which("gdk", path=TOOLS) is None,
    reason="the GDK CLI is not installed; it comes from its sources alone",
)
def test_tool(account: Account, tmp_path: Path) -> None:
    """The unmodified tool builds and publishes a component twice, in two versions."""
    assert account.local is not None
    name = account.name("hello")
    (tmp_path / "main.py").write_text("print('hello')\n")
    recipe = json.loads(accounts.recipe("{COMPONENT_NAME}", "{COMPONENT_VERSION}"))
    uri = f"s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/{tmp_path.name}.zip"
    recipe["Manifests"][0]["Artifacts"] = [{"URI": uri, "Unarchive": "ZIP"}]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    configuration = {
        "component": {
            name: {
                "author": "Verge",
                "version": "NEXT_PATCH",
                "build": {"build_system": "zip"},
                "publish": {"bucket": "gdk", "region": account.region},
            }
        },
        "gdk_version": "1.0.0",
    }
    (tmp_path / "gdk-config.json").write_text(json.dumps(configuration))
    environment = {
        **os.environ,
        "PATH": TOOLS,
        "AWS_ENDPOINT_URL": account.local.endpoints.api,
        "AWS_DEFAULT_REGION": account.region,
        "AWS_ACCESS_KEY_ID": running_cloud.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": running_cloud.SECRET_KEY,
    }
    for words in (["build"], ["publish"], ["build"], ["publish"]):
        subprocess.run(
            ["gdk", "component", *words],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
        )
    arn = account.arn("greengrass", f"components:{name}")
    listed = account.greengrass.list_component_versions(arn=arn)["componentVersions"]
    assert [each["componentVersion"] for each in listed] == ["1.0.1", "1.0.0"]
