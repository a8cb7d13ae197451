"""The house: who may know whom, which files exist, and that dvc.yaml names what stages import and read."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from pipeline.__main__ import STAGES, app, main_of
from pipeline.runs.source import ROOT, closure, imports, module_file

DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
FILES = sorted(path for package in ("datransnet", "pipeline") for path in (ROOT / package).rglob("*.py"))


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def foreign(path):
    """First names of all modules a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


# A part of the library may import only these other parts of it.
ALLOWED = {
    "errors": set(),
    "atomic": set(),
    "seeding": set(),
    "components": set(),
    "registry": {"errors"},
    "foreign_code": {"errors"},
    "layers": {"errors", "registry"},
    "models": {"errors", "registry", "layers", "foreign_code"},
    "losses": {"errors", "registry"},
    "classical": {"errors", "registry"},
    "metrics": {"errors", "components"},
    "data": {"errors", "components", "atomic", "seeding"},
    "engine": {
        *("errors", "registry", "atomic", "seeding", "metrics", "losses", "data"),
        *("models.registry", "models.normalised"),
    },
    "exits": {"errors"},
    "weights": {"errors", "atomic", "data", "engine", "models"},
    "commands": {
        *("errors", "components", "atomic", "seeding", "metrics", "data", "engine", "models", "weights", "classical"),
        "foreign_code",
    },
    "__main__": {"errors", "exits", "engine", "commands", "weights"},
    "": {"models"},
}


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(ROOT / "datransnet")], ids=module_of)
def test_the_library_knows_only_what_it_may(path):
    part = ".".join(module_of(path).split(".")[1:2])
    known = {name.removeprefix("datransnet").removeprefix(".") for name in imports(path)} - {""}
    allowed = ALLOWED[part] | {part}
    strange = {name for name in known if not any(name == ok or name.startswith(f"{ok}.") for ok in allowed)}
    assert not strange
    assert not foreign(path) & {
        "pipeline",
        "dvc",
        "ray",
        "optuna",
        "mlflow",
        "pandas",
        "matplotlib",
        "pydantic",
        "yaml",
    }


# A room of the study may import only these others, and any of the library.
ROOMS = {
    "console": {"study"},
    "study": set(),
    "runs": {"study", "console"},
    "tracking": {"study", "runs"},
    "parallel": {"study", "runs", "tracking", "console"},
    "search": {"study", "runs", "parallel", "console"},
    "scoring": {"study", "runs"},
    "reporting": {"study", "scoring"},
    "publishing": {"study", "runs", "scoring", "reporting"},
    "commands": {"study", "runs", "tracking", "search", "scoring", "reporting", "publishing", "console"},
}


def rooms_of(path):
    """Rooms and stages that a file of the study imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("pipeline.")}


@pytest.mark.parametrize("path", [p for p in FILES if p.is_relative_to(ROOT / "pipeline")], ids=module_of)
def test_a_room_knows_only_what_it_may(path):
    room = ".".join(module_of(path).split(".")[1:2])
    allowed = ROOMS[room] | {room} if room in ROOMS else set(ROOMS)  # stages and the verbs import rooms
    if room == "__main__":
        allowed |= set(STAGES)
    assert rooms_of(path) <= allowed


def test_the_picture_of_the_rooms_is_the_code():
    drawn = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    arrows = set(re.findall(r"^  (\w+) --> (\w+)$", drawn, re.MULTILINE))
    found = {(path.parent.name, other) for path in FILES if path.parent.name in ROOMS for other in rooms_of(path)}
    assert arrows == {(room, other) for room, other in found if room != other and other not in ("study", "console")}
    assert set(ROOMS) - {"console"} <= set(re.findall(r"^\| `(\w+)/`", drawn, re.MULTILINE))


def test_reporting_reads_results_and_knows_no_run():
    rooms = [module_of(path) for path in FILES if path.parent.name == "reporting"]
    reached = {module_of(path) for path in closure(*rooms) if path.is_relative_to(ROOT / "pipeline")}
    of_scoring = {name for name in reached if name.startswith("pipeline.scoring.")}
    assert of_scoring == {f"pipeline.scoring.{name}" for name in ("costs", "evaluation", "submitted", "transferred")}
    assert not {name for name in reached if name.split(".")[1:2] == ["runs"]}


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ([module_of(path) for path in FILES if path.parent.name == "reporting"], ("ray", "mlflow", "torch")),
        (["pipeline.runs.execute", "pipeline.tracking.training_run"], ("ray", "mlflow", "optuna")),
        (["pipeline.runs.worker"], ("pydantic", "ruamel", "yaml", "rich", "pandas", "ray", "mlflow", "optuna", "dvc")),
        (["pipeline.__main__", "datransnet.__main__"], ("ray", "mlflow", "torch", "pydantic", "pandas")),
    ],
)
def test_what_is_imported_loads_no_more_than_it_needs(modules, heavy):
    script = f"import sys; import {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True).split()
    assert not set(heavy) & set(loaded)


def functions_of(path):
    """Names of a file's functions, with their lengths in lines; a docstring does not count."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            prose = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            yield f"{module_of(path)}.{node.name}", node.end_lineno - node.lineno + 1 - prose


def test_functions_and_files_stay_small():
    functions = [function for path in FILES for function in functions_of(path)]
    lengths = sorted(length for _, length in functions)
    assert lengths[int(0.9 * len(lengths))] <= 22
    assert not [(name, length) for name, length in functions if length > 60]
    assert not [path for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 330]


def test_no_private_name_crosses_files():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("datransnet", "pipeline"):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{path}: {private}"


def test_each_heavy_library_has_its_room():
    users = {name: set() for name in ("ray", "optuna", "mlflow", "matplotlib", "plotly", "jinja2", "rich")}
    for path in FILES:
        for name in users.keys() & foreign(path):
            users[name].add(module_of(path).split(".")[1])
    assert users == {
        "ray": {"parallel", "search"},
        "optuna": {"search"},
        "mlflow": {"tracking"},
        "matplotlib": {"reporting"},
        "plotly": {"reporting"},
        "jinja2": {"reporting"},
        "rich": {"console"},
    }


def test_only_tracking_calls_a_client_of_mlflow():
    for path in FILES:
        calls = [
            node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        ]
        names = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
        if path.parent.name != "tracking":
            assert not names & {"client", "client_of", "MlflowClient", "log_batch", "search_runs", "create_run"}, path


def test_verbs_are_the_stages_and_the_files_of_commands():
    def names(folder):
        return {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}

    stages = names(ROOT / "pipeline") - set(ROOMS)
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert stages == set(DVC) == set(STAGES)
    assert verbs == stages | names(ROOT / "pipeline/commands")


def test_console_scripts_are_the_commands():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    for name, module in (("datransnet", "datransnet"), ("datransnet-study", "pipeline")):
        where, _, function = scripts[name].partition(":")
        script = f"import sys; sys.argv[0] = '/x/{name}'; from {where} import {function}; {function}()"
        shown = [
            subprocess.check_output([sys.executable, *command, "--help"], cwd=ROOT, text=True)
            for command in (["-c", script], ["-m", module])
        ]
        assert shown[0].replace(f"Usage: {name} ", f"Usage: python -m {module} ") == shown[1]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stages_verb_runs_its_file(stage):
    assert main_of(stage).__module__ == f"pipeline.{stage}"


def test_ls_shows_the_rooms():
    folders = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert folders | {"console"} == set(ROOMS)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_stages_do_not_import_each_other(stage):
    others = {f"pipeline.{name}" for name in STAGES if name != stage}
    reached = {module_of(path) for path in closure(f"pipeline.{stage}")}
    assert not reached & others


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_dvc_names_every_file_a_stage_imports(stage):
    if DVC[stage].get("always_changed"):
        return  # it runs whatever changed
    deps = DVC[stage]["deps"]
    needed = {path.relative_to(ROOT).as_posix() for path in closure(f"pipeline.{stage}")}
    missing = {file for file in needed if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)}
    assert not missing
    for dep in deps:
        if dep.split("/")[0] in ("pipeline", "datransnet"):
            assert (ROOT / dep).exists(), f"{stage}: {dep} does not exist"
            used = any(file == dep or file.startswith(f"{dep}/") for file in needed)
            assert used, f"{stage}: {dep} is not imported"


NAMELESS = ("utils", "helpers", "misc", "common", "support", "tools", "shared")


def test_no_room_has_a_name_that_says_nothing():
    assert not [path for path in FILES if path.stem in NAMELESS or path.parent.stem in NAMELESS]
    assert not [path for path in FILES if "import *" in path.read_text(encoding="utf-8")]


def test_every_module_says_what_it_is():
    assert not [path for path in FILES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]


def test_no_out_is_kept_between_runs():
    outs = [out for stage in DVC.values() for out in stage.get("outs", [])]
    assert not any("persist" in options for out in outs if isinstance(out, dict) for options in out.values())


def test_imports_resolve():
    for path in FILES:
        for name in imports(path):
            assert module_file(name)


def _as_text(call):
    """Whether a call reads or writes text."""
    if not isinstance(call.func, ast.Attribute):
        return isinstance(call.func, ast.Name) and call.func.id == "open"
    mode = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
    opens = call.func.attr == "open" and isinstance(mode, str) and mode != "" and "b" not in mode
    runs = call.func.attr in ("run", "Popen", "check_output") and any(k.arg == "text" for k in call.keywords)
    return call.func.attr in ("read_text", "write_text") or opens or runs


def test_text_is_utf_8_in_any_locale():
    """Without ``encoding`` Python takes the locale's: files, and run keys made of them, would depend on it."""
    assert _as_text(ast.parse("path.open('w')").body[0].value)
    assert not _as_text(ast.parse("path.open('rb')").body[0].value)
    for path in FILES:
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        without = [call.lineno for call in calls if _as_text(call) and "encoding" not in {k.arg for k in call.keywords}]
        assert not without, f"{path}: lines {without} name no encoding"
