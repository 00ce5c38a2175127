"""Which folder becomes a function's code."""

from pathlib import Path

import pytest

from emulator.project import Project, ProjectError, load_project
from emulator.project.code_paths import allowed_root


def code_notices(project: Project) -> list[tuple[str, str]]:
    return [(n.level, n.where) for n in project.notices if n.key in ("code", "--code")]


def load_below(folder: Path, place: str, code: str) -> Project:
    """Load a project file that lies in a folder below, with this code path."""
    (folder / place).mkdir(parents=True, exist_ok=True)
    file = folder / place / "s.yaml"
    file.write_text(
        "resources:\n  api:\n    component: fc3\n    props:\n"
        f"      functionName: hello\n      runtime: python3\n      code: {code}\n"
    )
    return load_project(file.parent, environ={})


@pytest.mark.parametrize("written", ["./src", "src", "src/", "./src/../src", "'./src'"])
def test_path_starts_at_the_folder_of_the_file(load_props, folder, written):
    (folder / "src").mkdir()

    project = load_props(f"code: {written}")

    assert project.functions[0].code_dir == folder / "src"
    assert code_notices(project) == []


def test_path_does_not_start_at_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)

    project = load_below(folder, "deploy", "./src")

    assert project.functions[0].code_dir == folder / "deploy" / "src"


def test_absolute_path_inside_the_project_is_fine(load_props, folder):
    assert load_props(f"code: {folder}/src").functions[0].code_dir == folder / "src"


@pytest.mark.parametrize("written", ["../", "..", "../src", "../.."])
def test_path_may_go_up_within_the_git_work_tree(folder, written):
    project = load_below(folder, "infra/deploy", written)

    assert project.functions[0].code_dir == (folder / "infra/deploy" / written).resolve()


def test_work_tree_of_a_worktree_or_submodule_has_a_git_file(tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / ".git").write_text("gitdir: elsewhere\n")

    assert load_below(tmp_path / "repo", "a/b", "../..").functions
    with pytest.raises(ProjectError):
        load_below(tmp_path / "repo", "a/b", "../../..")


def test_outside_git_a_path_may_go_one_level_up(tmp_path):
    if allowed_root(tmp_path) != tmp_path.parent:
        pytest.skip("the folder for temporary files is in a git work tree")

    project = load_below(tmp_path, "deploy", "../src")

    assert project.functions[0].code_dir == tmp_path / "src"
    with pytest.raises(ProjectError):
        load_below(tmp_path, "deploy", "../../src")


def test_the_root_of_the_file_system_is_never_the_project():
    assert allowed_root(Path("/")) == Path("/")
    assert allowed_root(Path("/no-such-folder")) == Path("/no-such-folder")


@pytest.mark.parametrize(
    "written",
    ["../../..", "/", "~", '"~"', "~/src", "..", "/etc", "src/../../x"],
)
def test_path_that_leaves_the_project_is_an_error_that_names_the_option(load_props, written):
    with pytest.raises(
        ProjectError, match=r"^s\.yaml:9: code of hello: .* leaves .*--code hello=PATH$"
    ):
        load_props(f"code: {written}")


def test_link_out_of_the_project_is_an_error(load_props, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (folder / "src").symlink_to(tmp_path / "outside")

    for written in ("./src", "./src/below"):
        with pytest.raises(ProjectError, match="leaves the project"):
            load_props(f"code: {written}")


def test_link_within_the_project_is_followed(load_props, folder):
    (folder / "real").mkdir()
    (folder / "src").symlink_to("real")

    assert load_props("code: ./src").functions[0].code_dir == folder / "real"


@pytest.mark.parametrize("written", ['"a\\0b"', f"./{'x' * 5000}", "./loop"])
def test_what_cannot_be_a_path_does_not_stop_with_anything_else(load_props, folder, written):
    (folder / "loop").symlink_to("loop")

    try:
        project = load_props(f"code: {written}")
    except ProjectError as error:
        assert str(error).startswith("s.yaml:9: code of hello: ")
    else:
        assert code_notices(project) == [("warn", "s.yaml:9")]


@pytest.mark.parametrize("text", ["$(touch x)", "`touch x`", "a; touch x", "a\\nb"])
def test_path_is_literal(load_props, folder, text):
    project = load_props(f'code: "{text}"')

    assert project.functions[0].code_dir == folder / text.replace("\\n", "\n")
    assert not (folder / "x").exists()


def test_missing_folder_is_a_warning_and_the_function_is_listed(load_props, folder):
    project = load_props("code: ./dist")

    assert project.functions[0].code_dir == folder / "dist"
    assert code_notices(project) == [("warn", "s.yaml:9")]
    assert "--code hello=PATH" in project.notices[0].text


@pytest.mark.parametrize("name", ["app.zip", "app.jar", "app.py"])
def test_file_is_a_warning_and_the_function_is_listed(load_props, folder, name):
    (folder / name).touch()

    project = load_props(f"code: ./{name}")

    assert project.functions[0].code_dir == folder / name
    assert code_notices(project) == [("warn", "s.yaml:9")]
    assert "not supported yet" in project.notices[0].text


@pytest.mark.parametrize(
    "value", ["https://example.test/a.zip", "oss://a/b", "{ossBucketName: a, ossObjectName: b}"]
)
def test_code_on_another_machine_is_a_warning_and_a_folder_that_is_not_there(load_props, value):
    project = load_props(f"code: {value}")

    assert not project.functions[0].code_dir.exists()
    assert code_notices(project) == [("warn", "s.yaml:9")]
    assert "not supported yet" in project.notices[0].text


@pytest.mark.parametrize("line", ["", "code:", "code: ''"])
def test_no_code_is_a_warning_and_a_folder_that_is_not_there(load_props, line):
    project = load_props(line)

    assert not project.functions[0].code_dir.exists()
    assert [level for level, _ in code_notices(project)] == ["warn"]


def test_no_code_is_normal_for_a_container(load):
    project = load(
        "resources:\n  api:\n    component: fc3\n"
        "    props: {functionName: hello, runtime: custom-container}\n"
    )

    assert [level for level, _ in code_notices(project)] == ["note"]


@pytest.mark.parametrize("value", ["7", "[a]", "true"])
def test_code_that_is_no_path_is_an_error(load_props, value):
    with pytest.raises(ProjectError, match=r"^s\.yaml:9: code of hello takes a path, found "):
        load_props(f"code: {value}")


@pytest.mark.parametrize("name", ["hello", "api", "default/hello"])
@pytest.mark.parametrize("written", ["../../..", "./src", "~", "[7]", "https://example.test/"])
def test_command_line_replaces_the_path_and_may_leave_the_project(
    load_props, tmp_path, name, written
):
    (tmp_path / "outside").mkdir()

    project = load_props(f"code: {written}", code={name: tmp_path / "outside"})

    assert project.functions[0].code_dir == tmp_path / "outside"
    assert project.notices == ()


def test_command_line_path_that_does_not_exist_is_a_warning(load_props, tmp_path):
    project = load_props("code: ./", code={"hello": tmp_path / "gone"})

    assert project.functions[0].code_dir == tmp_path / "gone"
    assert code_notices(project) == [("warn", "s.yaml")]


def test_command_line_path_that_is_none_is_an_error(load_props):
    with pytest.raises(ProjectError, match=r"^s\.yaml: --code hello=\.\.\.: .* is no path"):
        load_props("code: ./", code={"hello": Path("a\0b")})


def test_command_line_for_an_unknown_function_lists_the_functions(load_props, tmp_path):
    with pytest.raises(ProjectError, match=r"--code helo=\.\.\.: .*'helo'; functions: hello$"):
        load_props("", code={"helo": tmp_path})


def test_a_function_name_comes_before_a_block_name(load, tmp_path):
    text = (
        "resources:\n"
        "  a: {component: fc3, props: {functionName: b, runtime: python3}}\n"
        "  b: {component: fc3, props: {functionName: c, runtime: python3}}\n"
    )

    project = load(text, code={"b": tmp_path})

    assert [f.code_dir == tmp_path for f in project.functions] == [True, False]
