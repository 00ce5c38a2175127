"""Functions of FC 3.0 in a Serverless Devs file."""

import pytest

from emulator.core.resources import Function
from emulator.project import Project, ProjectError


def function(project: Project) -> Function:
    return project.functions[0].function


def block(
    component: str = "fc3",
    props: str = "functionName: hello, runtime: python3",
    envelope: str = "resources",
) -> str:
    return f"{envelope}:\n  api:\n    component: {component}\n    props: {{{props}}}\n"


def test_defaults_are_those_of_the_vendor(load_props):
    hello = function(load_props(""))

    assert (hello.handler, hello.timeout, hello.memory_size) == ("index.handler", 3, 512)
    assert hello.environment_variables == {}
    assert hello.service_name is None


def test_honoured_keys_are_read(load_props, folder):
    (folder / "src").mkdir()

    project = load_props(
        "handler: app.main.run\ncode: ./src\ntimeout: 20\nmemorySize: 1024\n"
        "region: cn-shanghai\ndescription: says hello\nenvironmentVariables: {A: b}"
    )

    hello = function(project)
    assert (hello.function_name, hello.runtime, hello.handler) == (
        "hello",
        "python3.10",
        "app.main.run",
    )
    assert (hello.timeout, hello.memory_size, hello.description) == (20, 1024, "says hello")
    assert project.region == "cn-shanghai"
    assert project.functions[0].code_dir == folder / "src"
    assert (project.format, project.name, project.base_dir) == ("fc3", "demo", folder)
    assert project.source == folder / "s.yaml"
    assert project.notices == ()
    assert project.looked_for == ""


@pytest.mark.parametrize("envelope", ["resources", "services"])
@pytest.mark.parametrize("edition", ["", "edition: 1.0.0\n", "edition: '3.0.0'\n", "edition: 2\n"])
@pytest.mark.parametrize("component", ["fc3", "devsapp/fc3", "fc3@0.1.20", "devsapp/fc3@dev"])
def test_any_spelling_of_the_envelope_is_read(load, envelope, edition, component):
    project = load(edition + block(component, envelope=envelope))

    assert function(project).function_name == "hello"


def test_both_envelopes_may_be_there(load):
    project = load(
        block() + block(props="functionName: other, runtime: python3", envelope="services")
    )

    assert [f.function.id for f in project.functions] == ["hello", "other"]


@pytest.mark.parametrize(
    "component", ["nodejs-runtime", "${env('COMPONENT')}", "${path('../')}", "7"]
)
def test_unknown_component_is_decided_by_its_keys(load, component):
    assert function(load(block(component))).function_name == "hello"


def test_component_may_be_a_variable(load):
    text = "vars: {c: devsapp/fc3@1}\n" + block("${vars.c}", props="functionName: hello")

    assert function(load(text)).function_name == "hello"


@pytest.mark.parametrize(
    ("component", "level"), [("website", "note"), ("fc3-domain", "warn"), ("fc-domain", "warn")]
)
def test_block_that_is_no_function_is_left_out_with_a_notice(load, component, level):
    project = load(block(component, props="domainName: auto"))

    assert project.functions == ()
    assert [(n.level, n.where, n.key) for n in project.notices] == [(level, "s.yaml:2", "api")]
    assert project.looked_for == "s.yaml holds no function of FC 3.0 (fc3)"


@pytest.mark.parametrize("props", ["service: {name: s}, function: {name: f}", ""])
@pytest.mark.parametrize("component", ["fc", "devsapp/fc@1.2"])
def test_file_of_fc_2_says_so(load, component, props):
    with pytest.raises(ProjectError, match=r"^s\.yaml:3: component of api is FC 2\.0"):
        load(block(component, props, envelope="services"))


def test_wrapper_of_fc_2_says_so(load):
    with pytest.raises(ProjectError, match=r"FC 2\.0"):
        load(block("my-wrapper", "service: {name: s}, function: {name: f}"))


def test_block_of_fc_2_beside_one_of_fc_3_is_left_out_with_a_warning(load):
    project = load(block() + "services:\n  old:\n    component: fc\n    props: {}\n")

    assert [f.function.id for f in project.functions] == ["hello"]
    assert [n.where for n in project.notices if n.key == "old.component"] == ["s.yaml:7"]


@pytest.mark.parametrize(
    "text",
    [
        "resources: [1]\n",
        "resources: {api: 7}\n",
        "resources: {api: }\n",
        "resources:\n  api: ${vars.gone}\n",
    ],
)
def test_blocks_must_be_maps(load, text):
    with pytest.raises(ProjectError, match=r"^s\.yaml:[23]: resources\S* must be a map, found "):
        load("edition: 3.0.0\n" + text)


def test_props_must_be_a_map(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:4: props of api must be a map, found a list"):
        load("resources:\n  api:\n    component: fc3\n    props: [1]\n")


def test_unresolved_props_are_an_error(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:4: props of api: \$\{vars\.gone\}"):
        load("resources:\n  api:\n    component: fc3\n    props: ${vars.gone}\n")


@pytest.mark.parametrize(
    "name",
    [
        "$(touch x)",
        "'`touch x`'",
        '"a\\nb"',
        "a; rm -rf x",
        "a/b",
        "1a",
        "'-a'",
        "ä",
        "a" * 129,
        "a b",
    ],
)
def test_function_name_that_is_no_name_is_an_error(load, folder, name):
    with pytest.raises(ProjectError, match=r"^s\.yaml:4: functionName ") as caught:
        load(f"resources:\n  api:\n    component: fc3\n    props: {{functionName: {name}}}\n")

    assert "\n" not in str(caught.value)
    assert not (folder / "x").exists()


def test_dollar_in_a_function_name_is_fine(load):
    assert function(load(block(props="functionName: svc$fn"))).function_name == "svc$fn"


@pytest.mark.parametrize("value", ["7", "[a]", "true"])
def test_function_name_that_is_no_text_is_an_error(load, value):
    with pytest.raises(ProjectError, match=r"^s\.yaml:4: functionName of api takes text, found "):
        load(block(props=f"functionName: {value}"))


@pytest.mark.parametrize("other", ["hello", "Hello", "HELLO"])
def test_two_functions_with_one_name_are_an_error_with_both_lines(load, other):
    text = (
        "resources:\n"
        "  a:\n    component: fc3\n    props:\n      functionName: hello\n"
        f"  b:\n    component: fc3\n    props:\n      functionName: {other}\n"
    )

    with pytest.raises(ProjectError, match=rf"^s\.yaml:9: functionName '{other}' .*lines 5 and 9"):
        load(text)


def test_missing_function_name_is_an_error(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:2: functionName of api is missing; add one"):
        load(block(props="runtime: python3"))


def test_block_without_props_is_an_error(load):
    with pytest.raises(ProjectError, match=r"^s\.yaml:2: functionName of api is missing; add one"):
        load("resources:\n  api:\n    component: fc3\n")


def test_misspelt_function_name_is_pointed_out(load):
    with pytest.raises(ProjectError, match="did you mean it by functionname"):
        load(block(props="functionname: hello"))


def test_missing_runtime_is_a_warning(load):
    project = load(block(props="functionName: hello"))

    assert function(project).runtime == ""
    assert ("warn", "runtime") in [(n.level, n.key) for n in project.notices]


@pytest.mark.parametrize(("key", "low", "high"), [("timeout", 1, 86400), ("memorySize", 64, 32768)])
def test_numbers_have_limits_that_the_error_names(load_props, key, low, high):
    for good in (low, high, f"{low}.0"):
        assert load_props(f"{key}: {good}").functions
    for bad in (
        low - 1,
        high + 1,
        -1,
        1.5,
        "true",
        "[1]",
        "{a: 1}",
        "sixty",
        "''",
        "60s",
        ".inf",
        "9" * 5000,
    ):
        with pytest.raises(
            ProjectError, match=rf"^s\.yaml:9: {key} of hello takes .* {low} to {high}"
        ):
            load_props(f"{key}: {bad}")


@pytest.mark.parametrize("written", ['"60"', "'60'"])
def test_number_as_text_is_taken_with_a_warning(load_props, written):
    project = load_props(f"timeout: {written}")

    assert function(project).timeout == 60
    notice = next(n for n in project.notices if n.key == "timeout")
    assert str(notice) == (
        "hello  warn  timeout (s.yaml:9): '60' is text and taken as a number; remove the quotes"
    )


def test_null_is_the_same_as_no_key(load_props):
    hello = function(load_props("timeout:\nhandler:\nmemorySize: ~\ndescription: null"))

    assert (hello.handler, hello.timeout, hello.memory_size) == ("index.handler", 3, 512)


def test_description_that_is_no_text(load_props):
    assert function(load_props("description: 7")).description == "7"
    assert function(load_props("description: [7]")).description == ""


def test_key_without_effect_is_noted_and_key_with_effect_warned_about_once(load_props):
    project = load_props("cpu: 0.5\nlogConfig: auto\nlayers: [a, b]\ntriggers:\n  - triggerName: t")

    said = [(n.level, n.key, n.where) for n in project.notices if n.key != "code"]
    assert said == [
        ("note", "cpu", "s.yaml:9"),
        ("note", "logConfig", "s.yaml:10"),
        ("warn", "layers", "s.yaml:11"),
        ("warn", "triggers", "s.yaml:12"),
    ]
    assert all("not honoured" in n.text for n in project.notices if n.key != "code")


def test_key_that_says_nothing_is_not_mentioned(load_props):
    project = load_props("layers: []\nvpcConfig:\nrole: ''\ntags: {}")

    assert [n.key for n in project.notices] == ["code"]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("timeOut", "timeout"),
        ("memory", "memorySize"),
        ("enviromentVariables", "environmentVariables"),
    ],
)
def test_misspelt_key_is_a_warning_with_the_likely_one(load_props, key, meant):
    project = load_props(f"{key}: 9")

    notice = next(n for n in project.notices if n.key == key)
    assert notice.level == "warn"
    assert notice.text == f"unknown key, ignored; did you mean {meant}?"


def test_unlikely_key_is_a_warning_without_a_guess(load_props):
    notice = next(n for n in load_props("zzz: 9").notices if n.key == "zzz")

    assert (notice.level, notice.text) == ("warn", "unknown key, ignored")


def test_top_level_and_block_keys_that_are_not_read_are_said_once_each(load):
    project = load(
        "extend: base.yaml\ntemplate: {a: {}}\nactions: {pre-deploy: [{run: touch x}]}\n"
        "flow: {a: [b]}\nenv: env.yaml\nvarz: {a: 1}\n"
        "resources:\n  api:\n    component: fc3\n    extend: {name: a}\n"
        "    actions: {pre-start: [{run: touch x}]}\n    prop: {a: 1}\n"
        "    props: {functionName: hello, runtime: python3, code: ./}\n"
    )

    assert [(n.level, n.key, n.where) for n in project.notices] == [
        ("warn", "extend", "s.yaml:1"),
        ("warn", "template", "s.yaml:2"),
        ("note", "actions", "s.yaml:3"),
        ("note", "flow", "s.yaml:4"),
        ("note", "env", "s.yaml:5"),
        ("warn", "varz", "s.yaml:6"),
        ("warn", "api.extend", "s.yaml:10"),
        ("note", "api.actions", "s.yaml:11"),
        ("warn", "api.prop", "s.yaml:12"),
    ]
    assert not (project.base_dir / "x").exists()


def test_name_that_extend_may_bring_is_not_missed(load):
    project = load(
        "template: {a: {functionName: hello}}\n"
        "resources:\n  api:\n    component: fc3\n    extend: {name: a}\n    props: {timeout: 5}\n"
    )

    assert project.functions == ()
    assert "no functionName without extend" in project.notices[-1].text


def test_regions_that_differ_are_a_warning(load):
    project = load(
        "resources:\n"
        "  a: {component: fc3, props: {functionName: a, runtime: python3, region: cn-beijing}}\n"
        "  b: {component: fc3, props: {functionName: b, runtime: python3, region: cn-hangzhou}}\n"
        "  c: {component: fc3, props: {functionName: c, runtime: python3}}\n"
    )

    assert project.region == "cn-beijing"
    assert [(n.level, n.function) for n in project.notices if n.key == "region"] == [("warn", "b")]


def test_notice_and_error_are_one_printable_line(load_props):
    project = load_props('"a\\nb\\u001b[31m": 1')

    line = next(str(n) for n in project.notices if n.key.startswith("a\n"))
    assert line == r"hello  warn  a\nb\x1b[31m (s.yaml:9): unknown key, ignored"
