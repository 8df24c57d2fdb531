"""Put PDFed on a chain: four implementations, the factory, the lens, and on request a test token.

    python scripts/deploy.py --rpc http://127.0.0.1:8545 --test-token
    brownie run scripts/deploy.py main --network NAME -- --from KEYSTORE

Prints the plan, asks on a terminal, deploys what is missing, compares the code on chain with ours, and writes
`deployments/<chain id>.json`. A second run sends nothing.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # `brownie run` does not

import signing

from pdfed_sdk.chain.codec import artifact
from pdfed_sdk.chain.connecting import same_code
from pdfed_sdk.chain.deploy import PARTS, Manifest, create_call, plan_factory, verify_deployment


def main(*argv: str) -> None:
    parser = signing.options("Deploy the PDFed contracts.")
    parser.add_argument("--test-token", action="store_true", help="also an ERC-20 that anyone may mint")
    chosen = parser.parse_args(signing.words(argv))
    node = signing.Node.connect(chosen)
    manifest = standing(node, Manifest.load(node.chain_id, chosen.deployments))
    steps = plan_factory(token=chosen.test_token, known=manifest)
    kept = [("keep", name, place) for name, place in manifest.contracts.items()]
    new = [("deploy", step.contract, f"{step.size:,} bytes, {step.why}") for step in steps]
    signing.show(f"plan for chain {node.chain_id} at {node.name}", [*kept, *new])
    if steps:
        signer = signing.Signer.open(chosen)
        signing.say(f"signed by {signer.address}, {signer.account.balance() / 10**18:.4f} ether")
        if not signing.agreed(chosen, f"deploy {len(steps)} contracts?"):
            return
    for step in steps:
        receipt = signer.send(create_call(step.contract, manifest.contracts))
        manifest = manifest.with_contract(step.contract, receipt.contract_address, receipt.block_number)
        manifest.save(chosen.deployments)
    signing.require(verify_deployment(node.provider, manifest))
    signing.say(f"manifest {chosen.deployments / f'{node.chain_id}.json'}" + ("" if steps else ", nothing to do"))


def standing(node: signing.Node, manifest: Manifest | None) -> Manifest:
    """What of a manifest still stands with our code; a factory falls with its implementations, tasks with it."""
    if manifest is None:
        return Manifest.empty(node.chain_id)
    kept = {
        name: place
        for name, place in manifest.contracts.items()
        if (name == "TestToken" and node.code(place)) or same_code(artifact(name), node.code(place))
    }
    if not all(part in kept for part in PARTS):
        kept.pop("TaskFactory", None)
    return replace(manifest, contracts=kept, tasks=manifest.tasks if "TaskFactory" in kept else ())


if __name__ == "__main__":
    signing.run(main)
