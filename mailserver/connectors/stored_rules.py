# SPDX-License-Identifier: MIT
"""The download rules as they are stored, read for a collector's session."""

from __future__ import annotations

import logging

from mailserver.connectors.download_rules import Action, Rule, parse_conditions, split_targets
from mailserver.connectors.models import DownloadRule
from mailserver.errors import InvalidInput

log = logging.getLogger("pillarbox.collecting")


def read_rules() -> tuple[Rule, ...]:
    """Those that are switched on, in their order. One that cannot be read is left out: it must not decide wrongly."""
    rules = []
    for row in DownloadRule.objects.filter(enabled=True):
        try:
            conditions = parse_conditions(row.conditions)
        except InvalidInput as error:
            log.warning("the download rule %s is not used: %s", row.name, error)
            continue
        rules.append(Rule(row.name, Action(row.action), split_targets(row.targets), row.match_all, conditions))
    return tuple(rules)
