// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IEligibility} from "../../interfaces/IEligibility.sol";

/// @notice An eligibility rule that answers, refuses, reverts or burns all gas, as told.
contract TestEligibility is IEligibility {
    enum Mood {
        Yes,
        No,
        Revert,
        Burn
    }

    Mood public mood;

    function setMood(Mood value) external {
        mood = value;
    }

    function isEligible(address, uint8) external view returns (bool) {
        if (mood == Mood.Revert) revert("no");
        while (mood == Mood.Burn) {}
        return mood == Mood.Yes;
    }
}

/// @notice A smart account: acts for its owner, and signs with the owner's key (ERC-1271).
contract TestWallet is IERC1271 {
    address public immutable OWNER = msg.sender;

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer, ECDSA.RecoverError error,) = ECDSA.tryRecover(hash, signature);
        return error == ECDSA.RecoverError.NoError && signer == OWNER ? this.isValidSignature.selector : bytes4(0);
    }

    function act(address target, bytes calldata data) external returns (bytes memory) {
        require(msg.sender == OWNER, "owner");
        (bool ok, bytes memory out) = target.call(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(out, 32), mload(out))
            }
        }
        return out;
    }
}
