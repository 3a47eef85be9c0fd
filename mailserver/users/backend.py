# SPDX-License-Identifier: MIT
"""Django's side of logging in: the console accepts a name or a full address, as every protocol does."""
