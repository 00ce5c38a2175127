"""Variables of a Serverless Devs file."""

import time

import pytest

from emulator.project import ProjectError

FILE = """\
edition: 3.0.0
name: demo
access: work
vars:
  region: cn-hangzhou
  count: 5
  share: 0.5
  on: true
  nothing:
  list: [a, b]
  inner: {deep: found, again: "${vars.inner.deep}"}
  alias: ${vars.inner}
  env: {X: "1", Y: "${vars.count}"}
  secret: ${env('SECRET')}
resources:
  api:
    component: fc3
    props:
      functionName: hello
      runtime: python3.10
      region: ${vars.region}
"""


@pytest.fixture
def value_of(load):
    """Give the text of an environment variable that is written like this; None if left out."""

    def read(written, **environ):
        text = f"{FILE}      environmentVariables:\n        A: {written}\n"
        project = load(text, environ=environ)
        return project.functions[0].function.environment_variables.get("A")

    return read


@pytest.mark.parametrize(
    ("written", "received"),
    [
        ("${vars.region}", "cn-hangzhou"),
        ("${ vars.region }", "cn-hangzhou"),
        ("a-${vars.region}-b", "a-cn-hangzhou-b"),
        ("${vars.count}", "5"),
        ("n=${vars.count}/${vars.share}", "n=5/0.5"),
        ("is ${vars.on}", "is true"),
        ("'[${vars.nothing}]'", "[]"),
        ("${vars.nothing}", None),
        ("${vars.inner.deep}", "found"),
        ("${vars.inner.again}", "found"),
        ("${vars.alias.again}", "found"),
        ("${vars.list[1]}", "b"),
        ("$${vars.count}", "$5"),
        ("${this.name}", "api"),
        ("${this.access}", "work"),
        ("${this.props.functionName}", "hello"),
        ("${this.props.region}", "cn-hangzhou"),
        ("'$X {x} {{ x }}'", "$X {x} {{ x }}"),
        ("'<% x %>'", "<% x %>"),
        ("${env('X')}", "from outside"),
        ('${env("X")}', "from outside"),
        ("${env(X)}", "from outside"),
        ("${env.X}", "from outside"),
        ("${env('X', 'd')}", "from outside"),
        ("${env('EMPTY', 'd')}", "d"),
        ("${env('EMPTY')}", ""),
        ("${env('GONE', 'd')}", "d"),
        ("${env('GONE', '')}", ""),
        ("${env('GONE', vars.region)}", "cn-hangzhou"),
        ("${env('GONE', 7)}", "7"),
        ("x${env(GONE, 'd')}y", "xdy"),
        ("${env('VARIABLE')}", "${vars.region} $(touch x)"),
        ("a ${env('VARIABLE')}", "a ${vars.region} $(touch x)"),
    ],
)
def test_variables_are_filled_in(value_of, written, received):
    environ = {"X": "from outside", "EMPTY": "", "VARIABLE": "${vars.region} $(touch x)"}

    assert value_of(written, **environ) == received


def test_whole_map_may_be_one_variable(load):
    project = load(f"{FILE}      environmentVariables: ${{vars.env}}\n")

    assert project.functions[0].function.environment_variables == {"X": "1", "Y": "5"}


def test_all_props_may_be_one_variable(load):
    project = load(
        "vars:\n  common: {functionName: hello, runtime: python3, timeout: '${vars.t}'}\n  t: 9\n"
        "services:\n  api:\n    component: devsapp/fc3\n    props: ${vars.common}\n"
    )

    assert project.functions[0].function.timeout == 9


def test_a_variable_keeps_its_type_when_it_is_the_whole_value(load):
    project = load(FILE.replace("count: 5", "count: 5.0") + "      timeout: ${vars.count}\n")

    assert project.functions[0].function.timeout == 5
    assert not [n for n in project.notices if n.key == "timeout"]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("${env('GONE')}", "${env('GONE')} is not set, the variable is left out"),
        ("x-${env.GONE}", "${env.GONE} is not set, the variable is left out"),
        ("${vars.secret}", "${env('SECRET')} is not set, the variable is left out"),
        ("${vars.gone}", "${vars.gone} is not defined, the variable is left out"),
        ("${vars.list[7]}", "${vars.list[7]} is not defined, the variable is left out"),
        ("${vars.count.x}", "${vars.count.x} is not defined, the variable is left out"),
        ("a${vars.list}", "${vars.list} is a list and cannot stand inside text"),
        ("${resources.api.props.region}", "is not a form that this version reads"),
        ("${file('./x')}", "is not a form that this version reads"),
        ("${vars.count + 1}", "is not a form that this version reads"),
        ("${}", "is not a form that this version reads"),
    ],
)
def test_unresolved_environment_variable_is_left_out_with_a_warning(load, written, reason):
    project = load(f"{FILE}      environmentVariables:\n        A: {written}\n        B: b\n")

    notice = next(n for n in project.notices if n.key == "environmentVariables.A")
    assert project.functions[0].function.environment_variables == {"B": "b"}
    assert (notice.level, notice.where, notice.function) == ("warn", "s.yaml:23", "hello")
    assert reason in notice.text


@pytest.mark.parametrize(
    "key", ["functionName", "runtime", "handler", "code", "timeout", "memorySize"]
)
def test_unresolved_key_that_is_needed_to_run_is_an_error(load, key):
    lines = {"functionName": "hello", "runtime": "python3", key: "${env('GONE')}"}
    props = "".join(f"      {name}: {value}\n" for name, value in lines.items())
    line = 5 + list(lines).index(key)

    with pytest.raises(
        ProjectError, match=rf"^s\.yaml:{line}: {key} of \w+: \$\{{env\('GONE'\)\}}"
    ):
        load(f"resources:\n  api:\n    component: fc3\n    props:\n{props}")


@pytest.mark.parametrize("key", ["region", "description"])
def test_unresolved_key_that_is_not_needed_is_a_note(load_props, key):
    project = load_props(f"{key}: ${{env('GONE')}}")

    notice = next(n for n in project.notices if n.key == key)
    assert (notice.level, notice.where) == ("note", "s.yaml:9")
    assert project.region is None
    assert project.functions[0].function.description == ""


def test_unresolved_project_name_is_a_note(load):
    project = load("edition: 3.0.0\nname: ${env('GONE')}\n")

    assert project.name == "demo"
    assert [n.level for n in project.notices] == ["note"]


def test_project_name_has_no_block(load):
    assert load("edition: 3.0.0\nname: ${this.name}\n").name == "demo"


def test_undecodable_environment_is_not_passed_on(value_of):
    assert value_of("${env('X')}", X="caf\udce9") is None


@pytest.mark.parametrize(
    "variables",
    [
        "  a: ${vars.a}\n",
        "  a: x${vars.b}\n  b: ${vars.a}\n",
        "  a: ${vars.a.b}\n",
        "  a: [ '${vars.a}' ]\n",
        "  a: {b: '${vars.a}'}\n",
        "  a: ${this.props.handler}\n",
        "  a: ${env('GONE', vars.a)}\n",
    ],
)
def test_circle_is_an_error_with_a_line(load, variables):
    text = FILE.replace("vars:\n", f"vars:\n{variables}") + "      handler: ${vars.a}\n"

    with pytest.raises(ProjectError, match=r"^s\.yaml:\d+: variables go round in a circle: "):
        load(text)


def test_the_same_variable_twice_is_no_circle(value_of):
    assert value_of("${vars.alias.deep}${vars.alias.again}") == "foundfound"


@pytest.mark.parametrize(
    "variables",
    [
        "".join(f"  v{i}: x${{vars.v{i + 1}}}${{vars.v{i + 1}}}\n" for i in range(40))
        + "  v40: yy\n",
        "".join(f"  v{i}: ['${{vars.v{i + 1}}}', '${{vars.v{i + 1}}}']\n" for i in range(40))
        + "  v40: y\n",
        "  v0: ${vars.v1}\n" + "".join(f"  v{i}: ${{vars.v{i + 1}}}\n" for i in range(1, 3000)),
        f"  v0: {'${vars.v1}' * 2000}\n  v1: {'y' * 2000}\n",
    ],
    ids=["text", "lists", "chain", "long"],
)
def test_variables_that_grow_beyond_measure_are_refused_within_a_second(load, variables):
    text = FILE.replace("vars:\n", f"vars:\n{variables}") + "      handler: ${vars.v0}\n"
    before = time.perf_counter()

    with pytest.raises(ProjectError, match=r"^s\.yaml:\d+: variables "):
        load(text)

    assert time.perf_counter() - before < 1


def test_env_file_that_is_not_read_is_said_once(load, folder):
    (folder / ".env").write_text("X=1\n")
    text = FILE + "      description: ${env('X', 'd')}${env('Y', 'd')}\n"

    project = load(text)

    assert [n.level for n in project.notices if n.where == ".env"] == ["warn"]
    assert project.functions[0].function.description == "dd"


def test_env_file_is_not_mentioned_when_no_variable_asks_for_it(load, folder):
    (folder / ".env").write_text("X=1\n")

    assert not [n for n in load(FILE).notices if n.where == ".env"]
