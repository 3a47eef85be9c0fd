# SPDX-License-Identifier: MIT
"""docs/settings.md and docs/configuration-file.md, made from the catalogue and the tables of the file's keys.

Pure. `python -m mailserver.config.documentation` writes both; a test says when they are out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mailserver.config.catalog import GENERAL, SERVICE_TEMPLATES, Setting
from mailserver.config.exchange.connector_keys import (
    ACCOUNT_KEYS,
    ACCOUNT_MORE,
    COLLECTOR_KEYS,
    COLLECTOR_MORE,
    CONDITION_KEYS,
    CONNECTION_KEYS,
    ITEM_KEYS,
    ROUTING_KEYS,
    RULE_FILE_KEYS,
    SENDER_KEYS,
    SENDER_MORE,
    SERVER_KEYS,
    meanings,
)
from mailserver.config.exchange.keys import (
    CERTIFICATE_KEYS,
    FOLDER_ACCESS_KEYS,
    HIDING_KEYS,
    LAN_KEYS,
    POOL_KEYS,
    PUBLIC_FOLDER_KEYS,
    RULE_KEYS,
    SECTIONS,
    SERVICE_KEYS,
    SHARED_FOLDER_KEYS,
    USER_KEYS,
)

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"

EXAMPLE = """\
domains:
  - example.com
users:
  - {name: alice, password: four-odd-little-words, full_name: Alice Example}
  - {name: bob, domain: example.com, password: "0612-another-one", administrator: yes}
services:
  - kind: smtp
    bindings: ["0.0.0.0:25", "[::]:25"]
    options: {max_recipients: 200}
    access_rules:
      - {action: block, network: 192.0.2.0/24, comment: nuisance}
      - {action: allow, matches: any}
public_folders:
  - name: News
    access:
      - {who: anyone, rights: lrs}
      - {who: alice, rights: lrswipte}
shared_folders:
  - {owner: alice, name: INBOX, access: [{who: bob@example.com, rights: lr}]}
settings:
  mail.max_hops: 40
"""
"""A test imports it."""

_GENERAL = """\
# Settings

General settings belong to the whole installation: in the console under *Settings*, or by `manage.py settings list`,
`get NAME`, `set NAME VALUE` and `reset NAME`. A running server follows within two seconds; the last column says what
feels the change.
"""

_OPTIONS = """\

## Options of the services

Each service has its own: in the console under *Services*, or in a
[configuration file](configuration-file.md)."""

_FILE = f"""\
# The configuration file

`manage.py importconfig FILE` takes over a YAML or JSON file, `manage.py exportconfig` writes one. Sections that are
absent stay as they are; things are found by their names, changed where they exist, and added where they do not.
Nothing is ever deleted, but a list inside something (bindings, access rules, who may use a folder, a relay's servers)
is replaced whole, and a Connection that the first start made and nobody changed gives way to those in the file. If any
line is wrong, each wrong line is named and nothing is changed. Passwords and keys are exported only with `--secrets`:
keep such a file like a key.

```yaml
{EXAMPLE}```

## Sections
"""


def catalog_markdown() -> str:
    """Every general setting and every option of the services."""
    return "\n".join(_settings_page()) + "\n"


def configuration_file_markdown() -> str:
    """Every key that `importconfig` understands."""
    return "\n".join(_configuration_page()) + "\n"


def write_all(folder: Path = DOCS) -> None:
    """Bring both pages up to date."""
    (folder / "settings.md").write_text(catalog_markdown(), encoding="utf-8")
    (folder / "configuration-file.md").write_text(configuration_file_markdown(), encoding="utf-8")


def _settings_page() -> Iterator[str]:
    yield _GENERAL
    yield from _table(("Name", "Usual value", "Meaning", "Felt"), map(_setting_row, GENERAL))
    yield _OPTIONS
    for protocol, options in _options_by_protocol().items():
        kinds = ", ".join(template.name for template in SERVICE_TEMPLATES.values() if template.protocol == protocol)
        yield ""
        yield f"### {kinds}"
        yield ""
        yield from _table(("Name", "Usual value", "Meaning", "Felt"), map(_setting_row, options))
        yield from _presets(protocol)


def _configuration_page() -> Iterator[str]:
    yield _FILE
    yield from _keys(SECTIONS)
    for title, keys in (
        ("A user", USER_KEYS),
        ("A service", SERVICE_KEYS),
        ("An access rule", RULE_KEYS),
        ("A bandwidth pool", POOL_KEYS),
        ("Hidden capabilities", HIDING_KEYS),
        ("A public folder", PUBLIC_FOLDER_KEYS),
        ("A shared folder", SHARED_FOLDER_KEYS),
        ("Who may use a folder", FOLDER_ACCESS_KEYS),
        ("A Connection", CONNECTION_KEYS),
        ("Its Sender", meanings(SENDER_KEYS, SENDER_MORE)),
        ("A relay's server", SERVER_KEYS),
        ("A Collector", meanings(COLLECTOR_KEYS, COLLECTOR_MORE)),
        ("A Collector's routing", meanings(ROUTING_KEYS)),
        ("A schedule item", ITEM_KEYS),
        ("A download rule", meanings(RULE_FILE_KEYS, {"conditions": "All of them, or one, must hold, a list."})),
        ("A condition of a download rule", CONDITION_KEYS),
        ("An OAuth2 account", meanings(ACCOUNT_KEYS, ACCOUNT_MORE)),
        ("A LAN forwarding rule", LAN_KEYS),
        ("The certificate", CERTIFICATE_KEYS),
    ):
        yield ""
        yield f"## {title}"
        yield ""
        yield from _keys(keys)
    yield ""
    yield "The options of a service and the general settings are explained in [settings.md](settings.md)."


def _setting_row(setting: Setting[Any]) -> tuple[str, str, str, str]:
    return f"`{setting.name}`", _value(setting.default), _meaning(setting), setting.effect.value


def _meaning(setting: Setting[Any]) -> str:
    sentences = [f"**{setting.label}.** {setting.help}"]
    if setting.choices:
        sentences.append(f"One of {'; '.join(f'`{value}`: {label}' for value, label in setting.choices)}.")
    if isinstance(setting.default, int) and not isinstance(setting.default, bool):
        sentences.append(_bounds(setting))
    return " ".join(sentence for sentence in sentences if sentence)


def _bounds(setting: Setting[Any]) -> str:
    if setting.minimum is not None and setting.maximum is not None:
        return f"From {setting.minimum} to {setting.maximum}."
    return f"At least {setting.minimum}." if setting.minimum else ""


def _options_by_protocol() -> dict[str, tuple[Setting[Any], ...]]:
    return {template.protocol: template.options for template in SERVICE_TEMPLATES.values()}


def _presets(protocol: str) -> Iterator[str]:
    """Services that start with other values than the usual ones."""
    for template in SERVICE_TEMPLATES.values():
        if template.protocol == protocol and template.preset:
            chosen = ", ".join(f"`{name}` {_value(value)}" for name, value in template.preset)
            yield ""
            yield f"{template.name} starts with {chosen}."


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == "":
        return "(empty)"
    text = str(value).replace("\n", "\\n")
    return f"`{text}`"


def _keys(keys: Mapping[str, str]) -> Iterator[str]:
    yield from _table(("Key", "Meaning"), ((f"`{name}`", text) for name, text in keys.items()))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield "| " + " | ".join(_cell(text) for text in row) + " |"


def _cell(text: str) -> str:
    """A bar would end the cell, and what stands in angle brackets would vanish."""
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
