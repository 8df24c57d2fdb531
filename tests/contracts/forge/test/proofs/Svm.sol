// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The cheatcodes of halmos that these proofs use
interface Svm {
    /// @dev From here on the storage of `target` may be anything.
    function enableSymbolicStorage(address target) external;

    /// @dev Any value of so many bits.
    function createUint(uint256 bits, string calldata name) external pure returns (uint256);

    /// @dev Any value of so many bits, negative ones among them.
    function createInt(uint256 bits, string calldata name) external pure returns (int256);
}
