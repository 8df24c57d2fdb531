"""A real anvil for the SDK's tests: one process a session, a snapshot a test, the contracts deployed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pdfed_sdk.chain.deploy import create_task, deploy_factory
from pdfed_sdk.chain.parameters import task_params
from pdfed_sdk.chain.signers import LocalSigner
from pdfed_sdk.types import Role
from tests.support.anvil import Anvil, start_anvil
from tests.support.federation import FAST, GENESIS, KEYS, UNIT, Federation
from tests.support.node_world import World, build_world, copy_of


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    running = start_anvil()
    yield running
    running.process.terminate()
    running.process.wait(10)


@pytest.fixture(scope="session")
def deployed(anvil: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Contracts, one funded task, a sponsor and five staked nodes; made once a session."""
    folder = tmp_path_factory.mktemp("federation")
    signers = [LocalSigner.from_key(key, lock_folder=folder / "locks") for key in KEYS]
    for signer in signers:
        anvil.endow(signer.address)
    manifest = deploy_factory(anvil.url, signers[0], folder=folder, options=FAST)
    assert manifest.token is not None
    params = task_params(manifest.token, signers[0].address)
    entry = create_task(anvil.url, signers[0], params, GENESIS, manifest, folder=folder, options=FAST)
    federation = Federation(anvil, manifest, entry, signers, folder)
    sponsor = federation.client(0)
    sponsor.mint(sponsor.address, 10_000 * UNIT)
    sponsor.fund(10_000 * UNIT)
    for index in range(1, 6):
        node = federation.client(index)
        sponsor.mint(node.address, 1_000 * UNIT)
        node.register(Role.TRAINER | Role.VALIDATOR)
        node.deposit(500 * UNIT)
    anvil.warp(sponsor.now() + 5)
    return federation


@pytest.fixture
def federation(deployed: Federation, tmp_path: Path) -> Iterator[Federation]:
    """The same for each test: its own state folders, and the chain put back afterwards."""
    snapshot = deployed.anvil.ask("evm_snapshot")
    yield replace(deployed, folder=tmp_path)
    deployed.anvil.ask("evm_revert", snapshot)


@pytest.fixture
def spare_anvil() -> Iterator[Callable[..., Anvil]]:
    """Make extra anvils that a test may kill."""
    running: list[Anvil] = []

    def make(*options: str) -> Anvil:
        running.append(start_anvil(*options))
        return running[-1]

    yield make
    for each in running:
        each.process.kill()
        each.process.wait(10)


@pytest.fixture(scope="session")
def world_made(deployed: Federation, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A task whose genesis is a real signed package, with five staked nodes; made once a session."""
    return build_world(deployed.anvil, deployed.manifest, deployed.signers, tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(world_made: World, tmp_path: Path) -> Iterator[World]:
    """The same for each test: own home folders, an own copy of the store, and the chain put back afterwards."""
    snapshot = world_made.anvil.ask("evm_snapshot")
    yield copy_of(world_made, tmp_path)
    world_made.anvil.ask("evm_revert", snapshot)
