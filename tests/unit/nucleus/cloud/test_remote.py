"""The data plane as deployments see it, over real TLS with a server that a test plays."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support import https_server
from verge.nucleus import paths, settings, threads
from verge.nucleus.cloud import artifacts, backoff, data_plane, downloads, errors, http, remote, tls
from verge.nucleus.deployment import failures
from verge.nucleus.deployment import remote as asked_of
from verge.nucleus.store import packages
from verge.recipe import loading, versions

WIRE = Path(__file__).parents[3] / "cases" / "wire"
EDGE = "com.example.Edge"
BASE = "/greengrass/v2"
ATTRIBUTES = {"os": "linux", "architecture": "amd64", "runtime": "aws_nucleus_classic"}


def pinned(name: str) -> bytes:
    """Return a document that both sides have agreed upon."""
    return (WIRE / f"{name}.json").read_bytes()


class Bench:
    """A remote and the server that it asks; `answers` by method and path."""

    def __init__(self, directory: Path) -> None:
        self.answers: dict[str, https_server.Answer | list[https_server.Answer]] = {}
        self.directory = directory
        self.stop = threads.Stop()

    def answer(self, asked: https_server.Asked) -> https_server.Answer:
        found = self.answers.get(asked.path.partition("?")[0], https_server.Answer(404))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found

    def connect(self, server: https_server.Server) -> None:
        self.server = server
        where = paths.Paths(self.directory / "root")
        where.create()
        self.settings = settings.Settings(
            where,
            thing_name="press-01",
            region="eu-west-1",
            root_ca_path=str(server.certificate),
            cloud=settings.CloudSettings(
                data_endpoint="127.0.0.1",
                data_plane_port=server.port,
                certificate=str(server.certificate),
                private_key=str(server.key),
            ),
        )
        self.plane = data_plane.DataPlane(self.settings)
        places = artifacts.Places(self.settings, self.plane, cast(Any, None))
        waits = lambda: backoff.Backoff(0.01, 0.01)  # noqa: E731 - shorter than a function
        downloader = downloads.Downloader(self.settings, places, waits)
        self.remote = remote.Remote(self.plane, downloader, waits)

    def resolve(self, *, patient: bool = True) -> str | None:
        return self.remote.resolve(
            EDGE, {"thinggroup/line1": "=1.2.0"}, None, ATTRIBUTES, self.stop, patient=patient
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a bench of this test's own."""
    made = Bench(tmp_path)
    with https_server.running(tmp_path, made.answer) as server:
        made.connect(server)
        yield made


def test_groups_and_their_parents(bench: Bench) -> None:
    """All groups of the pinned answer are there, the ones above them included."""
    bench.answers[f"{BASE}/coreDevices/press-01/thingGroups"] = https_server.Answer(
        200, pinned("thing_groups")
    )
    document = json.loads(pinned("thing_groups"))
    names = {group["thingGroupName"] for group in document["thingGroups"]}
    found = bench.remote.thing_groups(bench.stop)
    assert {f"thinggroup/{name}" for name in names} <= found
    parents = [p for g in document["thingGroups"] for p in g.get("rootToParentThingGroups", ())]
    assert len(found) >= len(names) + (1 if parents else 0)


def test_pages_of_groups_are_followed(bench: Bench) -> None:
    """A device in many groups gets all of them."""
    first = {"thingGroups": [{"thingGroupName": "a"}], "nextToken": "more/"}
    last = {"thingGroups": [{"thingGroupName": "b"}]}
    bench.answers[f"{BASE}/coreDevices/press-01/thingGroups"] = [
        https_server.Answer(200, json.dumps(page).encode()) for page in (first, last)
    ]
    assert bench.remote.thing_groups(bench.stop) == {"thinggroup/a", "thinggroup/b"}
    assert bench.server.asked[1].path.endswith("?nextToken=more%2F")


def test_resolution_is_the_pinned_conversation(bench: Bench) -> None:
    """Question and answer are those that both sides have agreed upon."""
    bench.answers[f"{BASE}/resolveComponentCandidates"] = https_server.Answer(
        200, pinned("resolve_answer")
    )
    text = bench.resolve()
    assert text
    recipe = loading.parse_recipe(text)
    assert (recipe.name, recipe.version) == (EDGE, "1.2.0")
    assert json.loads(bench.server.asked[0].body) == json.loads(pinned("resolve_request"))


def test_no_version_is_no_failure(bench: Bench) -> None:
    """That nothing fits is for the resolver to say, who knows who asks for what."""
    bench.answers[f"{BASE}/resolveComponentCandidates"] = [
        https_server.Answer(404, pinned("resolve_refusal")),
        https_server.Answer(409, b'{"message": "they contradict one another"}'),
    ]
    assert bench.resolve() is None
    assert bench.resolve() is None


@pytest.mark.parametrize(
    ("answer", "code", "kind"),
    [
        pytest.param(
            https_server.Answer(404, b'{"message": "cannot claim platform linux"}'),
            "CURRENT_PLATFORM_NOT_SUPPORTED",
            "COMPONENT_RECIPE_ERROR",
            id="platform",
        ),
        pytest.param(
            https_server.Answer(403, b'{"message": "no"}'),
            "RESOLVE_COMPONENT_CANDIDATES_ACCESS_DENIED",
            "PERMISSION_ERROR",
            id="denied",
        ),
        pytest.param(
            https_server.Answer(400, b"{}"),
            "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE",
            "CLOUD_SERVICE_ERROR",
            id="bad-request",
        ),
        pytest.param(
            https_server.Answer(200, b'{"resolvedComponentVersions": []}'),
            "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE",
            "CLOUD_SERVICE_ERROR",
            id="nothing",
        ),
        pytest.param(
            https_server.Answer(200, b"[]"),
            "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE",
            "CLOUD_SERVICE_ERROR",
            id="list",
        ),
    ],
)
def test_refusals_have_greengrass_codes(
    bench: Bench, answer: https_server.Answer, code: str, kind: str
) -> None:
    """What the cloud says ends as an error code and type of the contract (3.8)."""
    bench.answers[f"{BASE}/resolveComponentCandidates"] = answer
    with pytest.raises(failures.DeploymentError) as error:
        bench.resolve()
    assert (error.value.code, error.value.kind) == (code, kind)


def test_patience_outlasts_an_outage(bench: Bench) -> None:
    """With nothing on the device the cloud is waited for; else it is not."""
    bench.answers[f"{BASE}/resolveComponentCandidates"] = [
        *[https_server.Answer(503)] * 5,
        https_server.Answer(200, pinned("resolve_answer")),
    ]
    with pytest.raises(asked_of.OfflineError):
        bench.resolve(patient=False)
    assert bench.resolve()


def test_waiting_ends_when_asked(bench: Bench) -> None:
    """A deployment that is cancelled waits no more."""
    bench.answers[f"{BASE}/resolveComponentCandidates"] = https_server.Answer(503)
    threading.Timer(0.1, bench.stop.request).start()
    with pytest.raises(threads.StoppedError):
        bench.resolve()


def _large(bench: Bench, body: bytes, digest: bytes | None = None) -> None:
    """Let the cloud have a large document."""
    given = hashlib.sha256(body if digest is None else digest).digest()
    answer = json.loads(pinned("configuration_answer"))
    answer["preSignedUrl"] = f"https://127.0.0.1:{bench.server.port}/large?signature=1"
    answer["integrityCheck"]["digest"] = base64.b64encode(given).decode()
    place = f"{BASE}/coreDevices/press-01/deployments/d/configuration"
    bench.answers[place] = [
        https_server.Answer(404),
        https_server.Answer(200, json.dumps(answer).encode()),
    ]
    bench.answers["/large"] = https_server.Answer(200, body)


def test_large_document_is_waited_for(bench: Bench) -> None:
    """A document that is not there yet is asked for again (contract 5.7)."""
    document = {"components": {f"c{n}": {"version": "1.0.0"} for n in range(20_000)}}
    _large(bench, json.dumps(document).encode())
    assert bench.remote.document("d", bench.stop) == document


def test_document_that_never_comes_fails(bench: Bench) -> None:
    """After ten attempts the deployment fails with the cloud's reason."""
    with pytest.raises(failures.DeploymentError, match="document of deployment d"):
        bench.remote.document("d", bench.stop)
    assert len(bench.server.asked) == remote.DOCUMENT_ATTEMPTS


def test_damaged_document_is_not_used(bench: Bench) -> None:
    """A document that is not what its digest says is fetched again."""
    _large(bench, b"{}", digest=b"something else")
    threading.Timer(0.3, bench.stop.request).start()
    with pytest.raises(threads.StoppedError):
        bench.remote.document("d", bench.stop)
    assert len([a for a in bench.server.asked if a.path.startswith("/large")]) > 1


def test_artifact_of_aws_is_fetched_by_a_signed_address(bench: Bench) -> None:
    """A `greengrass:` artifact is located by the data plane and verified like any other."""
    content = b"from aws"
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    document = json.loads(
        base64.b64decode(
            json.loads(pinned("resolve_answer"))["resolvedComponentVersions"][0]["recipe"]
        )
    )
    artifact = document["Manifests"][0]["Artifacts"][0]
    artifact |= {"Uri": "greengrass:a/b/edge.bin", "Digest": digest, "Unarchive": "NONE"}
    answer = copy.deepcopy(json.loads(pinned("resolve_answer")))
    one = answer["resolvedComponentVersions"][0]
    one["recipe"] = base64.b64encode(json.dumps(document).encode()).decode()
    bench.answers[f"{BASE}/resolveComponentCandidates"] = https_server.Answer(
        200, json.dumps(answer).encode()
    )
    arn = one["arn"].replace(":", "%3A")
    url = f"https://127.0.0.1:{bench.server.port}/signed"
    bench.answers[f"{BASE}/components/{arn}/artifacts/a/b/edge.bin"] = https_server.Answer(
        200, json.dumps({"preSignedUrl": url}).encode()
    )
    bench.answers["/signed"] = https_server.Answer(200, content)
    text = bench.resolve()
    assert text
    recipe = loading.parse_recipe(text)
    store = packages.PackageStore(bench.settings)
    package = store.expect(EDGE, recipe.version, recipe.manifests[0].artifacts)
    (filled,), count = bench.remote.fetch([(recipe, package)], store.check_space, bench.stop)
    assert count == len(content)
    store.put(filled)
    kept = bench.settings.paths.contents / package.content / "artifacts" / "edge.bin"
    assert kept.read_bytes() == content
    assert store.bytes_copied == 0
    assert versions.Version.parse(recipe.version)


def test_silence_and_length_have_limits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing, or never ends, is given up."""
    context = tls.device_context(bench.settings)
    request = http.Request(f"https://127.0.0.1:{bench.server.port}/slow")
    bench.answers["/slow"] = https_server.Answer(hang=True)
    with pytest.raises(errors.UnreachableError, match="does not answer in time"):
        http.fetch(request, context, what="test", read_limit=0.1)
    monkeypatch.setattr(http, "ANSWER_BYTES", 1000)
    bench.answers["/slow"] = https_server.Answer(200, b"x" * 5000)
    with pytest.raises(errors.CloudError, match="more than 1000 bytes"):
        http.fetch(request, context, what="test")


def test_missing_certificate_is_named(bench: Bench, tmp_path: Path) -> None:
    """A device that was not provisioned is told what to do."""
    bench.settings.cloud = settings.CloudSettings(
        certificate=str(tmp_path / "none.pem"), private_key="/k"
    )
    with pytest.raises(errors.CloudError, match=r"none\.pem.*provision the device again"):
        tls.device_context(bench.settings)
