"""Run a user's Python function inside one instance of fc-emu.

The emulator starts this file with the interpreter of the runtime. It connects back to the
emulator's socket and answers one HTTP/1.1 request after another: a plain blocking loop. README.md
states the protocol. One file, standard library only, the same text for Python 3.6 to 3.13.

A start shall cost little more than the bare interpreter. So modules that pull in others (json,
logging, traceback: 6 to 12 ms each) are imported where they are first needed, and ``_signal`` and
``_socket`` stand in for the modules around them, which load ``enum`` and ``selectors``.
"""

import _signal
import _socket
import io
import os
import sys

KEPT_VARIABLES = frozenset(
    "FC_FUNC_CODE_PATH FC_FUNCTION_MEMORY_SIZE FC_RUNTIME_VERSION FC_ACCOUNT_ID FC_FUNCTION_HANDLER"
    " FC_FUNCTION_NAME FC_SERVICE_NAME FC_VER_ID FC_QUALIFIER FC_REGION FC_INSTANCE_ID"
    " FC_EMU_TAG FC_EMU_INSTANCE FC_EMU_ENDPOINT".split()
)
"""What user code sees of ``FC_*``. Source: keep-list of the Python 3 runtime, and fc-emu's own."""

LATE_MODULES = frozenset(
    "_colorize _weakrefset ast collections contextlib copyreg enum functools heapq json keyword"
    " linecache logging operator re reprlib sre_compile sre_constants sre_parse string struct"
    " textwrap threading token tokenize traceback types warnings weakref".split()
)
"""What json, logging and traceback load. Assumed: the platform imports them before user code."""

CONTEXT_FIELDS = """
context     requestId               request_id,requestId              text request-id
context     region                  region                            text region
context     accountId               account_id                        text account-id
context     retryCount              retry_count                       int  retry-count
credentials accessKeyId             access_key_id,accessKeyId         text access-key-id
credentials accessKeySecret         access_key_secret,accessKeySecret text access-key-secret
credentials securityToken           security_token,securityToken      text security-token
function    name                    name                              text function-name
function    handler                 handler                           text function-handler
function    memory                  memory                            int  function-memory
function    timeout                 timeout                           int  function-timeout
function    -                       initializer                       text function-initializer
function    -                       initialization_timeout            int  initialization-timeout
service     name                    name                              text service-name
service     logProject              log_project                       text service-logproject
service     logStore                log_store                         text service-logstore
service     qualifier               qualifier                         text qualifier
service     versionId               version_id                        text version-id
tracing     openTracingSpanContext  span_context      text tracing-opentracing-span-context
tracing     openTracingSpanBaggages span_baggages     dict tracing-opentracing-span-baggages
tracing     jaegerEndpoint          jaeger_endpoint   text tracing-jaeger-endpoint
"""
"""Part of the context, key in ``to_json()`` if any, attributes, type, header without ``x-fc-``."""

MAX_ERROR_MESSAGE_BYTES = 64 * 1024
SMALL_BODY_BYTES = 64 * 1024
"""Up to here a copy of the body is cheaper than a second system call."""

OWN_FILE = sys._getframe().f_code.co_filename


class LoadFailure(Exception):
    """The handler cannot be had; ``details`` are the lines of the stack trace in the answer."""

    def __init__(self, error_type, message, details):
        super().__init__(message)
        self.error_type = error_type
        self.details = [line.strip() for line in details if line.strip()]


class Pipe(io.FileIO):
    """An unbuffered file for output; ``write`` returns once everything is written."""

    def write(self, data):
        size, done = memoryview(data).nbytes, 0
        while done < size:
            sent = super().write(memoryview(data).cast("B")[done:] if done else data)
            if sent is None:  # a child made the pipe that it shares with this process non-blocking
                os.set_blocking(self.fileno(), True)
            done += sent or 0
        return size


class Connection:
    """The one connection to the emulator: HTTP/1.1, one request at a time."""

    def __init__(self, path, greeting):
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._socket.connect(path)
        self._socket.sendall(greeting)
        self.close = self._socket.close

    def read_request(self):
        """Return ``(method and path, headers, body)``.

        Raises:
            EOFError: the emulator has hung up.
        """
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive(SMALL_BODY_BYTES, 0)
        head, _, body = data.partition(b"\r\n\r\n")
        try:
            start, *lines = head.decode("utf-8").split("\r\n")
        except UnicodeDecodeError:
            start, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        parts = [body] if body else []
        missing = int(headers.get("content-length") or 0) - len(body)
        while missing > 0:
            parts.append(self._receive(missing, _socket.MSG_WAITALL))
            missing -= len(parts[-1])
        return start.rpartition(" ")[0], headers, b"".join(parts)

    def _receive(self, size, flags):
        data = self._socket.recv(size, flags)
        if not data:
            raise EOFError
        return data

    def send(self, status, body, *, last=False):
        """Answer the request; ``last`` tells the emulator that this process ends."""
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: application/octet-stream\r\n"
            f"content-length: {len(body)}\r\n" + ("connection: close\r\n" if last else "") + "\r\n"
        ).encode("ascii")
        if len(body) <= SMALL_BODY_BYTES:
            self._socket.sendall(head + body)
        else:
            self._socket.sendall(head)
            self._socket.sendall(body)


class Part:
    """A part of the context: attributes, and ``to_json()`` with the keys of the platform."""

    def __init__(self):
        self._wire = {}

    def to_json(self):
        return {k: v.to_json() if isinstance(v, Part) else v for k, v in self._wire.items()}


class Context(Part):
    """The second argument of a handler. An absent header counts as an empty one."""

    def __init__(self, headers):
        super().__init__()
        parts = {"context": self}
        for part, key, attributes, convert, header in CONTEXT_ROWS:
            if part not in parts:
                self._wire[part] = self.__dict__[part] = parts[part] = Part()
            fields = parts[part].__dict__
            value = convert(headers.get(header, ""))
            if key != "-":
                fields["_wire"][key] = value
            for attribute in attributes:
                fields[attribute] = value

    @property
    def logger(self):
        import logging

        return logging.getLogger()


def decode_baggages(value):
    """Return the dict that a header holds as base64 of JSON; an empty one if it holds none."""
    if not value:
        return {}
    import binascii
    import json

    try:
        return json.loads(binascii.a2b_base64(value).decode("utf-8"))
    except ValueError:
        return {}


TYPES = {"text": str, "int": lambda value: int(value or 0), "dict": decode_baggages}
CONTEXT_ROWS = [
    (part, key, attributes.split(","), TYPES[kind], "x-fc-" + header)
    for part, key, attributes, kind, header in map(str.split, CONTEXT_FIELDS.strip().splitlines())
]


def encode_result(result):
    """Return the body for what a handler returned. Source: contract of the Python runtimes.

    Assumed: NaN and infinity are errors, for no client could read them as JSON.
    """
    if isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode("utf-8")
    if result is None:
        return b"null"
    import json

    text = json.dumps(result, indent=4, sort_keys=True, allow_nan=False, default=simplify)
    return text.encode("utf-8")


def simplify(value):
    """Return what stands in JSON for a value that JSON does not know.

    Raises:
        TypeError: nothing does; the text is that of the library.
    """
    if hasattr(value, "to_json"):
        return value.to_json()
    # No value can be of a type whose module was never imported.
    decimal, datetime = sys.modules.get("decimal"), sys.modules.get("datetime")
    if decimal and isinstance(value, decimal.Decimal):
        return float(value)
    if datetime and isinstance(value, datetime.date):
        return value.isoformat()
    import json

    return json.JSONEncoder().default(value)


def call_event_handler(handler, event, headers):
    """Return the body of the answer to one event."""
    return encode_result(handler(event, Context(headers)))


CALLS = {"POST /invoke": ("Invoke", "x-fc-function-handler", call_event_handler)}
"""Per method and path: its word in the log, the header that names the callable, how it is run."""


def text_of(error):
    """Return ``str(error)``, whatever the user's ``__str__`` does."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - code of the user
        return "<exception str() failed>"


def describe(error):
    """Return ``(frames, log text)`` of an exception, both without frames of this file."""
    import traceback

    try:
        report = traceback.TracebackException(type(error), error, error.__traceback__)
        report.stack[:] = [call for call in report.stack if call.filename != OWN_FILE]
        text = "".join(report.format())
    except Exception:  # noqa: BLE001 - what a user's exception carries may be anything
        return [], f"{type(error).__name__}: {text_of(error)}\n"
    frames = []
    for call in report.stack:
        frame = [f'File "{call.filename}"', f"line {call.lineno}", f"in {call.name}"]
        frames.append([*frame, call.line] if call.line else frame)
    return frames, text


def describe_threads(main_frame):
    """Return the stacks of all threads; that of the caller is the one that ends in main_frame."""
    import _thread
    import traceback

    text = ""
    for ident, frame in sys._current_frames().items():
        calls = traceback.extract_stack(main_frame if ident == _thread.get_ident() else frame)
        calls = [call for call in calls if call.filename != OWN_FILE]
        text += f"Thread {ident} (most recent call last):\n" + "".join(traceback.format_list(calls))
    return text


def shadows_library(folder):
    """Tell whether an entry of the folder is named like a module that this file needs later."""
    try:
        return not LATE_MODULES.isdisjoint(name.partition(".")[0] for name in os.listdir(folder))
    except OSError:
        return False


def keep_bytecode_apart(folder, prefix):
    """Let modules below ``folder`` have their bytecode below ``prefix``, and no others.

    The code folder is not to be written to; what the interpreter and its packages have compiled
    already is to be used. Python before 3.8 knows no such place: there it compiles anew.
    """
    import _imp
    from _frozen_importlib_external import (
        ExtensionFileLoader,
        FileFinder,
        SourceFileLoader,
        SourcelessFileLoader,
    )

    switch, value = "pycache_prefix", prefix
    if not hasattr(sys, switch):
        switch, value = "dont_write_bytecode", True

    class Loader(SourceFileLoader):
        def get_code(self, fullname):
            before = getattr(sys, switch)
            setattr(sys, switch, value)
            try:
                return super().get_code(fullname)
            finally:
                setattr(sys, switch, before)

    hook = FileFinder.path_hook(
        (ExtensionFileLoader, _imp.extension_suffixes()),
        (Loader, [".py"]),
        (SourcelessFileLoader, [".pyc"]),
    )

    def code_hook(path):
        if path != folder and not path.startswith(folder + "/"):
            raise ImportError(path)
        return hook(path)

    sys.path_hooks.insert(0, code_hook)


class Code:
    """The user's code folder and the handlers found in it."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self._handlers = {}

    def enter(self):
        """Make the folder the current one, and the first that imports search."""
        own = os.path.dirname(os.path.realpath(__file__))
        others = [path for path in sys.path if os.path.realpath(path) != own]
        layer = "/opt/python/lib/python{}.{}/site-packages".format(*sys.version_info)
        front = [self.folder, layer, "/opt/python"]
        sys.path[:] = others
        if any(map(shadows_library, front)):
            import json  # noqa: F401 - loaded now, it comes from the library
            import logging  # noqa: F401 - likewise
            import traceback  # noqa: F401 - likewise
        self._library = frozenset(sys.modules)
        sys.path[:] = front + others
        try:
            os.chdir(self.folder)
        except OSError:
            pass  # the first import fails and tells the caller

    def load(self, handler):
        """Return the callable that a handler string names; its module is loaded once.

        Raises:
            LoadFailure: there is none.
        """
        if handler not in self._handlers:
            target, _, name = handler.rpartition(".")
            folder, _, module_name = target.rpartition("/")
            if not module_name or not name or "/" in name:
                raise LoadFailure("InvalidHandleName", f"Invalid handler '{handler}'", [])
            module = self._import(folder.strip("/"), module_name, target)
            try:
                self._handlers[handler] = getattr(module, name)
            except AttributeError as error:
                message = f"Handler '{name}' is missing on module '{target}'"
                raise LoadFailure("HandlerNotFound", message, self._split(error)) from None
        return self._handlers[handler]

    def _import(self, folder, module_name, target):
        if folder or module_name.partition(".")[0] in self._library:
            # No import statement can spell this package: neither a library module with the name of
            # the folder nor a dot in that name gets in the way.
            package = type(sys)(folder + "/")
            package.__path__ = [os.path.join(self.folder, folder)]
            sys.modules.setdefault(package.__name__, package)
            module_name = f"{package.__name__}.{module_name}"
        try:
            return __import__(module_name, fromlist=["__name__"])
        except ImportError as error:
            message = f"Unable to import module '{target}'"
            raise LoadFailure("ImportModuleError", message, self._split(error)) from error
        except SyntaxError as error:
            import traceback

            lines = "".join(traceback.format_exception_only(type(error), error)).splitlines()
            message = f"Syntax error in module '{target}'"
            raise LoadFailure("UserCodeSyntaxError", message, lines) from error
        except Exception as error:
            message = f"Module initialization error: '{text_of(error)}'"
            raise LoadFailure("UserCodeError", message, self._split(error)) from error

    def _split(self, error):
        """Return the text of an exception in pieces, as the platform lists it for a failed load."""
        return self.hide_folder(text_of(error)).replace("\n", ",").split(",")

    def hide_folder(self, text):
        """Return ``text`` with ``/code`` for the path of the code folder, however it is spelled."""
        import re

        names = {self.folder, os.path.realpath(self.folder)} - {"/", "/code"}
        for name in sorted(names, key=len, reverse=True):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", "/code", text)
        return text

    def encode_error(self, error_type, message, stack):
        """Return the body of an error answer; ``stack`` is a list of strings or of lists of them.

        Source: contract of the Python runtimes; the length is ours.
        """
        import json

        hide = self.hide_folder
        message = hide(message).encode("utf-8", "backslashreplace")[:MAX_ERROR_MESSAGE_BYTES]
        error = {
            "errorMessage": message.decode("utf-8", "ignore"),
            "errorType": error_type,
            "stackTrace": [hide(x) if isinstance(x, str) else [hide(y) for y in x] for x in stack],
        }
        return json.dumps(error, indent=4, sort_keys=True).encode("ascii")


class Instance:
    """The life of this process: one call after another."""

    def __init__(self, output, token, code):
        self.request_id = ""
        self._output = output
        self._token = token
        self._code = code
        self._busy = False
        self._pid = os.getpid()

    def serve(self, connection):
        """Answer requests; return once a handler could not be loaded.

        Raises:
            EOFError: the emulator has hung up.
        """
        last = False
        while not last:
            start, headers, body = connection.read_request()
            if start not in CALLS:
                connection.send("404 Not Found", b"no such path\n")
                continue
            status, body, last = self._run(CALLS[start], headers, body)
            connection.send(status, body, last=last)
            del body  # up to 32 MiB that an idle instance need not hold

    def _run(self, call, headers, event):
        """Do one call; return the status and body of the answer, and whether it is the last."""
        stage, handler_header, run = call
        status, suffix, last = "404 Not Found", ", Error: Unhandled function error", False
        self.request_id = headers.get("x-fc-request-id", "")
        self._busy = True
        self.log(f"FC {stage} Start RequestId: {self.request_id}\n")
        try:
            body = run(self._code.load(headers.get(handler_header, "")), event, headers)
            status, suffix = "200 OK", ""
        except LoadFailure as failure:
            cause = failure.__cause__
            self.log(describe(cause)[1] if cause else f"{failure.error_type}: {failure}\n")
            body = self._code.encode_error(failure.error_type, str(failure), failure.details)
            last = True
        except Exception as error:  # noqa: BLE001 - code of the user
            frames, text = describe(error)
            self.log(text)
            body = self._code.encode_error(type(error).__name__, text_of(error), frames)
        if os.getpid() != self._pid:
            os._exit(0)  # a child that user code forked came back; the answer is its parent's
        flush_streams()
        self._busy = False
        # One write, so that no other output comes between the End line and the mark.
        end = f"FC {stage} End RequestId: {self.request_id}{suffix}\n"
        self.log(f"{end}\x1e{self._token} end {self.request_id}\n")
        return status, body, last

    def log(self, text):
        """Write to the log, past whatever user code made of ``sys.stdout`` and descriptor 1."""
        try:
            self._output.write(text.encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # the answer matters more than its log

    def on_sigterm(self, _signum, frame):
        """End the process with status 143; during a call, show first where its threads are."""
        if os.getpid() != self._pid:
            self.forget_sigterm()
            os.kill(os.getpid(), _signal.SIGTERM)
        _signal.signal(_signal.SIGTERM, _signal.SIG_IGN)  # a second one must not cut this short
        try:
            if self._busy:
                self.log("Dumping stack trace after function timeout\n")
                self.log(describe_threads(frame))
        except Exception:  # noqa: BLE001 - the stack may be too full, a module half imported
            import faulthandler

            faulthandler.dump_traceback(self._output)
        finally:
            os._exit(143)

    def forget_sigterm(self):
        """Let SIGTERM end a forked child as it does elsewhere; a handler of the user stays."""
        if _signal.getsignal(_signal.SIGTERM) == self.on_sigterm:
            _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)


class LoggingSetup:
    """An entry of ``sys.meta_path`` that sets the root logger up when logging is first imported."""

    def __init__(self, instance, level):
        self._instance = instance
        self._level = level

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        from _frozen_importlib_external import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            self.apply(module)

        spec.loader.exec_module = exec_module
        return spec

    def apply(self, logging):
        """Give the root logger its level and its one handler."""
        import time

        instance = self._instance

        class LogLine(logging.Formatter):
            def formatMessage(self, record):
                second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
                stamp = "%s.%03dZ" % (second, record.msecs)
                return f"{stamp} {instance.request_id} [{record.levelname}] {record.message}"

        class LogOutput(logging.Handler):
            def emit(self, record):
                try:
                    instance.log(self.format(record) + "\n")
                except Exception:  # noqa: BLE001 - as the handlers of logging do
                    self.handleError(record)

        handler = LogOutput()
        handler.setFormatter(LogLine())
        logging.root.addHandler(handler)
        level = logging.getLevelName(self._level.upper())
        logging.root.setLevel(level if isinstance(level, int) else logging.INFO)


def replace_streams():
    """Make ``sys.stdout`` and ``sys.stderr`` write at once and never fail on a character."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        pipe = Pipe(descriptor, "wb", closefd=False)
        pipe.name = f"<{name}>"
        stream = io.TextIOWrapper(pipe, "utf-8", "backslashreplace", "\n", write_through=True)
        stream.mode = "w"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def flush_streams():
    """Flush what user code may have put in the place of the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - it may be closed, None or the user's
            pass


def wash_environment():
    """Remove what is for the bootstrap alone."""
    for name in set(os.environ) - KEPT_VARIABLES:
        if name.startswith(("FC_", "_FC_")):
            del os.environ[name]


def main():
    """Connect to the emulator, prepare the process for user code, serve, end."""
    if "_FC_EMU_OUTPUT" in os.environ:  # a named pipe, where no descriptor can be handed over
        pipe = os.open(os.environ["_FC_EMU_OUTPUT"], os.O_WRONLY)
        os.dup2(pipe, 1)
        os.dup2(pipe, 2)
        os.close(pipe)
    output = Pipe(os.dup(1), "wb")
    output.write(b"FunctionCompute python3 runtime inited.\n")
    token = os.environ["_FC_EMU_TOKEN"]
    path = os.environ["_FC_EMU_CONNECT"].partition(":")[2]
    connection = Connection(path, f"FC-EMU/1 {token} {os.getpid()}\n".encode("ascii"))

    code = Code(os.environ.get("FC_FUNC_CODE_PATH") or "/code")
    if "_FC_EMU_BYTECODE" in os.environ:
        keep_bytecode_apart(code.folder, os.environ["_FC_EMU_BYTECODE"])
    instance = Instance(output, token, code)
    setup = LoggingSetup(instance, os.environ.get("FC_SERVER_LOG_LEVEL", ""))
    sys.meta_path.insert(0, setup)
    if "logging" in sys.modules:  # something in site-packages was earlier
        setup.apply(sys.modules["logging"])
    _signal.signal(_signal.SIGTERM, instance.on_sigterm)
    if hasattr(os, "register_at_fork"):  # not in Python 3.6
        os.register_at_fork(after_in_child=connection.close)
        os.register_at_fork(after_in_child=instance.forget_sigterm)
    wash_environment()
    replace_streams()
    sys.modules.pop(__name__, None)  # nothing of ours for who looks there
    sys.modules["__main__"] = type(sys)("__main__")
    code.enter()
    try:
        instance.serve(connection)
        status = 1
    except (EOFError, ConnectionError):
        status = 0
    except SystemExit as request:
        status = 0 if request.code is None else request.code
        if not isinstance(status, int):
            instance.log(f"{status}\n")
            status = 1
    except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt and the like: no call goes on
        instance.log(describe(error)[1])
        status = 1
    flush_streams()
    os._exit(status & 0xFF)  # threads of the user do not hold the process back


if __name__ == "__main__":
    main()
