"""How many requests may be in flight at once: a number that finds itself, of what came of the requests before."""

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
        self.now_allowed = min(FIRST, most)
        self.reached = 0
        """The most requests that were in flight at any time."""
        self.most = most
        """`now_allowed` is never above it."""
        self._grows = True
        self._cautious_up_to = 0
        """Where it grows by small steps to, after a refusal; else 0."""
        self._before_refusal = 0
        """Requests that were sent before the last refusal: a refusal of them says no more."""
        self._forgivable = 0.0
        """Refusals that say nothing, if they come now."""
        self._best, self._best_rate, self._patience = self.now_allowed, 0.0, PATIENCE
        self._probed = now
        self._unused = 0
        """Rounds in a row in which there were not as many requests to be sent."""
        self._begin_round(now)

    def answered(self, now: float, under_way: int) -> None:
        """Note that a request has come back.

        :param under_way: how many there were until then.
        """
        self.reached = max(self.reached, under_way)
        self._answers += 1
        self._before_refusal -= self._before_refusal > 0
        self._forgivable = min(self._forgivable + FORGIVEN, MOST_FORGIVEN)
        # Where there was nothing more to send, the rate says nothing about the limit.
        self._all_used &= under_way >= self.now_allowed
        took = now - self._round_began
        if self._answers >= self.now_allowed and took >= ROUND_SECONDS:
            if self._cautious_up_to:
                self._grow_by_a_step()
            elif self._all_used:
                self._unused = 0
                self._judge(self._answers / took, now)
            else:
                self._unused += 1
                if self._grows and self._patience < PATIENCE <= self._unused:
                    self._settle(now)  # more brought no more, and as many were not even there to be sent
            self._begin_round(now)

    def refused(self, now: float, under_way: int) -> None:
        """Note that the server was asked for too much: SlowDown, 429, 503, a connection that it has reset.

        :param under_way: how many there were until then.
        """
        self.reached = max(self.reached, under_way)
        if self._before_refusal > 0:
            self._before_refusal -= 1
            return
        if self._forgivable >= 1:
            self._forgivable -= 1
            return
        half = max(1, min(self.now_allowed, under_way) // 2)
        if self.now_allowed > self._best:
            # Of more than have helped, half may still be right; the next try is not due at once.
            self._cautious_up_to, self._probed = max(self._best, half), now
        else:
            self._cautious_up_to = max(self._cautious_up_to, self.now_allowed)
        self.now_allowed = half
        self._before_refusal = under_way - 1
        self._begin_round(now)

    def _begin_round(self, now: float) -> None:
        self._round_began, self._answers, self._all_used = now, 0, True

    def _grow_by_a_step(self) -> None:
        self.now_allowed = min(self.now_allowed + max(1, self.now_allowed // 8), self._cautious_up_to)
        if self.now_allowed == self._cautious_up_to:
            self._cautious_up_to, self._grows = 0, False
            self._best, self._best_rate = self.now_allowed, 0.0

    def _judge(self, rate: float, now: float) -> None:
        """Decide at the end of a round."""
        has_enough = rate >= ENOUGH
        if not self._grows:
            self._best_rate = (self._best_rate + rate) / 2 if self._best_rate else rate
            is_time = now - self._probed >= PROBE_SECONDS and not has_enough
            self._grows = is_time and self.now_allowed < self.most
            self._patience = PATIENCE
        elif rate >= self._best_rate * CLEAR_GROWTH:
            self._best, self._best_rate, self._patience = self.now_allowed, rate, PATIENCE
        else:
            self._patience -= 1
        if self._grows and self._patience and not has_enough:
            waited = self.now_allowed / rate  # Little's law
            self.now_allowed = min((FAR_GROWTH if waited > FAR_SECONDS else GROWTH) * self.now_allowed, self.most)
        elif self._grows:
            self._settle(now)

    def _settle(self, now: float) -> None:
        """Go on with as many requests as helped last."""
        self.now_allowed, self._grows, self._probed = self._best, False, now
