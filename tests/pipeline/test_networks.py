"""A study of several networks: each searched, trained and scored with the same budget; what they share runs once."""

import json
import re
import signal
from pathlib import Path

import mlflow
import pytest
import yaml

from datransnet.errors import ParameterError
from pipeline.study.read_params import parse_params
from tests.pipeline.conftest import STAGES, StudyFolder, tiny_params, wait_for
from tests.pipeline.test_study import records

pytestmark = pytest.mark.xdist_group("networks")  # they share a study


def several() -> dict:
    """The tiny study with a second network and a method without training."""
    content = tiny_params()
    content["networks"] = {"rival": {"model": {"name": "unet", "width": 4}, "recipe": {"batch_size": 2}}}
    content["train"]["untuned"] = True
    content["evaluate"]["methods"] = ["tophat"]
    return content


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = StudyFolder(tmp_path_factory.mktemp("several") / "study", several())
    made.succeed("check", *STAGES)
    return made


def read(study, path):
    return json.loads((study.folder / path).read_text(encoding="utf-8"))


# Parameters


def test_what_a_network_does_not_say_is_inherited_but_not_the_arguments_of_another():
    content = several()
    content["networks"]["wide"] = {"model": {"width": 8}, "points": [{"recipe.lr": 1e-3}]}
    found = parse_params(content, "x").by_network
    assert list(found) == ["datransnet", "rival", "wide"]
    rival, wide = found["rival"], found["wide"]
    assert rival.model.arguments() == {"name": "unet", "width": 4}
    assert (rival.recipe.batch_size, rival.recipe.lr) == (2, content["recipe"]["lr"])
    assert set(rival.tune.space) == {"recipe.lr"}
    assert rival.tune.points == content["tune"]["points"]
    assert wide.model.arguments() == {"name": "datransnet", "image_size": 32, "width": 8}
    assert set(wide.tune.space) == set(content["tune"]["space"])
    assert wide.tune.points == [{"recipe.lr": 1e-3}]
    assert all(own.tune.trials == 4 and not own.networks for own in found.values())
    assert next(iter(parse_params({**content, "subject": "wide"}, "x").by_network)) == "wide"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"networks": {"datransnet": {}}}, "a network or variant has this name"),
        ({"networks": {"full": {}}}, "a network or variant has this name"),
        ({"networks": {"without_gfem": {}}}, "a network or variant has this name"),
        ({"networks": {"same": {}}}, "networks.same: the same as datransnet"),
        ({"networks": {"other": {"recipe": {"lr": -1}}}}, "networks.other: recipe.lr"),
        ({"networks": {"other": {"recipe": {"epochs": 9}}}}, "epochs is the same for all networks"),
        ({"networks": {"b": {"recipe": {"lr": 0.1}}, "b_untuned": {"recipe": {"lr": 0.2}}}}, "has this name"),
        ({"evaluate": {"conventions": ["basicirstd"], "peers": {"datransnet": "y"}}}, "is the name of a network"),
        ({"networks": {"other": {"points": [{"recipe.lr": 1.0}]}}}, "networks.other: tune: points: recipe.lr"),
        ({"networks": {"other": {"space": {"recipe.lrr": {"choice": [1]}}}}}, "cannot be searched"),
        ({"subject": "unet"}, "there is no network 'unet'"),
        ({"evaluate": {"conventions": ["basicirstd"], "methods": ["x"], "peers": {"x": "y"}}}, "choose another"),
    ],
)
def test_mistakes_are_told_with_their_place(changes, said):
    with pytest.raises(ParameterError, match=said):
        parse_params({**tiny_params(), **changes}, "x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"networks": {"other": {"model": {"name": "unet", "widht": 4}}}}, "networks.other.model"),
        ({"evaluate": {"conventions": ["basicirstd"], "methods": ["tophta"]}}, "evaluate.methods: .*tophat"),
    ],
)
def test_networks_that_cannot_be_built_are_told_before_any_work(changes, said, tmp_path):
    done = StudyFolder(tmp_path, {**tiny_params(), **changes}).run("validate")
    assert done.returncode == 2
    assert re.search(said, done.stderr)


# The study


def test_every_network_has_the_same_budget(study):
    searches = study.searches()
    assert list(searches) == ["datransnet", "rival"]
    assert [len(search["trials"]) for search in searches.values()] == [4, 4]
    assert searches["rival"]["best"]["model"]["name"] == "unet"
    trained = read(study, "results/train.json")["runs"]
    names = [(run["network"], run["variant"], run["seed_number"]) for run in trained]
    variants = [("datransnet", "full"), ("datransnet", "untuned"), ("rival", "rival"), ("rival", "rival_untuned")]
    assert names == [(*variant, seed) for variant in variants for seed in (1, 2)]
    by_variant = {run["variant"]: run["run"]["recipe"] for run in trained}
    assert by_variant["rival_untuned"] == by_variant["rival"] | {"lr": 5e-3, "batch_size": 2}
    assert {run["network"] for run in read(study, "results/ablate.json")["runs"]} == {"datransnet"}
    assert read(study, "models/best/card.json")["model"]["name"] == "datransnet"


def test_the_report_has_a_line_a_network_and_method(study):
    table = (study.folder / "reports/tables/networks.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")][2:]
    assert sorted(lines) == ["DATransNet", "residual U-Net", "tophat"]
    assert "ΔIoU by tuning" in table
    assert (study.folder / "reports/figures/networks.svg").exists()
    main = (study.folder / "reports/tables/main.md").read_text(encoding="utf-8")
    assert "tophat" in main
    page = (study.folder / "reports/report.html").read_text(encoding="utf-8")
    assert 'id="figure-networks"' in page


def test_mlflow_sums_up_each_network_on_the_data(study):
    client = mlflow.MlflowClient(f"sqlite:///{study.folder / 'mlruns.db'}")
    number = client.get_experiment_by_name("tiny").experiment_id
    summaries = client.search_runs([number], "tags.summary_of != ''")
    assert {run.data.tags["network"] for run in summaries} == {"datransnet", "rival", "tophat"}
    assert {run.data.tags["dataset"] for run in summaries} == {"Synthetic generated"}
    runs = read(study, "results/evaluation/evaluation.json")["runs"]
    for run in summaries:
        own = [each["scores"]["basicirstd"]["iou"] for each in runs if each["variant"] == run.data.tags["network"]]
        if own:
            assert run.data.metrics["test_iou"] == pytest.approx(sum(own) / len(own))
    trainings = client.search_runs([number], "tags.stage = 'train' and tags.run_key != ''")
    assert {run.data.tags["network"] for run in trainings} == {"datransnet", "rival"}


def test_a_change_of_one_network_trains_that_network_only(study, tmp_path):
    changed = study.copy(tmp_path / "changed")
    before = {key: path.stat().st_mtime_ns for key, path in weights(changed).items()}
    content = several()
    content["networks"]["rival"]["model"]["width"] = 6
    changed.write(content)
    changed.succeed("check", "tune", "train", "ablate")
    after = {key: path.stat().st_mtime_ns for key, path in weights(changed).items()}
    assert {key: after[key] for key in before} == before
    new = {key: record for key, record in records(changed).items() if key not in before}
    assert {record["run"]["model"]["name"] for record in new.values() if record["status"] == "done"} == {"unet"}
    assert changed.tuned() == study.tuned()


def weights(study):
    return {path.parent.name: path for path in (study.folder / "runs").glob("*/weights.safetensors")}


def test_the_subject_may_be_another_without_training_anything(study, tmp_path):
    other = study.copy(tmp_path / "other")
    known = set(weights(other))
    content = several() | {"subject": "rival"}
    content["ablate"] = {"seeds": 1}
    other.write(content)
    other.succeed("check", "tune", "train", "ablate", "evaluate", "report")
    assert set(weights(other)) == known
    assert list(other.searches()) == ["rival", "datransnet"]
    assert "residual U-Net on Synthetic" in (other.folder / "reports/tables/main.md").read_text(encoding="utf-8")


@pytest.mark.faults
def test_searches_that_were_killed_end_as_one_that_was_not(study, tmp_path):
    killed = StudyFolder(tmp_path / "killed", several())
    killed.succeed("fetch", "split")
    for goal in (2, 5, 9, 14):

        def epochs(goal=goal):
            return sum(len(record["history"]) for record in records(killed).values()) >= goal

        process = killed.start("tune")
        wait_for(epochs, process, "the search ended before it was killed")
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed.succeed("tune")
    killed.wait_until_alone()
    assert killed.searches() == study.searches()


def test_the_default_study_has_a_second_network():
    content = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8"))
    assert list(parse_params(content, "params.yaml").by_network) == ["datransnet", "unet"]
