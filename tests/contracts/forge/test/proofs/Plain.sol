// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The lesser and the greater of two, by a branch
/// @notice In the place of OpenZeppelin's `Math`, which picks by exclusive or and a product: a solver follows a branch sooner.
library Plain {
    function min(uint256 a, uint256 b) internal pure returns (uint256) {
        if (a < b) return a;
        return b;
    }

    function max(uint256 a, uint256 b) internal pure returns (uint256) {
        if (a > b) return a;
        return b;
    }
}
