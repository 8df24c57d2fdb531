// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The cheatcode of halmos that these proofs use
interface Svm {
    /// @dev From here on the storage of `target` may be anything.
    function enableSymbolicStorage(address target) external;
}
