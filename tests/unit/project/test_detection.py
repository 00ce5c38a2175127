"""Functions of a folder without a project file."""

import pytest

from emulator.project import Project, ProjectError, as_s_yaml, load_project

HANDLER = "def handler(event, context):\n    return 'hi'\n"


@pytest.fixture
def detect(folder):
    """Load a folder with these files, as text or bytes."""

    def load(files, **options):
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_project(folder, **{"environ": {}, **options})

    return load


def found(project: Project) -> dict[str, tuple[str, str]]:
    base = project.base_dir
    return {
        f.function.id: (f.function.handler, f.code_dir.relative_to(base).as_posix())
        for f in project.functions
    }


def test_detected_function_has_our_defaults(detect, folder):
    project = detect({"index.py": HANDLER})

    hello = project.functions[0].function
    assert (hello.function_name, hello.handler, hello.runtime) == (
        "demo",
        "index.handler",
        "python3",
    )
    assert (hello.timeout, hello.memory_size, hello.environment_variables) == (60, 512, {})
    assert project.functions[0].code_dir == folder
    assert (project.format, project.source, project.looked_for) == ("detected", None, "")


@pytest.mark.parametrize("module", ["index", "main", "handler", "app"])
@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("", "demo"),
        ("code/", "code"),
        ("src/", "src"),
        ("functions/mail/", "mail"),
        ("packages/x/", "x"),
    ],
)
def test_usual_names_in_usual_places_are_found(detect, module, place, name):
    assert found(detect({f"{place}{module}.py": HANDLER})) == {
        name: (f"{module}.handler", place.rstrip("/") or ".")
    }


def test_first_name_with_a_handler_wins_and_each_folder_is_one_function(detect):
    project = detect(
        {
            "index.py": "import app\n",
            "main.py": HANDLER,
            "app.py": HANDLER,
            "functions/a/index.py": HANDLER,
            "functions/b/app.py": HANDLER,
            "functions/c/util.py": HANDLER,
            "functions/.hidden/index.py": HANDLER,
            "functions/node_modules/index.py": HANDLER,
            "deep/er/index.py": HANDLER,
        }
    )

    assert found(project) == {
        "demo": ("main.handler", "."),
        "a": ("index.handler", "functions/a"),
        "b": ("app.handler", "functions/b"),
    }


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def handler(self, event): ...\n",
        "def handlers(event, context): ...\n",
        "def f():\n    def handler(event, context): ...\n",
        "text = '''\ndef handler(event, context): ...\n'''\n",
        "handler = 1\n",
        "",
        b"\xff\xfe\x00",
        b"# -*- coding: no-such -*-\n",
    ],
)
def test_anything_but_a_function_at_the_top_is_no_handler(detect, source):
    assert detect({"index.py": source}).functions == ()


@pytest.mark.parametrize(
    "source",
    [
        HANDLER + "def broken(:\n",
        "print 'python 2'\n" + HANDLER,
        "def handler(event, contex",
        "def handler (event,\n            context)\n    pass\n",
        "(" * 10_000 + "\n" + HANDLER,
        HANDLER + "\0",
        b"# caf\xe9\n" + HANDLER.encode(),
    ],
)
def test_handler_of_a_broken_file_is_found(detect, source):
    assert found(detect({"index.py": source})) == {"demo": ("index.handler", ".")}


def test_file_that_warns_while_it_is_parsed_is_fine(detect):
    assert detect({"index.py": HANDLER + "x = '\\d' is 1\n"}).functions


def test_nothing_of_the_project_is_run(detect, folder):
    detect({"index.py": f"open({str(folder / 'x')!r}, 'w')\n{HANDLER}", "bootstrap": "touch x\n"})

    assert not (folder / "x").exists()


@pytest.mark.parametrize("rest", ["", "def broken(:\n"])
def test_async_handler_is_found_with_a_warning(detect, rest):
    project = detect({"index.py": f"async {HANDLER}{rest}"})

    assert found(project) == {"demo": ("index.handler", ".")}
    assert ("warn", "index.py") in [(n.level, n.where) for n in project.notices]


@pytest.mark.parametrize("rest", ["", "def broken(:\n"])
def test_wsgi_handler_is_passed_over_with_a_warning(detect, rest):
    project = detect({"index.py": f"def handler(environ, start_response): ...\n{rest}"})

    assert project.format == "empty"
    assert [(n.level, n.where) for n in project.notices] == [("warn", "index.py")]
    assert "index.py handler(environ, start_response) is" in project.looked_for


def test_file_that_is_too_large_is_no_handler(detect):
    assert detect({"index.py": HANDLER + "#" * 2_000_000}).functions == ()


@pytest.mark.parametrize(
    ("folder_name", "name"),
    [
        ("hello", "hello"),
        ("My App (2)", "My-App-2"),
        ("2048", "fn-2048"),
        ("-x-", "x"),
        ("_x", "_x"),
        ("café", "cafe"),
        ("函数", "function"),
        ("🚀", "function"),
        ("x" * 200, "x" * 128),
    ],
)
def test_function_is_named_after_its_folder(detect, folder_name, name):
    assert list(found(detect({f"functions/{folder_name}/index.py": HANDLER}))) == [name]


def test_names_that_come_out_alike_are_numbered(detect):
    files = {f"functions/{name}/index.py": HANDLER for name in ("一", "二", "a b", "a-b", "A.B")}

    assert sorted(found(detect(files))) == ["A-B", "a-b-2", "a-b-3", "function", "function-2"]


@pytest.mark.parametrize(
    ("file", "text", "runtime"),
    [
        (".python-version", "3.10.4\n", "python3.10"),
        (".python-version", "# pin\n3.12\n3.9\n", "python3.12"),
        ("runtime.txt", "python-3.9.18\n", "python3.9"),
        (".python-version", "pypy3.9-7.3\n", "python3"),
        (".python-version", "2.7.18\n", "python3"),
        (".python-version", "", "python3"),
        (".python-version", "#" * 2_000_000, "python3"),
        (".python-version", b"\xff\xfe", "python3"),
    ],
)
def test_runtime_is_that_of_the_version_files(detect, file, text, runtime):
    project = detect({"index.py": HANDLER, file: text})

    assert project.functions[0].function.runtime == runtime


def test_version_of_the_function_comes_before_that_of_the_project(detect):
    project = detect(
        {
            "functions/a/index.py": HANDLER,
            "functions/a/runtime.txt": "python-3.9",
            "functions/b/index.py": HANDLER,
            ".python-version": "3.10",
        }
    )

    assert [f.function.runtime for f in project.functions] == ["python3.9", "python3.10"]


def test_runtime_without_a_version_is_the_callers(detect):
    project = detect({"index.py": HANDLER}, default_python="python3.12")

    assert project.functions[0].function.runtime == "python3.12"


@pytest.mark.parametrize(
    "name",
    [
        "bootstrap",
        "index.js",
        "index.mjs",
        "index.php",
        "go.mod",
        "pom.xml",
        "Dockerfile",
        "A.csproj",
    ],
)
def test_what_looks_like_another_runtime_is_noted(detect, name):
    project = detect({name: ""})

    assert [(n.level, n.where) for n in project.notices] == [("note", name)]
    assert f"{name} looks like " in project.looked_for


def test_links_out_of_the_project_are_not_followed(detect, folder, tmp_path):
    (tmp_path / "outside" / "a").mkdir(parents=True)
    (tmp_path / "outside" / "a" / "index.py").write_text(HANDLER)
    (tmp_path / "outside" / "index.py").write_text(HANDLER)
    for name in ("code", "functions"):
        (folder / name).symlink_to(tmp_path / "outside")
    (folder / "packages").mkdir()
    (folder / "packages" / "a").symlink_to(tmp_path / "outside" / "a")

    assert detect({}).functions == ()


def test_command_line_applies_to_detected_functions(detect, tmp_path):
    project = detect(
        {"index.py": HANDLER, "functions/a/index.py": HANDLER},
        code={"a": tmp_path},
        extra_env={("demo", "X"): "1", ("demo", "FC_X"): "1"},
    )

    assert [f.function.environment_variables for f in project.functions] == [{"X": "1"}, {}]
    assert project.functions[1].code_dir == tmp_path
    assert [n.key for n in project.notices if n.level == "warn"] == ["-e demo.FC_X"]


@pytest.mark.parametrize("files", [{}, {"index.py": HANDLER}])
def test_command_line_for_an_unknown_function_is_an_error(detect, files):
    names = "demo" if files else "none"
    with pytest.raises(ProjectError, match=rf"^demo: -e x\.A=\.\.\.: .*functions: {names}$"):
        detect(files, extra_env={("x", "A"): "1"})


def test_detected_project_can_be_saved_as_a_project_file(detect, folder):
    project = detect(
        {
            "index.py": HANDLER,
            "functions/函数 1/main.py": HANDLER,
            "functions/null/main.py": HANDLER,
            ".python-version": "3.10",
            "deploy/s.yaml": "",
        }
    )

    text = as_s_yaml(project)
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    saved = load_project(folder, environ={})

    assert saved.functions == project.functions
    assert (saved.name, saved.region, saved.notices) == ("demo", "cn-hangzhou", ())
    assert [n.where for n in project.notices] == ["", "deploy/s.yaml"]


def test_path_outside_the_project_is_saved_as_it_is(detect, tmp_path):
    project = detect({"index.py": HANDLER}, code={"demo": tmp_path})

    assert f'code: "{tmp_path}"' in as_s_yaml(project)


def test_project_without_functions_is_saved_without_blocks(detect):
    assert as_s_yaml(detect({})).endswith("resources: {}\n")
