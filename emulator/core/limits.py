"""Every limit: its value, its unit in the name, where it comes from."""

MAX_SYNC_PAYLOAD_BYTES = 32 * 1024 * 1024
"""Body of a synchronous invocation. Source: limits page of FC 2.0, "synchronous payload"."""

MAX_ASYNC_PAYLOAD_BYTES = 128 * 1024
"""Body of an asynchronous invocation, inclusive. Source: limits page of FC 2.0.

Assumed: the exact byte (131,072 accepted, 131,073 refused).
"""

MAX_ASYNC_DELAY_S = 3600
"""Longest ``X-Fc-Async-Delay``, inclusive. Source: FC 2.0 help, "Asynchronous invocation"."""

MAX_RESULT_BYTES = 32 * 1024 * 1024
"""What a function may answer. Assumed: the same as a synchronous request."""

MAX_NAME_LENGTH = 128
"""Characters of a service, function or alias name. Source: FC 2.0 API, CreateService."""

LOG_TAIL_BYTES = 4096
"""What ``X-Fc-Log-Result`` holds, before base64. Source: API 2016-08-15, InvokeFunction."""

LOG_KEPT_BYTES = 64 * 1024
"""Log text of one request that stays in memory while it runs; the oldest part goes first. Ours."""

MAX_LOG_LINE_BYTES = 64 * 1024
"""A longer line of a function's output is cut. Ours: every buffer has a number."""

MIN_TIMEOUT_S, MAX_TIMEOUT_S = 1, 86_400
"""Run time of a function. Source: FC 3.0 schema, ``timeout``."""

MIN_MEMORY_MB, MAX_MEMORY_MB = 64, 32_768
"""Memory of a function. Source: FC limits page (128 MB and more); 64 is met in older files."""

MAX_ENVIRONMENT_BYTES = 4096
"""Names and values of a function's variables together. Source: FC help, "Environment variables".

Assumed: what is counted; over it the emulator warns and goes on.
"""

DEFAULT_MAX_INSTANCES = 16
"""Instances of one function at a time, unless ``--max-instances`` says otherwise. Ours."""

DEFAULT_IDLE_TIMEOUT_S = 300.0
"""An instance that nobody used for this long is ended. Assumed: the service does not say."""

DEFAULT_GRACE_S = 8.0
"""What running work gets at a stop; below the 10 s after which Compose kills. Ours."""

KEEPALIVE_S = 90.0
"""An idle connection of a caller is kept this long. Source: Go SDK, comment at its transport."""

BODY_DEADLINE_S = 60.0
"""A request body that takes longer to arrive is given up. Ours."""

MAX_SOCKET_PATH_BYTES = 100
"""Path of a Unix socket. Source: 108 bytes with the final zero on Linux, 104 on macOS."""
