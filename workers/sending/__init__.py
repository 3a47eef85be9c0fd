# SPDX-License-Identifier: MIT
"""Sending what waits: taking, speaking to servers, recording. `workers.delivery` is the way in."""
