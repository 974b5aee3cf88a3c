"""What a user reads when the input is bad: each row of the design's table, through the operators."""

import gzip
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from labelsync_provider.airflow_compat import AirflowException, AirflowFailException
from labelsync_provider.formats.tasks import content as task_content
from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator
from labelsync_provider.operators.import_storage import ImportStorageSyncOperator
from labelsync_provider.operators.project import CreateProjectOperator

TEXT = '<View><Text name="text" value="$text"/></View>'


@pytest.fixture(autouse=True)
def project(connections: Any) -> int:
    return CreateProjectOperator(task_id="create", title="Pets", label_config="<View/>").execute({})


@pytest.fixture
def load(connections: Any) -> Callable[..., dict[str, Any]]:
    """Import with good parameters, but for those given."""
    return lambda **bad: ImportStorageSyncOperator(
        task_id="load", **{"source": connections.uri, "project": "Pets"} | bad
    ).execute({})


@pytest.fixture
def save(target: Any) -> Callable[..., dict[str, Any]]:
    """Export with good parameters, but for those given."""
    return lambda **bad: ExportAnnotationsOperator(
        task_id="save", **{"target": target.uri, "project": "Pets"} | bad
    ).execute({})


def connect(monkeypatch: pytest.MonkeyPatch, conn_id: str, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


class TestParameterFailsAtOnce:
    """Each message names the parameter, its value and the remedy; Airflow does not retry."""

    IMPORT = (
        ({"source": "ftp://host/x"}, "source='ftp://host/x': unknown scheme 'ftp'. Use one of azure-blob://, file://,"),
        ({"source": "data/photos"}, "source='data/photos': neither a storage URI nor a path that begins with /. Write"),
        (
            {"source": "~/photos"},
            "source='~/photos': whose home ~ is depends on who runs the task. Write the directory",
        ),
        ({"source": ""}, "source='': it names no storage. Use one of azure-blob://, file://,"),
        ({"source": "None"}, "source='None': it names no storage."),
        ({"source": None}, "source=None: of the wrong type. Use a storage URI,"),
        ({"source": "{file}"}, "a.json is a file. Name the directory that it is in, {folder}, and choose it by"),
        ({"source": "{folder}/*.json"}, "A * or a ? in it is taken as it is written: name the folder or prefix alone,"),
        (
            {"create_if_missing": True},
            "create_if_missing=True: of the wrong type. Use a label config: XML, or the name",
        ),
        ({"create_if_missing": "street.xml"}, "create_if_missing='street.xml': the name of a file, which nobody has"),
        ({"create_if_missing": "<View/>", "project": ""}, "title='': a project needs a title. Give one."),
        ({"create_if_missing": "<View/>", "project": " ", "dry_run": True}, ": a project needs a title."),
        ({"source": "file://data/in"}, "'file://data/in': not an absolute local path. Use /absolute/directory, or"),
        ({"source": "file:data"}, "'file:data': not an absolute local path. Use /absolute/directory, or"),
        ({"source": "file:///a?b"}, "'?' and '#' in a URI's path must be written %3F and %23"),
        ({"regex_filter": "("}, "regex_filter='(': missing )"),
        ({"regex_filter": "*.json"}, "regex_filter='*.json': nothing to repeat at position 0. It is a regular"),
        ({"project": "Boats"}, "project='Boats': there is no embedded project with this id or title. Create it with"),
        ({"project": 4711}, "project=4711: there is no embedded project"),
        ({"project": 10**30}, "there is no embedded project"),
        ({"project": None}, "project=None: of the wrong type. Use the project's id, or its exact title."),
        ({"source_conn_id": "mine"}, "There is no Airflow connection 'mine'. Create one of type 'File (path)'"),
        ({"label_studio_conn_id": "mine"}, "There is no Airflow connection 'mine'. Create it, of type 'Label Studio'"),
        ({"use_blob_urls": True}, "data_key=None: the label config of 'Pets' has no data key. Give data_key, or"),
        ({"on_changed": "overwrite"}, "on_changed='overwrite': unknown. Use one of 'report', 'update', 'add'."),
        ({"on_missing": "remove"}, "on_missing='remove': unknown. Use one of 'report', 'delete'."),
        ({"batch_size": 0}, "batch_size=0: not a number that makes sense. Use a whole number from 1."),
        ({"max_in_flight": "many"}, "max_in_flight='many': not a number that makes sense."),
        ({"max_delete": -1}, "max_delete=-1: not a number that makes sense. Use a whole number from 0, or None."),
        ({"max_quarantined": "none"}, "max_quarantined='none': not a number that makes sense."),
        ({"dry_run": "maybe"}, "dry_run='maybe': neither True nor False. Use True or False."),
        ({"use_blob_urls": 2}, "use_blob_urls=2: neither True nor False."),
        ({"recursive_scan": "deep"}, "recursive_scan='deep': neither True nor False. Use True or False, or None."),
        ({"wait_for_lease": -1}, "wait_for_lease=-1: no length of time. Use a number of seconds from 0."),
        ({"row_key": "a..b"}, "row_key='a..b': not the name of a field. Name a field of the row as it is written"),
        (
            {"row_key": "id", "use_blob_urls": True},
            "row_key='id': only the rows of task files are matched by a field. Leave it out",
        ),
    )
    EXPORT = (
        ({"target": "s4://bucket"}, "target='s4://bucket': unknown scheme 's4'. Use one of azure-blob://, file://,"),
        ({"target": "file:out"}, "'file:out': not an absolute local path. Use /absolute/directory, or"),
        ({"project": "Boats"}, "project='Boats': there is no embedded project"),
        ({"target_conn_id": "mine"}, "There is no Airflow connection 'mine'. Create one of type 'File (path)'"),
        ({"layout": "coco"}, "layout='coco': unknown. Use one of 'annotation', 'task'."),
        ({"key_template": "../{annotation_id}"}, "key_template='../{annotation_id}': leads out of the target"),
        ({"key_template": "x.json"}, "key_template='x.json': without {annotation_id} objects would share a key. Use"),
        ({"can_delete_objects": "no way"}, "can_delete_objects='no way': neither True nor False."),
    )

    @staticmethod
    def id_of(value: Any) -> str:
        return f"{value}"[:40] if isinstance(value, dict) else ""

    @pytest.mark.parametrize(("bad", "message"), IMPORT, ids=id_of)
    def test_of_an_import(self, connections: Any, load: Any, bad: dict, message: str) -> None:
        place = {"file": connections.put("a.json", {"text": "1"}), "folder": connections.path}
        if isinstance(bad.get("source"), str):
            bad = bad | {"source": bad["source"].format(**place)}
            message = message.replace("{folder}", str(connections.path))
        with pytest.raises(AirflowFailException) as caught:
            load(**bad)
        assert message in str(caught.value)

    @pytest.mark.parametrize(("bad", "message"), EXPORT, ids=id_of)
    def test_of_an_export(self, save: Any, bad: dict, message: str) -> None:
        with pytest.raises(AirflowFailException) as caught:
            save(**bad)
        assert message in str(caught.value)

    @pytest.mark.parametrize("parameter", ["source", "target"])
    def test_names_the_parameter_that_gave_the_uri(self, load: Any, save: Any, parameter: str) -> None:
        run = load if parameter == "source" else save
        with pytest.raises(AirflowFailException, match=f"{parameter}='file:x'"):
            run(**{parameter: "file:x"})

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"title": " "}, "title='': a project needs a title. Give one."),
            ({"label_config": "<View>"}, "label_config='<View>': no element found"),
            ({"label_config": '<!DOCTYPE a [<!ENTITY b "c">]><View/>'}, "a document type is not allowed. Give XML"),
            ({"label_studio_conn_id": "mine"}, "There is no Airflow connection 'mine'."),
        ],
        ids=id_of,
    )
    def test_of_a_project(self, connections: Any, bad: dict, message: str) -> None:
        with pytest.raises(AirflowFailException) as caught:
            CreateProjectOperator(task_id="x", **{"title": "New", "label_config": "<View/>"} | bad).execute({})
        assert message in str(caught.value)


class TestPlaceFailsAtOnce:
    """It says which it is: not there, outside, or not allowed."""

    def test_that_is_not_there(self, connections: Any, load: Any) -> None:
        with pytest.raises(AirflowFailException, match=r"there is no directory .*nowhere. Create it, or correct the"):
            load(source=f"{connections.uri}/nowhere")

    def test_that_is_a_file(self, connections: Any, load: Any) -> None:
        connections.put("a.json", "{}")
        with pytest.raises(AirflowFailException, match=r"a\.json"):
            load(source=f"{connections.uri}/a.json")

    @pytest.mark.parametrize("path", ["/etc", "/data/../etc", "/"])
    def test_that_is_outside_the_document_root(self, connections: Any, load: Any, save: Any, path: str) -> None:
        for run in (lambda: load(source=f"file://{path}"), lambda: save(target=f"file://{path}")):
            with pytest.raises(AirflowFailException, match=r"outside the document root .* Choose a directory below"):
                run()

    def test_that_is_a_link_out_of_the_document_root(
        self, connections: Any, load: Any, save: Any, tmp_path: Any
    ) -> None:
        (connections.root / "link").symlink_to("/etc")
        for run in (
            lambda: load(source=f"file://{connections.root}/link"),
            lambda: save(target=f"file://{connections.root}/link"),
        ):
            with pytest.raises(AirflowFailException, match="outside the document root"):
                run()

    def test_that_may_not_be_listed(
        self, open_folder: Any, load: Any, unprivileged: Callable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from labelsync_provider.storages.local_files import LocalFiles

        listing = LocalFiles.list
        open_folder.put("closed/a.json", "{}")
        (open_folder.path / "closed").chmod(0)
        connect(monkeypatch, "fs_default", conn_type="fs", extra={"path": str(open_folder.root)})

        def unprivileged_listing(storage: LocalFiles) -> Any:
            with unprivileged():
                return iter([*listing(storage)])

        monkeypatch.setattr(LocalFiles, "list", unprivileged_listing)
        with pytest.raises(AirflowFailException, match=r"closed may not be listed by user \d+: Permission denied"):
            load(source=f"{open_folder.uri}/closed")

    @pytest.mark.parametrize(
        ("extra", "message"),
        [({}, "it has no Path, the document root. Create one of type"), ({"path": "data"}, "not an absolute path")],
    )
    def test_whose_connection_has_no_usable_path(
        self, load: Any, monkeypatch: pytest.MonkeyPatch, extra: dict, message: str
    ) -> None:
        connect(monkeypatch, "fs_default", conn_type="fs", extra=extra)
        with pytest.raises(AirflowFailException, match=message):
            load()

    @pytest.mark.parametrize(
        ("host", "message"),
        [
            (
                "ls.example.com",
                r"host='ls.example.com': connection 'label_studio_default' names no store. Set its host to",
            ),
            ("", r"host='': connection 'label_studio_default' names no store. Set its host to .* or to embedded "),
        ],
    )
    def test_whose_project_store_is_none(
        self, load: Any, monkeypatch: pytest.MonkeyPatch, host: str, message: str
    ) -> None:
        connect(monkeypatch, "label_studio_default", conn_type="label_studio", host=host, password="t0ken-secret")
        with pytest.raises(AirflowFailException, match=message) as caught:
            load()
        assert "t0ken-secret" not in str(caught.value)

    def test_whose_database_is_none(self, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", "mysql://ann:secret@db/x")
        with pytest.raises(
            AirflowFailException, match=r"\[labelsync\] database=.*not SQLite or PostgreSQL. Set"
        ) as caught:
            load()
        assert "secret" not in str(caught.value)


class TestTroubleOfTheMoment:
    """A retry may help: Airflow is told so."""

    @staticmethod
    def retried(error: BaseException) -> bool:
        return not isinstance(error, AirflowFailException)

    def test_database_that_does_not_answer(self, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__LABELSYNC__DATABASE", "postgresql+psycopg://ann:secret@127.0.0.1:1/x")
        with pytest.raises(AirflowException, match=r"\[labelsync\] database .*127\.0\.0\.1.*refused") as caught:
            load()
        assert self.retried(caught.value)
        assert "secret" not in str(caught.value)

    def test_source_that_lists_nothing_where_there_was_something(self, connections: Any, load: Any) -> None:
        path = connections.put("a.json", {"text": "1"})
        load()
        path.unlink()
        with pytest.raises(AirflowException, match=r"lists nothing, but 1 task .*Is the disk mounted") as caught:
            load(on_missing="delete")
        assert self.retried(caught.value)

    def test_disk_that_fails_while_writing(
        self, connections: Any, load: Any, save: Any, target: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connections.put("a.json", {"data": {}, "annotations": [{"result": []}]})
        load()

        def failing(source: str, destination: str, **_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "link", failing)
        with pytest.raises(AirflowException, match=r"1\.json: .*No space left on device") as caught:
            save()
        assert self.retried(caught.value)
        assert target.names() == []


class TestRunFailsWithoutRetry:
    def test_when_too_many_tasks_would_be_deleted(self, connections: Any, load: Any) -> None:
        paths = [connections.put(f"{n}.json", {"text": "1"}) for n in range(4)]
        load()
        for path in paths[:2]:
            path.unlink()
        with pytest.raises(AirflowFailException, match=r"2 tasks .* max_delete allows 1; none was deleted.*at least 2"):
            load(on_missing="delete")

    def test_when_too_many_are_quarantined_after_the_good_ones_are_in(self, connections: Any, load: Any) -> None:
        connections.put("bad.json", "{")
        connections.put("good.json", {"text": "1"})
        with pytest.raises(
            AirflowFailException, match=r": 1 object or row of .* max_quarantined is 0; nothing else .*bad\.json"
        ):
            load(max_quarantined=0)
        assert load()["unchanged"] == 1

    def test_when_the_target_holds_something_else(self, connections: Any, load: Any, save: Any, target: Any) -> None:
        target.put("notes.txt", "mine")
        with pytest.raises(AirflowFailException, match=r"target=.*notes\.txt: .*Nothing was written. Move them away"):
            save()

    def test_when_source_and_target_overlap(self, connections: Any, load: Any, save: Any) -> None:
        connections.put("a.json", {"data": {}, "annotations": [{"result": []}]})
        load()
        with pytest.raises(AirflowFailException, match=r"target=.*tasks of project 'Pets' are imported.*another"):
            save(target=f"{connections.uri}/annotations")


BAD_FILES: dict[str, tuple[Any, str]] = {
    "cut.json": ('{"text": "a', "malformed"),
    "two.json": ('{"text": "a"}}', "trailing characters at line 1, column 14"),
    "nan.json": ('{"n": NaN}', "NaN at line 1, column 7; JSON has no NaN. Write null, or leave the field out"),
    "utf16.json": ('{"text": "a"}'.encode("utf-16"), "wrongly encoded: it is UTF-16, not UTF-8"),
    "latin1.json": (b'{"text": "\xe9"}', "wrongly encoded: not UTF-8, byte 0xe9 at line 1, column 11"),
    "deep.json": ('{"a":' * 200 + "1" + "}" * 200, "too deeply nested: more than 100 levels"),
    "deeper.json": ("[" * 2000 + "]" * 2000, "too deeply nested: more than 100 levels"),
    "large.json": (b'{"text": "' + b"a" * 6000 + b'"}', "oversized: 6,012 bytes; a task file may have 5,000. Split it"),
    "bomb.json.gz": (gzip.compress(b'{"text": "' + b"a" * 6000 + b'"}'), "unpacked oversized: "),
    "cut.json.gz": (gzip.compress(b'{"text": "a"}')[:-4], "its gzip compression is broken: "),
    "blank.json": (" ", "empty: a task file holds at least one row"),
    "text.json": ("hello", "not a task file: it begins with b'h', not with a JSON object or array"),
    "photo.jpg": (b"\xff\xd8", "not a task file; for pictures, set use_blob_urls=True ('Import each file as one task'"),
    "row.json": ('[{"data": 5}]', "bad row: `data` must be an object, it is a number"),
    "label.json": (
        '{"data": {"text": "a"}, "annotations": [{}]}',
        "`annotations[0]` must be an object with a `result`",
    ),
    "key.json": ('{"data": {"image": "a.jpg"}}', '"text" key is expected in task data by the label config of project'),
    "surrogate.json": ('{"text": "\\ud800"}', "surrogate"),
}


class TestBadObjectIsQuarantined:
    """By its name and reason; the others go in."""

    @pytest.mark.parametrize("key", BAD_FILES)
    def test_and_the_others_go_in(self, connections: Any, load: Any, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
        monkeypatch.setattr(task_content, "MAX_BYTES", 5000)
        CreateProjectOperator(task_id="create", title="Texts", label_config=TEXT).execute({})
        connections.put("0.json", {"text": "before"})
        connections.put("zzz.json", {"text": "after"})
        content, reason = BAD_FILES[key]
        connections.put(key, content)
        report = load(project="Texts")
        assert (report["tasks_created"], report["quarantined"]) == (2, 1)
        (failure,) = report["quarantine"]
        assert failure["key"] == key
        assert reason in failure["reason"]

    def test_for_a_name_that_is_not_utf8(self, connections: Any, load: Any) -> None:
        connections.put("good.json", {"text": "1"})
        (connections.path / os.fsdecode(b"caf\xe9.json")).write_text("{}")
        report = load()
        assert (report["tasks_created"], report["quarantined"]) == (1, 1)
        assert json.loads(json.dumps(report)) == report
        assert "caf\\\\xe9.json" in json.dumps(report)
        assert "its name is not UTF-8; rename the file" in json.dumps(report)

    def test_for_a_link_that_leaves_the_document_root(self, connections: Any, load: Any) -> None:
        connections.put("good.json", {"text": "1"})
        (connections.path / "link.json").symlink_to("/etc/hostname")
        report = load()
        assert (report["tasks_created"], report["quarantined"]) == (1, 1)
        assert "it is a symbolic link that leaves the document root" in json.dumps(report)

    def test_for_a_link_that_goes_round(self, connections: Any, load: Any) -> None:
        connections.put("good.json", {"text": "1"})
        (connections.path / "self.json").symlink_to("self.json")
        assert load()["tasks_created"] == 1


def test_object_gone_between_listing_and_reading_is_counted_and_no_error(
    connections: Any, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelsync_provider.storages.local_files import LocalFiles

    connections.put("a.json", {"text": "1"})
    gone = connections.put("b.json", {"text": "2"})
    listing = LocalFiles.list

    def list_and_lose(self: LocalFiles) -> Any:
        for page in listing(self):
            gone.unlink(missing_ok=True)
            yield page

    monkeypatch.setattr(LocalFiles, "list", list_and_lose)
    report = load()
    assert (report["tasks_created"], report["gone"], report["quarantined"]) == (1, 1, 0)


def test_filter_that_matches_nothing_is_green_with_a_warning(
    connections: Any, load: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.json", "b.json"):
        connections.put(f"2026/{name}", {"text": "1"})
    report = load(regex_filter=r"a\.json")
    assert (report["listed"], report["matched"]) == (2, 0)
    (warning,) = [record.getMessage() for record in caplog.records if "regex_filter" in record.getMessage()]
    assert f"matches none of 2 objects of {connections.uri}" in warning
    assert "'2026/a.json', for one, does not match" in warning
