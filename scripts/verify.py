"""Compare what stands on a chain with this checkout: code of every contract, the factory's parts, each task's wiring.

    python scripts/verify.py --rpc http://127.0.0.1:8545 [--task REGISTRY]
    brownie run scripts/verify.py main --network NAME

Reads only. Exit status 0 if all is well, 50 if anything differs.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # `brownie run` does not

import signing

from pdfed_sdk.chain.calls import ZERO_ADDRESS, TaskCalls
from pdfed_sdk.chain.deploy import Manifest, verify_deployment, verify_task
from pdfed_sdk.errors import AuditFailed, ConfigError, UsageError
from pdfed_sdk.types import Address, Task


def main(*argv: str) -> None:
    parser = signing.options("Verify a deployment and its tasks.", signs=False)
    parser.add_argument("--task", metavar="REGISTRY", help="one task; default: all in the manifest")
    parser.add_argument("--package", metavar="FILE", type=Path, help="the genesis of --task: signer, network, digests")
    parser.add_argument("--card", metavar="FILE", type=Path, help="the card of --task, with --package")
    chosen = parser.parse_args(signing.words(argv))
    if bool(chosen.package) != bool(chosen.card) or (chosen.package and not chosen.task):
        raise UsageError("--task, --package and --card belong together", hint="name all three")
    node = signing.Node.connect(chosen)
    manifest = Manifest.load(node.chain_id, chosen.deployments)
    if manifest is None:
        raise ConfigError(f"{chosen.deployments} knows nothing of chain {node.chain_id}", hint="run scripts/deploy.py")
    signing.say(f"chain {node.chain_id} at {node.name}")
    signing.require(verify_deployment(node.provider, manifest))
    for registry in [chosen.task] if chosen.task else [entry.registry for entry in manifest.tasks]:
        signing.say(f"task {registry}")
        signing.require(verify_task(node.provider, manifest, registry))
    if chosen.package:
        _check_genesis(node, Address(chosen.task), chosen.package, chosen.card)


def _check_genesis(node: signing.Node, registry: Address, package: Path, card: Path) -> None:
    """The task's genesis was signed by its sponsor and loads; the card is the one on chain."""
    from pdfed_sdk.node.genesis_check import check_genesis
    from pdfed_sdk.node.task_card import TaskCard

    calls = TaskCalls(Task(registry=registry, vault=ZERO_ADDRESS, book=ZERO_ADDRESS, pool=ZERO_ADDRESS))
    params, genesis = node.read(calls.params()), node.read(calls.genesis())
    if hashlib.sha256(card.read_bytes()).digest() != params.card_digest:
        raise AuditFailed(f"{card} is not the card that task {registry} names", hint="fetch the one it names")
    check_genesis(package, genesis, params.sponsor, TaskCard.read(card))
    signing.say("genesis and card are those of the task, signed by its sponsor, and the network loads")


if __name__ == "__main__":
    signing.run(main)
