"""``pdfed score``: run on models and pictures, commit, reveal, noise; the private report's files and the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pdfed_sdk.artifacts.package import pack_folder
from pdfed_sdk.ml.data import NodeSplit, partition, split_nodes
from pdfed_sdk.ml.diffusion.model import ModelConfig, new_model, save_pipeline
from pdfed_sdk.ml.scoring.reports import QNReport, ScoringSettings
from pdfed_sdk.ml.sources import load_pictures
from pdfed_sdk.node.task_card import TaskCard
from tests.support.cli_runner import PASSWORD, RECEIPT, Cli, keystore_of, runner
from tests.support.node_world import BOTH, PARTS, STAKE, World

RESULT = {"cautions", "subject", "reference", "improvement", "report", "page"}
NUMBERS = {
    *(
        "fid",
        "fid_floor",
        "fid_infinity",
        "v_a",
        "v_c",
        "r_c",
        "novelty",
        "novelty_floor",
        "qn",
        "objective",
        "copies",
        "nearness",
        "twins",
    ),
    *("samples", "checked_pairs", "confirmed_samples", "threshold", "false_positive_rate", "intervals", "settings"),
    *("extractor_id", "extractor_sha256", "fingerprint_sha256"),
}
PRIVATE = {"pairs", "nearest", "train_counts", "timings", "replicates", "calibration_curve"}
FILES = {"report.html", "report.json", "history.jsonl", "samples.png", "resemblances.png", "scores.png"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared split, a model, its package, a card, and generated pictures, ten of them copies."""
    folder = tmp_path_factory.mktemp("scoring")
    splits = split_nodes(partition(load_pictures("mnist", size=16))[1], 2, seed=5, per_node=240)
    splits[0].save(folder / "data")
    for seed in (0, 1):
        save_pipeline(new_model(ModelConfig(widths=(8, 16)), seed), folder / f"model{seed}")
    (folder / "model0" / "README.md").write_text("a model")
    pack_folder(folder / "model0", folder / "package.zip")
    TaskCard(ScoringSettings(samples=40, extractor="pixels", resamples=8)).write(folder / "card.json")
    made = torch.cat([splits[0].train.images[:10], splits[1].train.images[:30]])
    np.savez(folder / "made.npz", made.permute(0, 2, 3, 1).numpy())
    load_pictures("mnist", size=16).take(range(0, 5_000, 4)).save(folder / "few.npz")
    (folder / "made").mkdir()
    for index, picture in enumerate(made):
        Image.fromarray(picture[0].numpy()).save(folder / "made" / f"{index:03}.png")
    return folder


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], node: Path) -> Cli:
    monkeypatch.chdir(node)
    return runner(monkeypatch, capsys)


@pytest.mark.parametrize("subject", ["model0", "package.zip", "made", "made.npz"])
def test_run_prints_the_numbers_and_writes_the_private_report(cli: Cli, node: Path, tmp_path: Path, subject: str):
    done = cli("score", "run", subject, "--data", "data", "--card", "card.json", "--out", tmp_path, "--json")
    assert done.code == 0, done.err
    assert set(done.json) == RESULT
    assert set(done.json["report"]) == NUMBERS
    assert done.json["improvement"] is None
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    kept = QNReport.from_dict(json.loads((tmp_path / "report.json").read_text()))
    assert kept.objective == done.json["report"]["objective"]
    assert (len(kept.pairs) >= 9) == subject.startswith("made")
    assert not PRIVATE & set(done.json["report"])


def test_run_prints_a_table_and_compares_with_a_reference(cli: Cli, tmp_path: Path):
    arguments = ("--data", "data", "--card", "card.json", "--out", tmp_path)
    done = cli("score", "run", "made.npz", "--reference", "model1", *arguments)
    assert done.code == 0, done.err
    assert "improvement" in done.out
    assert "objective J, lower is better" in done.out
    assert str(tmp_path / "report.html") in done.out
    assert "scoring 40 pictures" in done.err
    same = cli("score", "run", "model1", "--reference", "model1", *arguments, "--json").json
    assert same["improvement"] == 0


def test_the_same_seed_gives_the_same_score_and_history_grows_a_curve(cli: Cli, tmp_path: Path):
    arguments = ("--data", "data", "--card", "card.json", "--out", tmp_path / "r", "--cache", tmp_path / "c", "--json")
    first = cli("score", "run", "model0", *arguments).json["report"]
    assert not (tmp_path / "r" / "history.png").exists()
    assert cli("score", "run", "model0", *arguments).json["report"] == first
    assert (tmp_path / "r" / "history.png").exists()
    assert (tmp_path / "r").stat().st_mode & 0o077 == 0
    other = cli("score", "run", "model0", *arguments, "--seed", "another").json["report"]
    assert other["objective"] != first["objective"]
    assert len((tmp_path / "r" / "history.jsonl").read_text().splitlines()) == 3
    assert list((tmp_path / "c").iterdir())


def test_without_a_card_the_data_give_the_shape_and_all_pictures_count(cli: Cli, tmp_path: Path):
    done = cli(
        *(
            "score",
            "run",
            "made",
            "--data",
            "data",
            "--extractor",
            "fingerprint",
            "--out",
            tmp_path,
            "--title",
            "<b>",
            "--json",
        )
    )
    assert done.code == 0, done.err
    settings = done.json["report"]["settings"]
    assert (settings["samples"], settings["size"], settings["channels"], settings["extractor"]) == (
        40,
        16,
        1,
        "fingerprint",
    )
    assert "<h1>&lt;b&gt;</h1>" in (tmp_path / "report.html").read_text()


def test_every_picture_of_a_folder_is_searched(cli: Cli, node: Path, tmp_path: Path):
    """Copies of what a 60/20/20 split would hold out are found, and the folder's own twins raise no alarm."""
    mine = load_pictures("mnist", size=16).take(range(0, 5_000, 10))
    mine.save(tmp_path / "mine.npz")
    np.savez(tmp_path / "copies.npz", mine.images[::5][:100].numpy())
    theirs = load_pictures("mnist", size=16).take(range(5, 5_000, 50))
    np.savez(tmp_path / "new.npz", theirs.images.numpy())
    found = {}
    for name in ("copies", "new"):
        done = cli(
            *("score", "run", tmp_path / f"{name}.npz", "--data", tmp_path / "mine.npz", "--extractor", "pixels"),
            *("--out", tmp_path / name, "--json"),
        )
        assert done.code == 0, done.err
        found[name] = done.json["report"]
        assert done.json["cautions"] == []
    assert found["copies"]["r_c"] == 1.0
    assert found["new"]["r_c"] < 0.05
    assert found["new"]["novelty_floor"] < 10
    assert found["copies"]["objective"] > 10 * found["new"]["objective"]


def test_sets_too_small_for_a_figure_are_told(cli: Cli, node: Path, tmp_path: Path):
    few = load_pictures("mnist", size=16).take(range(0, 4_800, 200))
    few.save(tmp_path / "few.npz")
    np.savez(tmp_path / "flat.npz", np.zeros((128, 16, 16), dtype=np.uint8))
    done = cli(
        *("score", "run", tmp_path / "flat.npz", "--data", tmp_path / "few.npz", "--extractor", "pixels"),
        *("--out", tmp_path / "r", "--json"),
    )
    assert done.code == 0, done.err
    told = " ".join(done.json["cautions"])
    assert "24 of your pictures against 128 samples" in told
    assert "the held-out part has 12 pictures" in told
    assert "calibrated on 24 pictures: 300 are needed" in told
    assert "only 1 of the generated 128 pictures are distinct" in told
    assert "caution: there are 24" in done.err.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nothing", "--data", "data"), 2, "nothing does not exist"),
        (("model0", "--data", "elsewhere"), 2, "--data elsewhere does not exist"),
        (("model0", "--data", "data", "--card", "none.json"), 2, "none.json cannot be read"),
        (("model0", "--data", "data", "--card", "card.json", "--samples", "9"), 2, "card.json freezes samples"),
        (("made.npz", "--data", "data", "--samples", "1"), 2, "samples is 1, limits 2 and 1000000"),
        (("made.npz", "--data", "data", "--samples", "41"), 41, "there are 40 generated pictures, 41 are scored"),
        (("made.npz", "--data", "data", "--extractor", "resnet"), 40, "extractor 'resnet' is unknown"),
        (("card.json", "--data", "data"), 41, "neither 'mnist' nor an .npz file nor a folder"),
        (("float.npz", "--data", "data"), 41, "is float64, expected uint8"),
        (("large.npz", "--data", "data"), 41, "the settings want uint8 pictures (n, 1, 16, 16)"),
        (("text.npz", "--data", "data"), 41, "is not a picture archive"),
        (("text.zip", "--data", "data"), 33, "text.zip"),
        (("wrong", "--data", "data"), 40, "lacks unet"),
        (("made", "--data", "data", "--out", "card.json"), 2, "--out card.json is a file"),
    ],
)
def test_bad_input_names_the_subject_and_the_next_step(
    cli: Cli, node: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
):
    np.savez(node / "float.npz", np.zeros((5, 16, 16)))
    np.savez(node / "large.npz", np.zeros((5, 28, 28), dtype=np.uint8))
    for name in ("text.npz", "text.zip"):
        (node / name).write_text("not an archive")
    (node / "wrong" / "unet").mkdir(parents=True, exist_ok=True)
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        (node / "wrong" / name).parent.mkdir(exist_ok=True)
        (node / "wrong" / name).write_bytes((node / "model0" / name).read_bytes())
    given = arguments if "--out" in arguments else (*arguments, "--out", tmp_path / "r")
    done = cli("score", "run", *map(str, given))
    assert done.code == code, done.err
    assert words in done.err.replace("\n", " ")
    assert done.out == ""
    assert not (tmp_path / "r" / "report.html").exists()


def test_noise_measures_and_names_a_min_step(cli: Cli):
    sizes = ("--voters", 2, "--pairs", 1, "--pictures", 64, "--genesis", 64, "--generations", 1)
    done = cli("score", "noise", "--data", "few.npz", *sizes, "--samples", 32, "--samples", 16, "--json")
    assert done.code == 0, done.err
    assert set(done.json) == {"values", "deviation", "outcome_deviation", "min_step", "by_samples", "samples_needed"}
    both = done.json["by_samples"]
    assert set(both) == {"16", "32"}
    assert both["32"]["values"] == done.json["values"] != both["16"]["values"]
    assert np.shape(done.json["values"]) == (1, 2)
    assert done.json["min_step"] >= 2
    assert cli("score", "noise", "--voters", 0).code == 2


# --- votes ---


@pytest.fixture
def home(world: World, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a registered node whose evaluator has an opinion of its own."""
    monkeypatch.setenv("PDFED_PASSWORD", PASSWORD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "own_parts", raising=False)
    (tmp_path / "own_parts.py").write_text(PARTS)
    home = tmp_path / "home"
    home.mkdir()
    keystore_of(world, 6, home).rename(home / "keystore.json")
    parts = "\n".join(
        f'{name} = "own_parts:{call}"' for name, call in (("dataset", "data"), ("evaluator", "evaluator"))
    )
    (home / "pdfed.toml").write_text(
        f'[chain]\nrpc = "{world.anvil.url}"\ntask = "{world.entry.registry}"\n'
        f'[store]\nuri = "local:{world.folder / "store"}"\n[parts]\n{parts}\n'
    )
    world.client(6).register(BOTH)
    world.client(6).deposit(STAKE)
    world.to(world.client(0).now() + 3)
    return home


def test_commit_seals_and_reveal_opens(home: Path, world: World, cli: Cli):
    submission = world.submit(1)
    before = world.anvil.ask("eth_blockNumber")
    dry = cli("score", "commit", submission, "--home", home, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert set(dry.json) == {"submission", "improvement", "publication", "receipt"}
    assert set(dry.json["receipt"]) == RECEIPT
    assert dry.json["receipt"]["sent"] is False
    assert world.anvil.ask("eth_blockNumber") == before
    done = cli("score", "commit", submission, "--home", home, "--json")
    assert done.code == 0, done.err
    assert (done.json["improvement"], done.json["receipt"]["sent"]) == (6, True)
    again = cli("score", "commit", submission, "--home", home)
    assert again.code == 2
    assert "sealed already" in again.err
    waiting = cli("score", "reveal", "--home", home, "--json").json
    assert waiting["reveals"] == []
    assert [(set(vote), vote["id"]) for vote in waiting["waiting"]] == [
        ({"id", "reveal_start", "reveal_end", "state"}, submission)
    ]
    assert f"the vote on #{submission} opens in" in cli("score", "reveal", "--home", home).out
    world.to_reveal(submission)
    dry = cli("score", "reveal", "--home", home, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert [receipt["sent"] for receipt in dry.json["reveals"]] == [False]
    opened = cli("score", "reveal", "--home", home, "--json").json
    assert (set(opened), set(opened["reveals"][0])) == ({"reveals", "waiting", "lost"}, RECEIPT)
    assert world.client(6).vote(submission).revealed
    assert "nothing to do" in cli("score", "reveal", "--home", home).out


def test_commit_refuses_what_takes_no_vote(home: Path, world: World, cli: Cli):
    done = cli("score", "commit", 9, "--home", home)
    assert (done.code, "no submission 9" in done.err) == (2, True)
    submission = world.submit(1)
    world.to_reveal(submission)
    done = cli("score", "commit", submission, "--home", home)
    assert done.code == 2
    assert "takes no votes" in done.err.replace("\n", " ")
    assert cli("score", "reveal", "--task", world.entry.registry).code == 2


def test_reveal_with_a_keystore_alone_recovers_the_vote_from_the_chain(
    home: Path, world: World, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    submission = world.submit(1)
    assert cli("score", "commit", submission, "--home", home).code == 0
    world.to_reveal(submission)
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    where = ("--task", world.entry.registry, "--rpc", world.anvil.url, "--keystore", home / "keystore.json")
    done = cli("score", "reveal", *where)
    assert done.code == 0, done.err
    assert world.client(6).vote(submission).revealed


def test_the_publication_of_a_real_vote_holds_no_number_and_no_pair(node: Path, world: World, tmp_path: Path):
    from pdfed_sdk.cli.score import publication
    from pdfed_sdk.ml.scoring.scorer import Scorer
    from pdfed_sdk.node.picture_parts import PictureEvaluator
    from pdfed_sdk.node.voter import SealedVote

    scorer = Scorer(NodeSplit.load(node / "data"), ScoringSettings(samples=40, extractor="pixels", resamples=8))
    found = PictureEvaluator(scorer, 5.0).compare(node / "model1", node / "model0", b"s" * 32, lambda: None)
    published = publication(SealedVote(found, b"\x07" * 32, None))  # type: ignore[arg-type]
    assert published is not None
    assert set(published) == {"improvement", "evidence_root", "settings", "extractor_sha256", "fingerprint_sha256"}
    assert str(found.candidate["objective"]) not in json.dumps(published)
