"""What is said of a parameter: once, for trigger forms, docstrings of operators and the README."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter, for people. Texts are Markdown."""

    title: str
    """Of its field in a form, in plain words."""
    meaning: str
    kind: str = "string"
    """A type of JSON schema's, or "project": an id or a title."""
    default: Any = None
    required: bool = False
    by_default: str = ""
    """What None means."""
    choices: Mapping[Any, str] = field(default_factory=dict)
    """Its values in plain words. 1 and 0 are yes and no: a form shows no boolean as chosen."""
    term: str = ""
    """What Label Studio calls it where storages are set up."""
    in_code: str = ""
    """What only somebody needs to know who writes a DAG."""
    section: str = ""
    """Of a form; what has none stands open at its top."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """More of JSON schema."""

    def for_form(self) -> str:
        """Return what stands below the field, as plain text: code would cover the lines above and below it."""
        text = " ".join(filter(None, (self.meaning, self._default_in_words())))
        return text.replace("`", "") + (f" In Label Studio: {self.term}." if self.term else "")

    def for_docstring(self) -> str:
        """Return what follows `:param name:`."""
        return " ".join(filter(None, (self._for_code(), self._default_in_words(), self._term())))

    def for_table(self) -> str:
        """Return what stands in a table that has a column for the default."""
        return " ".join(filter(None, (self._for_code(), self._term())))

    def _for_code(self) -> str:
        named = (f"{_in_code(value, self.default)}: {label[0].lower()}{label[1:]}" for value, label in self._named())
        return " ".join(filter(None, (self.meaning, "; ".join(named) + "." if self.choices else "", self.in_code)))

    def _named(self) -> list[tuple[Any, str]]:
        return list(self.choices.items())

    def _default_in_words(self) -> str:
        return f"By default {self.by_default}." if self.by_default else ""

    def _term(self) -> str:
        return f"In Label Studio: *{self.term}*." if self.term else ""


def _in_code(value: Any, default: Any) -> str:
    shown = default if value is None else bool(value) if isinstance(value, int) else value
    return f'`"{shown}"`' if isinstance(shown, str) else f"`{shown}`"
