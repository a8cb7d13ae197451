"""Parameters: every file of the project is valid, and every mistake is told with its path."""

from copy import deepcopy

import pytest
import yaml

from datransnet.errors import ParameterError
from pipeline.commands.profile import differences, merged, write_study
from pipeline.runs.check_models import check_models
from pipeline.study.read_params import parse_params, read_params
from pipeline.study.study import Study
from tests.conftest import ROOT
from tests.pipeline.conftest import tiny_params

PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))


def set_at(content, path, value):
    *parents, last = path.split("/")
    for part in parents:
        content = content[part]
    content[last] = value


def test_the_default_is_valid():
    check_models(read_params(ROOT / "params.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_are_valid_and_hold_only_differences(name):
    base = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    changes = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text(encoding="utf-8"))
    whole = merged(base, differences(ROOT / "profiles", name))
    check_models(parse_params(whole, name))
    extended = changes.pop("extends", None)
    before = merged(base, differences(ROOT / "profiles", extended)) if extended else base
    assert not [key for key, value in changes.items() if before.get(key) == value]
    assert all(merged(whole, {key: value}) == whole for key, value in changes.items())


def test_a_profile_builds_on_another(tmp_path):
    for name, text in (
        ("first", "study: first\nrecipe: {epochs: 9, lr: 0.1}\nmodel: {name: unet}\n"),
        ("second", "extends: first\nstudy: second\nrecipe: {epochs: 3}\n"),
        ("third", "extends: second\nmodel: {width: 4}\n"),
        ("circle", "extends: round\n"),
        ("round", "extends: circle\n"),
        ("lost", "extends: frist\n"),
    ):
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    assert differences(tmp_path, "third") == {
        "study": "second",
        "recipe": {"epochs": 3, "lr": 0.1},
        "model": {"width": 4},  # a network is replaced as a whole
    }
    with pytest.raises(ParameterError, match="circle → round → circle extend each other"):
        differences(tmp_path, "circle")
    with pytest.raises(ParameterError, match=r"no profile 'frist'.*Did you mean 'first'"):
        differences(tmp_path, "lost")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("seed", -1, "seed: .* greater than or equal to 0"),
        ("recipe/lr", 0, "recipe.lr: "),
        ("recipe/loss", "iou", "recipe.loss: "),
        ("recipe/epoch", 3, "recipe.epoch: unknown key. Did you mean 'epochs'"),
        ("tune/trails", 3, "tune.trails: unknown key. Did you mean 'trials'"),
        ("data/dataset", "SIRTS", "Did you mean 'SIRST'"),
        ("data/split", "50_50", "there is no split"),
        ("data/synthetic/size", 8, "data.synthetic.size"),
        ("evaluate/conventions", ["basic"], "basicirstd"),
        ("ablate/variants/Big Name", {}, "ablate.variants"),
        ("tune/space/recipe.epochs", {"choice": [1]}, "cannot be searched"),
        ("tune/space/lr", {"low": 1, "high": 2}, "'lr' cannot be searched"),
        ("tune/space/recipe.lr", {"low": 2, "high": 1}, "low must be below high"),
        ("tune/points", [{"recipe.batch_size": 4}], "keys of space"),
        ("resources/gpus", -1, "resources.gpus"),
        ("protocol", "test", "protocol"),
    ],
)
def test_a_mistake_is_told_with_its_path(path, value, words):
    content = deepcopy(tiny_params()) | {"resources": {}}
    set_at(content, path, value)
    with pytest.raises(ParameterError, match=words):
        parse_params(content, "params.yaml")


@pytest.mark.parametrize(("name", "card"), [("NUAA-SIRST", "SIRST"), ("irstd-1k", "IRSTD-1K"), ("NUDT", "NUDT-SIRST")])
def test_a_dataset_may_be_called_by_any_of_its_names(name, card):
    content = deepcopy(tiny_params())
    content["data"] |= {"dataset": name, "split": "random"}
    params = parse_params(content, "params.yaml")
    assert params.data.card.name == card
    content["data"]["source"] = "elsewhere"
    with pytest.raises(ParameterError, match="is the name of a published dataset"):
        parse_params(content, "params.yaml")


def test_all_mistakes_are_told_at_once():
    content = tiny_params() | {"seed": -1, "sed": 1}
    content["train"] = {"seeds": "many"}
    with pytest.raises(ParameterError, match=r"3 mistake\(s\)") as caught:
        parse_params(content, "params.yaml")
    assert all(word in str(caught.value) for word in ("seed:", "sed:", "train.seeds:"))


def test_a_searched_value_that_no_recipe_takes_is_told():
    content = tiny_params()
    content["tune"]["space"]["recipe.batch_size"] = {"choice": [4, 0]}
    with pytest.raises(ParameterError, match=r"tune\.space\.recipe\.batch_size = 0"):
        check_models(parse_params(content, "params.yaml"))


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "", "seed: 1\nseed: 2\n"])
def test_what_is_no_mapping_is_told(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError):
        read_params(tmp_path / "params.yaml")


def test_a_folder_without_parameters_is_told(tmp_path):
    with pytest.raises(ParameterError, match="Run from a study's folder"):
        _ = Study(tmp_path).params


def test_a_profile_becomes_a_study_of_its_own(tmp_path):
    for name in ("params.yaml", "dvc.yaml", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    folder = write_study(Study(tmp_path), "sirst")
    assert Study(folder).params.data.dataset == "SIRST"
    stages = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert "../../datransnet" in stages["train"]["deps"]
    assert "results/tune.json" in stages["train"]["deps"]


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "profiles").glob("*.yaml"))])
def test_every_profile_can_be_run(tmp_path, name):
    for file in ("params.yaml", "dvc.yaml", "profiles"):
        (tmp_path / file).symlink_to(ROOT / file)
    check_models(Study(write_study(Study(tmp_path), name)).params)


def test_an_unknown_profile_gets_a_suggestion(tmp_path):
    (tmp_path / "profiles").symlink_to(ROOT / "profiles")
    with pytest.raises(ParameterError, match="Did you mean 'sirst'"):
        write_study(Study(tmp_path), "sirts")


def test_a_study_below_the_project_shares_its_runs(tmp_path):
    (tmp_path / ".dvc").mkdir()
    assert Study(tmp_path / "studies" / "x").runs == tmp_path / "runs"
    assert Study(tmp_path).runs == tmp_path / "runs"


def test_a_study_that_a_person_wrote_is_not_replaced_by_a_profile(tmp_path):
    for name in ("params.yaml", "dvc.yaml", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "studies/sirst").mkdir(parents=True)
    (tmp_path / "studies/sirst/dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=r"dvc\.yaml was not written by .* Move it"):
        write_study(Study(tmp_path), "sirst")
    assert [path.name for path in (tmp_path / "studies/sirst").iterdir()] == ["dvc.yaml"]
