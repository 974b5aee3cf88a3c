"""What parameters are called and what they mean. A test holds docstrings and the README against this."""

import json
from pathlib import Path

from labelsync_provider.label_configs import READY
from labelsync_provider.parameters import Parameter

# Sections of a form; what has none stands open at its top.
IMPORT, EXPORT, STUDIO, LIMITS, LOGIN = "How to import", "How to export", "Label Studio", "Limits", "Connections"
URI = {"pattern": r"^(/|[a-z][a-z0-9-]*://).+"}
YES_NO = {1: "Yes", 0: "No"}
# `tests/texts.py` has asked the hooks of the package's own storages; here, where a DAG is parsed, none is imported.
STORAGES = json.loads(Path(__file__).with_name("storages.json").read_text())
URIS = ", ".join(f"`{one['uri']}`" for scheme, one in STORAGES.items() if scheme != "file")
WHERE = f"{URIS}, or a directory: `/data/photos`, or as a URI `{STORAGES['file']['uri']}`."
USUAL = "the usual one of the storage: " + ", ".join(f"`{one['connection']}`" for one in STORAGES.values())


def _login(to: str) -> Parameter:
    return Parameter(title=f"Connection of the {to}", meaning="Says how to log in.", by_default=USUAL, section=LOGIN)


PARAMETERS: dict[str, Parameter] = {
    "source": Parameter(
        title="Source",
        meaning=f"Where the objects are that become tasks: {WHERE}",
        required=True,
        term="Add Source Storage",
        in_code="Or a list of these, imported one after the other: one that fails does not keep the others out, but "
        "another import into the project does; then the task fails, and names each.",
        schema=URI,
    ),
    "target": Parameter(
        title="Target",
        meaning=f"Where the annotations go: {WHERE} It may hold nothing but this export, and no "
        "other export of the project may go to a folder above or below it. "
        "`/data/labels` gets files such as `/data/labels/7.json`, `s3://bucket/labels` objects such as "
        "`labels/7.json`; the path of a database is taken as it is written.",
        required=True,
        term="Add Target Storage",
        schema=URI,
    ),
    "project": Parameter(
        title="Project",
        meaning="The project's exact title, or its id.",
        kind="project",
        required=True,
        schema={"minLength": 1},
    ),
    "dry_run": Parameter(
        title="Dry run", meaning="Report what would happen, and write nothing anywhere.", kind="boolean", default=False
    ),
    # Import.
    "use_blob_urls": Parameter(
        title="Import each file as one task (pictures, audio, text)",
        meaning="Each file becomes one task that shows it. Off for files that describe tasks: JSON, JSON lines, CSV or "
        "TSV, of which Label Studio's own sync reads the first two.",
        kind="boolean",
        default=False,
        term="Treat every bucket object as a source file",
    ),
    "regex_filter": Parameter(
        title="File filter",
        meaning="A regular expression, matched from the start of the object's key, such as `.*[.](jpe?g|png)$`.",
        by_default="all objects",
        term="File Filter Regex",
    ),
    "recursive_scan": Parameter(
        title="With sub-folders",
        meaning="Whether objects in sub-folders are imported too. Automatically, as the storage guide says: those of a "
        "directory, and of a bucket without a prefix, are; those below a prefix are not.",
        choices={None: "Automatic"} | YES_NO,
        term="Scan all sub-folders",
    ),
    "create_if_missing": Parameter(
        title="If there is no such project, create it for",
        meaning="If no project has this title, it is created with this label config: XML, or the name of a ready one, "
        "such as `image_classification`.",
        by_default="none is created",
        schema={"examples": list(READY)},
    ),
    "data_key": Parameter(
        title="Data key",
        meaning="Where the address of a file goes in the task's data.",
        by_default="the first data key of the label config",
        section=IMPORT,
    ),
    "extra_data": Parameter(
        title="Other values",
        meaning="What the data of each new task of a file has beside its address: the label config may show more keys, "
        'such as `{"transcript": ""}`. Other values are no change of a file.',
        kind="object",
        by_default="nothing",
        in_code="Only with `use_blob_urls`.",
        section=IMPORT,
    ),
    "row_key": Parameter(
        title="Row key",
        meaning="The field by which rows of a changed task file are matched with those imported earlier, dotted, as "
        "written in the row: `id`, `data.filename`; of CSV and TSV, a column.",
        by_default="by their content, then by their neighbours",
        section=IMPORT,
    ),
    "url_mode": Parameter(
        title="What stands in the task of a file",
        meaning="What a task names its file by. The object's URI stays, and Label Studio shows it by a storage of its "
        "own. A signed URL lets anyone read the object until it expires.",
        default="storage",
        choices={"storage": "The object's URI", "signed": "A signed URL"},
        in_code="Only with `use_blob_urls`.",
        section=IMPORT,
    ),
    "presign_ttl": Parameter(
        title="Life of a signed URL",
        meaning="For how many minutes a signed URL can be used.",
        kind="integer",
        default=15,
        term="Expire pre-signed URLs",
        section=IMPORT,
        schema={"minimum": 1},
    ),
    "on_changed": Parameter(
        title="When content has changed",
        meaning="What becomes of the task of a file, or of a row, that is another one now. Tasks with annotations are "
        "never updated.",
        default="report",
        choices={"report": "Only report it", "update": "Update tasks without annotations", "add": "Add a new task"},
        section=IMPORT,
    ),
    "on_missing": Parameter(
        title="When an object is gone",
        meaning="What becomes of the tasks of an object that is gone. Tasks with annotations are never deleted.",
        default="report",
        choices={"report": "Only report it", "delete": "Delete tasks without annotations"},
        section=IMPORT,
    ),
    "register_storage": Parameter(
        title="Let Label Studio show the files",
        meaning="Gives the project a source storage in Label Studio, which nobody can sync, so that annotators see "
        "what tasks name. **Label Studio is then handed the keys that stand in the source's connection,** which must "
        "be allowed. Automatically, only where no keys are needed, which is for local files that Label Studio serves; "
        "elsewhere "
        "the log says what to do, and no import fails for it.",
        default="auto",
        choices={None: "Automatic", 1: "Yes", 0: "No, only warn"},
        section=STUDIO,
    ),
    "lock_own_sync": Parameter(
        title="Lock Label Studio's own sync",
        meaning="Nobody can press Sync any more on the project's source storages where the source is: Label Studio "
        "would import everything there a second time. They go on showing files. Off, the log warns of them.",
        kind="boolean",
        default=False,
        section=STUDIO,
    ),
    "allow_static_keys": Parameter(
        title="Label Studio may have the keys",
        meaning="Label Studio may be handed the keys that stand in the storage's connection, and keeps them: best keys "
        "that may only read. Off, a storage that needs them is refused. By plain `http://` to another machine none are "
        "sent either way.",
        kind="boolean",
        default=False,
        section=STUDIO,
    ),
    "presign": Parameter(
        title="Show files by signed URLs",
        meaning="Whether that source storage in Label Studio hands out signed URLs. Off, Label Studio passes the bytes "
        "through.",
        kind="boolean",
        default=True,
        term="Use pre-signed URLs",
        section=STUDIO,
    ),
    "adopt": Parameter(
        title="Take over tasks that are there",
        meaning="When coming from Label Studio's own sync or another tool: tasks that the project has already are "
        "taken for those of the objects and rows that they were made from, so that nothing comes in twice, and what "
        "somebody has deleted does not come back. Leave it on until a run has nothing in quarantine.",
        in_code="Files are known by their URI under the data key; rows by equal data and, where the own sync has made "
        "them, by their file. A ledger that knows nothing of a source learns from source references unasked.",
        kind="boolean",
        default=False,
        section=STUDIO,
    ),
    "restore_deleted": Parameter(
        title="Bring back deleted tasks",
        meaning="Import rows again whose tasks somebody has deleted from the project.",
        in_code="How many these are, other imports count as `deleted_by_hand`.",
        kind="boolean",
        default=False,
        section=STUDIO,
    ),
    "max_delete": Parameter(
        title="Most tasks to delete",
        meaning="If more tasks than this were to be deleted, none is and the run fails.",
        kind="integer",
        by_default="10 % of those imported from the source, at least 1",
        section=LIMITS,
        schema={"minimum": 0},
    ),
    "max_quarantined": Parameter(
        title="Most objects in quarantine",
        meaning="If more objects and rows than this could not be imported, the run fails, after the good ones are in. "
        "Below 1 it is a share of the matched objects, such as `0.1`. Of a list of sources, each is counted by itself. "
        "A first run of which everything is in quarantine always fails.",
        kind="number",
        by_default="any number",
        section=LIMITS,
        schema={"minimum": 0},
    ),
    "wait_for_lease": Parameter(
        title="Wait for another run",
        meaning="If another import into the project, or another export to the target, is running, wait so long for it "
        "to end, in seconds; then the task fails, and is retried. 0: do not wait.",
        kind="number",
        default=3600,
        section=LIMITS,
        schema={"minimum": 0},
    ),
    "batch_size": Parameter(
        title="Batch", meaning="How many are written, and entered in the ledger, at once.", kind="integer", default=1000
    ),
    "min_seconds_between_batches": Parameter(
        title="Pause between batches",
        meaning="Seconds between two batches, which leave the project time for others.",
        kind="number",
        default=0,
    ),
    "max_in_flight": Parameter(
        title="Requests in flight",
        meaning="At most so many requests to a storage are under way at once. How many serve best is found out.",
        kind="integer",
        default=256,
    ),
    "skip_when_unchanged": Parameter(
        title="Skip when unchanged",
        meaning="If nothing was written, updated or deleted, and there is nothing to report as changed, missing, gone, "
        "deleted by hand or newly in quarantine either, the task is marked as skipped, and what comes after it is "
        "skipped too.",
        in_code="Its report is pushed all the same.",
        kind="boolean",
        default=False,
    ),
    # Export.
    "include_cancelled": Parameter(
        title="Also annotations of skipped tasks",
        meaning="Export cancelled annotations too, as Label Studio does.",
        kind="boolean",
        default=True,
    ),
    "layout": Parameter(
        title="One file for each",
        meaning="What there is one file for. Those of tasks can be imported again as they are.",
        default="annotation",
        choices={"annotation": "Annotation, with its task", "task": "Task, with its annotations"},
        section=EXPORT,
    ),
    "key_template": Parameter(
        title="Names of the files",
        meaning="The names of the files, made of `{annotation_id}` (only for one file for each annotation), "
        "`{task_id}` and `{project_id}`.",
        by_default="`{annotation_id}.json` or `{task_id}.json`",
        section=EXPORT,
    ),
    "can_delete_objects": Parameter(
        title="Delete files whose annotation is gone",
        meaning="Delete objects from the target whose annotation is gone, or is not exported any more, and all that "
        "was exported there with another layout or other names. Off, the former are only reported, and the latter "
        "stops the run.",
        kind="boolean",
        default=False,
        term="Can delete objects from storage",
        section=EXPORT,
    ),
    "full": Parameter(
        title="Read all tasks",
        meaning="Compare every task with the target, and not only those that Label Studio says have changed. Once a "
        "day that happens by itself. Set it after bulk changes of data, predictions or the names of people, which "
        "Label Studio does not tell, if the target must have them today.",
        kind="boolean",
        default=False,
        section=EXPORT,
    ),
    # Waiting.
    "min_objects": Parameter(
        title="New objects to wait for",
        meaning="So many must be new, or in quarantine and worth another try.",
        kind="integer",
        default=1,
        schema={"minimum": 1},
    ),
    "settle_seconds": Parameter(
        title="Until nothing has changed for",
        meaning="So long, in seconds, nothing of what is new may have come, gone or changed, so that half of a set is "
        "not imported.",
        kind="number",
        default=0,
        schema={"minimum": 0},
    ),
    "min_new": Parameter(
        title="Annotated tasks to wait for",
        meaning="So many must be new since the last export.",
        kind="integer",
        default=1,
        schema={"minimum": 1},
    ),
    # Creating a project.
    "title": Parameter(title="Title", meaning="The project's title.", required=True, schema={"minLength": 1}),
    "label_config": Parameter(
        title="Label config",
        meaning="The labeling interface, in Label Studio's XML.",
        in_code="Or the path of a file that ends in `.xml`, relative to the DAG file. Or the name of a ready one, such "
        "as `image_classification`; see `labelsync_provider.label_configs`.",
        schema={"format": "multiline"},
    ),
    "template": Parameter(
        title="Ready label config",
        meaning="What is to be labeled, and how. Labels can be changed later, in the project's settings.",
        by_default="the label config below",
        choices={None: "None of these: the label config below"} | READY,
    ),
    "description": Parameter(title="Description", meaning="What the project is about, for people.", default=""),
    # Label Studio's own storages.
    "storage": Parameter(
        title="Storage",
        meaning=f"Where it is, from where Label Studio runs: {WHERE} **Label Studio is handed the keys that stand in "
        "the storage's connection.**",
        required=True,
        schema=URI,
    ),
    "action": Parameter(
        title="What to do",
        meaning="As in the project's settings, *Cloud Storage*. Adding a storage that is there already updates it.",
        default="add source storage",
        choices={
            choice.lower(): choice
            for choice in ("Add source storage", "Add target storage", "Sync source storage", "Sync target storage")
        },
    ),
    "source_conn_id": _login("source"),
    "target_conn_id": _login("target"),
    "storage_conn_id": _login("storage"),
    "label_studio_conn_id": Parameter(
        title="Connection of the project",
        meaning="The connection that says where projects live: in a Label Studio server, or in the embedded store.",
        default="label_studio_default",
        section=LOGIN,
    ),
}
