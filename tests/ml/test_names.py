"""Names that two settings share mean the same thing; paths that documents name keep working."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from pdfed_sdk.config import NodeSection
from pdfed_sdk.ml.quality.features import LADDER
from pdfed_sdk.ml.scoring.gate import DEFAULT_CEILING
from pdfed_sdk.ml.scoring.reports import FINGERPRINTS

DOCUMENTED = {
    "pdfed_sdk.ml": "set_threads device_of",
    "pdfed_sdk.ml.baselines": "fid fld fld_gap ct_score auth_pct pog prdc measure_all",
    "pdfed_sdk.ml.data": "partition split_nodes PictureSet NodeSplit",
    "pdfed_sdk.ml.scoring": "Scorer ScoringSettings QNReport qn_score improvement pinned dedup_exclusions",
    "pdfed_sdk.ml.sources": "load_pictures",
    "pdfed_sdk.ml.training": "train TrainConfig Progress",
    "pdfed_sdk.node.ports": "Evaluation Evaluator Trainer",
    "pdfed_sdk.node.strategy": "LocalStrategy TrainFromBest",
    "pdfed_sdk.node.workbench": "load_split make_evaluator make_trainer",
}


@pytest.mark.parametrize("module", DOCUMENTED)
def test_documented_imports_keep_working(module: str):
    found = importlib.import_module(module)
    assert [name for name in DOCUMENTED[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", ["pdfed_sdk", "pdfed_sdk.ml", "pdfed_sdk.ml.scoring", "pdfed_sdk.ml.baselines"])
def test_faces_load_lazily(module: str):
    code = f"import sys, {module}; assert 'torch' not in sys.modules; assert dir({module})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fingerprinter_and_an_extractor_do_not_share_a_name():
    """The extractor "own" was the shipped encoder, and fingerprint "own" the node's."""
    assert not set(LADDER) & set(FINGERPRINTS)


def test_the_gate_has_one_ceiling():
    """It was 4 in one file and 5 in another."""
    assert NodeSection().gate_ceiling == DEFAULT_CEILING
