// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Powers of a share in [0, 1] to a small whole exponent, 1e18 = 1
/// @notice s = (1 - r)^g is what a gain of g grains leaves of the allowance, and lambda^g what g grains of a model's own leave of
///         a pour; what is paid is whole * (1 - s). The law is a power so that gains add up: (1-r)^a (1-r)^b = (1-r)^(a+b).
/// @dev Rounding. With b >= base at every step (the squares are rounded up as well), each product ceil(x y) is at
///      least x y, so up(base, n) >= base^n: never below the true value, and 1 - s never above it. So nothing is paid
///      that the exact law would not pay, and since s <= 1 nothing goes below zero. The error of a square is at most
///      twice that of its base plus one unit of 1e-18, so base^(2^k) is off by less than 2^k units, and base^n, a product of
///      such squares, by less than 2 n <= 256 units. Splitting a gain over several models can only lower the sum paid, by that
///      much: split_proof to the rounding.
library Power {
    uint256 internal constant WAD = 1e18;

    /// @notice base^n, rounded up at each of at most 8 squarings and 8 products, so never below the true value.
    /// @param base at most WAD
    /// @param n at most 128: the gain of one model
    function up(uint256 base, uint256 n) internal pure returns (uint256 result) {
        result = WAD;
        while (n != 0) {
            if (n & 1 != 0) result = (result * base + WAD - 1) / WAD;
            base = (base * base + WAD - 1) / WAD;
            n >>= 1;
        }
    }
}
