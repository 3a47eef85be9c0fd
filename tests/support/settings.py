# SPDX-License-Identifier: MIT
"""Django's settings under test: a data folder of its own, cheap password hashes, the database that the run asks for."""

import atexit
import os
import shutil
import tempfile

_data = tempfile.mkdtemp(prefix="pillarbox-test-")
atexit.register(shutil.rmtree, _data, True)
os.environ["PILLARBOX_DATA"] = _data
os.environ.pop("PILLARBOX_KEY_FILE", None)
if "PILLARBOX_TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["PILLARBOX_TEST_DATABASE_URL"]
else:
    os.environ.pop("DATABASE_URL", None)
os.environ.pop("CELERY_BROKER_URL", None)

from mailserver.project.settings import *  # noqa: E402, F403
