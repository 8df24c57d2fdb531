// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title One of the four contracts of a task: a clone whose configuration is part of its code
/// @notice Nothing can change a clone's parameters or siblings: they are words appended to its code at creation
///         (OpenZeppelin Clones with immutable arguments). The implementation itself has no such words and is locked.
abstract contract TaskPart {
    address private immutable SELF = address(this);

    /// @notice This is the implementation: it belongs to no task.
    error PartNotAClone();

    /// @dev Copy the first `words` words of this clone's arguments to memory at `to`. A struct of value types lies in
    ///      memory as it is abi-encoded, one word a field, and the factory wrote these words: nothing to validate.
    ///      The arguments start after the 45 bytes of the clone's own code.
    function _loadArgs(uint256 to, uint256 words) internal view {
        if (address(this) == SELF) revert PartNotAClone();
        assembly ("memory-safe") {
            extcodecopy(address(), to, 45, mul(words, 32))
        }
    }
}
