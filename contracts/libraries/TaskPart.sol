// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

/// @title One of the four contracts of a task: a clone whose configuration is part of its code
/// @notice Nothing can change a clone's parameters or siblings: they are bytes appended to its code at creation.
///         The implementation itself is locked: it has no such bytes, and reading them there reverts.
abstract contract TaskPart {
    address private immutable SELF = address(this);

    error PartNotAClone();

    /// @return The abi-encoded configuration of this clone, see TaskConfig.sol.
    function _args() internal view returns (bytes memory) {
        if (address(this) == SELF) revert PartNotAClone();
        return Clones.fetchCloneArgs(address(this));
    }
}
