"""Import a storage into a project, from a form in the Airflow UI: no code to write."""

from airflow.sdk import DAG, Param

from labelsync_provider.operators.import_storage import ImportStorageSyncOperator

# What has no section stands open at the top of the form.
HOW, SERVER, LIMITS, LOGIN = "How to import", "Label Studio server", "Limits", "Connections"

with DAG(
    dag_id="import_storage_sync",
    description="Makes a task of everything that is new in a storage.",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["labelsync"],
    # Retried where a retry may help; what a person must mend fails at once.
    default_args={"retries": 2},
    params={
        "source": Param(
            "file:///data/tasks",
            type="string",
            title="Source",
            description="The storage URI: file:///directory, s3://bucket/prefix, gs://bucket/prefix, "
            "azure-blob://container/prefix or redis://database/path.",
            pattern=r"^[a-z][a-z0-9-]*://.+",
        ),
        "project": Param(
            "My project",
            # Of two types in `type`, the form makes a field for JSON.
            anyOf=[{"type": "string"}, {"type": "integer"}],
            title="Project",
            description="The project's id, or its exact title.",
        ),
        "use_blob_urls": Param(
            False,
            type="boolean",
            title="Treat every object as a source file",
            description="On for pictures, texts and sounds: one task for each. Off for task files: JSON or JSON lines.",
        ),
        "regex_filter": Param(
            None,
            type=["null", "string"],
            title="File filter",
            description=r"A regular expression, matched from the start of the key, such as .*\.(jpe?g|png)$ .",
        ),
        "recursive_scan": Param(
            None,
            enum=[None, 1, 0],  # the form shows no boolean as chosen
            title="Scan sub-folders",
            description="The guide's rule: a local directory with them; a bucket without a prefix with them, else not.",
            values_display={"null": "by the guide's rule", "1": "yes", "0": "no"},
        ),
        "data_key": Param(
            None,
            type=["null", "string"],
            title="Data key",
            description="Where an object's URI goes in the task. Left open, the first data key of the label config.",
            section=HOW,
        ),
        "row_key": Param(
            None,
            type=["null", "string"],
            title="Row key",
            description="The field that tells rows of a changed task file apart, such as id or data.filename. "
            "Left open, they are matched by content.",
            section=HOW,
        ),
        "url_mode": Param(
            "storage",
            enum=["storage", "signed"],
            title="What goes into the task of a source file",
            description="A URI stays, and Label Studio shows it by its own storage connection. A signed URL expires.",
            values_display={"storage": "the object's URI", "signed": "a signed URL"},
            section=HOW,
        ),
        "presign_ttl": Param(
            15,
            type="integer",
            minimum=1,
            title="Life of a signed URL",
            description="In minutes.",
            section=HOW,
        ),
        "on_changed": Param(
            "report",
            enum=["report", "update", "add"],
            title="When content has changed",
            description="Tasks with annotations are never updated.",
            values_display={
                "report": "only report it",
                "update": "update tasks without annotations",
                "add": "add a new task",
            },
            section=HOW,
        ),
        "on_missing": Param(
            "report",
            enum=["report", "delete"],
            title="When an object is gone",
            description="Tasks with annotations are never deleted.",
            values_display={"report": "only report it", "delete": "delete tasks without annotations"},
            section=HOW,
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Report what would happen, and write nothing anywhere.",
            section=HOW,
        ),
        "register_storage": Param(
            False,
            type="boolean",
            title="Register the source in Label Studio",
            description="Without a source storage for the bucket, Label Studio cannot show what URIs in tasks name.",
            section=SERVER,
        ),
        "presign": Param(
            True,
            type="boolean",
            title="Registered so that it signs URLs",
            description="Off, Label Studio passes the bytes through.",
            section=SERVER,
        ),
        "adopt": Param(
            False,
            type="boolean",
            title="Adopt tasks that are there",
            description="Once, when coming from Label Studio's own sync or another tool: nothing comes in twice.",
            section=SERVER,
        ),
        "restore_deleted": Param(
            False,
            type="boolean",
            title="Restore deleted tasks",
            description="A task that somebody has deleted stays away otherwise.",
            section=SERVER,
        ),
        "max_delete": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Most tasks to delete",
            description="If there were more, none is deleted and the run fails. Left open, 10 %, at least 1.",
            section=LIMITS,
        ),
        "max_quarantined": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            title="Most objects in quarantine",
            description="If there are more, the run fails, after the good ones are in. Left open, any number.",
            section=LIMITS,
        ),
        "wait_for_lease": Param(
            3600,
            type="number",
            minimum=0,
            title="Wait for another import",
            description="How long to wait while another import into the project runs, in seconds.",
            section=LIMITS,
        ),
        "source_conn_id": Param(
            None,
            type=["null", "string"],
            title="Connection of the source",
            description="Left open, the usual one of the URI's scheme, such as fs_default or aws_default.",
            section=LOGIN,
        ),
        "label_studio_conn_id": Param(
            "label_studio_default",
            type="string",
            title="Connection of the project",
            description="Says where projects live.",
            section=LOGIN,
        ),
    },
) as dag:
    ImportStorageSyncOperator(task_id="import", **{name: dag.param(name) for name in dag.params})
