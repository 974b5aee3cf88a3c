"""Options: what is taken, what forms and templates may send for it, and what is refused in which words."""

import math
import pickle
from typing import Any

import msgspec
import pytest

from labelsync_provider import sync
from labelsync_provider.errors import Invalid
from labelsync_provider.sync.exporting.options import ExportOptions
from labelsync_provider.sync.importing.options import ImportOptions
from labelsync_provider.sync.options import make_options

FLAG = "neither True nor False. Use True or False."
NUMBER = "not a number that makes sense. Use a whole number from"
SHARE = "a share below 1, such as 0.1"
SECONDS = "no length of time. Use a number of seconds"
STRING = "of the wrong type. Use a string, or None."

SENT = [
    # what is sent, and what it means
    ({"dry_run": 1}, True),
    ({"dry_run": 0}, False),
    ({"dry_run": "1"}, True),
    ({"dry_run": "0"}, False),
    ({"dry_run": "true"}, True),
    ({"dry_run": "false"}, False),
    ({"dry_run": "True"}, True),
    ({"dry_run": "False"}, False),
    ({"dry_run": None}, False),
    ({"batch_size": "20"}, 20),
    ({"batch_size": None}, 10_000),
    ({"min_seconds_between_batches": "0.5"}, 0.5),
    ({"min_seconds_between_batches": 2}, 2.0),
    ({"wait_for_lease": "60"}, 60.0),
    ({"max_delete": "0"}, 0),
    ({"max_delete": None}, None),
    ({"max_delete": ""}, None),
    ({"max_delete": "None"}, None),
    ({"max_delete": "null"}, None),
    ({"max_quarantined": "0.1"}, 0.1),
    ({"max_quarantined": "1"}, 1),
    ({"max_quarantined": 0.25}, 0.25),
    ({"max_quarantined": ""}, None),
    ({"regex_filter": ""}, None),
    ({"regex_filter": "None"}, None),
    ({"data_key": "null"}, None),
    ({"regex_filter": "2024"}, "2024"),
    ({"on_changed": None}, "report"),
    ({"url_mode": None}, "storage"),
]

REFUSED = [
    ({"batch_size": True}, f"batch_size=True: {NUMBER} 1."),
    ({"batch_size": 0}, f"batch_size=0: {NUMBER} 1."),
    ({"batch_size": "many"}, f"batch_size='many': {NUMBER} 1."),
    ({"batch_size": 1.5}, f"batch_size=1.5: {NUMBER} 1."),
    ({"batch_size": [1]}, f"batch_size=[1]: {NUMBER} 1."),
    ({"max_in_flight": math.inf}, f"max_in_flight=inf: {NUMBER} 1."),
    ({"presign_ttl": 0}, f"presign_ttl=0: {NUMBER} 1 to 5256000."),
    ({"max_delete": -1}, f"max_delete=-1: {NUMBER} 0, or None."),
    ({"max_quarantined": "none"}, f"max_quarantined='none': {NUMBER} 0, or {SHARE}, or None."),
    ({"max_quarantined": -0.1}, f"max_quarantined=-0.1: {NUMBER} 0, or {SHARE}, or None."),
    ({"max_quarantined": 1.5}, f"max_quarantined=1.5: {NUMBER} 0, or {SHARE}, or None."),
    ({"min_seconds_between_batches": math.nan}, f"min_seconds_between_batches=nan: {SECONDS} from 0."),
    ({"min_seconds_between_batches": math.inf}, f"min_seconds_between_batches=inf: {SECONDS} from 0."),
    ({"min_seconds_between_batches": "nan"}, f"min_seconds_between_batches='nan': {SECONDS} from 0."),
    ({"min_seconds_between_batches": -1}, f"min_seconds_between_batches=-1: {SECONDS} from 0."),
    ({"min_seconds_between_batches": True}, f"min_seconds_between_batches=True: {SECONDS} from 0."),
    ({"wait_for_lease": 1e300}, f"wait_for_lease=1e+300: {SECONDS} from 0."),
    ({"wait_for_lease": 10**400}, f"...: {SECONDS} from 0."),
    ({"lease_seconds": 0}, f"lease_seconds=0: {SECONDS} above 0."),
    ({"regex_filter": 2024}, f"regex_filter=2024: {STRING}"),
    ({"regex_filter": b"a"}, f"regex_filter=b'a': {STRING}"),
    ({"regex_filter": "("}, "regex_filter='(': missing ), unterminated subpattern at position 0. It is a regular"),
    ({"data_key": 5}, f"data_key=5: {STRING}"),
    ({"dry_run": "yes"}, f"dry_run='yes': {FLAG}"),
    ({"dry_run": 0.5}, f"dry_run=0.5: {FLAG}"),
    ({"adopt": 2}, f"adopt=2: {FLAG}"),
    ({"on_changed": "overwrite"}, "on_changed='overwrite': unknown. Use one of 'report', 'update', 'add'."),
    ({"on_missing": ["delete"]}, "on_missing=['delete']: unknown. Use one of 'report', 'delete'."),
    ({"url_mode": "signed"}, "url_mode='signed': only the URIs of blobs are signed. Set use_blob_urls=True, or"),
    (
        {"row_key": "id", "use_blob_urls": True},
        "row_key='id': only the rows of task files are matched by a field.",
    ),
    ({"row_key": "data."}, "row_key='data.': not the name of a field. Name a field of the row as it is written"),
]


@pytest.mark.parametrize(("sent", "meant"), SENT, ids=[str(sent) for sent, _ in SENT])
def test_what_forms_and_templates_send_is_understood(sent: dict[str, Any], meant: Any) -> None:
    (name,) = sent
    made = getattr(make_options(ImportOptions, **sent), name)
    assert (type(made), made) == (type(meant), meant)


@pytest.mark.parametrize(("bad", "message"), REFUSED, ids=[str(bad)[:50] for bad, _ in REFUSED])
def test_what_cannot_be_is_refused_by_name_value_and_remedy(bad: dict[str, Any], message: str) -> None:
    for make in (lambda: make_options(ImportOptions, **bad), lambda: ImportOptions(**bad)):
        with pytest.raises(Invalid) as caught:
            make()
        assert message in str(caught.value)


@pytest.mark.parametrize("sent", [{"dry_run": "False"}, {"batch_size": "20"}, {"max_delete": ""}, {"on_changed": None}])
def test_code_has_to_say_what_it_means(sent: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        ImportOptions(**sent)


def test_nothing_is_taken_that_no_clock_and_no_database_takes() -> None:
    with pytest.raises(Invalid, match=r"presign_ttl=100000000000000: .* Use a whole number from 1 to 5256000"):
        make_options(ImportOptions, use_blob_urls=True, url_mode="signed", presign_ttl=10**14)
    for name in ("row_key", "data_key", "regex_filter"):
        with pytest.raises(Invalid, match=rf"{name}='a.ud800': half of a surrogate pair"):
            make_options(ImportOptions, **{name: "a\ud800"})


def test_unknown_options_are_refused_with_those_there_are() -> None:
    with pytest.raises(Invalid, match=r"batchsize=5: there is no such option. Use one of layout, .*batch_size, "):
        make_options(ExportOptions, batchsize=5)


def test_a_changed_copy_is_checked_too() -> None:
    options = ImportOptions(batch_size=3)
    assert msgspec.structs.replace(options, dry_run=True) == ImportOptions(batch_size=3, dry_run=True)
    with pytest.raises(Invalid, match="batch_size=0"):
        msgspec.structs.replace(options, batch_size=0)


def test_options_do_not_change_and_reach_other_processes() -> None:
    options = ImportOptions(row_key="data.filename", max_delete=0, wait_for_lease=0.5)
    with pytest.raises(AttributeError):
        options.dry_run = True  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(options)) == options


def test_an_export_takes_these() -> None:
    assert make_options(ExportOptions, layout="task", include_cancelled="0").include_cancelled is False
    with pytest.raises(Invalid, match=r"layout='coco': unknown. Use one of 'annotation', 'task'"):
        ExportOptions(layout="coco")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match=r"key_template=5: of the wrong type. Use a string, or None"):
        make_options(ExportOptions, key_template=5)


def test_the_engine_shows_its_public_names() -> None:
    assert set(sync.__all__) <= set(dir(sync))
    for name in sync.__all__:
        assert getattr(sync, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'import_storages'"):
        _ = sync.import_storages
