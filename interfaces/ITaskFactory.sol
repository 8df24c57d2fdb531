// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelDigests, TaskAddresses, TaskParams} from "./PdfedTypes.sol";

/// @title Makes tasks: bounds every parameter, clones four contracts and wires them in one transaction
/// @notice No owner, no upgrade, holds no money. A new version is a new factory.
interface ITaskFactory {
    /// @notice A task was made. The event carries all of it, so that nothing needs to be read back.
    /// @param registry names the task
    /// @param sponsor the only one who funds, closes and reclaims
    /// @param task the four contracts
    /// @param params frozen from here on
    /// @param genesis content of id 0
    /// @param salt keccak256(sender, params, nonce)
    event TaskCreated(
        address indexed registry,
        address indexed sponsor,
        TaskAddresses task,
        TaskParams params,
        ModelDigests genesis,
        bytes32 salt
    );

    /// @notice A parameter is outside its bounds, which TaskParams states.
    /// @param name of the parameter
    /// @param value what was given
    /// @param least smallest value allowed
    /// @param most largest value allowed
    error FactoryParameterOutOfBounds(string name, int256 value, int256 least, int256 most);
    /// @notice An address that must be a contract has no code.
    /// @param name of the parameter
    /// @param value what was given
    error FactoryNotAContract(string name, address value);
    /// @notice Bonds of 3 * slots votes are more than the stake behind them: junk could stop honest voting.
    /// @param bonds of one unit of weight on 3 * slots ids
    /// @param stake one unit of weight
    error FactoryBondsAboveStake(uint256 bonds, uint256 stake);
    /// @notice The sponsor is the zero address.
    error FactoryNoSponsor();
    /// @notice The name of the objective is zero.
    error FactoryNoObjective();
    /// @notice A digest of the genesis is zero.
    error FactoryZeroGenesis();

    /// @notice Make a task. Costs four small clones (about 920,000 gas), not five deployments.
    /// @dev WARNING: nothing of a task can be changed afterwards, by anybody.
    /// @param params checked as by `check`
    /// @param genesis content of the first model, id 0; no digest may be zero
    /// @param nonce lets one sender create equal tasks; salt = keccak256(sender, params, nonce)
    /// @return task the four contracts, as `predict` said
    function createTask(TaskParams calldata params, ModelDigests calldata genesis, bytes32 nonce)
        external
        returns (TaskAddresses memory task);

    /// @notice Revert with the offending parameter if `params` are out of bounds.
    /// @param params of a task that somebody thinks of
    function check(TaskParams calldata params) external view;

    /// @notice Addresses createTask would give to `sender`.
    /// @param sender who would call createTask
    /// @param params of the task
    /// @param nonce of the task
    /// @return task the four contracts, whether they exist or not
    function predict(address sender, TaskParams calldata params, bytes32 nonce)
        external
        view
        returns (TaskAddresses memory task);

    /// @notice Whether this factory made a task.
    /// @param registry the task's ModelRegistry
    /// @return whether it is a task of this factory
    function isTask(address registry) external view returns (bool);

    /// @notice The contracts that the clones run; locked, they are no task themselves.
    /// @return the four implementations
    function implementations() external view returns (TaskAddresses memory);
}
