"""Hostile objects, drawn at random and repeatable by a number: for each class, what may stand in one, or be its key."""

import gzip
import json
import random
import zlib
from collections.abc import Callable
from typing import NamedTuple

Random = random.Random


class Case(NamedTuple):
    """What stands in a source beside good neighbours."""

    key: str
    content: bytes
    as_blob: bool = False
    special: str = ""
    """What the object is on disk, if it is no ordinary file."""


SCALARS = [
    "1",
    "-0",
    "1e5",
    "1e999",
    "NaN",
    "-Infinity",
    "tru",
    "null",
    "true",
    '""',
    '"a"',
    '"\\ud800"',
    '"\\x"',
    "01",
    "-",
]
TEXTS = ["a", "ä", "\U0001f600", "\0", "\u2028", '"', "\\", "{", "[", "}{", ",", "\n", "\r", "\x7f", "NaN"]
NAMES = [
    "text",
    "data",
    "meta",
    "annotations",
    "predictions",
    "completions",
    "allow_skip",
    "drafts",
    "prediction",
    "id",
]
NAMES += [
    "$undefined$",
    "labelsync",
    "result",
    "score",
    "model_version",
    "created_at",
    "was_cancelled",
    "lead_time",
    "é",
    "",
]


def value(draw: Random, depth: int = 0) -> str:
    """Draw a JSON value, now and then a malformed one."""
    kind = draw.random()
    if depth > 4 or kind < 0.45:
        return draw.choice(SCALARS)
    count = draw.choice([0, 1, 1, 2, 3, 8])
    if kind < 0.6:
        return json.dumps("".join(draw.choices(TEXTS, k=count)), ensure_ascii=draw.random() < 0.5)
    if kind < 0.75:
        return "[" + ", ".join(value(draw, depth + 1) for _ in range(count)) + "]"
    return row(draw, depth + 1)


def row(draw: Random, depth: int = 0) -> str:
    """Draw an object; mostly, it has what a task has."""
    fields = {json.dumps(draw.choice(NAMES)): value(draw, depth) for _ in range(draw.choice([0, 1, 2, 5]))}
    if draw.random() < 0.5:
        fields['"text"'] = json.dumps("".join(draw.choices(TEXTS, k=3)))
    if depth == 0 and draw.random() < 0.3:
        fields['"data"'] = json.dumps({"text": "fuzz"})
    return "{" + ",".join(f"{name}: {given}" for name, given in fields.items()) + "}"


def mangled(draw: Random, content: bytes) -> bytes:
    """Cut, double, or overwrite a part."""
    if not content:
        return content
    at, length = draw.randrange(len(content)), draw.choice([1, 1, 2, 10, 1000])
    how = draw.randrange(4)
    if how == 0:
        return content[:at]
    if how == 1:
        return content[:at] + draw.randbytes(length) + content[at + length :]
    if how == 2:
        return content[:at] + content[at : at + length] * 2 + content[at + length :]
    return content[:at] + content[at + length :]


def _bytes(draw: Random) -> Case:
    return Case(_key(draw), draw.randbytes(draw.choice([1, 2, 10, 1000, 100_000])))


def _structure(draw: Random) -> Case:
    content = row(draw).encode("utf-8", "surrogatepass")
    return Case(_key(draw), mangled(draw, content) if draw.random() < 0.5 else content)


def _lines(draw: Random) -> Case:
    rows = [draw.choice([row, row, value])(draw) for _ in range(draw.choice([1, 2, 5, 50]))]
    content = draw.choice(["\n", "\n", "\r\n", "", " ", "\n\n"]).join(rows).encode("utf-8", "surrogatepass")
    return Case(
        draw.choice(["m.jsonl", "m.ndjson", "m.json", "m"]), mangled(draw, content) if draw.random() < 0.4 else content
    )


def _arrays(draw: Random) -> Case:
    rows = [draw.choice([row, row, value])(draw) for _ in range(draw.choice([0, 1, 2, 5, 50]))]
    content = ("[" + draw.choice([",", ", ", ",\n"]).join(rows) + "]").encode("utf-8", "surrogatepass")
    return Case(_key(draw), mangled(draw, content) if draw.random() < 0.4 else content)


def _tables(draw: Random) -> Case:
    separator = draw.choice([",", ",", ";", "\t"])
    names = draw.sample(NAMES[:8], draw.choice([1, 2, 3])) + ["text"] * draw.choice([1, 1, 1, 0, 2])
    rows = [names, *([_cell(draw) for _ in names] for _ in range(draw.choice([0, 1, 2, 50])))]
    if draw.random() < 0.3:
        draw.choice(rows).append("a")
    lines = [separator.join(row) for row in rows]
    content = draw.choice(["\n", "\n", "\r\n", "\r", "\n\n"]).join(lines).encode()
    key = draw.choice(["m.csv", "m.csv", "m.tsv", "m.csv.gz"])
    return Case(key, mangled(draw, content) if draw.random() < 0.5 else content)


def _cell(draw: Random) -> str:
    text = "".join(draw.choices([*TEXTS, ";", "\t"], k=draw.choice([0, 1, 3])))
    return '"' + text.replace('"', '""') + '"' if draw.random() < 0.7 else text


def _gzip(draw: Random) -> Case:
    content = _lines(draw).content
    packed = gzip.compress(content, mtime=0)
    how = draw.randrange(6)
    if how == 0:
        packed = mangled(draw, packed)
    elif how == 1:
        packed = packed + gzip.compress(content, mtime=0) + draw.choice([b"", b"\0" * 100, b"garbage"])
    elif how == 2:
        packed = gzip.compress(packed, mtime=0)
    elif how == 3:
        packed = zlib.compress(content)
    elif how == 4:
        packed = gzip.compress(
            draw.choice([b"0", b"1\n", b"{}", b"[", b'{"a":1}\n']) * draw.choice([10, 300_000]), mtime=0
        )
    return Case(draw.choice(["m.json.gz", "m.jsonl.gz", "m.json", "m.gz"]), packed)


ODD_KEYS = ["m?.json", "m#.json", "m%3F.json", "m\n.json", "m\x00.json", "m\x7f.json", "a//m.json", "../m.json"]
ODD_KEYS += ["m\u202e.json", "m" + "x" * 900 + ".json", "m\U0001f600.json", "m.JSON", "_SUCCESS", "m_$folder$"]
ODD_KEYS += ["Thumbs.db", "m/", "m .json", " m.json", "m.json ", "m'\".json", "m<b>.json", "m.jpg", "m.json.bak"]
ODD_KEYS += ["./m.json", "a/.keep", "m{0}%s.json"]


def _keys(draw: Random) -> Case:
    content = draw.choice([b'{"text": "fuzz"}', b"", b"[]", row(draw).encode("utf-8", "surrogatepass")])
    return Case(draw.choice(ODD_KEYS), content, as_blob=draw.random() < 0.3)


def _encodings(draw: Random) -> Case:
    text = json.dumps({"text": "".join(draw.choices(["ä", "€", "\U0001f600", "a"], k=5))}, ensure_ascii=False)
    encoding = draw.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
    content = (text + draw.choice(["", "\n"]) * 2 + text * draw.choice([0, 1])).encode(encoding, "replace")
    return Case(_key(draw), mangled(draw, content) if draw.random() < 0.5 else content)


def _numbers(draw: Random) -> Case:
    digits = "".join(draw.choices("0123456789", k=draw.choice([1, 19, 20, 400, 5000])))
    number = draw.choice(["", "-", "+"]) + digits + draw.choice(["", ".5", "e5", "e400", "E-400", ".", "_0", "n"])
    name = draw.choice(["text", "id", "score", "lead_time", "created_at"])
    label = f'{{"result": [], "{name}": {number}}}'
    kind = draw.choice(["annotations", "predictions", "completions"])
    contents = [f'{{"text": {number}}}', f'{{"data": {{"text": "fuzz"}}, "{kind}": [{label}]}}', f"[{number}]"]
    return Case(_key(draw), draw.choice(contents).encode())


def _depth(draw: Random) -> Case:
    depth = draw.choice([50, 99, 100, 101, 500, 990, 5000, 100_000])
    opening, closing = draw.choice([("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"text": "fuzz", "a": [', "]}")])
    deep = opening * depth + draw.choice(["1", "", "NaN"]) + closing * draw.choice([depth, depth, depth - 1, 0])
    good = '{"text": "fuzz"}'
    shapes = [deep, f"[{good}, {deep}, {good}]", f"{good}\n{deep}\n{good}", f'[{good}, {{"text": {deep}}}, {good}]']
    return Case(_key(draw), draw.choice(shapes).encode())


def _many(draw: Random) -> Case:
    unit = draw.choice(["1\n", "{}", "{}\n", "[]", "[", "{", '"', "\n", "\\", '{"text": "fuzz"}\n', '{"a":1},', "NaN,"])
    inside = unit * draw.choice([1000, 10_000] if "fuzz" in unit else [1000, 30_000, 100_000])
    shapes = [inside, f"[{inside}]", f'{{"text": [{inside}]}}', f'"{inside}"', f'{{"text": "{inside}"}}']
    return Case(_key(draw), draw.choice(shapes).encode())


def _blobs(draw: Random) -> Case:
    return Case(draw.choice([*ODD_KEYS, "m.jpg"]), draw.choice([b"", b"\xff\xd8", draw.randbytes(1000)]), as_blob=True)


SPECIAL = [
    "fifo",
    "socket",
    "directory",
    "dangling link",
    "loop",
    "link out",
    "link to a directory",
    "sparse",
    "unreadable",
]


def _special(draw: Random) -> Case:
    name = draw.choice(["m.json", "m\udcff.json", "sub/m.json", "m\n.json", "m"])
    return Case(name, row(draw).encode("utf-8", "surrogatepass"), draw.random() < 0.3, draw.choice(SPECIAL))


def _key(draw: Random) -> str:
    return draw.choice(["m.json", "m.json", "m.jsonl", "m", "m.json.gz"])


CLASSES: dict[str, Callable[[Random], Case]] = {
    "bytes": _bytes,
    "structure": _structure,
    "JSON lines": _lines,
    "arrays": _arrays,
    "tables": _tables,
    "gzip": _gzip,
    "keys": _keys,
    "encodings": _encodings,
    "numbers": _numbers,
    "depth": _depth,
    "many": _many,
    "blobs": _blobs,
    "special files": _special,
}

MB = 1_000_000
EXTREMES: dict[str, Callable[[], bytes]] = {
    'gzip of "1\\n" * 5,242,880': lambda: gzip.compress(b"1\n" * 5_242_880, mtime=0),
    "20 MB of [": lambda: b"[" * 20 * MB,
    "20 MB of 1\\n": lambda: b"1\n" * 10 * MB,
    "20 MB of {}": lambda: b"{}" * 10 * MB,
    "a row of a million empty lists": lambda: b'{"text": "fuzz", "lists": [' + b"[]," * (MB - 4) + b"[]]}",
    "a row of more of them": lambda: b'{"text": "fuzz", "lists": [' + b"[]," * 5 * MB + b"[]]}",
    "an array of a million empty lists": lambda: b"[" + b"[]," * MB + b"[]]",
    "an array of an array of 30 million": lambda: b"[[" + b"[]," * 30 * MB + b"[]]]",
    "100 MiB of good lines": lambda: _good(b"", b"\n", b"", 104_857_600),
    "100 MiB of good elements": lambda: _good(b"[", b",\n", b"{}]", 104_857_600),
    "100 MiB of one text": lambda: b'{"text": "' + b"a" * (104_857_600 - 12) + b'"}',
    "16 MiB of one text of escapes": lambda: b'{"text": "' + b'\\"' * 8_388_000 + b'"}',
    "16 MiB of a text without an end": lambda: b'{"text": "' + b'\\"' * 8_388_000,
    "a table of one quote": lambda: b'text\n"' + b"a,b\n" * 25 * MB,
    "20 MB of a table of 1,\\n": lambda: b"text\n" + b"1,\n" * 6_666_000,
    "a table of a million columns": lambda: b",".join(b"%d" % n for n in range(999_999)) + b"\n" + b"," * 999_998,
    "16 MiB of one value of a table": lambda: b"text\n" + "\U0001f600".encode() + b"a" * 16_777_000,
    "gzip of 1 GB": lambda: gzip.compress(b"0" * 1000 * MB, 1, mtime=0),
}


def _good(begin: bytes, between: bytes, end: bytes, size: int) -> bytes:
    text = b"What a lovely day it is to label, and to read of bears and bees and of what they do all day. " * 9
    rows = [b'{"data": {"text": "%07d %b"}}%b' % (n, text, between) for n in range(size // (len(text) + 40))]
    return begin + b"".join(rows) + end
