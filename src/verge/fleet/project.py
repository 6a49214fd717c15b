"""Where things lie in a checkout: components, their folders, and all state of the tooling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from verge.fleet.errors import FleetError, describe

CONFIG_NAME = "gdk-config.json"
BUILD_NAME = "greengrass-build"
SHARED_NAME = "_shared"
TEMPLATE_NAME = "_template"


@dataclass(frozen=True)
class Project:
    """A checkout. Everything under `state_dir` is state or cache and can be deleted at any time."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Return the project that `start` (default: the working directory) lies in.

        Its root is the nearest folder at or above that holds both `tasks.py` and `components/`.
        """
        here = (start or Path.cwd()).absolute()
        for folder in (here, *here.parents):
            if (folder / "tasks.py").is_file() and (folder / "components").is_dir():
                return cls(folder)
        raise FleetError(
            f"cannot find a project at or above {here}: "
            "no folder there has both tasks.py and components/",
            "change into the checkout and try again",
        )

    @property
    def components_dir(self) -> Path:
        """The folder whose folders are components."""
        return self.root / "components"

    @property
    def shared_dir(self) -> Path:
        """Files that several components use."""
        return self.components_dir / SHARED_NAME

    @property
    def template_dir(self) -> Path:
        """The component that `inv new` copies."""
        return self.components_dir / TEMPLATE_NAME

    def inventory(self, name: str = "local") -> Path:
        """Return the inventory of that name; `local` is the simulated fleet.

        Raises FleetError if there is none.
        """
        path = self.root / "inventory" / name
        if not path.is_dir():
            known = ", ".join(sorted(item.name for item in path.parent.glob("*") if item.is_dir()))
            raise FleetError(f"cannot find inventory {name}", f"inventories: {known or 'none'}")
        return path

    @property
    def nucleus_locks_dir(self) -> Path:
        """What the nucleus needs on a device: `requirements.in` and a lock per platform."""
        return self.root / "wheelhouse" / "nucleus"

    @property
    def state_dir(self) -> Path:
        """All state and caches."""
        return self.root / ".verge"

    @property
    def build_dir(self) -> Path:
        """The build cache, its lock and builds that are under way."""
        return self.state_dir / "build"

    @property
    def wheelhouse_dir(self) -> Path:
        """One folder of wheels per platform."""
        return self.state_dir / "wheelhouse"

    @property
    def bundle_dir(self) -> Path:
        """The newest bundle: recipes, artifacts and `bundle.json`."""
        return self.state_dir / "bundle"

    @property
    def releases_file(self) -> Path:
        """Every version ever bundled here, with the digest of its content."""
        return self.state_dir / "releases.json"

    @property
    def inventory_cache_dir(self) -> Path:
        """What Ansible answered about an inventory, by the content it was asked about."""
        return self.state_dir / "inventory"

    @property
    def ssh_dir(self) -> Path:
        """Key, known hosts and configuration for reaching the simulated devices."""
        return self.state_dir / "ssh"

    @property
    def results_dir(self) -> Path:
        """What was fetched from devices, one folder per device."""
        return self.state_dir / "results"

    def folders(self) -> tuple[Path, ...]:
        """Return the component folders, sorted by name.

        Names that begin with `_` (template, shared files) or `.` are no components.
        """
        try:
            entries = sorted(self.components_dir.iterdir())
        except OSError as error:
            raise FleetError(f"cannot read {self.components_dir}: {describe(error)}") from error
        return tuple(entry for entry in entries if entry.name[0] not in "_." and entry.is_dir())

    def relative(self, path: Path) -> str:
        """Return `path` as messages show it: relative to the root where it lies inside."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)
