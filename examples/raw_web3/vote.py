"""A validator with nothing but web3.py and the ABI files: join, list what is open, seal a vote, open it.

    python vote.py join 400            register as a validator and stake 400 whole tokens
    python vote.py list                submissions, and until when they take votes
    python vote.py commit 1 3          seal the vote "bucket 3" on submission 1
    python vote.py reveal 1            open it, in its window

The chain and the task come from --rpc and --task (PDFED_RPC, PDFED_TASK), the key from --keystore (PDFED_KEYSTORE), a
Web3 v3 file whose password is in PDFED_PASSWORD. How a model is measured is your affair; here you say the bucket.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from eth_abi import encode
from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractCustomError

ABI = Path(__file__).resolve().parents[2] / "pdfed_sdk" / "chain" / "abi"
VALIDATOR, OPEN = 2, 2
"""Bit of a role, and value of a status: see interfaces/PdfedTypes.sol."""
DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
VOTE = "ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,int8 improvement,"
VOTE += "bytes32 evidenceRoot,bytes32 salt)"


def keccak(data: bytes) -> bytes:
    return bytes(Web3.keccak(data))


def abi(contract: str) -> Any:
    return json.loads((ABI / f"{contract}.json").read_text())["abi"]


def commitment(chain_id: int, book: str, vote: dict[str, Any]) -> bytes:
    """The EIP-712 digest of a vote, 32 bytes: what ``ScoreBook.commit`` takes and ``ScoreBook.hashVote`` returns."""
    domain = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [keccak(DOMAIN.encode()), keccak(b"PDFed"), keccak(b"1"), chain_id, book],
        )
    )
    content = keccak(
        encode(
            ["bytes32", "address", "uint256", "bytes32", "int8", "bytes32", "bytes32"],
            [keccak(VOTE.encode()), *vote.values()],
        )
    )
    return keccak(b"\x19\x01" + domain + content)


class Validator:
    """One key on one task. The registry's address leads to the other three contracts."""

    def __init__(self, rpc: str, task: str, keystore: Path, folder: Path) -> None:
        self.w3 = Web3(Web3.HTTPProvider(rpc))
        self.key = Account.from_key(Account.decrypt(keystore.read_text(), os.environ["PDFED_PASSWORD"]))
        self.me, self.folder = self.key.address, folder
        self.registry = self.w3.eth.contract(Web3.to_checksum_address(task), abi=abi("ModelRegistry"))
        vault, book, _pool = self.registry.functions.siblings().call()
        self.vault = self.w3.eth.contract(vault, abi=abi("StakeVault"))
        self.book = self.w3.eth.contract(book, abi=abi("ScoreBook"))

    def send(self, function: Any) -> str:
        """Sign, send, wait. A call that the contract refuses fails before it is sent, when its gas is estimated."""
        transaction = function.build_transaction(
            {"from": self.me, "nonce": self.w3.eth.get_transaction_count(self.me, "pending")}
        )
        transaction["gas"] += transaction["gas"] // 4  # a slot that is cold in the next block costs more
        tx_hash = self.w3.eth.send_raw_transaction(self.key.sign_transaction(transaction).raw_transaction)
        receipt = self.w3.eth.wait_for_transaction_receipt(tx_hash)
        if receipt["status"] != 1:
            sys.exit(f"{tx_hash.to_0x_hex()} reverted in block {receipt['blockNumber']}")
        return str(tx_hash.to_0x_hex())

    def join(self, stake: float) -> str:
        token = self.w3.eth.contract(self.vault.functions.token().call(), abi=abi("TestToken"))  # any ERC-20 has these
        amount = round(stake * 10 ** token.functions.decimals().call())
        self.send(token.functions.approve(self.vault.address, amount))
        no_hot_key = "0x" + "0" * 40
        return self.send(self.vault.functions.registerAndDeposit(VALIDATOR, no_hot_key, bytes(32), amount))

    def list(self) -> list[dict[str, Any]]:
        found = []
        for number in range(1, self.registry.functions.count().call()):
            terms, _result, _standing, record_hash, weights = self.registry.functions.submission(number).call()
            _submit_end, commit_end, reveal_start, reveal_end = self.registry.functions.windows(number).call()
            found.append(
                {
                    "id": number,
                    "author": terms[0],
                    "open": terms[2] == OPEN,
                    "record_hash": record_hash.hex(),
                    "weights": weights.hex(),
                    "commit_before": commit_end,
                    "reveal": [reveal_start, reveal_end],
                }
            )
        return found

    def commit(self, number: int, improvement: int, report: bytes = b"") -> str:
        """Seal a vote. What opens it is on disk before the commitment is sent: lost with it goes the bond."""
        _, _, _, record_hash, weights = self.registry.functions.submission(number).call()
        path = self.folder / f"vote-{number}.json"
        if not path.exists():
            salt, hidden = secrets.token_bytes(32), secrets.token_bytes(32)
            opening = {"improvement": improvement, "evidence_root": keccak(hidden + report).hex(), "salt": salt.hex()}
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump(opening, file)
                file.flush()
                os.fsync(file.fileno())
        kept = json.loads(path.read_text())
        vote = {
            "voter": self.me,
            "submissionId": number,
            "weightsDigest": weights,
            "improvement": kept["improvement"],
            "evidenceRoot": bytes.fromhex(kept["evidence_root"]),
            "salt": bytes.fromhex(kept["salt"]),
        }
        sealed = commitment(self.w3.eth.chain_id, self.book.address, vote)
        return self.send(self.book.functions.commit(self.me, (number, record_hash, sealed)))

    def reveal(self, number: int) -> str:
        kept = json.loads((self.folder / f"vote-{number}.json").read_text())
        evidence, salt = bytes.fromhex(kept["evidence_root"]), bytes.fromhex(kept["salt"])
        return self.send(self.book.functions.reveal((self.me, number, kept["improvement"], evidence, salt)))


def why(error: ContractCustomError) -> str:
    """The name of a custom error, found by its selector in the ABI files."""
    selector = str(error.data)[2:10]
    for path in sorted(ABI.glob("*.json")):
        for entry in abi(path.stem):
            if entry["type"] == "error":
                text = f"{entry['name']}({','.join(part['type'] for part in entry['inputs'])})"
                if keccak(text.encode())[:4].hex() == selector:
                    return text
    return str(error.data)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("join", "list", "commit", "reveal"))
    parser.add_argument("values", nargs="*", help="stake, or id and bucket, or id")
    parser.add_argument("--rpc", default=os.environ.get("PDFED_RPC", "http://127.0.0.1:8545"))
    parser.add_argument("--task", default=os.environ.get("PDFED_TASK"))
    parser.add_argument("--keystore", type=Path, default=os.environ.get("PDFED_KEYSTORE"))
    parser.add_argument("--folder", type=Path, default=Path(), help="where the openings of sealed votes are kept")
    given = parser.parse_args(arguments)
    me = Validator(given.rpc, given.task, given.keystore, given.folder)
    try:
        match given.verb, given.values:
            case "join", [stake]:
                print(me.join(float(stake)))
            case "list", []:
                print(json.dumps(me.list(), indent=1))
            case "commit", [number, improvement]:
                print(me.commit(int(number), int(improvement)))
            case "reveal", [number]:
                print(me.reveal(int(number)))
            case _:
                parser.error(f"{given.verb} does not take {' '.join(given.values) or 'nothing'}")
    except ContractCustomError as error:
        sys.exit(f"{given.verb} was refused: {why(error)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
