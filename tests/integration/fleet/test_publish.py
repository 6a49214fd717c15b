"""Publishing to a real local cloud: versions from content, uploads that survive interruptions."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import running_cloud
from tests.unit.fleet import samples
from verge.fleet import artifacts, aws, errors, output, project, publish, recipes, registry, uploads

BUCKET = "b-eu-west-1-123456789012"
BIG = 10 * uploads.PART_SIZE

# A file of many parts, each different, built without holding it in memory.
BIG_SCRIPT = f"""
from pathlib import Path
target = Path("greengrass-build/artifacts/{{name}}/NEXT_PATCH/model.bin")
with target.open("wb") as file:
    for number in range(10):
        file.seek(number * {uploads.PART_SIZE})
        file.write(b"part %d" % number)
    file.truncate({BIG})
Path("greengrass-build/recipes/recipe.yaml").write_text(Path("recipe.yaml").read_text())
"""

# Publishes; with a number it stops for good before it sends the part of that number.
PROGRAM = """
import resource, signal, sys
from pathlib import Path
from verge.fleet import aws, output, project, publish
where, endpoint, stop_at = project.Project(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
account = aws.Account(aws.Access("eu-west-1", endpoint, "AKIAEXAMPLEEXAMPLE00", "s" * 40))
def watch(params, **_):
    if int(params["query_string"]["partNumber"]) == stop_at:
        print("stopped", flush=True)
        signal.pause()
if stop_at:
    account.client("s3").meta.events.register("before-call.s3.UploadPart", watch)
for item in publish.publish_components(where, account, reporter=output.Reporter()):
    print(item.outcome, item.version, flush=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running_cloud.RunningCloud]:
    """Return a local cloud that all tests here share; each has components of its own."""
    with running_cloud.running(tmp_path_factory.mktemp("cloud") / "state") as running:
        yield running


@pytest.fixture
def account(cloud: running_cloud.RunningCloud) -> aws.Account:
    """Return the account of the cloud, as the verbs reach it."""
    access = aws.Access("eu-west-1", cloud.endpoints.api, "AKIAEXAMPLEEXAMPLE00", "s" * 40)
    return aws.Account(access)


@pytest.fixture
def where(tmp_path: Path) -> project.Project:
    """Return an empty checkout."""
    return samples.make_project(tmp_path / "checkout")


def run(where: project.Project, account: aws.Account, **options: Any) -> publish.Publication:
    """Publish the only component of a checkout."""
    (item,) = publish.publish_components(where, account, reporter=output.Reporter(), **options)
    return item


def add_big(where: project.Project, name: str) -> None:
    """Add a component whose artifact has many parts."""
    folder = samples.add_custom(where, BIG_SCRIPT.format(name=name), name, archive="model.bin")
    recipe = (folder / "recipe.yaml").read_text().replace("        Unarchive: ZIP\n", "")
    (folder / "recipe.yaml").write_text(recipe)


def child(where: project.Project, account: aws.Account, stop_at: int = 0) -> subprocess.Popen[str]:
    """Start publishing in a process of its own."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            PROGRAM,
            str(where.root),
            str(account.access.endpoint),
            str(stop_at),
        ],
        env={"PYTHONPATH": str(running_cloud.REPOSITORY / "src"), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_component_becomes_deployable(where: project.Project, account: aws.Account) -> None:
    """The artifact lies in the bucket of contract 6.5 and the recipe names it with its digest."""
    samples.add_component(where, "com.example.First")
    item = run(where, account)
    assert (item.outcome, item.version) == (publish.PUBLISHED, "1.0.0")
    key = "com.example.First/1.0.0/com.example.First.zip"
    assert [upload.uri for upload in item.uploads] == [f"s3://{BUCKET}/{key}"]
    body = account.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert body == item.uploads[0].path.read_bytes()
    found = registry.Registry(account).describe("com.example.First", "1.0.0")
    assert found is not None
    assert found.state == registry.DEPLOYABLE
    recipe = json.loads(registry.Registry(account).recipe("com.example.First", "1.0.0"))
    (artifact,) = recipe["Manifests"][0]["Artifacts"]
    assert artifact["Uri"] == f"s3://{BUCKET}/{key}"
    assert artifact["Digest"] == base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_versions_follow_content(where: project.Project, account: aws.Account) -> None:
    """Nothing new: nothing happens; other content: the next version; old content again: the next.

    A lost memory of this checkout changes nothing of that.
    """
    folder = samples.add_component(where, "com.example.Follow")
    source, seen = folder / "src/main.py", []
    for text in ("print(1)\n", "print(1)\n", "print(2)\n", "print(1)\n", "print(1)\n"):
        source.write_text(text)
        where.releases_file.unlink(missing_ok=True)
        item = run(where, account)
        seen.append((item.outcome, item.version))
    assert seen == [
        (publish.PUBLISHED, "1.0.0"),
        (publish.UNCHANGED, "1.0.0"),
        (publish.PUBLISHED, "1.0.1"),
        (publish.PUBLISHED, "1.0.2"),
        (publish.UNCHANGED, "1.0.2"),
    ]


def test_versions_given_out_offline_are_kept(where: project.Project, account: aws.Account) -> None:
    """What a bundle called 1.0.1 is 1.0.1 in an empty cloud, too: devices may have it already."""
    from verge.fleet import bundle

    folder = samples.add_component(where, "com.example.Kept")
    bundle.build_bundle(where)
    (folder / "src/main.py").write_text("print('later')\n")
    bundle.build_bundle(where)
    assert run(where, account).version == "1.0.1"


def test_a_fixed_version_is_published_once(where: project.Project, account: aws.Account) -> None:
    """The same content is unchanged; other content is refused with the place to change."""
    folder = samples.add_component(where, "com.example.Fixed", version="2.1.0")
    assert run(where, account).version == "2.1.0"
    assert run(where, account).outcome == publish.UNCHANGED
    (folder / "src/main.py").write_text("print('other')\n")
    with pytest.raises(
        errors.FleetError, match=r"Fixed 2\.1\.0: it is published already"
    ) as caught:
        run(where, account)
    assert "gdk-config.json" in str(caught.value.hint)


def test_a_recipe_needs_no_bucket(where: project.Project, account: aws.Account) -> None:
    """A component without artifacts is published with no bucket configured."""
    folder = samples.add_component(
        where, "com.example.Recipe", files={"recipe.yaml": samples.recipe_text(None)}
    )
    config = json.loads((folder / "gdk-config.json").read_text())
    del config["component"]["com.example.Recipe"]["publish"]
    (folder / "gdk-config.json").write_text(json.dumps(config))
    item = run(where, account)
    assert (item.outcome, item.uploads, item.new_bucket) == (publish.PUBLISHED, (), None)


def test_a_missing_bucket_setting_is_named(where: project.Project, account: aws.Account) -> None:
    """With artifacts, a gdk-config without bucket is refused by its place in the file."""
    folder = samples.add_component(where, "com.example.NoBucket")
    config = json.loads((folder / "gdk-config.json").read_text())
    del config["component"]["com.example.NoBucket"]["publish"]
    (folder / "gdk-config.json").write_text(json.dumps(config))
    with pytest.raises(errors.FleetError, match="publish/bucket: is missing"):
        run(where, account)


def test_a_dry_run_says_what_a_run_does(where: project.Project, account: aws.Account) -> None:
    """It changes nothing and names exactly the bucket, the uploads and the version."""
    folder = samples.add_component(where, "com.example.Dry")
    bucket = "a-bucket-of-its-own"
    planned = run(where, account, bucket=bucket, dry_run=True)
    assert (planned.outcome, planned.new_bucket) == (publish.PLANNED, bucket)
    assert registry.Registry(account).versions("com.example.Dry") == []
    assert not artifacts.Bucket(where, account, bucket).exists()
    assert not where.releases_file.exists()
    done = run(where, account, bucket=bucket)
    assert (done.version, done.new_bucket, done.uploads) == (
        planned.version,
        planned.new_bucket,
        planned.uploads,
    )
    assert run(where, account, bucket=bucket, dry_run=True).outcome == publish.UNCHANGED
    (folder / "src/main.py").write_text("print('more')\n")
    again = run(where, account, bucket=bucket, dry_run=True)
    assert (again.version, again.new_bucket) == ("1.0.1", None)


def test_what_another_tool_published_counts(where: project.Project, account: aws.Account) -> None:
    """A version without our tag, in JSON and from another bucket, is compared by its meaning."""
    folder = samples.add_component(where, "com.example.Gdk")
    first = run(where, account, dry_run=True)
    s3 = account.client("s3")
    location = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="of-another-tool", CreateBucketConfiguration=location)
    upload = first.uploads[0]
    s3.put_object(Bucket="of-another-tool", Key="x/model.zip", Body=b"another name")
    s3.put_object(Bucket="of-another-tool", Key=upload.key, Body=upload.path.read_bytes())
    document = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "com.example.Gdk",
        "ComponentVersion": "1.0.0",
        "ComponentPublisher": "Example",
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Artifacts": [{"URI": f"s3://of-another-tool/{upload.key}", "Unarchive": "ZIP"}],
                "Lifecycle": {"run": "echo hello"},
            }
        ],
    }
    account.client("greengrassv2").create_component_version(inlineRecipe=json.dumps(document))
    registry.Registry(account).wait("com.example.Gdk", "1.0.0")
    assert run(where, account).outcome == publish.UNCHANGED
    (folder / "src/main.py").write_text("print('changed')\n")
    assert run(where, account).version == "1.0.1"


def test_an_interrupted_upload_goes_on(where: project.Project, account: aws.Account) -> None:
    """After SIGKILL only the missing parts are sent, and memory never holds the file."""
    name = "com.example.Big"
    add_big(where, name)
    killed = child(where, account, stop_at=6)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "stopped\n", killed.communicate()
    s3 = account.client("s3")
    key = f"{name}/1.0.0/model.bin"

    def arrived() -> list[dict[str, Any]]:
        (upload,) = s3.list_multipart_uploads(Bucket=BUCKET, Prefix=key)["Uploads"]
        found: list[dict[str, Any]] = s3.list_parts(
            Bucket=BUCKET, Key=key, UploadId=upload["UploadId"]
        ).get("Parts", [])
        return found

    running_cloud.wait_for(lambda: len(arrived()) >= 5, "five parts arrived")
    killed.kill()
    killed.communicate()
    before = {part["PartNumber"] for part in arrived()}
    sent: list[int] = []
    s3.meta.events.register(
        "before-call.s3.UploadPart",
        lambda params, **_: sent.append(int(params["query_string"]["partNumber"])),
    )
    item = run(where, account)
    assert item.outcome == publish.PUBLISHED
    assert 6 in sent
    # What was on its way when the publisher died may have arrived since.
    assert before.isdisjoint(sent)
    assert len(sent) == len(set(sent))
    assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == BIG
    assert run(where, account).outcome == publish.UNCHANGED


def test_memory_stays_flat(where: project.Project, account: aws.Account) -> None:
    """A large artifact costs about as much memory as a small one."""
    samples.add_component(where, "com.example.Small")
    small, _ = child(where, account).communicate()
    other = samples.make_project(where.root.with_name("other"))
    add_big(other, "com.example.Flat")
    large, said = child(other, account).communicate()
    assert large.startswith("published 1.0.0\n"), said
    kilobytes = [int(text.split()[-1]) for text in (small, large)]
    assert kilobytes[1] - kilobytes[0] < BIG // 1024 // 2


@pytest.mark.parametrize("shared", [True, False], ids=["one checkout", "two checkouts"])
def test_two_publishers_end_with_one_version(
    where: project.Project, account: aws.Account, shared: bool
) -> None:
    """Two commands at once, from one checkout or two, leave one version that both name."""
    name = f"com.example.Twice{shared:d}"
    other = where if shared else samples.make_project(where.root.with_name("other"))
    for checkout in {where.root: where, other.root: other}.values():
        samples.add_component(checkout, name)
    running = [child(checkout, account) for checkout in (where, other)]
    answers = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], answers
    assert {text.splitlines()[0].split()[1] for text, _ in answers} == {"1.0.0"}
    assert registry.Registry(account).versions(name) == ["1.0.0"]


def test_a_missing_artifact_is_told_by_its_address(
    where: project.Project, account: aws.Account
) -> None:
    """What the cloud says of an artifact that is not there is said again; mended, it goes on."""
    name = "com.example.Missing"
    address = "s3://a-bucket-to-come/model.onnx"
    recipe = samples.recipe_text().replace("Artifacts:\n", f"Artifacts:\n      - URI: {address}\n")
    recipe = recipe.replace("com.example.Hello.zip", f"{name}.zip")
    samples.add_component(where, name, files={"recipe.yaml": recipe})
    with pytest.raises(errors.FleetError, match=f"cannot publish {name} 1.0.0") as caught:
        run(where, account)
    assert address in str(caught.value)
    s3 = account.client("s3")
    location = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket="a-bucket-to-come", CreateBucketConfiguration=location)
    s3.put_object(Bucket="a-bucket-to-come", Key="model.onnx", Body=b"model")
    item = run(where, account)
    assert (item.outcome, item.version) == (publish.PUBLISHED, "1.0.0")


def test_a_recipe_that_the_cloud_refuses_is_told(
    where: project.Project, account: aws.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cloud's own words reach the user, with the component and the next step."""
    folder = samples.add_component(where, "com.example.Refused")
    monkeypatch.setattr(recipes, "publication", lambda *_: b"RecipeFormatVersion: '1999-01-01'\n")
    with pytest.raises(errors.FleetError, match=r"cannot publish com\.example\.Refused") as caught:
        run(where, account)
    assert "ValidationException" in str(caught.value)
    assert folder.name in str(caught.value.hint)


def test_a_foreign_object_in_the_way_is_noticed(
    where: project.Project, account: aws.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that somebody replaces before the cloud reads it never becomes our version."""
    samples.add_component(where, "com.example.Replaced")
    original = artifacts.Bucket.send
    spoiled: list[str] = []

    def send(bucket: artifacts.Bucket, upload: uploads.Upload, progress: Any) -> None:
        original(bucket, upload, progress)
        if not spoiled:
            spoiled.append(upload.key)
            account.client("s3").put_object(Bucket=bucket.name, Key=upload.key, Body=b"foreign")

    monkeypatch.setattr(artifacts.Bucket, "send", send)
    item = run(where, account)
    assert item.outcome == publish.PUBLISHED
    body = account.client("s3").get_object(Bucket=BUCKET, Key=item.uploads[0].key)["Body"].read()
    assert body == item.uploads[0].path.read_bytes()
