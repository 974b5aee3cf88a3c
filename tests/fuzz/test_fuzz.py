"""A slice of the fuzzer: nothing hostile in a source crashes an import, or keeps the good objects beside it out."""

from pathlib import Path

from fuzz.fuzz import MOST_MB, Fuzzer, fuzzed


def test_hostile_objects_crash_nothing_and_keep_no_other_out(tmp_path: Path) -> None:
    fuzzer = Fuzzer(tmp_path)
    tallies = fuzzed(fuzzer, seed=20261126, cases=48)
    fuzzer.engine.dispose()
    assert fuzzer.failures == []
    assert max(tally.mb for tally in tallies.values()) < MOST_MB
