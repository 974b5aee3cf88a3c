"""What Airflow 3.1 lacks of what tests go through. `tests/matrix.py` runs them there."""

import airflow
import pytest

IS_3_1 = airflow.__version__.startswith("3.1.")

gives_callbacks_the_exception = pytest.mark.skipif(IS_3_1, reason="its dag.test() gives callbacks no exception")
"""The task runner of a scheduler does, in any version."""
reschedules = pytest.mark.skipif(IS_3_1, reason="its dag.test() fails a task that is to be rescheduled twice")
skips_at_the_end_of_its_time = pytest.mark.skipif(IS_3_1, reason="it fails a soft_fail sensor whose trigger timed out")
has_commands_of_providers = pytest.mark.skipif(IS_3_1, reason="its command line has none of a provider's commands")
tells_mistaken_connections = pytest.mark.skipif(IS_3_1, reason="to it, one whose extra is no object is not there")
