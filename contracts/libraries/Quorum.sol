// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title How much weight must be revealed, and how the task learns what is usual
/// @notice With R the revealed and E the eligible weight of an id, and Q the running revealed weight of the task, an id has a
///         quorum if R >= max(floor, E / 6, min(E / 3, Q / 2)). Stake that sleeps cannot make ids void for long: as Q falls to
///         what is really revealed, the quorum falls with it, down to a sixth. Q starts as the eligible weight.
/// @dev Q has 16 fractional bits and moves by 1/32 of the difference: Q' = Q - Q / 32 + R / 32, the first quotient rounded
///      down. With R <= 2^32 - 1 it stays at or below R's largest * 2^16 + 31 < 2^48. It never returns to zero, which
///      stands for a Q that is not known yet.
library Quorum {
    uint256 private constant FRACTION = 16;
    uint256 private constant MEMORY = 5; // 2^5 = 32 ids

    /// @notice Q, or what it starts from.
    function known(uint48 activity, uint32 eligible) internal pure returns (uint48) {
        return activity == 0 ? uint48(eligible) << uint48(FRACTION) : activity;
    }

    /// @notice Whether `revealed` is a quorum; nothing is rounded.
    function reached(uint256 revealed, uint256 eligible, uint256 activity, uint256 floor) internal pure returns (bool) {
        if (revealed < floor || 6 * revealed < eligible) return false;
        return 3 * revealed >= eligible || 2 * revealed << FRACTION >= activity;
    }

    /// @notice Q after an id on which `revealed` was revealed.
    function move(uint48 activity, uint256 revealed) internal pure returns (uint48) {
        return uint48(activity - (activity >> MEMORY) + (revealed << (FRACTION - MEMORY)));
    }
}
