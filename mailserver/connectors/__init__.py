# SPDX-License-Identifier: MIT
"""Connections with their Senders and Collectors, the schedule that runs them, and the history of their runs."""
