// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Optional rule of a task on who may register
/// @notice Asked once, at registration, with a fixed amount of gas. It can never touch a node that is registered.
interface IEligibility {
    /// @notice Whether an address may become a node. A rule that reverts, or needs more than its gas, says no.
    /// @param node who wants to register
    /// @param roles what it wants to be: ROLE_TRAINER, ROLE_VALIDATOR or both
    /// @return whether it may
    function isEligible(address node, uint8 roles) external view returns (bool);
}
