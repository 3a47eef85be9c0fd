# SPDX-License-Identifier: MIT
"""Python's search for reference cycles, set for processes that live long and hold much.

It goes over the young objects after each 700 new ones, now and then over all: a mailbox of 100,000 messages makes that
many objects for one search, none of them in a cycle, and meanwhile was searched for cycles 140 times (a quarter of the
search's time). The functions, classes and settings that are there for good need no looking at either.
"""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 20_000
"""New objects that live until a search; some megabytes."""


def settle() -> None:
    """What exists now stays; from now on cycles are searched for less often. To be called once a process is set up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
