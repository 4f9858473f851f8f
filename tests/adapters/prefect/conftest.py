"""Prefect's home is a new folder, also for the processes that tests start."""

import os
from tempfile import mkdtemp

os.environ["PREFECT_HOME"] = mkdtemp(prefix="prefect-")  # before Prefect is imported
os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
