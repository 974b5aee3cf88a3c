"""Listings come in pages, each named by the one before. One that goes round would never end."""


class GoingOn:
    """Notices that a listing goes round, with no more than one page remembered.

    Rule: Brent's algorithm, https://en.wikipedia.org/wiki/Cycle_detection. The page that is remembered is a later one
    each time that the number of pages has doubled; whatever repeats, meets it.
    """

    def __init__(self) -> None:
        self._pages = 0
        self._next = 1
        self._remembered: tuple[object, ...] = ()

    def is_round(self, *marks: object) -> bool:
        """Tell whether one more page has been seen before.

        :param marks: of which each is another for every page, as the name of the next page is; None is no mark.
        """
        if any(one is not None and one == other for one, other in zip(marks, self._remembered, strict=False)):
            return True
        self._pages += 1
        if self._pages == self._next:
            self._next *= 2
            self._remembered = marks
        return False
