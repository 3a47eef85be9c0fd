# SPDX-License-Identifier: MIT
"""A page's form as a browser would send it back: every field with what it shows."""

from __future__ import annotations

from html.parser import HTMLParser

from django.test import Client


class FormReader(HTMLParser):
    """Collects the controls of one form of a page, those that name it by `form=` included."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self._form_id = form_id
        self._inside = False
        self._select = ""
        self._textarea = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "form":
            self._inside = values.get("id") == self._form_id
        if not self._inside:
            return
        name = values.get("name", "")
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in values:
            self._add(self._select, values.get("value", ""))
        elif tag == "textarea":
            self._textarea = name
            self._add(name, "")
        elif tag == "input" and name and self._is_sent(values):
            self._add(name, values.get("value", "on" if values.get("type") == "checkbox" else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.values[self._textarea][-1] += data.removeprefix("\n")

    def _is_sent(self, values: dict[str, str]) -> bool:
        return values.get("type") not in ("checkbox", "radio") or "checked" in values

    def _add(self, name: str, value: str) -> None:
        self.values.setdefault(name, []).append(value)


def read_form(browser: Client, page: str, form_id: str) -> dict[str, list[str]]:
    """What the form would send if nothing were changed."""
    reader = FormReader(form_id)
    reader.feed(browser.get(page).content.decode())
    assert reader.values, f"{page} has no form {form_id}"
    return {name: values for name, values in reader.values.items() if "__prefix__" not in name}


def messages_of(response: object) -> str:
    """Everything that is said at the top of the page."""
    return " ".join(str(message) for message in response.context["messages"])  # type: ignore[attr-defined]
