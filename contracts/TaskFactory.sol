// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {ITaskFactory} from "../interfaces/ITaskFactory.sol";
import {BPS, ModelDigests, TaskAddresses, TaskParams} from "../interfaces/PdfedTypes.sol";
import {TaskAssembler} from "./libraries/TaskAssembler.sol";

/// @title TaskFactory
/// @dev Every bound of protocol.md in one place: `check`.
contract TaskFactory is ITaskFactory {
    TaskAssembler private immutable ASSEMBLER;
    address private immutable VAULT;
    address private immutable REGISTRY;
    address private immutable BOOK;
    address private immutable POOL;

    /// @inheritdoc ITaskFactory
    mapping(address registry => bool) public isTask;

    constructor(TaskAddresses memory parts) {
        _isContract("vault", parts.vault);
        _isContract("registry", parts.registry);
        _isContract("book", parts.book);
        _isContract("pool", parts.pool);
        (VAULT, REGISTRY, BOOK, POOL) = (parts.vault, parts.registry, parts.book, parts.pool);
        ASSEMBLER = new TaskAssembler(parts);
    }

    /// @inheritdoc ITaskFactory
    function createTask(TaskParams calldata params, ModelDigests calldata genesis, bytes32 nonce)
        external
        returns (TaskAddresses memory task)
    {
        check(params);
        if (genesis.packageDigest == 0 || genesis.weightsDigest == 0 || genesis.manifestDigest == 0) {
            revert FactoryZeroGenesis();
        }
        bytes32 salt = _salt(msg.sender, params, nonce);
        TaskAssembler assembler = TaskAssembler(Clones.cloneDeterministic(address(ASSEMBLER), salt));
        task = assembler.assemble(params, genesis);
        isTask[task.registry] = true;
        emit TaskCreated(task.registry, params.sponsor, task, params, genesis, salt);
    }

    /// @inheritdoc ITaskFactory
    function predict(address sender, TaskParams calldata params, bytes32 nonce)
        external
        view
        returns (TaskAddresses memory)
    {
        bytes32 salt = _salt(sender, params, nonce);
        return ASSEMBLER.addressesOf(Clones.predictDeterministicAddress(address(ASSEMBLER), salt));
    }

    /// @inheritdoc ITaskFactory
    function implementations() external view returns (TaskAddresses memory) {
        return TaskAddresses(VAULT, REGISTRY, BOOK, POOL);
    }

    /// @inheritdoc ITaskFactory
    function check(TaskParams calldata params) public view {
        _isContract("token", params.token);
        if (params.sponsor == address(0)) revert FactoryNoSponsor();
        if (params.eligibility != address(0)) _isContract("eligibility", params.eligibility);
        if (params.objective == 0) revert FactoryNoObjective();

        uint256 most = type(uint80).max;
        _within("minStake", params.minStake, 1, most);
        _within("submissionBond", params.submissionBond, 1, most);
        _within("scoringFee", params.scoringFee, 0, most);
        _within("voteBondBps", params.voteBondBps, 1, BPS);

        _within("commitWindow", params.commitWindow, 4, 30 days);
        _within("submitWindow", params.submitWindow, 1, params.commitWindow / 4);
        _within("revealGap", params.revealGap, 1, 1 days);
        _within("revealWindow", params.revealWindow, 1, 30 days);
        _within("warmUp", params.warmUp, 1, 30 days);
        _within(
            "unbonding",
            params.unbonding,
            uint256(params.commitWindow) + params.revealGap + params.revealWindow,
            365 days
        );
        _within("grace", params.grace, 1, 365 days);

        _within("kappaBps", params.kappaBps, 1_000, 5_000);
        _within("quorumBps", params.quorumBps, 1_000, BPS);
        _within("quorumFloor", params.quorumFloor, 1, type(uint32).max);
        _within("minVoters", params.minVoters, 3, type(uint8).max);
        _within("minStep", params.minStep, 2, 23);
        if (params.startTau < -2 || params.startTau > 23) {
            revert FactoryParameterOutOfBounds("startTau", params.startTau, -2, 23);
        }

        _within("stepRateBps", params.stepRateBps, 1, 2_000);
        _within("lineageBps", params.lineageBps, 0, 5_000);
        _within("decayBps", params.decayBps, 1, 9_999);
        _within("dripBps", params.dripBps, 1, 200);
    }

    function _salt(address sender, TaskParams calldata params, bytes32 nonce) private pure returns (bytes32) {
        return keccak256(abi.encode(sender, params, nonce));
    }

    function _within(string memory name, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) {
            revert FactoryParameterOutOfBounds(name, int256(value), int256(least), int256(most));
        }
    }

    function _isContract(string memory name, address value) private view {
        if (value.code.length == 0) revert FactoryNotAContract(name, value);
    }
}
