// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelDigests, TaskAddresses, TaskParams} from "./PdfedTypes.sol";

/// @title Makes tasks: bounds every parameter, clones four contracts and wires them in one transaction
/// @notice No owner, no upgrade, holds no money. A new version is a new factory.
interface ITaskFactory {
    event TaskCreated(
        address indexed registry,
        address indexed sponsor,
        TaskAddresses task,
        TaskParams params,
        ModelDigests genesis,
        bytes32 salt
    );

    error FactoryParameterOutOfBounds(string name, int256 value, int256 least, int256 most);
    error FactoryNotAContract(string name, address value);
    error FactoryNoSponsor();
    error FactoryNoObjective();
    error FactoryZeroGenesis();

    /// @param nonce lets one sender create equal tasks; salt = keccak256(sender, params, nonce)
    function createTask(TaskParams calldata params, ModelDigests calldata genesis, bytes32 nonce)
        external
        returns (TaskAddresses memory task);

    /// @notice Revert with the offending parameter if `params` are out of bounds.
    function check(TaskParams calldata params) external view;

    /// @notice Addresses createTask would give to `sender`.
    function predict(address sender, TaskParams calldata params, bytes32 nonce)
        external
        view
        returns (TaskAddresses memory task);

    function isTask(address registry) external view returns (bool);

    function implementations() external view returns (TaskAddresses memory);
}
