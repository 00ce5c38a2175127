"""Which file of a folder is read, and what is said about the others."""

from pathlib import Path

import pytest

from emulator.project import ProjectError, load_project

FC3 = "resources:\n  api:\n    component: fc3\n    props: {functionName: NAME, runtime: python3}\n"
SAM = (
    "AWSTemplateFormatVersion: '2010-09-09'\nTransform: AWS::Serverless-2016-10-31\n"
    "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {Handler: !Ref H}}}\n"
)
MODEL = "nc: 80\nbackbone:\n  - [-1, 1, Conv, [64, 6, 2, 2]]\n"


@pytest.fixture
def load_files(folder):
    """Load a project with these files."""

    def load(files, **options):
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return load_project(folder, environ={}, **options)

    return load


def test_s_yaml_comes_before_s_yml_and_templates(load_files):
    project = load_files(
        {
            "s.yml": FC3.replace("NAME", "yml"),
            "s.yaml": FC3.replace("NAME", "yaml"),
            "template.yml": SAM,
        }
    )

    assert [f.function.id for f in project.functions] == ["yaml"]
    not_read = [n.where for n in project.notices if n.text == "not read: s.yaml comes first"]
    assert not_read == ["s.yml", "template.yml"]


def test_s_yml_is_read(load_files):
    assert load_files({"s.yml": FC3.replace("NAME", "yml")}).functions


def test_template_option_comes_before_all(load_files, folder, tmp_path):
    project = load_files(
        {"s.yaml": SAM, "deploy/other.yaml": FC3.replace("NAME", "other")},
        template=folder / "deploy" / "other.yaml",
    )

    assert [f.function.id for f in project.functions] == ["other"]
    assert project.source == folder / "deploy" / "other.yaml"
    assert project.base_dir == folder / "deploy"
    assert project.notices[-1].where.startswith("deploy/other.yaml:")


def test_template_option_is_relative_to_the_current_folder_or_the_project(
    load_files, folder, tmp_path, monkeypatch
):
    from_here = tmp_path / "here"
    from_here.mkdir()
    (from_here / "s.prod.yaml").write_text(FC3.replace("NAME", "here"))
    monkeypatch.chdir(from_here)
    load = {"s.prod.yaml": FC3.replace("NAME", "there"), "s.dev.yaml": FC3.replace("NAME", "dev")}

    for name, function in (("s.prod.yaml", "here"), ("s.dev.yaml", "dev")):
        project = load_files(load, template=Path(name))
        assert [f.function.id for f in project.functions] == [function]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("gone.yaml", None, "gone.yaml: does not exist"),
        (".", None, ".: is not a file"),
        ("a\0b", None, "does not exist"),
        ("x" * 5000, None, "cannot be read"),
        ("s.yaml", MODEL, "s.yaml: has neither resources nor services"),
        ("s.yaml", "", "s.yaml: has neither resources nor services"),
    ],
)
def test_template_option_that_names_something_else_is_an_error(load_files, name, text, says):
    with pytest.raises(ProjectError) as caught:
        load_files({} if text is None else {name: text}, template=Path(name))

    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["s.yaml", "s.yml", "template.yml", "template.yaml", "faas.yml"])
@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (SAM, 2, "is an AWS SAM template"),
        ("Transform: [A, AWS::Serverless-2016-10-31]\n", 1, "is an AWS SAM template"),
        ("ROSTemplateFormatVersion: x\nTransform: Aliyun::Serverless-2018-04-03\n", 2, "Funcraft"),
        ("Resources:\n  s:\n    Type: Aliyun::Serverless::Service\n", 3, "Funcraft"),
        ("Resources:\n  s: {f: {Type: Aliyun::Serverless::Function}}\n", 2, "Funcraft"),
        ("Resources:\n  s:\n    Type: ALIYUN::FC::Function\n", 3, "is a ROS template"),
        ("Resources:\n  s:\n    Type: ALIYUN::FC3::Function\n", 3, "is a ROS template"),
        ("\nfunction-compute:\n  a: 1\n", 2, "is an old Funcraft file"),
        ("api-gateway: {}\n", 1, "is an old Funcraft file"),
        ("Component: fc\nProperties: {}\n", 1, "Serverless Devs 0.x"),
        ("Demo:\n  Component: fc\n  Properties: {}\n", 2, "Serverless Devs 0.x"),
    ],
)
def test_file_of_a_neighbouring_tool_says_what_it_is(load_files, name, text, line, says):
    with pytest.raises(ProjectError) as caught:
        load_files({name: text, "index.py": "def handler(event, context): ...\n"})

    assert str(caught.value).startswith(f"{name}:{line}: ")
    assert says in str(caught.value)
    assert "only Serverless Devs files with component fc3 are read so far" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.yaml", MODEL),
        ("s.yaml", ""),
        ("s.yaml", "just text\n"),
        ("s.yaml", "services: {web: {image: nginx}}\n"),
        ("s.yaml", "resources: [deployment.yaml]\n"),
        ("template.yml", "Resources: {B: {Type: 'AWS::S3::Bucket'}}\n"),
        ("template.yml", "broken: [\n"),
        ("template.yml", "a: !Ref b\n"),
    ],
)
def test_file_of_an_unrelated_tool_is_passed_over_with_a_note(load_files, name, text):
    project = load_files({name: text, "index.py": "def handler(event, context): ...\n"})

    assert project.format == "detected"
    assert ("note", name) in [(n.level, n.where) for n in project.notices]


def test_project_file_with_a_broken_template_beside_it_is_read(load_files):
    assert load_files({"s.yaml": FC3.replace("NAME", "a"), "template.yml": "["}).functions


def test_something_called_s_yaml_that_is_no_file_is_an_error(folder):
    (folder / "s.yaml").mkdir()

    with pytest.raises(ProjectError, match=r"^s\.yaml: is not a file$"):
        load_project(folder, environ={})


def test_folder_that_is_none_is_an_error(folder):
    with pytest.raises(ProjectError, match="gone: is not a folder"):
        load_project(folder / "gone", environ={})


def test_empty_folder_is_an_empty_project(load_files, folder):
    project = load_files({})

    assert (project.format, project.source, project.functions) == ("empty", None, ())
    assert (project.base_dir, project.name, project.region) == (folder, "demo", None)
    assert project.looked_for == (
        "no s.yaml or s.yml, no index.py, main.py, handler.py, app.py with a function handler "
        "in the folder itself, code/, src/, functions/* and packages/*"
    )


def test_project_files_elsewhere_are_named(load_files):
    project = load_files(
        {
            "s.prod.yaml": "",
            "deploy/s.yaml": "",
            "a/b/s.yml": "",
            "a/b/c/s.yaml": "",
            ".hidden/s.yaml": "",
            "node_modules/x/s.yaml": "",
            ".venv/s.yaml": "",
            "a/settings.yaml": "",
        }
    )

    assert project.looked_for.endswith(
        "; start with one of -t s.prod.yaml, -t deploy/s.yaml, -t a/b/s.yml"
    )


def test_search_for_files_elsewhere_is_bounded(load_files):
    project = load_files({f"d{n:03}/s.yaml": "" for n in range(300)})

    assert project.looked_for.count("-t ") == 5
