"""Export a project's annotations to a storage, from a form in the Airflow UI: no code to write."""

from airflow.sdk import DAG, Param

from labelsync_provider.operators.export_annotations import ExportAnnotationsOperator

# What has no section stands open at the top of the form.
HOW, LOGIN = "How to export", "Connections"

with DAG(
    dag_id="export_annotations",
    description="Writes what is new or has changed in a project to a storage.",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["labelsync"],
    # Retried where a retry may help; what a person must mend fails at once.
    default_args={"retries": 2},
    params={
        "project": Param(
            "My project",
            # Of two types in `type`, the form makes a field for JSON.
            anyOf=[{"type": "string"}, {"type": "integer"}],
            title="Project",
            description="The project's id, or its exact title.",
        ),
        "target": Param(
            "file:///data/annotations",
            type="string",
            title="Target",
            description="The storage URI: file:///directory, s3://bucket/prefix, gs://bucket/prefix, "
            "azure-blob://container/prefix or redis://database/path. It may hold nothing but this export.",
            pattern=r"^[a-z][a-z0-9-]*://.+",
        ),
        "include_cancelled": Param(
            True,
            type="boolean",
            title="Include cancelled annotations",
            description="Those of tasks that the annotator skipped.",
        ),
        "layout": Param(
            "annotation",
            enum=["annotation", "task"],
            title="One object per",
            description="Per task, the objects can be imported again as they are.",
            values_display={"annotation": "annotation, with its task", "task": "task, with its annotations"},
            section=HOW,
        ),
        "key_template": Param(
            None,
            type=["null", "string"],
            title="Key template",
            description="Made of {annotation_id}, {task_id}, {project_id}; left open, {annotation_id}.json.",
            section=HOW,
        ),
        "can_delete_objects": Param(
            False,
            type="boolean",
            title="Delete objects whose annotation is gone",
            description="Off, they are only reported.",
            section=HOW,
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Report what would happen, and write nothing anywhere.",
            section=HOW,
        ),
        "target_conn_id": Param(
            None,
            type=["null", "string"],
            title="Connection of the target",
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
    ExportAnnotationsOperator(task_id="export", **{name: dag.param(name) for name in dag.params})
