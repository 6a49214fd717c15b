"""Why a deployment fails: one sentence and the codes that Greengrass reports (contract 3.8)."""

from __future__ import annotations

from verge.nucleus import errors
from verge.nucleus.lifecycle import users
from verge.nucleus.store import archive, composition, packages
from verge.recipe import errors as recipe_errors


class DeploymentError(errors.NucleusError):
    """A deployment cannot be carried out; `code` and `kind` are Greengrass's names for why.

    `within` is a more general code between the failure and its own.
    """

    def __init__(
        self, reason: str, code: str, kind: str = "REQUEST_ERROR", *, within: str = ""
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.kind = kind
        self._within = within

    @property
    def error_stack(self) -> list[str]:
        """Return the codes from the general to the specific one."""
        return ["DEPLOYMENT_FAILURE", *filter(None, [self._within]), self.code]


_CODES: tuple[tuple[type[Exception], str, str], ...] = (
    (composition.MissingArtifactError, "ARTIFACT_DOWNLOAD_ERROR", "REQUEST_ERROR"),
    (composition.ChecksumError, "ARTIFACT_CHECKSUM_MISMATCH", "COMPONENT_RECIPE_ERROR"),
    (packages.DiskSpaceError, "DISK_SPACE_CRITICAL", "DEVICE_ERROR"),
    (archive.ArchiveError, "IO_UNZIP_ERROR", "COMPONENT_ERROR"),
    (recipe_errors.DependencyCycleError, "COMPONENT_CIRCULAR_DEPENDENCY_ERROR", "DEPENDENCY_ERROR"),
    (recipe_errors.MissingDependencyError, "NO_AVAILABLE_COMPONENT_VERSION", "DEPENDENCY_ERROR"),
    (recipe_errors.RecipeError, "RECIPE_PARSE_ERROR", "COMPONENT_RECIPE_ERROR"),
    (errors.SettingsError, "COMPONENT_CONFIGURATION_NOT_VALID", "REQUEST_ERROR"),
    (users.UserError, "COMPONENT_CONFIGURATION_NOT_VALID", "REQUEST_ERROR"),
    (errors.StoreError, "IO_ERROR", "DEVICE_ERROR"),
    (OSError, "IO_ERROR", "DEVICE_ERROR"),
)

EXPECTED = (errors.NucleusError, recipe_errors.RecipeError, OSError)
"""What preparing a deployment may raise; anything else is a defect of the nucleus."""


def explain(error: Exception) -> DeploymentError:
    """Return an error of the lower layers as a reason for a failed deployment."""
    if isinstance(error, DeploymentError):
        return error
    for kind, code, category in _CODES:
        if isinstance(error, kind):
            return DeploymentError(str(error), code, category)
    return DeploymentError(f"internal error: {error!r}", "NUCLEUS_ERROR", "NUCLEUS_ERROR")
