# SPDX-License-Identifier: MIT
"""What a process of this server makes is nobody else's to read, whatever folder it is given."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from tests.support.sources import ROOT

MAKE_A_FILE = "from django.conf import settings; settings.DATA.joinpath('mail').write_text('secret')"


def test_file_in_a_folder_that_everybody_may_enter(tmp_path: Path) -> None:
    """A folder made by hand, or by a container: it had its rights before the first start."""
    tmp_path.chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        "PILLARBOX_DATA": str(tmp_path),
        "PILLARBOX_KEY_FILE": "",
        "DJANGO_SETTINGS_MODULE": "mailserver.project.settings",
    }
    subprocess.run([sys.executable, "-c", MAKE_A_FILE], cwd=ROOT, env=environment, check=True, umask=0o022)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"mail": 0o640, "secret.key": 0o600}
