// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {ModelDigests, TaskAddresses, TaskParams} from "../../interfaces/PdfedTypes.sol";
import {ModelRegistry} from "../ModelRegistry.sol";
import {TaskConfig} from "./TaskConfig.sol";

/// @title Makes the four contracts of one task
/// @notice The contracts of a task name each other in their code, so each address must be known before any of them
///         exists, whatever their code will be. An address made by CREATE depends only on the maker and on how many
///         contracts it made before: the factory clones this assembler once a task, at an address that depends on the
///         salt alone, and the clone makes the four as its first to fourth.
contract TaskAssembler {
    address private immutable FACTORY = msg.sender;
    address private immutable VAULT;
    address private immutable REGISTRY;
    address private immutable BOOK;
    address private immutable POOL;

    /// @notice Only the factory may do this.
    /// @param caller who tried
    error AssemblerUnauthorized(address caller);

    constructor(TaskAddresses memory parts) {
        (VAULT, REGISTRY, BOOK, POOL) = (parts.vault, parts.registry, parts.book, parts.pool);
    }

    /// @notice Make and wire a task. Only the factory, once for each clone of this contract.
    /// @param params checked by the factory
    /// @param genesis content of id 0
    /// @return task the four contracts
    function assemble(TaskParams calldata params, ModelDigests calldata genesis)
        external
        returns (TaskAddresses memory task)
    {
        if (msg.sender != FACTORY) revert AssemblerUnauthorized(msg.sender);
        task = addressesOf(address(this));
        TaskParams memory p = params;
        Clones.cloneWithImmutableArgs(VAULT, abi.encode(TaskConfig.vault(p, task)));
        Clones.cloneWithImmutableArgs(REGISTRY, abi.encode(TaskConfig.registry(p, task), p, genesis));
        Clones.cloneWithImmutableArgs(BOOK, abi.encode(TaskConfig.book(p, task)));
        address pool = Clones.cloneWithImmutableArgs(POOL, abi.encode(TaskConfig.pool(p, task)));
        assert(pool == task.pool); // holds only for the first four creations of a clone
        ModelRegistry(task.registry).initialize();
    }

    /// @notice Addresses of the first four contracts that `maker` creates.
    /// @param maker a clone of this contract, whether it exists or not
    /// @return vault, registry, book and pool
    function addressesOf(address maker) public pure returns (TaskAddresses memory) {
        return TaskAddresses(_created(maker, 1), _created(maker, 2), _created(maker, 3), _created(maker, 4));
    }

    /// @dev keccak256(rlp([maker, nonce])) for a nonce below 128.
    function _created(address maker, uint8 nonce) private pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"d694", maker, nonce)))));
    }
}
