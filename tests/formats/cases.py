"""How each format of task files writes what the contract test asks of all. One more format is one more entry."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

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


def as_table(separator: str, rows: Sequence[Data]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0] if rows else ["text"], delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


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
    "CSV": Cases(
        partial(as_table, ","),
        {
            b"text\na\nb,1\nb": "line 3: bad row: it has 2 values, the header has 1 column. Give each column one",
            b"text\r\na\r\n\r\nb\xe9\r\nb": "line 4: wrongly encoded: not UTF-8, byte 0xe9. Save the file as UTF-8",
            b"text\na\nb\0\nb": "line 3: a NUL character is in it",
            b'text\n"a"\n"two" and more\nb': "line 3: malformed: ',' expected after '\"'. Write a quote",
            b"sep=;\ntext\na\nb;1\nb": "line 4: bad row: it has 2 values",
        },
        {
            b",text\n0,a": "bad header: column 1 of 2 has no name. Give it one, or take it out",
            b"text, \na,b": "bad header: column 2 of 2 has no name",
            b"text,id,text\na,1,b": "bad header: 2 columns are called 'text'. Give each a name of its own",
            b"caf\xe9\na": "bad header: wrongly encoded: not UTF-8, byte 0xe9",
            b'"text\na': "bad header: malformed: a quote is opened and not closed",
            b"text" * (2**22 + 1) + b"\na": "bad header: oversized row: 16,777,220 bytes",
            b"A title\n\ntext,n\na,1\nb,2": "bad header: it has 1 column, 'A title', and none of the 3 rows has as "
            "many values; that in line 3 has 2. Take out what stands above the header, give each column a name, and",
            b"text\na, b\nc, d, e": "write values that have a separator in them in quotes",
            b"text,n\n,\n,,,\n \n": "at least one row, and below the header, 'text', 'n', stands none",
            b"sep=;\n": "empty: a task file holds at least one row",
            b"PK\x03\x04\x14\0\x06\0": "a ZIP archive, as Excel workbooks are, and no text. Save it as CSV, or",
        },
        {
            b"text\r\na\r\n\r\n  \r\nb\r\n": AB,
            b"text\ra\rb": AB,
            b"\r\ntext\r\n,\r\na\r\n,,\r\nb\r\n,,,\r\n": AB,
            b"sep=;\r\ntext\r\na\r\nb\r\n": AB,
            b'"SEP=|"\ntext|n\na, b; c|1\n': [{"text": "a, b; c", "n": "1"}],
            b"sep=\ttext\na": [{"sep=\ttext": "a"}],
            b'text\n""\n': [{"text": ""}],
            b'text\n"a"\n5" nails': [{"text": "a"}, {"text": '5" nails'}],
            b"data,meta\nx,{}": [{"data": "x", "meta": "{}"}],
            b"text;price\na;1,5\n": [{"text": "a", "price": "1,5"}],
            b'text,n\n"a, ""b""\r\nc",\n': [{"text": 'a, "b"\r\nc', "n": ""}],
        },
    ),
    "TSV": Cases(
        partial(as_table, "\t"),
        {b"text\na\nb\t1\nb": "line 3: bad row: it has 2 values, the header has 1 column"},
        {b"text\t\na\tb": "bad header: column 2 of 2 has no name"},
        {
            b'text\tn\na, b; c\t1\n\t\n\t""\n"\t"\t2': [
                {"text": "a, b; c", "n": "1"},
                {"text": "", "n": ""},
                {"text": "\t", "n": "2"},
            ],
            b"sep=,\ntext,n\na,1": [{"text": "a", "n": "1"}],
        },
    ),
}
