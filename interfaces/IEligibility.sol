// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Optional rule of a task on who may register
/// @notice Asked once, at registration, with a fixed amount of gas. It can never touch a node that is registered.
interface IEligibility {
    function isEligible(address node, uint8 roles) external view returns (bool);
}
