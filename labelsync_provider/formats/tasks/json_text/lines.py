"""Lines: the rows of JSON lines. A line may hold several documents, and a document may go on over several lines."""

import io
import re
from collections.abc import Iterator

from labelsync_provider.formats.tasks.json_text.splitting import (
    brackets_end,
    documents,
    fault_place,
    followed,
    is_well_formed,
    space_end,
    value_end,
)

_two_in_a_line = re.compile(rb"\}[ \t]*+\{").search
GOES_ON = (b",", b"]", b"}", b":")
"""What stands behind a value that is a part of another one."""


class Lines:
    """The lines of a text that are not blank, without the blanks around them; of several documents in one, each."""

    def __init__(self, text: bytes) -> None:
        self._text, self._file = text, io.BytesIO(text)
        self._brackets_close = True
        """No brackets of a document that is too deep were followed to the end of the text in vain."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield them; `documents` has a say in which is next."""
        lines = filter(None, map(bytes.strip, self._file))
        return _cut_apart(lines) if _two_in_a_line(self._text) else lines

    def documents(self, line: bytes) -> Iterator[bytes]:
        """Yield the documents that begin in a line, to the first that does not end there; the next line is behind it.

        A malformed one ends before the next line that begins a document: one bad line costs a row, and what stands in
        the lines of one bad document is no row.

        :param line: the last that was yielded, with brackets that it does not close.
        """
        begin = self._text.rindex(line, 0, self._file.tell())
        line_end = begin + len(line)
        # All of them at once: a line may hold thousands, and what is left of it would be looked at for each.
        while (end := value_end(self._text, begin)) is not None and end < line_end and not self._is_part(end):
            yield self._text[begin:end].strip()
            begin = end
        if end is None or self._is_part(end):
            end = self._malformed_end(begin, line_end, end)
        self._file.seek(end)
        yield self._text[begin:end].strip()

    def _is_part(self, end: int) -> bool:
        """Tell from what stands behind a value whether it is in a larger one."""
        return self._text[end : end + 1] in GOES_ON

    def _malformed_end(self, begin: int, line_end: int, value: int | None) -> int:
        """Return where the first line begins that does not belong to a malformed document.

        :param value: where the document ends, if it is one in a larger one that has no begin.
        """
        text, margin = self._text, _indent(self._text, begin)
        at = space_end(text, line_end)
        fault = self._fault(begin) if value is None else value
        if fault > at and self._is_cut_line(begin, at, fault):
            # Unless its brackets close behind other lines.
            at = self._closing_line(at) or at
        elif fault > at:
            # Up to the fault, all belongs together.
            at = fault if _begins_line(text, fault) else _next_line(text, fault)
        while at < len(text):
            behind = at
            if text[at : at + 1] in (b"{", b"[") and _indent(text, at) <= margin:
                end = value_end(text, at)
                if end is None or not self._is_part(end):
                    return at
                behind = end
            at = _next_line(text, behind)
        return len(text)

    def _fault(self, begin: int) -> int:
        """Return up to where a malformed document belongs together; of one that is too deep, where its brackets close.

        If they do not, it is taken for a line that was cut. That is found out once: each byte would be looked at for
        each line otherwise.
        """
        fault = fault_place(self._text, begin)
        if fault is None and self._brackets_close:
            fault = brackets_end(self._text, begin)
            self._brackets_close = fault is not None
        return begin if fault is None else fault

    def _is_cut_line(self, begin: int, following: int, fault: int) -> bool:
        """Tell whether a line was cut, and could go on in the next one by chance only.

        Two whole lines are not what a document can have one after another; so the fault is found behind the first.
        With that the text may end; then a document that was cut looks the same, unless there were lines before.
        """
        text = self._text
        line, _, rest = text[following:fault].partition(b"\n")
        whole = line.startswith(b"{") and not rest.strip() and is_well_formed(line.strip())
        return whole and not (fault == len(text) and begin == space_end(text, 0))

    def _closing_line(self, at: int) -> int | None:
        """Return the line behind whole ones that closes what was open before them; None if there is none."""
        text = self._text
        while text[at : at + 1] in (b"{", b"["):
            end = value_end(text, at)
            if end is None:
                return None
            at = space_end(text, end + 1) if text[end : end + 1] == b"," else end
            # Up to a malformed line only: what is behind it is looked at from there on, and so but once.
            if not _begins_line(text, at):
                return None
        return at if text[at : at + 1] in (b"]", b"}") else None


def _cut_apart(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if _two_in_a_line(line) and not is_well_formed(line) and followed(documents(line)):
            for begin, end in documents(line):
                yield line[begin:end].strip()
        else:
            yield line


def _begins_line(text: bytes, at: int) -> bool:
    return not text[text.rfind(b"\n", 0, at) + 1 : at].strip()


def _next_line(text: bytes, at: int) -> int:
    """Return where what stands in the next line that is not blank begins."""
    end = text.find(b"\n", at)
    return len(text) if end < 0 else space_end(text, end)


def _indent(text: bytes, at: int) -> int:
    """Return how many blanks the line begins with that an offset is in."""
    begin = text.rfind(b"\n", 0, at) + 1
    return space_end(text, begin) - begin
