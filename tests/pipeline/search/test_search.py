"""Spaces with conditions, samplers, earlier knowledge, budgets, and sweeps of several objectives and seeds."""

from types import SimpleNamespace

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from datransnet.engine import fit
from datransnet.errors import ParameterError, TrainingError
from pipeline.runs.check_models import check_models
from pipeline.runs.execute import Job, execute
from pipeline.runs.side_by_side import side_by_side
from pipeline.search.budget import Budget
from pipeline.search.memory import open_memory
from pipeline.search.schedule import Standing
from pipeline.search.space import active, is_complete, suggest
from pipeline.search.sweep import identity_of
from pipeline.search.trial import Trial, run_of
from pipeline.study.handover import TrialResult
from pipeline.study.read_params import parse_params
from pipeline.study.seat import Seat
from pipeline.study.study import Study
from tests.pipeline.conftest import StudyFolder, tiny_params

SPACE = {
    "model.datrans": {"choice": [True, False]},
    "model.dilations": {"choice": [[1], [1, 2]], "when": {"model.datrans": True}},
    "recipe.ema": {"low": 0.5, "high": 0.9, "when": {"model.dilations": [1, 2]}},
    "recipe.lr": {"low": 1e-3, "high": 1e-2, "log": True},
}


def params(**changes):
    content = tiny_params()
    content["tune"] |= {"space": SPACE, "points": [], **changes}
    return parse_params(content, "tiny")


def study(tmp_path, **changes):
    found = Study(tmp_path)
    found.__dict__["params"] = params(**changes)
    return found


def test_a_point_lacks_what_its_values_make_active():
    space = params().tune.space
    assert active(space, {"model.datrans": False, "recipe.lr": 1e-3}) == ["model.datrans", "recipe.lr"]
    assert not is_complete(space, {"model.datrans": True, "recipe.lr": 1e-3})
    assert not is_complete(space, {"model.datrans": False, "model.dilations": "[1]", "recipe.lr": 1e-3})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": {"model.dilations": {"choice": [[1]], "when": {"model.datrans": True}}}}, "stands before"),
        ({"space": SPACE | {"recipe.ema": {"low": 0.1, "high": 0.9, "when": {"recipe.lr": 1}}}}, "of a choice"),
        ({"objectives": ["parameters"]}, "begin with iou"),
        ({"objectives": ["iou", "parameters"]}, "scheduler: none"),
        ({"objectives": ["iou", "parameters"], "scheduler": "none", "least_gain": 0.1}, "least_gain is of the IoU"),
        ({"grace": 9}, "grace = 9 is more than the 6 epochs"),
        ({"space": {}}, "tune.space"),
        ({"points": [{"recipe.lr": 50.0}]}, "recipe.lr = 50.0 is not in its space"),
        ({"points": [{"model.datrans": "on"}]}, "is not in its space"),
    ],
)
def test_a_search_that_makes_no_sense_is_told(changes, words):
    with pytest.raises(ParameterError, match=words):
        params(**changes)


@pytest.mark.parametrize(
    ("dimension", "words"),
    [
        ({"recipe.batch_size": {"low": 4, "high": 8}}, "tune.space.recipe.batch_size"),
        ({"model.width": {"low": 4, "high": 8}}, "must be of type int"),
        ({"model.widht": {"low": 4, "high": 8, "integer": True}}, "widht"),
        ({"model.datrans": {"choice": ["yes"]}}, "must be of type bool"),
    ],
)
def test_a_space_that_no_training_accepts_is_told(dimension, words):
    with pytest.raises(ParameterError, match=words):
        check_models(params(space=dimension, points=[]))
    check_models(params(space={"model.width": {"low": 4, "high": 8, "integer": True}}, points=[]))


def test_what_is_inactive_activates_nothing():
    space = params(
        points=[],
        space={
            "model.first": {"choice": [True]},
            "model.second": {"choice": [None, 1], "when": {"model.first": True}},
            "model.third": {"choice": [None], "when": {"model.second": 1}},
            "recipe.ema": {"low": 0.1, "high": 0.9, "when": {"model.third": None}},
        },
    ).tune.space
    trial = optuna.trial.FixedTrial({"model.first": True, "model.second": None, "model.third": None, "recipe.ema": 0.5})
    suggest(space, trial)
    assert trial.params == {"model.first": True, "model.second": None}


def test_a_password_does_not_belong_into_the_parameters():
    content = tiny_params() | {"cluster": {"storage": "postgresql://me:secret@host/optuna"}}
    with pytest.raises(ParameterError, match="PGPASSWORD"):
        parse_params(content, "tiny")


def memory_at(place, name):
    return open_memory(place, place.params.tune, name)


def test_an_earlier_study_is_known_but_not_counted(tmp_path):
    standings = []
    first = memory_at(study(tmp_path), "first")
    inside = {"model.datrans": False, "recipe.lr": 2e-3}
    for point, values in ((inside, [0.3, 0.5]), (inside | {"recipe.lr": 5e-3}, [0.4, 0.5]), (inside, [0.2])):
        first.keep(point, {})
        standings.append(Standing(point, len(values) - 1, values))
    first.close(standings, (1, 3))
    narrower = {**SPACE, "recipe.lr": {"low": 1e-3, "high": 3e-3, "log": True}}
    second = memory_at(study(tmp_path, space=narrower, warm_start="first"), "second")
    assert [(trial.params, trial.intermediate_values) for trial in second.earlier] == [
        (inside, {1: 0.3, 3: 0.5}),
        (inside, {1: 0.2}),
    ]
    assert second.asked == []
    again = memory_at(study(tmp_path, space=narrower, warm_start="first"), "second")
    assert len(again.earlier) == 2
    with pytest.raises(ParameterError, match="Did you mean 'first'"):
        memory_at(study(tmp_path, warm_start="frist"), "third")


def test_what_limits_a_sweep_does_not_make_it_another(scenes):
    from datransnet.data.manifest import Manifest

    manifest = Manifest.read(scenes / "manifest.json")
    usual = identity_of(params(), manifest)
    assert identity_of(params(trials=40, concurrent=3, wall_hours=2), manifest) == usual
    assert identity_of(params(sampler="gp"), manifest) != usual
    known = [identity_of(priced(cpus), manifest) for cpus in (1, 2)]
    assert known[0] != known[1]  # milliseconds of one device are not those of another


def priced(cpus):
    content = tiny_params() | {"resources": {"cpus": cpus}}
    content["tune"] |= {"objectives": ["iou", "latency"], "scheduler": "none", "points": []}
    return parse_params(content, "tiny")


def test_the_hours_of_earlier_starts_count(tmp_path, monkeypatch):
    moment = 100.0
    monkeypatch.setattr("pipeline.search.budget.time", SimpleNamespace(monotonic=lambda: moment))
    plan = params(wall_hours=1)
    found = memory_at(study(tmp_path), "x")
    budget = Budget(found, [], plan)
    moment += 3600
    assert not budget.stop_all()
    moment += 1
    assert budget.stop_all()
    budget.close()
    assert Budget(found, [], plan).stop_all()
    assert not Budget(found, [], params(wall_hours=2)).stop_all()


@pytest.fixture
def make_trial(scenes, tmp_path):
    from datransnet.data.manifest import Manifest

    def made(point, seeds=1, **recipe):
        content = tiny_params()
        content["tune"] |= {"space": SPACE, "points": [], "epochs": 2}
        content["recipe"] |= {"size": 48, **recipe}
        plan, manifest = parse_params(content, "tiny"), Manifest.read(scenes / "manifest.json")
        runs = [run_of(plan, manifest, point, seed) for seed in range(seeds)]
        named = enumerate(runs, 1)
        return Trial(point, [Job(run, "datransnet", "t", n, scenes, tmp_path, Seat()) for n, run in named])

    return made


POINT = {"model.datrans": False, "recipe.lr": 1e-3}


def test_seeds_of_a_trial_are_trained_side_by_side_as_they_are_alone(make_trial):
    trial = make_trial(POINT, seeds=2)
    values = list(side_by_side(trial.jobs, 2))
    assert len({job.run.key for job in trial.jobs}) == 2
    assert values == trial.history()
    records = trial.records()
    assert trial.status == "done"
    for job in trial.jobs:
        for file in job.folder.path.iterdir():
            file.unlink()
    alone = [[epoch["loss"] for epoch in execute(job)] for job in trial.jobs]
    assert alone == [[epoch["loss"] for epoch in record.history] for record in records]


def test_a_trial_that_diverges_is_infeasible_and_not_tried_twice(make_trial, monkeypatch):
    trial = make_trial(POINT)
    monkeypatch.setattr(fit, "LOSSES", {"soft_iou": lambda logits, masks: logits.sum() * float("nan")})
    with pytest.raises(TrainingError, match="loss is nan"):
        list(side_by_side(trial.jobs, 2))
    assert trial.status == "infeasible"
    assert trial.records()[0].reason
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="loss is nan"):  # from its record
        list(side_by_side(trial.jobs, 2))
    job = make_trial(POINT).jobs[0]
    assert [epoch["epoch"] for epoch in execute(job)] == [1, 2]  # asked for by name, it is tried again


def test_a_failure_nobody_expected_leaves_its_traceback(make_trial, monkeypatch):
    trial = make_trial(POINT)
    monkeypatch.setattr(fit, "LOSSES", {"soft_iou": lambda logits, masks: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(trial.jobs, 2))
    assert trial.records()[0].reason == "ZeroDivisionError: division by zero"
    assert "Traceback" in trial.jobs[0].folder.log.read_text(encoding="utf-8")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_pareto_front_holds_what_nothing_beats(values):
    rows = [TrialResult(0, "", [], "done", "", 1, iou, {"parameters": cost}, {}, []) for iou, cost in values]
    front = [row for row in rows if not any(other.dominates(row) for other in rows)]
    assert front
    for row in rows:
        beaten = any(
            other.best_iou >= row.best_iou and other.costs["parameters"] <= row.costs["parameters"] and other != row
            for other in rows
        )
        assert (row in front) != beaten


@pytest.mark.study
def test_a_sweep_of_two_objectives_two_seeds_and_a_condition(tmp_path):
    content = tiny_params()
    content["tune"] |= {
        "trials": 4, "epochs": 1, "concurrent": 2, "seeds": 2, "points": [], "space": SPACE,
        "sampler": "nsga2", "scheduler": "none", "objectives": ["iou", "parameters", "latency"],
    }  # fmt: skip
    sweep = StudyFolder(tmp_path / "study", content)
    sweep.succeed("fetch", "split", "tune")
    result = sweep.tuned()
    assert len(result["trials"]) == 4
    assert all(len(trial["keys"]) == 2 and trial["epochs"] == 2 for trial in result["trials"])
    parameters = {trial["point"]["model.datrans"]: trial["costs"]["parameters"] for trial in result["trials"]}
    assert len(parameters) == 1 or parameters[True] > parameters[False]
    assert result["pareto"]
    assert all(trial["costs"]["latency"] > 0 for trial in result["trials"])
    database = optuna.storages.RDBStorage(f"sqlite:///{sweep.folder / 'runs/search.db'}")
    (name,) = optuna.get_all_study_names(database)
    trials = optuna.load_study(study_name=name, storage=database).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    costs = [[trial["best_iou"], *trial["costs"].values()] for trial in result["trials"]]
    assert sorted(trial.values for trial in trials) == sorted(costs)  # what the search heard is what the report shows
