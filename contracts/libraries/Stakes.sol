// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {BPS, ROLE_VALIDATOR} from "../../interfaces/PdfedTypes.sol";

/// @notice What a node has at stake and how it voted, in one slot: registering fills it, so neither the first deposit
///         nor the first reveal pays for a fresh one. `since` is when the weight took its present value.
struct Stake {
    uint88 free;
    uint88 locked;
    uint40 since;
    uint8 roles;
    uint16 yes; // revealed votes above tau
    uint16 seen; // revealed votes, those of at most MISSING left out
}

/// @notice What a node may take out: unbonded stake from `unbondingAt` on, credit at once.
struct Claims {
    uint88 unbonding;
    uint88 credit;
    uint40 unbondingAt;
    bool used; // no amount: keeps the slot from becoming zero, so that only its first use ever pays for a fresh one
}

/// @notice All tokens that came in and did not leave, the weight of all validators and when it took its present value.
struct Whole {
    uint88 held;
    uint32 weight;
    uint40 since;
}

/// @notice The ledgers that belong to no node: base fees not yet settled, and what RewardPool disposes of.
struct Common {
    uint88 escrow;
    uint88 treasury;
}

/// @title Arithmetic of one node's stake
library Stakes {
    /// @notice Whole minimum stakes in what is free and locked; zero for a node that is no validator.
    function weight(Stake memory stake, uint256 minStake) internal pure returns (uint256) {
        return stake.roles & ROLE_VALIDATOR == 0 ? 0 : (uint256(stake.free) + stake.locked) / minStake;
    }

    /// @notice Bond of a vote of `weight_` minimum stakes, rounded up: what a commit locks and what settling ends.
    function voteBond(uint256 weight_, uint256 minStake, uint256 voteBondBps) internal pure returns (uint256) {
        return Math.ceilDiv(weight_ * minStake * voteBondBps, BPS);
    }

    /// @notice Add a vote to the history; a full history is halved first, which keeps its rate to 1 in 65,535.
    function count(Stake memory stake, bool yes) internal pure {
        if (stake.seen == type(uint16).max) (stake.yes, stake.seen) = (stake.yes / 2, stake.seen / 2);
        if (yes) stake.yes += 1;
        stake.seen += 1;
    }
}
