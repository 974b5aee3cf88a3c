"""What older Airflows lack of what tests go through. `tests/matrix.py` runs them there."""

import airflow
import pytest

IS_3_1 = airflow.__version__.startswith("3.1.")
IS_BEFORE_3_3 = IS_3_1 or airflow.__version__.startswith("3.2.")

gives_callbacks_the_exception = pytest.mark.skipif(IS_BEFORE_3_3, reason="its dag.test() gives callbacks no exception")
"""The task runner of a scheduler does, in any version."""
reschedules = pytest.mark.skipif(
    IS_BEFORE_3_3, reason="its dag.test() does not end, or fails, where a task is rescheduled"
)
skips_at_the_end_of_its_time = pytest.mark.skipif(IS_3_1, reason="it fails a soft_fail sensor whose trigger timed out")
has_commands_of_providers = pytest.mark.skipif(IS_3_1, reason="its command line has none of a provider's commands")
tells_mistaken_connections = pytest.mark.skipif(IS_3_1, reason="to it, one whose extra is no object is not there")
