"""Labels as folders: steps, generalizing, undo, and that nothing of the user's is ever lost."""

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from gandt.cli import app
from gandt.cli import folders as _commands  # noqa: F401  (registers them)
from gandt.embedding import EmbeddingStore
from gandt.errors import InputError
from gandt.folders import Folders
from gandt.folders.options import Options, classifier_named
from gandt.folders.prompt import Prompt
from gandt.tables import read_table


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty digits in ``dataset/``, three kinds of twenty; their vectors are made once."""
    import numpy as np
    from PIL import Image

    base = tmp_path_factory.mktemp("folders") / "base"
    (base / "dataset").mkdir(parents=True)
    data = load_digits()
    for digit in (0, 1, 4):
        for number in np.flatnonzero(data.target == digit)[:20]:
            image = Image.fromarray(np.uint8(255 * (1 - np.pad(data.images[number] / 16, 1)))).resize((64, 64))
            image.save(base / "dataset" / f"{digit}-{number}.png")
    Folders(str(base)).preload()
    return base


@pytest.fixture
def base(pictures: Path, tmp_path: Path) -> Path:
    """A fresh copy, with three labels of two images each."""
    target = tmp_path / "base"
    (target / "dataset").mkdir(parents=True)
    for path in sorted((pictures / "dataset").iterdir()):
        shutil.copy2(path, target / "dataset")
    Folders(str(target)).set("classifier", "LogisticRegression")  # quicker than a forest
    Folders(str(target)).load(str(next((pictures / ".gandt").glob("vectors-*"))))
    for digit in (0, 1, 4):
        (target / f"digit {digit}").mkdir()
        for path in sorted((target / "dataset").glob(f"{digit}-*"))[:2]:
            shutil.copy2(path, target / f"digit {digit}")
    return target


def snapshot(base: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(base)): path.read_bytes()
        for path in sorted(base.rglob("*"))
        if path.is_file() and ".gandt" not in path.parts
    }


def special(base: Path) -> dict[str, bytes]:
    return {name: content for name, content in snapshot(base).items() if "_potential" in name or "needhelp" in name}


def test_the_defaults_are_quicklabels() -> None:
    options = Options()
    assert (options.suffix, options.dataset, options.needhelp) == ("_potential", "dataset", "needhelp")
    assert (options.needhelp_prob, options.new_sample, options.force_diversity) == (0.6, 50, True)
    assert classifier_named(options.classifier) == "sklearn.ensemble.RandomForestClassifier"


def test_step_confirm_by_moving_step_again(base: Path) -> None:
    folders = Folders(str(base))
    folders.set("new_sample", "12")
    folders.set("classifier", "RandomForest")
    before = snapshot(base)
    outcome = folders.step()
    assert outcome.learned == {"digit 0": 2, "digit 1": 2, "digit 4": 2}
    placed = special(base)
    assert sum(outcome.placed.values()) == len(placed) >= 12 and outcome.left <= 60 - len(placed)
    assert set(outcome.placed) <= {"digit 0_potential", "digit 1_potential", "digit 4_potential", "needhelp"}
    assert snapshot(base) == before | placed  # nothing else changed
    labelled = {content for name, content in before.items() if name.startswith("digit")}
    assert not labelled & set(placed.values())
    # the user confirms all of them, whatever they were taken for
    for name in placed:
        digit = Path(name).name.split("-")[0]
        (base / name).rename(base / f"digit {digit}" / Path(name).name)
    folders.set("classifier", "LogisticRegression")
    again = folders.step()
    assert sum(again.learned.values()) == 6 + len(placed) and again.cleared == 0
    assert not set(special(base).values()) & set(placed.values())
    assert len(list((base / "dataset").iterdir())) == 60


def test_a_step_clears_what_it_placed_and_nothing_else(base: Path) -> None:
    folders = Folders(str(base))
    folders.set("new_sample", "10")
    folders.step()
    placed = list(special(base))
    mine = base / Path(placed[0]).parent / "holiday.jpg"
    mine.write_bytes(b"the user's own")
    changed = base / placed[1]
    changed.unlink()
    changed.write_bytes(b"edited by the user")
    outcome = folders.step()
    assert mine.read_bytes() == b"the user's own" and changed.read_bytes() == b"edited by the user"
    assert outcome.kept == 2 and outcome.cleared == len(placed) - 1


def test_undo_restores_every_folder(base: Path) -> None:
    folders = Folders(str(base))
    folders.set("new_sample", "10")
    start = snapshot(base)
    folders.step()
    first = snapshot(base)
    assert {(base / name).stat().st_nlink for name in special(base)} == {2}
    folders.set("copy", "true")
    folders.step()
    assert {(base / name).stat().st_nlink for name in special(base)} == {1}
    second = snapshot(base)
    label = next(name.split("_potential")[0] for name in special(base) if "_potential" in name)
    count = folders.confirm(label)
    assert count and not list((base / f"{label}_potential").iterdir())
    assert len(list((base / label).iterdir())) == 2 + count
    assert folders.undo() == ("confirm", 0) and snapshot(base) == second
    assert folders.undo() == ("step", 0) and snapshot(base) == first
    assert folders.undo() == ("step", 0) and snapshot(base) == start
    with pytest.raises(InputError, match="nothing to undo"):
        folders.undo()


def test_undo_leaves_what_the_user_moved_on(base: Path) -> None:
    folders = Folders(str(base))
    folders.step()
    name = next(iter(special(base)))
    moved = base / "digit 0" / "moved.png"
    (base / name).rename(moved)
    verb, left = folders.undo()
    assert (verb, left) == ("step", 1) and moved.is_file() and not special(base)


def test_generalize_places_all_and_gives_a_table(base: Path) -> None:
    twin = base / "dataset" / "a twin.png"
    shutil.copy(min((base / "dataset").glob("4-*")), twin)
    (base / "dataset" / "broken.png").write_bytes(b"no picture")
    folders = Folders(str(base))
    outcome, table = folders.generalize(str(base.parent / "labels.csv"))
    assert sum(outcome.placed.values()) == len(special(base)) == 54
    assert [reason for item, reason in outcome.set_aside if item.endswith("broken.png")]
    written = read_table(str(base.parent / "labels.csv"))
    assert len(written) == len(table) == 62
    assert table["status"].value_counts()["set aside"] == 1
    by_name = table.set_index(table["item"].map(lambda item: Path(item).name))
    truth = {name: f"digit {name[0]}" for name in by_name.index if name[0] in "014"}
    right = [by_name.loc[name, "label"] == label for name, label in truth.items()]
    assert sum(right) / len(right) > 0.75
    assert by_name.loc["a twin.png", "label"] == "digit 4"
    known = table[table["method"] == "folders"]
    assert len(known) == 7 and set(known["status"]) == {"confident"}  # six labelled, and the twin of one
    rest = table[table["method"].str.startswith("classifier")]
    assert ((rest["status"] == "confident") == (rest["confidence"] >= 0.6)).all()


def test_force_diversity_goes_on_until_there_is_some(base: Path) -> None:
    folders = Folders(str(base))
    folders.set("new_sample", "1")
    folders.set("force_diversity", "false")
    assert sum(folders.step().placed.values()) == 1
    folders.set("force_diversity", "true")
    folders.set("needhelp_prob", "0.01")  # nothing ever needs help
    outcome = folders.step()
    assert set(outcome.placed) == {"digit 0_potential", "digit 1_potential", "digit 4_potential"}


def test_steps_are_reproducible_and_differ_from_each_other(base: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(base, twin)
    first, second = Folders(str(base)), Folders(str(twin))
    for folders in (first, second):
        folders.set("new_sample", "8")
        folders.step()
    names = sorted(special(base))
    assert names == sorted(special(twin))
    first.step()
    assert sorted(special(base)) != names


def test_an_image_in_two_labels_folders_is_set_aside(base: Path) -> None:
    one = next((base / "digit 0").iterdir())
    shutil.copy(one, base / "digit 1" / "again.png")
    outcome = Folders(str(base)).step()
    assert outcome.learned == {"digit 0": 1, "digit 1": 2, "digit 4": 2}
    assert any("leave it in one" in reason for _, reason in outcome.set_aside)


def test_vectors_are_kept_dumped_and_loaded(base: Path, tmp_path: Path) -> None:
    folders = Folders(str(base))
    folders.dump(str(tmp_path / "vectors"))
    assert len(EmbeddingStore.open(str(tmp_path / "vectors")).vectors) == 60
    with pytest.raises(InputError, match="exists already"):
        folders.dump(str(tmp_path / "vectors"))
    shutil.rmtree(base / ".gandt")
    assert len(folders.load(str(tmp_path / "vectors")).vectors) == 60
    folders.set("model", "lite1")
    with pytest.raises(InputError, match="vectors by lite0, but the option model is lite1"):
        folders.load(str(tmp_path / "vectors"))
    with pytest.raises(InputError, match="no vectors by lite1 to dump"):
        folders.dump(str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("colour", "red", "no option 'colour'; there are suffix, dataset"),
        ("new_sample", "many", "new_sample is a whole number, not 'many'"),
        ("new_sample", "0", "1 or more images a step"),
        ("needhelp_prob", "1.5", "a probability above 0 and at most 1"),
        ("needhelp_prob", "nan", "a probability above 0"),
        ("force_diversity", "maybe", "true or false"),
        ("suffix", "", "a part of a folder's name"),
        ("dataset", "../..", "a part of a folder's name"),
        ("needhelp", "dataset", "can't both be 'dataset'"),
        ("classifier", "Forest", "no classifier 'Forest'; take for instance RandomForest"),
        ("classifier", "LinearSVC", "gives no probabilities"),
        ("classifier", "os.system", "there is no classifier"),
    ],
)
def test_options_that_cannot_be(name: str, value: str, message: str, tmp_path: Path) -> None:
    folders = Folders(str(tmp_path))
    with pytest.raises(InputError, match=message):
        folders.set(name, value)
    assert folders.options == Options() and not (tmp_path / ".gandt").exists()


def test_folders_that_cannot_be_used(tmp_path: Path, base: Path) -> None:
    with pytest.raises(InputError, match="is not a local folder; make it"):
        Folders(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="is not a local folder"):
        Folders("s3://bucket/base")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"there is no folder .*dataset; make it"):
        Folders(str(empty)).step()
    (empty / "dataset").mkdir()
    with pytest.raises(InputError, match="there are no images in"):
        Folders(str(empty)).step()
    shutil.rmtree(base / "digit 0")
    shutil.rmtree(base / "digit 1")
    (base / "digit 9").mkdir()  # a label without images is none
    with pytest.raises(InputError, match=r"two labels .* only 'digit 4' has images"):
        Folders(str(base)).step()
    with pytest.raises(InputError, match="nothing to confirm"):
        Folders(str(base)).confirm("../dataset")
    (base / ".gandt" / "options.json").write_text("{")
    with pytest.raises(InputError, match=r"options in .*options\.json can't be used"):
        Folders(str(base))


def test_everything_labelled_leaves_nothing_to_ask(base: Path) -> None:
    for path in (base / "dataset").iterdir():
        shutil.copy2(path, base / f"digit {path.name[0]}")
    with pytest.raises(InputError, match="has a label; there is nothing to ask"):
        Folders(str(base)).step()


def test_the_prompt_has_the_verbs_and_survives_mistakes(base: Path) -> None:
    lines = ["labels", "options new_sample 5", "options", "step", "undo", "undo", "dance", "", "help", "classifier"]
    out = io.StringIO()
    Prompt(Folders(str(base)), io.StringIO("\n".join([*lines, "options new_sample x"])), out).cmdloop()
    said = out.getvalue()
    assert "digit 0: 2" in said and "new_sample = 5" in said and "learned from digit 0 2" in said
    assert "took back: step" in said and "there is nothing to undo" in said and "no verb 'dance'" in said
    assert "LogisticRegression" in said and "whole number" in said
    for verb in ("labels", "classifier", "model", "step", "generalize", "preload", "dump", "load", "options"):
        assert verb in said
    assert not special(base)


def test_the_commands(base: Path) -> None:
    run = CliRunner()

    def call(*words: str) -> dict:
        done = run.invoke(app, ["folders", *words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert call("labels", str(base)) == {"digit 0": 2, "digit 1": 2, "digit 4": 2}
    assert call("options", str(base), "new_sample", "7")["new_sample"] == 7
    assert sum(call("step", str(base))["placed"].values()) >= 7
    assert call("undo", str(base)) == {"undone": "step", "left_alone": 0}
    assert call("preload", str(base))["items"] >= 60
    out = base.parent / "all.parquet"
    assert sum(call("generalize", str(base), "--out", str(out))["placed"].values()) == 54
    assert len(pd.read_parquet(out)) == 60
    assert run.invoke(app, ["folders", "step", str(base / "none")]).exit_code != 0
