// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Powers of a share in [0, 1] to a small whole exponent, 1e18 = 1
library Power {
    uint256 internal constant WAD = 1e18;

    /// @notice base^n, rounded up at each of at most 5 squarings and 5 products, so never below the true value.
    /// @param base at most WAD
    /// @param n at most 23: the gain of one model
    function up(uint256 base, uint256 n) internal pure returns (uint256 result) {
        result = WAD;
        while (n != 0) {
            if (n & 1 != 0) result = (result * base + WAD - 1) / WAD;
            base = (base * base + WAD - 1) / WAD;
            n >>= 1;
        }
    }
}
