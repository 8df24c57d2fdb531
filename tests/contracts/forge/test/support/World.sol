// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../../../../../interfaces/IRewardPool.sol";
import {IScoreBook} from "../../../../../interfaces/IScoreBook.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {ITaskFactory} from "../../../../../interfaces/ITaskFactory.sol";
import {ITaskLens} from "../../../../../interfaces/ITaskLens.sol";
import {
    ModelDigests,
    ModelRecord,
    Opening,
    Parent,
    ScoreVote,
    SealedVote,
    TaskAddresses,
    TaskParams
} from "../../../../../interfaces/PdfedTypes.sol";
import {Vm} from "./Vm.sol";

/// @dev What the tests need of TestToken.
interface IToken {
    function mint(address to, uint256 amount) external;
    function approve(address spender, uint256 amount) external returns (bool);
    function transfer(address to, uint256 amount) external returns (bool);
    function balanceOf(address owner) external view returns (uint256);
    function allowance(address owner, address spender) external view returns (uint256);
    function nonces(address owner) external view returns (uint256);
    function DOMAIN_SEPARATOR() external view returns (bytes32);
}

/// @title A task made by the real factory, and what its actors do, one verb an act
/// @dev Contracts are deployed from their artifacts and spoken to through their interfaces, so that a change of a
///      contract does not compile these tests again.
abstract contract World {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint256 internal constant UNIT = 1e18;
    uint256 internal constant WAD = 1e18;
    uint40 internal constant START = 1_800_000_000;
    uint8 internal constant BOTH = 3;

    address internal sponsor = address(0x5001);
    address internal guardian = address(0x5002);
    address internal stranger = address(0x5003);

    IToken internal token;
    ITaskFactory internal factory;
    ITaskLens internal lens;
    IStakeVault internal vault;
    IModelRegistry internal registry;
    IScoreBook internal book;
    IRewardPool internal pool;

    // ------------------------------------------------------------------------------------------------------ deploying

    /// @dev Implementations, factory, lens, token.
    function deploy() internal {
        vm.warp(START);
        token = IToken(newToken("TestToken.sol:TestToken"));
        TaskAddresses memory parts = TaskAddresses(
            vm.deployCode("StakeVault.sol:StakeVault"),
            vm.deployCode("ModelRegistry.sol:ModelRegistry"),
            vm.deployCode("ScoreBook.sol:ScoreBook"),
            vm.deployCode("RewardPool.sol:RewardPool")
        );
        factory = ITaskFactory(vm.deployCode("TaskFactory.sol:TaskFactory", abi.encode(parts)));
        lens = ITaskLens(vm.deployCode("TaskLens.sol:TaskLens"));
    }

    function newToken(string memory artifact) internal returns (address) {
        return vm.deployCode(artifact, abi.encode("Test", "TST", uint8(18)));
    }

    function create(TaskParams memory p) internal {
        TaskAddresses memory t = factory.createTask(p, genesisDigests(), bytes32(uint256(1)));
        use(t);
    }

    function use(TaskAddresses memory t) internal {
        vault = IStakeVault(t.vault);
        registry = IModelRegistry(t.registry);
        book = IScoreBook(t.book);
        pool = IRewardPool(t.pool);
    }

    /// @dev Odd amounts, so that every division leaves a remainder.
    function defaults() internal view virtual returns (TaskParams memory) {
        return TaskParams({
            token: address(token),
            sponsor: sponsor,
            guardian: guardian,
            eligibility: address(0),
            minStake: uint128(UNIT),
            submissionBond: uint128(2 * UNIT),
            scoringFee: uint128(3 * UNIT + 7),
            voteBondBps: 1_000,
            slots: 3,
            submitWindow: 250,
            commitWindow: 1_000,
            revealGap: 10,
            revealWindow: 500,
            warmUp: 5,
            unbonding: 2_000,
            grace: 1_000,
            kappaBps: 3_334,
            quorumFloor: 3,
            minVoters: 3,
            minStep: 2,
            startTau: 0,
            stepRateBps: 200,
            lineageBps: 3_000,
            decayBps: 9_000,
            dripBps: 100,
            stakeDripBps: 500,
            objective: "qn-normalised",
            cardDigest: bytes32(uint256(0x0c))
        });
    }

    function genesisDigests() internal pure returns (ModelDigests memory) {
        return ModelDigests(bytes32(uint256(1)), 0x70, bytes32(uint256(2)), bytes32(uint256(3)));
    }

    // ---------------------------------------------------------------------------------------------------------- nodes

    function keyOf(uint256 i) internal pure returns (uint256) {
        return 0xA11CE + i;
    }

    /// @dev Account of the i-th person; its key is `keyOf(i)`.
    function person(uint256 i) internal pure returns (address) {
        return vm.addr(keyOf(i));
    }

    function give(address who, uint256 amount) internal {
        token.mint(who, amount);
        vm.prank(who);
        token.approve(address(vault), type(uint256).max);
    }

    function join(address who, uint256 amount) internal {
        give(who, amount);
        vm.startPrank(who);
        vault.register(BOTH, address(0), bytes32(0));
        vault.deposit(amount);
        vm.stopPrank();
    }

    function fund(uint256 amount) internal {
        give(sponsor, amount);
        vm.prank(sponsor);
        pool.fund(amount);
    }

    // --------------------------------------------------------------------------------------------------------- models

    function digest(string memory what, uint256 number) internal pure returns (bytes32) {
        return keccak256(abi.encode(what, number));
    }

    function reservation(address author, uint256 number) internal pure returns (bytes32) {
        return keccak256(abi.encode(author, digest("package", number), digest("salt", number)));
    }

    function only(uint32 parent) internal pure returns (Parent[] memory list) {
        list = new Parent[](1);
        list[0] = Parent(parent, 10_000);
    }

    function two(uint32 a, uint16 bps, uint32 b) internal pure returns (Parent[] memory list) {
        list = new Parent[](2);
        (list[0], list[1]) = (Parent(a, bps), Parent(b, 10_000 - bps));
    }

    function record(uint256 number, Parent[] memory parents) internal pure returns (ModelRecord memory) {
        return ModelRecord(
            ModelDigests(digest("package", number), 0x70, digest("weights", number), digest("manifest", number)),
            parents
        );
    }

    function reserve(address author) internal returns (uint256 id) {
        id = registry.count();
        vm.prank(author);
        vm.assertEq(registry.reserve(reservation(author, id), type(uint256).max), id);
    }

    function submit(uint256 id, address author, Parent[] memory parents) internal {
        vm.prank(author);
        registry.submit(id, record(id, parents), digest("salt", id));
    }

    /// @dev Hash of what the id's author submitted.
    function recordHash(uint256 id) internal view returns (bytes32) {
        return registry.submission(id).recordHash;
    }

    function open(address author, Parent[] memory parents) internal returns (uint256 id) {
        id = reserve(author);
        submit(id, author, parents);
    }

    // ---------------------------------------------------------------------------------------------------------- votes

    function vote(address voter, uint256 id, int8 improvement) internal pure returns (ScoreVote memory) {
        bytes32 salt = keccak256(abi.encode(voter, id));
        return ScoreVote(voter, id, digest("weights", id), improvement, keccak256(abi.encode(salt)), salt);
    }

    /// @dev The EIP-712 digest of a vote, from the standard alone.
    function seal(ScoreVote memory v) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,int8 improvement,bytes32 evidenceRoot,bytes32 salt)"
        );
        return typed(keccak256(abi.encode(kind, v)));
    }

    function typed(bytes32 structHash) internal view returns (bytes32) {
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain = keccak256(abi.encode(kind, keccak256("PDFed"), keccak256("1"), block.chainid, address(book)));
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function sealedVote(address voter, uint256 id, int8 improvement) internal view returns (SealedVote memory) {
        return SealedVote(id, recordHash(id), seal(vote(voter, id, improvement)));
    }

    function opening(address voter, uint256 id, int8 improvement) internal pure returns (Opening memory) {
        ScoreVote memory v = vote(voter, id, improvement);
        return Opening(voter, id, improvement, v.evidenceRoot, v.salt);
    }

    function commit(address voter, uint256 id, int8 improvement) internal {
        SealedVote memory v = sealedVote(voter, id, improvement);
        vm.prank(voter);
        book.commit(voter, v);
    }

    function reveal(address voter, uint256 id, int8 improvement) internal {
        book.reveal(opening(voter, id, improvement));
    }

    function settle(uint256 id, address voter) internal {
        address[] memory list = new address[](1);
        list[0] = voter;
        book.settle(id, list);
    }

    // --------------------------------------------------------------------------------------------------------- clocks

    function time() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    function travel(uint256 seconds_) internal {
        vm.warp(time() + seconds_);
    }

    function toReveal(uint256 id) internal {
        vm.warp(registry.windows(id).revealStart);
    }

    function toEnd(uint256 id) internal {
        vm.warp(registry.windows(id).revealEnd);
    }

    // ---------------------------------------------------------------------------------------------------------- reads

    /// @dev Free, locked, unbonding, credit.
    function holds(address who, uint256 free, uint256 locked, uint256 unbonding, uint256 credit) internal view {
        IStakeVault.Account memory a = vault.account(who);
        vm.assertEq(a.stake, free, "free stake");
        vm.assertEq(a.locked, locked, "locked stake");
        vm.assertEq(a.unbonding, unbonding, "unbonding stake");
        vm.assertEq(a.credit, credit, "credit");
    }

    function common(uint256 escrow, uint256 inTreasury) internal view {
        (, uint128 e, uint128 t) = vault.totals();
        vm.assertEq(e, escrow, "escrow");
        vm.assertEq(t, inTreasury, "treasury");
    }

    /// @dev The treasury by owner.
    function owns(uint256 unreleased, uint256 allowance, uint256 commons, uint256 committed) internal view {
        IRewardPool.Balances memory b = pool.balances();
        vm.assertEq(b.allowance, allowance, "allowance");
        vm.assertEq(b.unreleased, unreleased, "funds without the allowance");
        vm.assertEq(b.commons, commons, "commons");
        vm.assertEq(b.committed, committed, "committed to models");
    }
}
