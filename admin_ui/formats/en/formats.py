# SPDX-License-Identifier: MIT
"""How dates and times are written in the console: day before month, twenty-four hours, as in mail headers."""

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j M Y, H:i"
