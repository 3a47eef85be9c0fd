# SPDX-License-Identifier: MIT
"""Django's backend for SQLite, in which processes get the write lock in their turn."""
