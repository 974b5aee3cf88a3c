"""How many requests may be in flight at once: a number that finds itself, of what came of the requests before."""

from enum import Enum, auto

MOST = 256
"""Requests in flight at most, unless somebody says otherwise."""
FIRST = 32
"""Requests in flight at the beginning: as many as a server that is near can use."""
ROUND_SECONDS = 0.05
"""A rate is not taken over a shorter time; on a busy machine it would be chance."""
CLEAR_GROWTH = 1.15
"""More requests in flight have helped where the rate has grown by this factor."""
FAR_SECONDS = 0.05
"""A request that takes longer is mostly waited for."""
GROWTH, FAR_GROWTH = 2, 4
"""Factors of the requests in flight. To find their number takes round trips, which cost more where they are long."""
PATIENCE = 2
"""Rounds with more requests, and without a clear growth, after which there are as many again as helped last. The first
of them has the new connections to make."""
ENOUGH = 5500
"""Answers a second, with which no more requests are tried. S3 promises so many reads of a prefix, and refuses more:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"""
PROBE_SECONDS = 4.0
"""So long after the last try, more are tried again: a server may have become faster, or the way longer."""
FORGIVEN, MOST_FORGIVEN = 0.02, 4
"""Refusals for each answer, and at once, that say nothing of how many requests are too many: a line loses some, however
few are sent. It is the share of packets that BBR may lose (BBRLossThresh)."""


class Phase(Enum):
    """What a limit is at. It begins by trying."""

    TRYING = auto()
    """More are tried, round by round, until more help no more."""
    STAYING = auto()
    """As many as helped last, until it is time to try more."""
    RISING = auto()
    """By small steps, after a refusal."""


class Limit:
    """How many requests may be in flight. It only decides: whoever sends them tells it, and says when.

    It is doubled each round as long as that brings more and not enough, and quadrupled where requests are mostly waited
    for. Where a server refuses more than a few, it is halved, as TCP does, and grows by small steps to where it was. A
    round is as many answers as there may be requests.

    Rules: https://www.rfc-editor.org/rfc/rfc5681 (halving), BBR's start-up (doubling until the rate does not grow).
    """

    def __init__(self, most: int, now: float) -> None:
        """Begin.

        :param most: it is never above this, and never below 1.
        :param now: the instant, in seconds since whenever, as in all that follows.
        """
        self.most = most
        """`now_allowed` is never above it."""
        self.now_allowed = min(FIRST, most)
        self.reached = 0
        """The most requests that were in flight at any time."""
        self._phase = Phase.TRYING
        self._begin_round(now)

        # Trying, and staying.
        self._best, self._best_rate = self.now_allowed, 0.0
        """As many requests as helped last, and the answers a second that they brought; 0: not known yet."""
        self._patience = PATIENCE
        """Rounds that may still pass without a clear growth."""
        self._unused = 0
        """Rounds in a row in which there were not as many requests to be sent."""
        self._tried = now
        """When more were tried last."""

        # Refusals, and rising.
        self._forgivable = 0.0
        """Refusals that say nothing, if they come now."""
        self._sent_before = 0
        """Requests that were sent before the last refusal that counted, and did not come back since: that some of them
        are refused says no more."""
        self._rises_to = 0

    def answered(self, now: float, under_way: int) -> None:
        """Note that a request has come back.

        :param under_way: how many there were until then.
        """
        self.reached = max(self.reached, under_way)
        self._sent_before = max(0, self._sent_before - 1)
        self._forgivable = min(self._forgivable + FORGIVEN, MOST_FORGIVEN)
        self._answers += 1
        self._all_used &= under_way >= self.now_allowed
        took = now - self._round_began
        if self._answers >= self.now_allowed and took >= ROUND_SECONDS:
            self._end_round(self._answers / took, now)
            self._begin_round(now)

    def refused(self, now: float, under_way: int) -> None:
        """Note that the server was asked for too much: SlowDown, 429, 503, a connection that it has reset.

        :param under_way: how many there were until then.
        """
        self.reached = max(self.reached, under_way)
        if self._sent_before:
            self._sent_before -= 1
        elif self._forgivable >= 1:
            self._forgivable -= 1
        else:
            self._halve(now, under_way)
            self._sent_before = under_way - 1
            self._begin_round(now)

    def _begin_round(self, now: float) -> None:
        self._round_began, self._answers, self._all_used = now, 0, True

    def _end_round(self, rate: float, now: float) -> None:
        """Decide how many are allowed in the next round.

        :param rate: answers a second in this one.
        """
        if self._phase is Phase.RISING:
            self._rise()
        elif not self._all_used:
            # There was nothing more to send, so the rate says nothing about the limit.
            self._unused += 1
            if self._phase is Phase.TRYING and self._patience < PATIENCE <= self._unused:
                self._settle(now)  # more brought no more, and as many were not even there to be sent
        else:
            self._unused = 0
            if self._phase is Phase.TRYING:
                self._go_on_trying(rate, now)
            else:
                self._stay(rate, now)

    def _go_on_trying(self, rate: float, now: float) -> None:
        if rate >= self._best_rate * CLEAR_GROWTH:
            self._best, self._best_rate, self._patience = self.now_allowed, rate, PATIENCE
        else:
            self._patience -= 1
        if self._patience and rate < ENOUGH:
            self._try_more(rate)
        else:
            self._settle(now)

    def _try_more(self, rate: float) -> None:
        waited = self.now_allowed / rate  # Little's law
        factor = FAR_GROWTH if waited > FAR_SECONDS else GROWTH
        self.now_allowed = min(factor * self.now_allowed, self.most)

    def _settle(self, now: float) -> None:
        """Go on with as many requests as helped last."""
        self.now_allowed, self._phase, self._tried = self._best, Phase.STAYING, now

    def _stay(self, rate: float, now: float) -> None:
        """Stay, or try more once it is time to."""
        self._best_rate = (self._best_rate + rate) / 2 if self._best_rate else rate
        if rate < ENOUGH and self.now_allowed < self.most and now - self._tried >= PROBE_SECONDS:
            self._phase, self._patience = Phase.TRYING, PATIENCE
            self._try_more(rate)

    def _halve(self, now: float, under_way: int) -> None:
        half = max(1, min(self.now_allowed, under_way) // 2)
        if self.now_allowed > self._best:
            # Of more than have helped, half may still be right; the next try is not due at once.
            self._rises_to, self._tried = max(self._best, half), now
        elif self._phase is not Phase.RISING:
            self._rises_to = self.now_allowed
        self.now_allowed, self._phase = half, Phase.RISING

    def _rise(self) -> None:
        """Take a small step; stay at the last one."""
        self.now_allowed = min(self.now_allowed + max(1, self.now_allowed // 8), self._rises_to)
        if self.now_allowed == self._rises_to:
            self._phase, self._best, self._best_rate = Phase.STAYING, self.now_allowed, 0.0
