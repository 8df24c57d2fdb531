// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {ITaskFactory} from "../interfaces/ITaskFactory.sol";
import {BPS, ModelDigests, TaskAddresses, TaskParams} from "../interfaces/PdfedTypes.sol";
import {Stakes} from "./libraries/Stakes.sol";
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
        _within("minStake", params.minStake, _leastStake(params.token), most);
        _within("submissionBond", params.submissionBond, 1, most);
        _within("scoringFee", params.scoringFee, 1, most); // zero would not double
        _within("voteBondBps", params.voteBondBps, 1, BPS / 3);
        _within("slots", params.slots, 1, BPS / 3);
        uint256 bonds = 3 * uint256(params.slots) * Stakes.voteBond(1, params.minStake, params.voteBondBps);
        if (bonds > params.minStake) revert FactoryBondsAboveStake(bonds, params.minStake);

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
        _within("quorumFloor", params.quorumFloor, 1, type(uint32).max);
        _within("minVoters", params.minVoters, 3, type(uint8).max);
        _within("minStep", params.minStep, 2, 128);
        if (params.startTau < -2 || params.startTau > 23) {
            revert FactoryParameterOutOfBounds("startTau", params.startTau, -2, 23);
        }

        _within("stepRateBps", params.stepRateBps, 1, 2_000);
        _within("lineageBps", params.lineageBps, 0, 5_000);
        _within("decayBps", params.decayBps, 1, 9_999);
        _within("dripBps", params.dripBps, 1, 200);
        _within("stakeDripBps", params.stakeDripBps, 1, 500);
    }

    /// @dev So much that nobody can fill the weight of a task, which counts 2^32 - 1 minimum stakes: more than 1/2^32 of what
    ///      there is of the token, and a hundredth of a whole token, as supply may be small today.
    function _leastStake(address token) private view returns (uint256) {
        uint256 decimals = 18;
        try IERC20Metadata(token).decimals() returns (uint8 value) {
            decimals = value;
        } catch {}
        uint256 hundredth = decimals < 2 ? 1 : 10 ** (Math.min(decimals, 24) - 2);
        return Math.max(hundredth, (IERC20(token).totalSupply() >> 32) + 1);
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
