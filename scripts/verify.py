"""Compare what stands on a chain with this checkout: code of every contract, the factory's parts, each task's wiring.

    python scripts/verify.py --rpc http://127.0.0.1:8545 [--task REGISTRY]
    brownie run scripts/verify.py main --network NAME

Reads only. Exit status 0 if all is well, 50 if anything differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # `brownie run` does not

import signing

from pdfed_sdk.chain.deploy import Manifest, verify_deployment, verify_task
from pdfed_sdk.errors import ConfigError


def main(*argv: str) -> None:
    parser = signing.options("Verify a deployment and its tasks.", signs=False)
    parser.add_argument("--task", metavar="REGISTRY", help="one task; default: all in the manifest")
    chosen = parser.parse_args(signing.words(argv))
    node = signing.Node.connect(chosen)
    manifest = Manifest.load(node.chain_id, chosen.deployments)
    if manifest is None:
        raise ConfigError(f"{chosen.deployments} knows nothing of chain {node.chain_id}", hint="run scripts/deploy.py")
    signing.say(f"chain {node.chain_id} at {node.name}")
    signing.require(verify_deployment(node.provider, manifest))
    for registry in [chosen.task] if chosen.task else [entry.registry for entry in manifest.tasks]:
        signing.say(f"task {registry}")
        signing.require(verify_task(node.provider, manifest, registry))


if __name__ == "__main__":
    signing.run(main)
