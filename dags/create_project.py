"""Creates a project, or finds the one of that title.

Choose what is to be labeled, or paste a label config of your own. A project that is there already keeps its own.

Needs the connection `label_studio_default`, of type Label Studio, which says where projects live.
"""

from airflow.sdk import DAG

from labelsync_provider.forms import entered, explained, form
from labelsync_provider.operators.project import CreateProjectOperator

FIELDS = ["title", "template", "label_config", "description", "label_studio_conn_id"]

with DAG(
    dag_id="create_project",
    dag_display_name="Create a project",
    description="Creates a project from a ready label config, or one of your own.",
    doc_md=explained(__doc__, FIELDS),
    schedule=None,
    catchup=False,
    tags=["labelsync", "project"],
    default_args={"retries": 2},
    params=form(FIELDS),
) as dag:
    CreateProjectOperator(
        task_id="create",
        task_display_name="Create",
        label_config="{{ params.label_config or params.template or '' }}",
        **entered(dag, ["title", "description", "label_studio_conn_id"]),
    )
