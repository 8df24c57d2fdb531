// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Many view calls in one: what the property tests read after each step.
/// @dev Input: entries of (20 bytes target, 2 bytes length, call data). Output: for each entry one word, its highest bit
///      whether the call succeeded and the rest the length of what it returned, then the returned bytes.
contract Reader {
    fallback() external {
        assembly {
            let to := 0
            let from := 0
            for {} lt(from, calldatasize()) {} {
                let target := shr(96, calldataload(from))
                let size := shr(240, calldataload(add(from, 20)))
                calldatacopy(to, add(from, 22), size)
                let ok := staticcall(gas(), target, to, size, 0, 0)
                mstore(to, or(shl(255, ok), returndatasize()))
                returndatacopy(add(to, 32), 0, returndatasize())
                to := add(to, add(32, returndatasize()))
                from := add(from, add(22, size))
            }
            return(0, to)
        }
    }
}
