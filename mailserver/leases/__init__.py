# SPDX-License-Identifier: MIT
"""Who alone may do something at the moment, on the whole installation: named leases that die with their holder."""
