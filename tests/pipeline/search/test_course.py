"""A search takes one course, however its legs are interleaved, lost, cut off and gone on with."""

import itertools
import random
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from datransnet.data.manifest import Manifest
from pipeline.runs.record import Record, RunFolder
from pipeline.search.course import Course
from pipeline.search.ending import Ending
from pipeline.search.memory import Memory
from pipeline.search.sampler import Sampler
from pipeline.search.schedule import Schedule
from pipeline.search.space import encode
from pipeline.search.trial import Trial, run_of
from pipeline.study.params import Params
from pipeline.study.read_params import parse_params
from pipeline.study.status import Status
from tests.pipeline.conftest import tiny_params

EPOCHS = 6
BEGAN = "2026-01-01"
NEVER = "9999"
"""A time that no trial has failed after."""


@dataclass
class OnlyItsFolder:
    """Of a job, what a trial's records need."""

    run: object
    folder: RunFolder


class World:
    """Runs that are trained by writing records: a point's IoU follows from its learning rate."""

    def __init__(self, scenes: Path, runs: Path, **tune: object) -> None:
        content = tiny_params()
        content["tune"] |= {
            "trials": 7,
            "epochs": EPOCHS,
            "grace": 1,
            "reduction": 2,
            "bracket": 4,
            "signal": "iou",
            **tune,
        }
        self.params: Params = parse_params(content, "tiny")
        self.manifest, self.runs = Manifest.read(scenes / "manifest.json"), runs
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(direction="maximize")

    def make_trial(self, point):
        run = run_of(self.params, self.manifest, point)
        return Trial(dict(point), [OnlyItsFolder(run, RunFolder(self.runs, run.key))])

    def course(self, since=NEVER):
        plan = self.params.tune
        schedule = Schedule.of(plan, 1)
        memory = Memory(self.study, plan.space)
        sampler = Sampler.of(self.params, len(schedule.rungs), memory.earlier)
        ending = Ending(plan.space, len(schedule.rungs), plan.least_gain, 0)
        return Course(schedule, sampler, ending, plan.signal, memory, self.make_trial, since)

    def train(self, course, leg, **content):
        """What a worker does; from where it was left, since the record is whole each time."""
        trial, until = course.trials[leg.trial], course.schedule.rungs[leg.rung]
        (job,) = trial.jobs
        known = job.folder.read()
        until = max(until, len(known.history) if known else 0)
        worth = 0.1 / (1 + abs(trial.point["recipe.lr"] - 3e-3) * 1e3)
        history = [
            {"epoch": n, "best_iou": worth * n, "val_soft_iou": 1 - worth * n, "val_cross_entropy": worth * n}
            for n in range(1, until + 1)
        ]
        status = Status.DONE if until == EPOCHS else Status.PRUNED
        job.folder.write(replace(Record(job.run, history=history, status=status), **content))

    def whole(self, workers=1, order=lambda legs: 0):
        """Train to the end, so many legs at a time; ``order`` says which of those under way ends next."""
        course, under_way = self.course(), []
        while True:
            while len(under_way) < workers and (leg := course.begin()):
                under_way.append(leg)
            if not under_way:
                assert course.over
                return course
            leg = under_way.pop(order(under_way))
            self.train(course, leg)
            course.end(leg, {})


def outcome(course):
    return [(each.point, each.sent, each.values, each.out) for each in course.standings]


@pytest.fixture
def world(scenes, tmp_path):
    number = itertools.count()  # a folder of its own for each
    return lambda **tune: World(scenes, tmp_path / str(next(number)), **tune)


@pytest.mark.parametrize("scheduler", ["halving", "hyperband", "none"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(randomly=st.randoms(use_true_random=False), workers=st.integers(1, 9))
def test_the_course_does_not_depend_on_how_many_train_and_who_ends_first(world, scheduler, randomly, workers):
    alone = world(scheduler=scheduler).whole()
    many = world(scheduler=scheduler).whole(workers, lambda legs: randomly.randrange(len(legs)))
    assert outcome(many) == outcome(alone)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(randomly=st.randoms(use_true_random=False))
def test_a_course_that_is_cut_off_again_and_again_ends_as_one_that_is_not(world, randomly):
    alone = world().whole()
    here = world()
    trained = 0
    while True:
        course = here.course()  # a new process, which knows nothing
        under_way = []
        for _ in range(randomly.randint(1, 6)):
            if leg := course.begin():
                under_way.append(leg)
            if under_way and randomly.random() < 0.6:
                ended = under_way.pop(randomly.randrange(len(under_way)))
                here.train(course, ended)
                trained += 1
                if randomly.random() < 0.8:  # else killed before anybody heard
                    course.end(ended, {})
        if course.over:
            break
    assert outcome(course) == outcome(alone)
    assert trained == sum(1 + each.sent for each in alone.standings)  # nothing twice


def test_what_another_search_trained_further_changes_nothing(world):
    alone = world().whole()
    here = world()
    course = here.course()
    for number in range(4):  # the first round, whole
        leg = course.begin()
        here.train(course, replace(leg, rung=course.schedule.top))
        assert leg.trial == number
    for leg in list(course._under_way):
        course.end(leg, {})
    while leg := course.begin():
        here.train(course, leg)
        course.end(leg, {})
    assert outcome(course) == outcome(alone)
    ended = [course.ended(number) for number in range(len(course.trials))]
    assert ended == [alone.ended(number) for number in range(len(alone.trials))]
    assert Status.PRUNED in ended


def test_the_last_trials_of_a_longer_search_follow_on_those_of_a_shorter(world):
    short, long = world(trials=4).whole(), world(trials=8).whole()
    assert [each.point for each in long.standings[:4]] == [each.point for each in short.standings]
    here = world(trials=4)
    here.whole()
    here.params.tune.__dict__["trials"] = 8
    assert outcome(here.whole()) == outcome(long)


def test_runs_that_are_gone_are_trained_again_at_the_same_points(world):
    here = world()
    before = here.whole()
    for trial in before.trials[:3]:
        trial.jobs[0].folder.remove()
    again = here.course()
    assert not again.over
    assert outcome(here.whole()) == outcome(before)
    assert len(here.study.trials) == 7


def test_a_leg_that_is_lost_is_tried_once_more(world):
    here = world()
    course = here.course()
    first = course.begin()
    course.end(first, {})  # nothing was recorded
    assert course.begin() == first
    course.end(first, {})
    assert course.standings[0].out
    assert course.begin() != first
    assert not here.course().standings  # another start tries it again
    assert here.course().begin() == first


def test_what_diverges_is_out_and_what_fails_is_out_until_the_next_start(world):
    here = world()
    course = here.course(BEGAN)
    diverged, failed = course.begin(), course.begin()
    here.train(course, diverged, status=Status.INFEASIBLE, history=[])
    here.train(course, failed, status=Status.FAILED, history=[], reason="no", finished=BEGAN)
    course.end(diverged, {})
    course.end(failed, {})
    assert [each.out for each in course.standings[:2]] == [True, True]
    assert [course.ended(number) for number in (0, 1)] == [Status.INFEASIBLE, Status.FAILED]
    assert here.course(NEVER).begin().trial == 1


def test_optuna_is_told_how_trials_ended(world):
    here = world()
    course = here.whole()
    assert {trial.state for trial in here.study.trials} == {TrialState.RUNNING, TrialState.COMPLETE}
    course.memory.close(course.standings, course.schedule.rungs)
    for trial, standing in zip(here.study.trials, course.standings, strict=True):
        top = standing.sent == course.schedule.top
        assert trial.state == (TrialState.COMPLETE if top else TrialState.PRUNED)
        if not top:
            reached = course.schedule.rungs[: len(standing.values)]
            assert trial.intermediate_values == dict(zip(reached, standing.values, strict=True))
    course.memory.close(course.standings, course.schedule.rungs)  # a second time there is nothing to tell
    memory = Memory(here.study, here.params.tune.space)
    assert [asked.point for asked in memory.asked] == [each.point for each in course.standings]


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_who_does_not_wait_goes_on_with_what_was_under_way(world, kind):
    here = world(scheduler=kind)
    course = here.course()
    first, second = course.begin(), course.begin()
    assert (first.trial, second.trial) == (0, 1)
    here.train(course, first)
    again = here.course()
    going_on = [1, 2] if kind == "asha" else [1, 0]  # one alone is not below the median
    assert [leg.trial for leg in (again.begin(), again.begin())] == going_on
    ended = here.whole(3, lambda legs: random.Random(0).randrange(len(legs)))
    assert len(ended.standings) == 7
    assert max(each.sent for each in ended.standings) == ended.schedule.top


def test_the_signal_ranks_until_the_last_epoch_and_there_the_iou(world):
    course = world(signal="soft_iou").whole()
    top = next(each for each in course.standings if each.sent == course.schedule.top)
    trial = course.trials[course.standings.index(top)]
    assert top.values[-1] == trial.history()[-1]
    assert top.values[0] == pytest.approx(1 - trial.history()[0])
    assert trial.value(2, "cross_entropy") == -trial.history()[1]  # the smaller the better
    assert max(course.standings, key=lambda each: each.values[0]).sent == course.schedule.top


def test_a_search_ends_when_no_further_trial_is_expected_to_gain_much(world):
    many = {"trials": 60, "scheduler": "none", "space": {"recipe.lr": {"low": 1e-3, "high": 1e-2, "log": True}}}
    endless, ended = world(**many).course(), world(**many, least_gain=0.1).whole()
    assert 8 <= len(ended.standings) < 60
    assert ended.ending.bound(ended.standings) < 0.1
    assert ended.ending.bound(ended.standings[:7]) is None
    assert not endless.ending.reached(ended.standings)


def test_a_point_that_is_suggested_twice_is_trained_once_at_a_time(world):
    here = world(space={"model.dilations": {"choice": [[1]]}}, points=[{"model.dilations": [1]}])
    course = here.course()
    leg = course.begin()
    assert leg.trial == 0
    assert course.begin() is None  # all others are the same run
    assert course.trials[1].key == course.trials[0].key
    assert course.standings[1].point == {"model.dilations": encode([1])}
