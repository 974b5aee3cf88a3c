"""How each format of task files writes what the contract test asks of all. One more format is one more entry."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Data = Mapping[str, str]


@dataclass(frozen=True)
class Cases:
    """What a format writes."""

    write: Callable[[Sequence[Data]], bytes]
    """Writes rows, each of the same data keys."""
    bad_rows: Mapping[bytes, str]
    """Contents whose rows are `{"text": "a"}`, a bad one, and `{"text": "b"}`, and what is said of the bad one."""
    bad_files: Mapping[bytes, str]
    """Contents that are bad as a whole, and what is said of them."""
    tasks: Mapping[bytes, list[Data]] = field(default_factory=dict)
    """Contents that only this format writes so, and the data of their tasks."""


def as_array(rows: Sequence[Data]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()


def as_lines(rows: Sequence[Data]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


AB: list[Data] = [{"text": "a"}, {"text": "b"}]

CASES = {
    "JSON": Cases(
        as_array,
        {
            b'[{"text": "a"}, 5, {"text": "b"}]': "a row is a JSON object, this is a number",
            b'[{"text": "a"}, {"text": "\xe9"}, {"text": "b"}]': "wrongly encoded: not UTF-8, byte 0xe9 at row 1",
            b'[{"text": "a"}, {"data": 5}, {"text": "b"}]': "`data` must be an object",
        },
        {b'[{"text": "a"}, {"text": "b"}': "malformed JSON", b"text\na": "not a task file: it begins with b't'"},
        {b'{"text": "a"}{"text": "b"}': AB, b'{"data": {"text": "a"}}': AB[:1]},
    ),
    "JSON lines": Cases(
        as_lines,
        {
            b'{"text": "a"}\n{"text": \n{"text": "b"}': "malformed JSON",
            b'{"text": "a"}\n{"text": "\xe9"}\n{"text": "b"}': "wrongly encoded: not UTF-8, byte 0xe9 at row 1",
        },
        {b'[\n{"text": "a"},\n{"text": "b"}': "malformed JSON"},
        {b'{"text": "a"}\r\n\r\n{"text": "b"}': AB, as_array(AB): AB},
    ),
}
