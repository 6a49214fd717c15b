"""The how-to of the AWS CLI, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.cloud import account as accounts
from tests.support import running_cloud

HOW_TO = Path(__file__).parents[3] / "docs/how-to/use-the-aws-cli.md"
TOOLS = Path(sys.executable).parent
_NOT_OURS = ("AWS_", "PYTHONDONTWRITEBYTECODE")

pytestmark = [
    accounts.local_only("the how-to uses fixed names, which an account may have"),
    pytest.mark.skipif(not (TOOLS / "aws").exists(), reason="the AWS CLI is not installed"),
    pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash"),
]


def blocks() -> list[str]:
    """Return what the how-to lets its reader run."""
    return re.findall(r"^```bash\n(.*?)^```$", HOW_TO.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(240)
def test_how_to(
    account: accounts.Account, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every block of the how-to runs, in one shell, and leaves nothing behind."""
    assert account.local is not None
    assert len(blocks()) >= 5
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)},
        # The CLI starts anew for each line, in half the time where its byte code is kept.
        "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("bytecode")),
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "AWS_ENDPOINT_URL": account.local.endpoints.api,
        "AWS_DEFAULT_REGION": account.local.endpoints.region,
        "AWS_ACCESS_KEY_ID": running_cloud.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": running_cloud.SECRET_KEY,
        "AWS_PAGER": "",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks())],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    for said in ("Digest:", "com.example.Hello", "aws.greengrass.Nucleus", "IN_PROGRESS"):
        assert said in done.stdout
    assert list(tmp_path.iterdir()) == []
    component = account.arn("greengrass", "components:com.example.Hello")
    assert account.greengrass.list_component_versions(arn=component)["componentVersions"] == []
    group = account.arn("iot", "thinggroup/hello-line")
    listed = account.greengrass.list_deployments(targetArn=group, historyFilter="ALL")
    assert listed["deployments"] == []
