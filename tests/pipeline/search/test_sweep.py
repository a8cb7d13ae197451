"""What lets a search go on: the seeded sampler, the queue, and ASHA's memory."""

from types import SimpleNamespace

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from pipeline.runs.record import Record, RunFolder
from pipeline.search.ray_tune import make_scheduler, replay
from pipeline.search.sampler import SeededByPosition
from pipeline.search.space import distribution, encode
from pipeline.search.sweep import Sweep
from pipeline.search.trial import Trial, run_of
from pipeline.study.read_params import parse_params
from pipeline.study.search_space import Choice, Interval
from tests.pipeline.conftest import tiny_params

SPACE = {"recipe.lr": FloatDistribution(1e-4, 1e-2, log=True), "recipe.weight_decay": FloatDistribution(0.0, 0.1)}


NEVER = "9999"
"""A time that no trial has failed after."""


def make_study(sampler: BaseSampler | None = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", sampler=sampler or SeededByPosition(5))


def value(params) -> float:
    return -abs(params["recipe.lr"] - 1e-3) - params["recipe.weight_decay"]


def advance(study: optuna.Study, trials: int) -> None:
    for _ in range(trials):
        trial = study.ask(fixed_distributions=SPACE)
        study.tell(trial, value(trial.params))


def complete(study: optuna.Study) -> list[dict]:
    return [trial.params for trial in study.get_trials(states=(TrialState.COMPLETE,))]


@pytest.mark.parametrize("killed_at", [0, 3, 12])
def test_a_search_that_was_cut_off_draws_what_it_would_have_drawn(killed_at):
    whole = make_study()
    advance(whole, 15)
    study = make_study()
    advance(study, killed_at)
    cut = study.ask(fixed_distributions=SPACE)
    study.tell(cut, state=TrialState.FAIL)  # as `restore` does
    study.enqueue_trial(cut.params)
    study.sampler = SeededByPosition(5)
    advance(study, 15 - killed_at)
    assert complete(study) == complete(whole)


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_after_a_trial_that_failed_another_point_is_drawn(kind):
    space = {"recipe.lr": Interval(low=1e-4, high=1e-2, log=True)}
    drawn = []
    study = make_study(SeededByPosition(5, kind, space))
    for state in [TrialState.FAIL] * 3 + [TrialState.COMPLETE]:
        trial = study.ask(fixed_distributions={key: distribution(dimension) for key, dimension in space.items()})
        drawn.append(trial.params["recipe.lr"])
        study.tell(trial, 0.5 if state == TrialState.COMPLETE else None, state=state)
    assert len(set(drawn)) == 4


class Trials:
    """Trials over records in a folder."""

    def __init__(self, params, manifest, runs):
        self.params, self.manifest, self.runs = params, manifest, runs

    def __call__(self, point):
        run = run_of(self.params, self.manifest, point)

        class Job:
            pass

        job = Job()
        job.run, job.folder = run, RunFolder(self.runs, run.key)
        return Trial(dict(point), [job])


def restore(study, make_trial, since=NEVER):
    return Sweep(make_trial.params, study, make_trial).restore(since)


def write(trial, **content):
    (job,) = trial.jobs
    job.folder.write(Record(job.run, **content))


@pytest.fixture
def make_trial(scenes, tmp_path):
    from datransnet.data.manifest import Manifest

    return Trials(parse_params(tiny_params(), "tiny"), Manifest.read(scenes / "manifest.json"), tmp_path)


def test_restore_queues_what_did_not_end_and_counts_what_did(make_trial):
    study = make_study()
    space = {key: distribution(dimension) for key, dimension in make_trial.params.tune.space.items()}
    trials = [study.ask(fixed_distributions=space) for _ in range(3)]
    study.tell(trials[0], 0.5)
    study.tell(trials[1], 0.4)
    for trial, status in zip(trials, ("done", "failed", "running"), strict=True):
        write(make_trial(trial.params), status=status, history=[{"epoch": 1, "best_iou": 0.1}])
    remaining, ended = restore(study, make_trial)
    assert remaining == make_trial.params.tune.trials - 1
    assert list(ended) == [make_trial(trials[0].params).key]
    waiting = [trial.system_attrs["fixed_params"] for trial in study.get_trials(states=(TrialState.WAITING,))]
    assert waiting == [trials[1].params, trials[2].params]
    restore(study, make_trial)  # once more, killed before anything ran
    assert len(study.get_trials(states=(TrialState.WAITING,))) == 2


def test_a_trial_whose_runs_are_gone_is_asked_for_again_and_counted_once(make_trial):
    study = make_study()
    space = {key: distribution(dimension) for key, dimension in make_trial.params.tune.space.items()}
    cleaned = study.ask(fixed_distributions=space)
    study.tell(cleaned, 0.0)
    assert restore(study, make_trial)[0] == make_trial.params.tune.trials
    again = study.ask(fixed_distributions=space)
    assert again.params == cleaned.params
    write(make_trial(again.params), status="done", history=[{"epoch": 1, "best_iou": 0.1}])
    study.tell(again, 0.1)
    assert restore(study, make_trial)[0] == make_trial.params.tune.trials - 1


def test_what_failed_in_this_start_is_not_asked_for_again_and_what_was_stopped_is_known(make_trial):
    study = make_study()
    space = {key: distribution(dimension) for key, dimension in make_trial.params.tune.space.items()}
    failed, stopped = (study.ask(fixed_distributions=space) for _ in range(2))
    study.tell(failed, state=TrialState.FAIL)
    study.tell(stopped, 0.5)
    write(make_trial(failed.params), status="failed", reason="no", finished="2026-01-01")
    write(make_trial(stopped.params), status="running", history=[{"epoch": 1, "best_iou": 0.1}])
    remaining, ended = restore(study, make_trial, "2026-01-01")
    assert remaining == make_trial.params.tune.trials - 2
    assert not study.get_trials(states=(TrialState.WAITING,))
    assert [trial.status for trial in ended.values()] == ["pruned"]


def test_known_points_are_queued_once(make_trial):
    study = make_study()
    for _ in range(2):
        restore(study, make_trial)
    waiting = [trial.system_attrs["fixed_params"] for trial in study.get_trials(states=(TrialState.WAITING,))]
    assert waiting == [{"recipe.lr": 5e-3}]


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_a_scheduler_remembers_the_epochs_of_an_earlier_start(make_trial, kind):
    plan = make_trial.params.tune.model_copy(update={"scheduler": kind, "epochs": 8})
    ended = {}
    for number, lr in enumerate((1e-4, 1e-3, 5e-3, 1e-2)):
        trial = make_trial({"recipe.lr": lr, "model.dilations": "[1]"})
        history = [{"epoch": epoch, "best_iou": 0.1 * number + 0.01 * epoch} for epoch in range(1, 5)]
        write(trial, status="done", history=history)
        ended[trial.key] = trial
    fresh, told = make_scheduler(plan), make_scheduler(plan)
    replay(told, ended)
    nobody = SimpleNamespace(get_live_trials=list)

    class New:
        trial_id = "new"

    for one in (fresh, told):
        one.on_trial_add(nobody, New)
    poor = {"training_iteration": 2, "iou": 0.0}
    assert fresh.on_trial_result(nobody, New, poor) == "CONTINUE"
    assert told.on_trial_result(nobody, New, poor) == "STOP"


def test_lists_are_stored_as_text_and_come_back(make_trial):
    dimension = Choice(choice=[[1], [1, 2]])
    assert distribution(dimension).choices == ("[1]", "[1, 2]")
    run = run_of(make_trial.params, make_trial.manifest, {"recipe.lr": 1e-3, "model.dilations": encode([1, 2])})
    assert run.model["dilations"] == [1, 2]
    assert run.recipe.lr == 1e-3
    assert run.recipe.epochs == make_trial.params.tune.epochs


def test_an_integer_interval_gives_integers():
    assert distribution(Interval(low=1, high=8, integer=True)).to_internal_repr(3) == 3
