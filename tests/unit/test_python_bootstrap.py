"""The Python bootstrap against a peer that plays the emulator.

Tests that take ``python`` run on every interpreter found (see ``find_interpreters``); the rest,
where the version of Python cannot matter, on the one that runs the tests.
"""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.bootstrap_peer import (
    DEADLINE_S,
    TOKEN,
    BootstrapPeer,
    Disconnected,
    find_interpreters,
)

BOOTSTRAP = Path(__file__).parents[2] / "runtimes" / "python" / "bootstrap.py"

MIB = 1024 * 1024

AS_MODULE = """
import sys
sys.path[0] = sys.argv.pop().rpartition("/")[0]
import bootstrap
bootstrap.main()
"""
"""Starts the bootstrap as a module, whose bytecode Python keeps: the start without compiling."""

Start = Callable[..., BootstrapPeer]


@pytest.fixture(params=find_interpreters(), ids=lambda one: one.version)
def python(request: pytest.FixtureRequest) -> str:
    path = request.param.path
    assert isinstance(path, str)
    return path


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def start(code: Path) -> Iterator[Start]:
    """Start a bootstrap; the text is index.py, or a dict has the files of the code folder."""
    with ExitStack() as stack:

        def start_one(
            files: str | Mapping[str, str],
            *,
            python: str = sys.executable,
            folder: Path = code,
            env: Mapping[str, str] | None = None,
            argv: list[str] | None = None,
        ) -> BootstrapPeer:
            for name, text in ({"index.py": files} if isinstance(files, str) else files).items():
                (code / name).parent.mkdir(parents=True, exist_ok=True)
                (code / name).write_text(dedent(text), encoding="utf-8")
            peer = BootstrapPeer(argv or [python, str(BOOTSTRAP)], folder, env=env)
            return stack.enter_context(peer)

        yield start_one


def mark(request_id: str) -> str:
    return f"\x1e{TOKEN} end {request_id}\n"


def test_ci_tests_more_than_one_version():
    versions = {one.version for one in find_interpreters()}

    if os.environ.get("CI") == "true":
        assert len(versions) > 1, "install another Python or set FC_EMU_TEST_PYTHONS"


# --- the life of the process -------------------------------------------------


def test_greets_with_its_token_and_pid(start: Start, python: str):
    peer = start("", python=python)

    assert peer.hello == f"FC-EMU/1 {TOKEN} {peer.process.pid}\n"


def test_ends_quietly_when_the_emulator_hangs_up(start: Start, python: str):
    peer = start("def handler(event, context): pass", python=python)
    peer.invoke()
    peer.take_output()

    peer.hang_up()

    assert peer.wait_for_exit() == 0
    assert peer.take_output() == ""


def test_ends_when_the_emulator_hangs_up_in_spite_of_a_thread(start: Start):
    peer = start(
        """
        import threading

        def handler(event, context):
            threading.Thread(target=threading.Event().wait).start()
        """
    )
    peer.invoke()

    peer.hang_up()

    assert peer.wait_for_exit() == 0


def test_can_be_started_as_a_module(start: Start, python: str):
    """The emulator may start it so; nothing of it is visible this way either."""
    peer = start(
        """
        import sys
        import __main__

        def handler(event, context):
            return [sorted(vars(__main__)), "bootstrap" in sys.modules, sys.path[0], sys.argv]
        """,
        python=python,
        argv=[python, "-c", AS_MODULE, str(BOOTSTRAP)],
    )

    names, imported, first_path, argv = json.loads(peer.invoke().body)

    assert [name for name in names if not name.startswith("__")] == []
    assert not imported
    assert first_path.endswith("/project")
    assert argv == ["-c"]


# --- requests ----------------------------------------------------------------


def test_event_is_the_body_as_bytes(start: Start, python: str):
    peer = start("def handler(event, context): return repr(event)", python=python)

    assert peer.invoke(b"").body == b"b''"
    assert peer.invoke(b'{"a": 1}\xff\r\n').body == rb"""b'{"a": 1}\xff\r\n'"""


def test_answer_is_http_with_a_length(start: Start):
    peer = start("def handler(event, context): return 'four'")

    answer = peer.invoke()

    assert answer.status == 200
    assert answer.headers == {"content-type": "application/octet-stream", "content-length": "4"}


def test_bodies_of_32_mib_pass_both_ways(start: Start, python: str):
    peer = start("def handler(event, context): return event[::-1]", python=python)
    event = os.urandom(32 * MIB)

    answer = peer.invoke(event)

    assert answer.status == 200
    assert answer.body == event[::-1]


def test_request_may_arrive_byte_by_byte(start: Start):
    peer = start("def handler(event, context): return event")
    request = b"POST /invoke HTTP/1.1\r\nx-fc-function-handler: index.handler\r\n"

    for byte in request + b"content-length: 5\r\n\r\nhello":
        peer.send_bytes(bytes([byte]))

    assert peer.receive().body == b"hello"


@pytest.mark.parametrize("start_line", ["GET /invoke", "POST /", "POST /initialize"])
def test_what_is_no_call_is_not_found_and_leaves_no_trace(start: Start, start_line: str):
    peer = start("def handler(event, context): return 'served'")
    first_line = peer.wait_for_output(lambda output: output.endswith(b"\n"))

    answer = peer.request({}, b"event", start=start_line)

    assert (answer.status, answer.body) == (404, b"no such path\n")
    assert peer.output == first_line
    assert peer.invoke().body == b"served"


# --- results -----------------------------------------------------------------

RESULTS = {
    "b'\\xff\\x00'": b"\xff\x00",
    "b''": b"",
    "''": b"",
    "'text'": b"text",
    "'\\u4f60\\u597d'": "你好".encode(),
    "None": b"null",
    "True": b"true",
    "4": b"4",
    "1.5": b"1.5",
    "{'b': 1, 'a': [None, '\\u4f60']}": (
        b'{\n    "a": [\n        null,\n        "\\u4f60"\n    ],\n    "b": 1\n}'
    ),
    "{}": b"{}",
    "('a', 2)": b'[\n    "a",\n    2\n]',
    "decimal.Decimal('1.50')": b"1.5",
    "datetime.date(2024, 2, 29)": b'"2024-02-29"',
    "datetime.datetime(2024, 2, 29, 1, 2, 3)": b'"2024-02-29T01:02:03"',
    "WithJson()": b'{\n    "when": "2024-02-29"\n}',
    "['\\ud800']": b'[\n    "\\ud800"\n]',
}

NO_RESULTS = {
    "{1, 2}": ("TypeError", "^Object of type '?set'? is not JSON serializable$"),
    "bytearray(b'raw')": ("TypeError", "^Object of type '?bytearray'? is not JSON serializable$"),
    "memoryview(b'raw')": ("TypeError", "^Object of type '?memoryview'? is not JSON serializable$"),
    "[b'nested']": ("TypeError", "^Object of type '?bytes'? is not JSON serializable$"),
    "coroutine()": ("TypeError", "^Object of type '?coroutine'? is not JSON serializable$"),
    "float('nan')": ("ValueError", "Out of range float"),
    "{'a': decimal.Decimal('Infinity')}": ("ValueError", "Out of range float"),
    "recursive": ("ValueError", "Circular reference"),
    "SelfJson()": ("ValueError", "Circular reference"),
    "deep": ("RecursionError", "recursion"),
    "{1: 1, 'a': 2}": ("TypeError", "'<' not supported"),
    "{(1, 2): 3}": ("TypeError", "keys must be|is not a string"),
    "'\\ud800'": ("UnicodeEncodeError", "surrogates not allowed"),
    "BrokenJson()": ("KeyError", "'gone'"),
}

EVALUATE = """
    import datetime, decimal

    class WithJson:
        def to_json(self):
            return {"when": datetime.date(2024, 2, 29)}

    class SelfJson:
        def to_json(self):
            return self

    class BrokenJson:
        def to_json(self):
            raise KeyError("gone")

    async def coroutine():
        pass

    recursive = []
    recursive.append(recursive)
    deep = []
    for _ in range(100000):
        deep = [deep]

    def handler(event, context):
        return eval(event.decode())
    """


def test_results_are_encoded_as_on_the_platform(start: Start, python: str):
    peer = start(EVALUATE, python=python)

    answers = {text: peer.invoke(text.encode()) for text in RESULTS}

    assert {text: answer.body for text, answer in answers.items()} == RESULTS
    assert {answer.status for answer in answers.values()} == {200}


def test_results_that_have_no_encoding_are_function_errors(start: Start, python: str):
    peer = start(EVALUATE, python=python)

    for text, (error_type, message) in NO_RESULTS.items():
        answer = peer.invoke(text.encode())

        error = json.loads(answer.body)
        assert (answer.status, error["errorType"]) == (404, error_type), text
        assert re.search(message, error["errorMessage"]), text
        assert "connection" not in answer.headers, text


# --- errors ------------------------------------------------------------------

RAISE = """\
def my_handler(event, context):
    raise Exception('something is wrong')
"""


def test_error_answer_is_the_documented_one(start: Start, python: str):
    peer = start(RAISE, python=python)

    answer = peer.invoke(handler="index.my_handler")

    assert answer.status == 404
    assert answer.body.decode() == dedent(
        """\
        {
            "errorMessage": "something is wrong",
            "errorType": "Exception",
            "stackTrace": [
                [
                    "File \\"/code/index.py\\"",
                    "line 2",
                    "in my_handler",
                    "raise Exception('something is wrong')"
                ]
            ]
        }"""
    )


def test_error_is_logged_as_python_prints_it_before_the_end_line(
    start: Start, code: Path, python: str
):
    peer = start(RAISE, python=python)

    peer.invoke(handler="index.my_handler")

    trace = [
        "Traceback (most recent call last):",
        f'  File "{code}/index.py", line 2, in my_handler',
        "    raise Exception('something is wrong')",
        "Exception: something is wrong",
    ]
    lines = peer.take_output().split("\n")
    assert lines[1] == "FC Invoke Start RequestId: r-1"
    assert [line for line in lines[2:-3] if line.strip(" ^")] == trace
    assert lines[-3] == "FC Invoke End RequestId: r-1, Error: Unhandled function error"


def test_process_lives_on_after_an_error(start: Start):
    peer = start(
        """
        calls = []

        def handler(event, context):
            calls.append(event)
            if len(calls) == 1:
                raise ValueError(calls)
            return len(calls)
        """
    )

    statuses = [peer.invoke().status, peer.invoke().status]

    assert statuses == [404, 200]
    assert peer.invoke().body == b"3"


def test_calls_with_the_wrong_signature_are_function_errors(start: Start):
    peer = start("def handler(event): pass\nnumber = 5")

    wrong = json.loads(peer.invoke().body)
    not_callable = json.loads(peer.invoke(handler="index.number").body)

    assert wrong["errorType"] == not_callable["errorType"] == "TypeError"
    assert "takes 1 positional argument but 2 were given" in wrong["errorMessage"]
    assert not_callable["errorMessage"] == "'int' object is not callable"
    assert wrong["stackTrace"] == not_callable["stackTrace"] == []


@pytest.mark.parametrize("text", ["x" * 200_000, "你" * 100_000])
def test_long_message_is_cut_at_64_kib(start: Start, text: str):
    peer = start("def handler(event, context): raise Exception(event.decode())")

    message = json.loads(peer.invoke(text.encode()).body)["errorMessage"]

    assert text.startswith(message)
    assert 64 * 1024 - 3 < len(message.encode()) <= 64 * 1024


@pytest.mark.parametrize(
    ("raised", "error_type", "message"),
    [
        ("BrokenText()", "BrokenText", "<exception str() failed>"),
        ("SyntaxError('odd', ('f', 'x', None, 5))", "SyntaxError", "odd"),
        ("Exception('\\ud800')", "Exception", "\\ud800"),
        ("KeyError('k')", "KeyError", "'k'"),
        ("EOFError('user')", "EOFError", "user"),
        ("ConnectionResetError('user')", "ConnectionResetError", "user"),
    ],
)
def test_odd_exceptions_are_answered_too(start: Start, raised: str, error_type: str, message: str):
    peer = start(
        f"""
        class BrokenText(Exception):
            def __str__(self):
                raise ValueError

        def handler(event, context):
            raise {raised}
        """
    )

    answer = peer.invoke()

    error = json.loads(answer.body)
    assert answer.status == 404
    assert (error["errorType"], error["errorMessage"][: len(message)]) == (error_type, message)
    assert peer.invoke().status == 404


def test_code_folder_reads_code_in_answers_but_not_in_the_log(
    start: Start, code: Path, tmp_path: Path
):
    """However it is spelled: as configured, with a slash at the end, or without its links."""
    link = tmp_path / "link"
    link.symlink_to(code)
    peer = start(
        "def handler(event, context): raise Exception(event.decode())", folder=Path(f"{link}/")
    )
    text = (
        f"{link}: no {link}/a.txt, no '{code}/b.txt' in {code}. But"
        f" {code}2/c, {code}.bak, /x{code}, /code, /code/d and /codes stay."
    )

    error = json.loads(peer.invoke(text.encode()).body)

    assert error["errorMessage"] == (
        "/code: no /code/a.txt, no '/code/b.txt' in /code. But"
        f" {code}2/c, {code}.bak, /x{code}, /code, /code/d and /codes stay."
    )
    assert error["stackTrace"][0][0] == 'File "/code/index.py"'
    assert f'File "{link}/index.py"' in peer.take_output()


def test_bytecode_of_user_code_stays_out_of_the_code_folder_and_other_modules_keep_theirs(
    start: Start, python: str, code: Path, tmp_path: Path
):
    """Python before 3.8 writes none for user code; what the library has is used by all."""
    bytecode = tmp_path / "bytecode"
    peer = start(
        {
            "index.py": """
                import sys
                import colorsys
                import part.late
                def handler(event, context):
                    return [colorsys.__cached__, part.late.TEXT, "%d.%d" % sys.version_info[:2]]
            """,
            "part/__init__.py": "",
            "part/late.py": "TEXT = 'found'",
        },
        python=python,
        env={"_FC_EMU_BYTECODE": str(bytecode)},
    )

    library, text, version = json.loads(peer.invoke().body)

    written = [path for path in tmp_path.rglob("*.pyc") if path.is_file()]
    places = {path.is_relative_to(f"{bytecode}{code}") for path in written}
    assert text == "found"
    assert not library.startswith(str(bytecode))
    assert places == (set() if version in ("3.6", "3.7") else {True})
    assert len(written) == (0 if version in ("3.6", "3.7") else 3)


# --- loading -----------------------------------------------------------------

LOAD_FAILURES = {
    "no module": (
        "other.handler", "ImportModuleError", "Unable to import module 'other'",
        ["No module named 'other'"],
    ),
    "module without its own module": (
        "needy.handler", "ImportModuleError", "Unable to import module 'needy'",
        ["No module named 'not_installed'"],
    ),
    "no module in a folder": (
        "dir/other.handler", "ImportModuleError", "Unable to import module 'dir/other'",
        ["No module named 'dir/.other'"],
    ),
    "no function": (
        "index.other", "HandlerNotFound", "Handler 'other' is missing on module 'index'",
        ["module 'index' has no attribute 'other'"],
    ),
    "no dot": ("index", "InvalidHandleName", "Invalid handler 'index'", []),
    "nothing": ("", "InvalidHandleName", "Invalid handler ''", []),
    "no name of a function": ("index.", "InvalidHandleName", "Invalid handler 'index.'", []),
    "no name of a module": ("dir/.f", "InvalidHandleName", "Invalid handler 'dir/.f'", []),
    "dot before the folder": ("a.dir/f", "InvalidHandleName", "Invalid handler 'a.dir/f'", []),
    "exception": (
        "failing.handler", "UserCodeError", "Module initialization error: 'one, two\nthree'",
        ["one", "two", "three"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOAD_FAILURES)
def test_load_failure_is_answered_and_ends_the_process(start: Start, python: str, name: str):
    handler, error_type, message, details = LOAD_FAILURES[name]
    peer = start(
        {
            "index.py": "def handler(event, context): pass",
            "needy.py": "import not_installed",
            "failing.py": "raise Exception('one, two\\nthree')",
            "dir/index.py": "",
        },
        python=python,
    )

    answer = peer.invoke(handler=handler)

    assert (answer.status, answer.headers["connection"]) == (404, "close")
    assert json.loads(answer.body) == {
        "errorType": error_type,
        "errorMessage": message,
        "stackTrace": details,
    }
    assert peer.wait_for_exit() == 1
    _, begin, end = peer.take_output().split("FC Invoke ")
    assert begin.count("\n") > 1, "the log does not say why"
    assert end == f"End RequestId: r-1, Error: Unhandled function error\n{mark('r-1')}"


def test_syntax_error_tells_file_and_line(start: Start, code: Path, python: str):
    peer = start("def handler(event, context):\n    pass\n\nx = = 1\n", python=python)

    answer = peer.invoke()

    error = json.loads(answer.body)
    assert answer.headers["connection"] == "close"
    assert error["errorType"] == "UserCodeSyntaxError"
    assert error["errorMessage"] == "Syntax error in module 'index'"
    assert error["stackTrace"][:2] == ['File "/code/index.py", line 4', "x = = 1"]
    assert error["stackTrace"][-1] == "SyntaxError: invalid syntax"
    assert peer.wait_for_exit() == 1
    assert f'File "{code}/index.py", line 4\n    x = = 1\n' in peer.take_output()


def test_failing_module_is_logged_with_the_users_frames_only(start: Start, code: Path, python: str):
    peer = start({"index.py": "import second", "second.py": "1 / 0"}, python=python)

    peer.invoke()

    files = re.findall(r'  File "(.*)", line 1, in <module>', peer.take_output())
    assert files == [f"{code}/index.py", f"{code}/second.py"]


HANDLERS = {
    "index.handler": "index",
    "dir/index.handler": "dir/index",
    "a/b/index.handler": "a/b/index",
    "package.sub.module.handler": "package/sub/module",
    "dir/package.module.handler": "dir/package/module",
    "v1.2/index.handler": "v1.2/index",
    "json/index.handler": "json/index",
    "目录/索引.handler": "目录/索引",
    "signal.handler": "signal",
    "io.handler": "io",
    "/dir//index.handler": "dir/index",
}


@pytest.mark.parametrize("handler", HANDLERS)
def test_handler_string_names_a_file(start: Start, python: str, handler: str):
    files = {
        f"{name}.py": f"def handler(event, context): return {name!r}" for name in HANDLERS.values()
    }
    peer = start({**files, "dir/package/__init__.py": ""}, python=python, env={"LANG": "C.UTF-8"})

    assert peer.invoke(handler=handler).body.decode() == HANDLERS[handler]


def test_module_of_a_folder_may_import_relatively(start: Start):
    peer = start(
        {
            "dir/index.py": "from . import near\nimport far\n"
            "def handler(event, context): return near.name + far.name",
            "dir/near.py": "name = 'near'",
            "far.py": "name = 'far'",
        }
    )

    assert peer.invoke(handler="dir/index.handler").body == b"nearfar"


def test_code_folder_may_have_any_name(start: Start, tmp_path: Path, python: str):
    folder = tmp_path / "项目 (1), +x"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "index.py").write_text(RAISE)
    peer = start({}, folder=folder, python=python, env={"LANG": "C.UTF-8"})

    error = json.loads(peer.invoke(handler="a/index.my_handler").body)

    assert error["stackTrace"][0][0] == 'File "/code/a/index.py"'


def test_module_is_loaded_once_and_keeps_its_state(start: Start):
    peer = start(
        """
        print("loading")
        calls = []

        def first(event, context):
            calls.append("first")
            return calls

        def second(event, context):
            calls.append("second")
            return calls
        """
    )

    for handler in ("index.first", "index.second", "index.first"):
        answer = peer.invoke(handler=handler)

    assert json.loads(answer.body) == ["first", "second", "first"]
    assert peer.take_output().count("loading") == 1


# --- what user code sees -----------------------------------------------------


def test_folders_are_those_of_the_platform(start: Start, code: Path, python: str):
    peer = start(
        """
        import os, sys
        import other

        def handler(event, context):
            return [os.getcwd(), sys.path, list(sys.version_info[:2]), other.__file__]
        """,
        python=python,
    )
    (code / "other.py").write_text("")

    cwd, path, (major, minor), other = json.loads(peer.invoke().body)

    assert cwd == str(code)
    assert path[:3] == [
        str(code),
        f"/opt/python/lib/python{major}.{minor}/site-packages",
        "/opt/python",
    ]
    assert str(BOOTSTRAP.parent) not in path
    assert other == str(code / "other.py")


def test_nothing_of_the_bootstrap_is_in_sight(start: Start, python: str):
    peer = start(
        """
        import sys
        import __main__

        def handler(event, context):
            try:
                import bootstrap
            except ImportError:
                return [name for name in vars(__main__) if not name.startswith("__")]
        """,
        python=python,
    )

    assert json.loads(peer.invoke().body) == []


def test_environment_is_washed_before_user_code(start: Start, code: Path, python: str):
    kept = [
        *("FC_FUNCTION_MEMORY_SIZE", "FC_RUNTIME_VERSION", "FC_ACCOUNT_ID", "FC_REGION"),
        *("FC_FUNCTION_HANDLER", "FC_FUNCTION_NAME", "FC_SERVICE_NAME", "FC_VER_ID"),
        *("FC_QUALIFIER", "FC_INSTANCE_ID", "FC_EMU_TAG", "FC_EMU_INSTANCE", "FC_EMU_ENDPOINT"),
        *("USER_FC_X", "ALIBABA_CLOUD_ACCESS_KEY_ID"),
    ]
    washed = ["FC_SERVER_PORT", "FC_RUNTIME_API", "FC_EMU_OTHER", "_FC_LOG_FD", "_FC_X", "FC_"]
    peer = start(
        """
        import json, os, subprocess
        seen = dict(os.environ)
        child = subprocess.check_output(["env"]).decode()

        def handler(event, context):
            return {"module": seen, "child": dict(l.split("=", 1) for l in child.splitlines())}
        """,
        python=python,
        env=dict.fromkeys(kept + washed, "v"),
    )

    seen = json.loads(peer.invoke().body)

    for environment in (seen["module"], seen["child"]):
        names = {name for name in environment if "FC_" in name or "ALIBABA" in name}
        assert names == {"FC_FUNC_CODE_PATH", *kept}
        assert environment["FC_FUNC_CODE_PATH"] == str(code)


def test_child_processes_inherit_no_descriptor(start: Start):
    peer = start(
        """
        import subprocess

        def handler(event, context):
            return subprocess.check_output(["ls", "/proc/self/fd"], close_fds=False)
        """
    )

    descriptors = peer.invoke().body.split()

    # The fourth is the folder that ls itself has opened.
    assert descriptors == [b"0", b"1", b"2", b"3"]


CONTEXT_HEADERS = {
    "x-fc-request-id": "1-2-3",
    "x-fc-function-name": "名字",
    "x-fc-function-handler": "index.handler",
    "x-fc-function-memory": "512",
    "x-fc-function-timeout": "60",
    "x-fc-function-initializer": "index.init",
    "x-fc-initialization-timeout": "3",
    "x-fc-access-key-id": "key-id",
    "x-fc-access-key-secret": "key-secret",
    "x-fc-security-token": "token",
    "x-fc-region": "cn-hangzhou",
    "x-fc-account-id": "123",
    "x-fc-qualifier": "LATEST",
    "x-fc-version-id": "",
    "x-fc-service-name": "svc",
    "x-fc-service-logproject": "project",
    "x-fc-service-logstore": "store",
    "x-fc-retry-count": "2",
    "x-fc-tracing-opentracing-span-context": "a:b:c:1",
    "x-fc-tracing-opentracing-span-baggages": base64.b64encode(b'{"k": "v"}').decode(),
    "x-fc-tracing-jaeger-endpoint": "http://jaeger",
}

CONTEXT_JSON = {
    "requestId": "1-2-3",
    "credentials": {
        "accessKeyId": "key-id", "accessKeySecret": "key-secret", "securityToken": "token",
    },
    "function": {"name": "名字", "handler": "index.handler", "memory": 512, "timeout": 60},
    "service": {
        "name": "svc", "logProject": "project", "logStore": "store", "qualifier": "LATEST",
        "versionId": "",
    },
    "region": "cn-hangzhou",
    "accountId": "123",
    "retryCount": 2,
    "tracing": {
        "openTracingSpanContext": "a:b:c:1",
        "openTracingSpanBaggages": {"k": "v"},
        "jaegerEndpoint": "http://jaeger",
    },
}  # fmt: skip


def test_context_becomes_json(start: Start, python: str):
    peer = start("def handler(event, context): return [context, context.to_json()]", python=python)

    answer = peer.request(CONTEXT_HEADERS)

    assert json.loads(answer.body) == [CONTEXT_JSON, CONTEXT_JSON]


def test_context_has_the_attributes_of_the_platform(start: Start, python: str):
    expected = {
        "request_id": "1-2-3",
        "requestId": "1-2-3",
        "credentials.access_key_id": "key-id",
        "credentials.accessKeyId": "key-id",
        "credentials.access_key_secret": "key-secret",
        "credentials.accessKeySecret": "key-secret",
        "credentials.security_token": "token",
        "credentials.securityToken": "token",
        "function.name": "名字",
        "function.handler": "index.handler",
        "function.memory": 512,
        "function.timeout": 60,
        "function.initializer": "index.init",
        "function.initialization_timeout": 3,
        "service.name": "svc",
        "service.log_project": "project",
        "service.log_store": "store",
        "service.qualifier": "LATEST",
        "service.version_id": "",
        "region": "cn-hangzhou",
        "account_id": "123",
        "retry_count": 2,
        "tracing.span_context": "a:b:c:1",
        "tracing.span_baggages": {"k": "v"},
        "tracing.jaeger_endpoint": "http://jaeger",
    }
    peer = start(
        """
        import json, operator

        def handler(event, context):
            return {name: operator.attrgetter(name)(context) for name in json.loads(event)}
        """,
        python=python,
    )

    answer = peer.request(CONTEXT_HEADERS, json.dumps(list(expected)).encode())

    assert json.loads(answer.body) == expected


def test_absent_and_empty_headers_are_alike(start: Start):
    peer = start("def handler(event, context): return context")
    handler = {"x-fc-function-handler": "index.handler"}

    absent = peer.request(handler)
    empty = peer.request({**dict.fromkeys(CONTEXT_HEADERS, ""), **handler})
    broken = peer.request({**handler, "x-fc-tracing-opentracing-span-baggages": "%%%"})

    assert absent.status == 200
    assert absent.body == empty.body == broken.body
    assert json.loads(absent.body)["function"]["memory"] == 0


# --- output ------------------------------------------------------------------


def test_output_of_a_call_is_in_order_and_complete(start: Start, python: str):
    peer = start(
        """
        import os, subprocess, sys
        print("loading")

        def handler(event, context):
            print("one", "two", end="|")
            sys.stderr.write("three\\r\\n")
            sys.stdout.buffer.write(b"four\\n")
            os.write(1, b"five\\n")
            subprocess.call(["echo", "six"])
            print("s\\u4f60\\ud800", file=sys.__stdout__)
        """,
        python=python,
    )

    peer.invoke(request_id="id-1")

    assert peer.take_output() == (
        "FunctionCompute python3 runtime inited.\n"
        "FC Invoke Start RequestId: id-1\n"
        "loading\n"
        "one two|three\r\nfour\nfive\nsix\ns你\\ud800\n"
        "FC Invoke End RequestId: id-1\n"
    ) + mark("id-1")


def test_each_write_is_there_at_once(start: Start, code: Path):
    os.mkfifo(code / "go")
    peer = start(
        """
        def handler(event, context):
            print("no line end", end="")
            open("go").close()
        """
    )
    peer.send({"x-fc-function-handler": "index.handler"})

    peer.wait_for_output(lambda output: output.endswith(b"no line end"))

    (code / "go").write_text("")
    assert peer.receive().status == 200


def test_every_call_has_one_mark_after_its_last_line(start: Start):
    peer = start("def handler(event, context): print('last', event.decode())")
    peer.invoke(b"0", request_id="r-0")
    peer.take_output()

    for number in range(1, 201):
        peer.invoke(str(number).encode(), request_id=f"r-{number}")

        assert peer.take_output() == (
            f"FC Invoke Start RequestId: r-{number}\nlast {number}\n"
            f"FC Invoke End RequestId: r-{number}\n{mark(f'r-{number}')}"
        )


def test_output_that_user_code_buffers_comes_before_the_end_line(start: Start):
    peer = start(
        """
        import io, sys
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)))

        def handler(event, context):
            print("buffered")
        """
    )

    peer.invoke()

    assert peer.take_output().endswith(f"buffered\nFC Invoke End RequestId: r-1\n{mark('r-1')}")


@pytest.mark.parametrize(
    "spoil",
    [
        "sys.stdout.close(); sys.stderr.close()",
        "sys.stdout = sys.stderr = None",
        "sys.stdout = sys.stderr = 'text'",
        "os.close(1); os.close(2)",
        "os.dup2(os.open('/dev/null', os.O_RDWR), 1)",
    ],
)
def test_spoiled_streams_do_not_spoil_the_answer(start: Start, spoil: str):
    peer = start(
        f"""
        import os, sys

        def handler(event, context):
            if event == b"spoil":
                {spoil}
            if event == b"fail":
                raise ValueError
            return event
        """
    )

    answers = [peer.invoke(event) for event in (b"spoil", b"more", b"fail")]

    assert [answer.status for answer in answers] == [200, 200, 404]
    assert peer.take_output().count(mark("r-1")) == 3


def test_large_output_passes_a_pipe_that_a_child_made_non_blocking(start: Start):
    """Descriptor flags are shared with children: Node.js, for one, sets this one."""
    peer = start(
        """
        import subprocess, sys

        def handler(event, context):
            child = "import os; os.set_blocking(1, False)"
            subprocess.check_call([sys.executable, "-c", child])
            print("x" * 1000000)
        """
    )

    answer = peer.invoke()

    assert answer.status == 200
    assert "x" * 1000000 + "\nFC Invoke End" in peer.take_output()


def test_thread_may_print_after_the_call(start: Start, python: str):
    peer = start(
        """
        import sys, threading
        go = threading.Event()

        def work():
            go.wait()
            sys.stdout.write("late\\n")  # one write: print() makes two

        def handler(event, context):
            if event == b"start":
                threading.Thread(target=work, daemon=True).start()
            else:
                go.set()
        """,
        python=python,
    )
    peer.invoke(b"start")
    assert "late" not in peer.take_output()

    peer.invoke(b"go")

    peer.wait_for_output(lambda output: b"late\n" in output)


# --- logging -----------------------------------------------------------------

LOGGING = """
    import logging
    logging.info("while loading")

    def handler(event, context):
        logger = logging.getLogger("any.name")
        logger.debug("a debug line")
        logger.info("hello %s \u4f60", "you")
        context.logger.warning("from the context")
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception("it failed")
    """


def test_log_lines_have_time_request_and_level(start: Start, python: str):
    peer = start(LOGGING, python=python)

    peer.invoke(request_id="id-1")
    peer.invoke(request_id="id-2")

    output = peer.take_output()
    stamped = re.findall(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (.*)$", output, re.MULTILINE)
    assert stamped == [
        "id-1 [INFO] while loading",
        "id-1 [INFO] hello you 你",
        "id-1 [WARNING] from the context",
        "id-1 [ERROR] it failed",
        "id-2 [INFO] hello you 你",
        "id-2 [WARNING] from the context",
        "id-2 [ERROR] it failed",
    ]
    assert output.count("it failed\nTraceback (most recent call last):\n  File ") == 2


def test_time_of_a_log_line_is_utc(start: Start):
    peer = start(
        """
        import logging

        def handler(event, context):
            record = logging.makeLogRecord({"created": 0.5, "msecs": 500.0, "levelno": 20})
            logging.getLogger().handle(record)
        """,
        env={"TZ": "Asia/Shanghai"},
    )

    peer.invoke()

    assert "\n1970-01-01T00:00:00.500Z r-1 [" in peer.take_output()


@pytest.mark.parametrize(("level", "shown"), [("DEBUG", 2), ("error", 0), ("silly", 1), ("", 1)])
def test_level_of_logging_comes_from_the_environment(start: Start, level: str, shown: int):
    peer = start(
        """
        import logging

        def handler(event, context):
            logging.debug("line")
            logging.info("line")
        """,
        env={"FC_SERVER_LOG_LEVEL": level},
    )

    peer.invoke()

    assert peer.take_output().count("] line\n") == shown


def test_logging_may_be_imported_late_and_in_part(start: Start, python: str):
    peer = start(
        """
        def handler(event, context):
            import importlib.util
            assert importlib.util.find_spec("logging").origin
            import logging.handlers
            logging.basicConfig(level="DEBUG")
            logging.info("once")
            return [len(logging.getLogger().handlers), logging.__name__, logging.__file__]
        """,
        python=python,
    )

    handlers, name, file = json.loads(peer.invoke().body)

    assert (handlers, name) == (1, "logging")
    assert file.endswith("/logging/__init__.py")
    assert peer.take_output().count("[INFO] once\n") == 1


def test_logging_is_set_up_when_something_has_imported_it_before(start: Start, tmp_path: Path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import logging")
    peer = start(LOGGING, env={"PYTHONPATH": str(tmp_path / "site")})

    peer.invoke()

    assert "Z r-1 [INFO] hello you" in peer.take_output()


@pytest.mark.parametrize("name", ["json", "logging", "traceback", "re", "string", "types", "enum"])
def test_user_module_does_not_stand_in_for_the_librarys(start: Start, python: str, name: str):
    """On the platform these are loaded before user code, so a file of that name is never found."""
    peer = start(
        {
            f"{name}.py": "raise Exception('a file of the user was taken')",
            "index.py": f"""
                import logging, {name}

                def handler(event, context):
                    logging.info("a line")
                    if event == b"fail":
                        raise ValueError("as expected")
                    return {{"a": 1}}
                """,
        },
        python=python,
    )

    result, error = peer.invoke(), peer.invoke(b"fail")

    assert json.loads(result.body) == {"a": 1}
    assert json.loads(error.body)["errorMessage"] == "as expected"
    assert "a line" in peer.take_output()


def test_list_of_late_modules_is_complete(python: str):
    script = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import bootstrap
        before = set(sys.modules)
        import binascii, faulthandler, json, logging, time, traceback
        try:
            json.loads("{")
        except ValueError as error:
            bootstrap.describe(error)
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        for name in sorted(loaded - bootstrap.LATE_MODULES):
            if (getattr(sys.modules[name], "__file__", None) or "").endswith(".py"):
                print(name)
        """

    found = subprocess.run(
        [python, "-I", "-S", "-B", "-c", dedent(script), str(BOOTSTRAP.parent)],
        check=True, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S,
    )  # fmt: skip

    assert found.stdout.split() == []


# --- the end of a process in a call ------------------------------------------


@pytest.mark.parametrize(
    ("leave", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("sys.exit(-1)", 255),
        ("sys.exit('told why')", 1),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), 9)", -9),
        ("raise KeyboardInterrupt", 1),
        ("raise BaseException('told why')", 1),
    ],
)
def test_process_that_leaves_gives_no_answer(start: Start, python: str, leave: str, status: int):
    peer = start(
        f"""
        import os, sys, threading

        def handler(event, context):
            threading.Thread(target=threading.Event().wait).start()
            print("before", flush=True)
            {leave}
        """,
        python=python,
    )

    with pytest.raises(Disconnected):
        peer.invoke()

    assert peer.wait_for_exit() == status
    output = peer.take_output()
    assert "before\n" in output
    assert "FC Invoke End" not in output
    assert ("told why" in output) == ("told why" in leave)
    assert ("Traceback" in output) == leave.startswith("raise")


def test_module_that_exits_ends_the_process(start: Start):
    peer = start("import sys; sys.exit(5)")

    with pytest.raises(Disconnected):
        peer.invoke()

    assert peer.wait_for_exit() == 5


def test_forked_child_that_returns_from_the_handler_answers_nothing(start: Start, python: str):
    peer = start(
        """
        import os

        def handler(event, context):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                return "parent"
            return "child"
        """,
        python=python,
    )

    answers = [peer.invoke().body, peer.invoke().body]

    assert answers == [b"parent", b"parent"]
    assert peer.take_output().count("FC Invoke End") == 2


# --- SIGTERM -----------------------------------------------------------------


@pytest.mark.parametrize(
    "block", ["time.sleep(60)", "threading.Event().wait()", "os.read(os.pipe()[0], 1)"]
)
def test_sigterm_in_a_call_shows_where_all_threads_are(
    start: Start, code: Path, python: str, block: str
):
    peer = start(
        f"""
        import os, threading, time

        def background():
            threading.Event().wait()

        def handler(event, context):
            threading.Thread(target=background).start()
            print("ready") or {block}
        """,
        python=python,
    )
    peer.send({"x-fc-function-handler": "index.handler"})
    peer.wait_for_output(lambda output: b"ready\n" in output)

    status = peer.end_by_sigterm()

    assert status == 143
    _, _, dump = peer.take_output().partition("Dumping stack trace after function timeout\n")
    assert f'File "{code}/index.py", line 9, in handler\n    print("ready") or {block}\n' in dump
    assert f'File "{code}/index.py", line 5, in background\n' in dump
    assert str(BOOTSTRAP) not in dump


def test_sigterm_while_a_module_loads_shows_where_it_is(start: Start, code: Path):
    peer = start("import time\nprint('ready') or time.sleep(60)")
    peer.send({"x-fc-function-handler": "index.handler"})
    peer.wait_for_output(lambda output: b"ready\n" in output)

    status = peer.end_by_sigterm()

    assert status == 143
    assert f'File "{code}/index.py", line 2, in <module>' in peer.take_output()


def test_sigterm_ends_an_idle_process_without_a_word(start: Start, python: str):
    peer = start("def handler(event, context): pass", python=python)
    peer.invoke()
    peer.take_output()

    status = peer.end_by_sigterm()

    assert status == 143
    assert peer.take_output() == ""


def test_user_code_may_handle_sigterm_itself(start: Start):
    peer = start(
        """
        import os, signal

        def handler(event, context):
            signal.signal(signal.SIGTERM, lambda *_: print("mine"))
            os.kill(os.getpid(), signal.SIGTERM)
            return "alive"
        """
    )

    assert peer.invoke().body == b"alive"
    assert "mine\n" in peer.take_output()


def test_sigterm_ends_a_child_process_of_multiprocessing_as_ever(start: Start, python: str):
    peer = start(
        """
        import multiprocessing, time

        def work(pipe):
            pipe.send("ready")
            time.sleep(60)

        def handler(event, context):
            fork = multiprocessing.get_context("fork")
            ours, theirs = fork.Pipe()
            child = fork.Process(target=work, args=(theirs,))
            child.start()
            ours.recv()
            child.terminate()
            child.join()
            return child.exitcode
        """,
        python=python,
    )

    assert peer.invoke().body == b"-15"
    assert "Dumping" not in peer.take_output()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works(start: Start, method: str):
    peer = start(
        """
        import multiprocessing

        def double(number):
            return 2 * number

        def handler(event, context):
            with multiprocessing.get_context(event.decode()).Pool(1) as pool:
                return pool.map(double, [1, 2])
        """
    )

    assert json.loads(peer.invoke(method.encode()).body) == [2, 4]
