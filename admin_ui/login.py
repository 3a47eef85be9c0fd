# SPDX-License-Identifier: MIT
"""Logging in to the console, in plain words."""

from __future__ import annotations

from typing import Any

from admin_ui.unfolded import AuthenticationForm

NOT_LET_IN = (
    "This did not work. Check the name and the password (small and capital letters matter in the password)."
    " Only administrators may open this console."
)


class LoginForm(AuthenticationForm):
    """Name or full address; one sentence for every reason to refuse, so that nobody learns which names exist."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.error_messages = {**self.error_messages, "invalid_login": NOT_LET_IN, "inactive": NOT_LET_IN}
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Name or address"
