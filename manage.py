#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Django's entry point; `run`, which only supervises, goes without Django."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailserver.project.settings")
    if sys.argv[1:2] == ["run"]:
        from protocols.supervisor.command import main

        raise SystemExit(main(sys.argv[2:]))

    from django.core.management import execute_from_command_line

    from mailserver.project.owner import act_as_owner

    act_as_owner(os.environ)
    execute_from_command_line(sys.argv)
