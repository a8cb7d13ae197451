"""The study around DATransNet: one file per DVC stage, named like the stage; what stages share lies in rooms."""

import os

# No library reports home, and none starts features a study does not use. A value set by the user stands.
for _name, _value in {
    "PYTHONUTF8": "1",  # workers read names as the stage does, in any locale
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what it logs it also raises, and the tracker says it in one line
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a dead server must not stall training; records are sent again later
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # resources.gpus decides the device, not what Ray hides
    "RAY_AIR_NEW_OUTPUT": "0",  # Ray's new output prints a banner whatever the verbosity
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the stage at once; records make that safe
}.items():
    os.environ.setdefault(_name, _value)
