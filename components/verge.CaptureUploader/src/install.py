"""The `install` step: see offline_venv.installer."""

import sys

from offline_venv import installer

if __name__ == "__main__":
    sys.exit(installer.main())
