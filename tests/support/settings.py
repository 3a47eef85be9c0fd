# SPDX-License-Identifier: MIT
"""Django's settings under test: a data folder and a database of its own for each process, fast and forgetful.

SQLite is a file, not memory, so that threads and processes meet each other's locks as they do in production; neither
database is synced, because a test machine that loses power has lost the test anyway. PostgreSQL is used when
PILLARBOX_TEST_DATABASE_URL names one; each xdist worker gets a database of its own there.
"""

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
from mailserver.project.settings import DATABASES  # noqa: E402

_database = DATABASES["default"]
if "sqlite" in _database["ENGINE"]:
    _database["TEST"] = {"NAME": os.path.join(_data, "test.sqlite3")}
    _database["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"
else:
    _database["OPTIONS"]["options"] = "-c synchronous_commit=off"

PASSWORD_HASHERS = ["tests.support.hashing.CheapArgon2Hasher"]
