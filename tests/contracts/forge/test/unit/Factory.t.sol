// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ITaskFactory} from "../../../../../interfaces/ITaskFactory.sol";
import {ModelDigests, TaskAddresses, TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {World} from "../support/World.sol";

/// @title TaskFactory: every bound of every parameter, and what a task is made of
contract FactoryTest is World {
    TaskParams private p;

    function setUp() public {
        deploy();
        p = defaults();
    }

    // ------------------------------------------------------------------------------------------------------ bounds

    function _out(string memory name, int256 value, int256 least, int256 most) private {
        vm.expectRevert(
            abi.encodeWithSelector(ITaskFactory.FactoryParameterOutOfBounds.selector, name, value, least, most)
        );
        factory.check(p);
        vm.expectRevert(
            abi.encodeWithSelector(ITaskFactory.FactoryParameterOutOfBounds.selector, name, value, least, most)
        );
        factory.createTask(p, genesisDigests(), 0);
    }

    function _fine() private {
        factory.check(p);
        p = defaults();
    }

    function test_amounts() public {
        int256 most = int256(uint256(type(uint80).max));
        p.minStake = uint128(UNIT / 100 - 1);
        _out("minStake", int256(UNIT / 100) - 1, int256(UNIT / 100), most);
        p.minStake = uint128(type(uint80).max) + 1;
        _out("minStake", most + 1, int256(UNIT / 100), most);
        p.minStake = type(uint80).max;
        _fine();
        p.minStake = uint128(UNIT / 100);
        _fine();
        p.submissionBond = 0;
        _out("submissionBond", 0, 1, most);
        p.submissionBond = uint128(type(uint80).max) + 1;
        _out("submissionBond", most + 1, 1, most);
        p.submissionBond = 1;
        _fine();
        p.submissionBond = type(uint80).max;
        _fine();
        p.scoringFee = uint128(type(uint80).max) + 1;
        _out("scoringFee", most + 1, 1, most);
        p.scoringFee = 0; // would not double
        _out("scoringFee", 0, 1, most);
        p.scoringFee = 1;
        _fine();
        p.scoringFee = type(uint80).max;
        _fine();
        p.slots = 1;
        p.voteBondBps = 0;
        _out("voteBondBps", 0, 1, 3_333);
        p.voteBondBps = 3_334;
        _out("voteBondBps", 3_334, 1, 3_333);
        p.voteBondBps = 1;
        _fine();
        p.slots = 1;
        p.voteBondBps = 3_333;
        _fine();
    }

    /// @notice Attack: a minimal minStake, so that one account fills the weight.
    function test_nobody_can_own_the_weight_of_a_task() public {
        int256 most = int256(uint256(type(uint80).max));
        uint256 supply = UNIT * 1e9;
        token.mint(stranger, supply); // of which 1/2^32 is 0.23 tokens
        int256 least = int256(supply >> 32) + 1;
        p.minStake = uint128(uint256(least)) - 1;
        _out("minStake", least - 1, least, most);
        p.minStake = uint128(uint256(least));
        factory.check(p);
        vm.assertTrue(supply / p.minStake <= type(uint32).max);
        p = defaults();
        p.token = vm.deployCode("TestToken.sol:TestToken", abi.encode("Six", "SIX", uint8(6)));
        p.minStake = 9_999;
        _out("minStake", 9_999, 10_000, most);
        p.minStake = 10_000;
        factory.check(p);
        p.token = vm.deployCode("TestToken.sol:TestToken", abi.encode("One", "ONE", uint8(1)));
        p.minStake = 0;
        _out("minStake", 0, 1, most);
    }

    /// @notice Capacity: one unit of weight backs votes on 3 * slots ids at once.
    function test_bonds_of_three_times_the_slots_fit_the_stake() public {
        p.slots = 0;
        _out("slots", 0, 1, 3_333);
        p.slots = 3_334;
        _out("slots", 3_334, 1, 3_333);
        p.slots = 3_333;
        p.voteBondBps = 1;
        _fine();
        p.slots = 16;
        p.voteBondBps = 200;
        _fine();
        p.slots = 17;
        p.voteBondBps = 197; // 3 * 17 * 1.97 % is more than all
        vm.expectRevert(
            abi.encodeWithSelector(ITaskFactory.FactoryBondsAboveStake.selector, 51 * (UNIT * 197 / 10_000), UNIT)
        );
        factory.check(p);
        p.voteBondBps = 196;
        _fine();
    }

    function test_windows() public {
        p.commitWindow = 3;
        _out("commitWindow", 3, 4, 30 days);
        p.commitWindow = 30 days + 1;
        _out("commitWindow", 30 days + 1, 4, 30 days);
        (p.commitWindow, p.submitWindow) = (4, 1);
        _fine();
        (p.commitWindow, p.unbonding) = (30 days, 30 days + 510);
        _fine();
        p.submitWindow = 0;
        _out("submitWindow", 0, 1, 250);
        p.submitWindow = 251;
        _out("submitWindow", 251, 1, 250);
        p.submitWindow = 1;
        _fine();
        p.revealGap = 0;
        _out("revealGap", 0, 1, 1 days);
        p.revealGap = 1 days + 1;
        _out("revealGap", 1 days + 1, 1, 1 days);
        p.revealGap = 1;
        _fine();
        (p.revealGap, p.unbonding) = (1 days, 2 days);
        _fine();
        p.revealWindow = 0;
        _out("revealWindow", 0, 1, 30 days);
        p.revealWindow = 30 days + 1;
        _out("revealWindow", 30 days + 1, 1, 30 days);
        p.revealWindow = 1;
        _fine();
        (p.revealWindow, p.unbonding) = (30 days, 30 days + 1_010);
        _fine();
        p.warmUp = 0;
        _out("warmUp", 0, 1, 30 days);
        p.warmUp = 30 days + 1;
        _out("warmUp", 30 days + 1, 1, 30 days);
        p.warmUp = 1;
        _fine();
        p.warmUp = 30 days;
        _fine();
        p.unbonding = 1_509;
        _out("unbonding", 1_509, 1_510, 365 days);
        p.unbonding = 365 days + 1;
        _out("unbonding", 365 days + 1, 1_510, 365 days);
        p.unbonding = 1_510;
        _fine();
        p.unbonding = 365 days;
        _fine();
        p.grace = 0;
        _out("grace", 0, 1, 365 days);
        p.grace = 365 days + 1;
        _out("grace", 365 days + 1, 1, 365 days);
        p.grace = 1;
        _fine();
        p.grace = 365 days;
        _fine();
    }

    function test_votes() public {
        p.kappaBps = 999;
        _out("kappaBps", 999, 1_000, 5_000);
        p.kappaBps = 5_001;
        _out("kappaBps", 5_001, 1_000, 5_000);
        p.kappaBps = 1_000;
        _fine();
        p.kappaBps = 5_000;
        _fine();
        p.quorumFloor = 0;
        _out("quorumFloor", 0, 1, int256(uint256(type(uint32).max)));
        p.quorumFloor = 1 << 32;
        _out("quorumFloor", 1 << 32, 1, int256(uint256(type(uint32).max)));
        p.quorumFloor = 1;
        _fine();
        p.quorumFloor = type(uint32).max;
        _fine();
        p.minVoters = 2;
        _out("minVoters", 2, 3, 255);
        p.minVoters = 3;
        _fine();
        p.minVoters = 255;
        _fine();
        p.minStep = 1;
        _out("minStep", 1, 2, 128);
        p.minStep = 129;
        _out("minStep", 129, 2, 128);
        p.minStep = 2;
        _fine();
        p.minStep = 128;
        _fine();
        p.startTau = -3;
        _out("startTau", -3, -2, 23);
        p.startTau = 24;
        _out("startTau", 24, -2, 23);
        p.startTau = -2;
        _fine();
        p.startTau = 23;
        _fine();
    }

    function test_rewards() public {
        p.stepRateBps = 0;
        _out("stepRateBps", 0, 1, 2_000);
        p.stepRateBps = 2_001;
        _out("stepRateBps", 2_001, 1, 2_000);
        p.stepRateBps = 1;
        _fine();
        p.stepRateBps = 2_000;
        _fine();
        p.lineageBps = 5_001;
        _out("lineageBps", 5_001, 0, 5_000);
        p.lineageBps = 0;
        _fine();
        p.lineageBps = 5_000;
        _fine();
        p.decayBps = 0;
        _out("decayBps", 0, 1, 9_999);
        p.decayBps = 10_000;
        _out("decayBps", 10_000, 1, 9_999);
        p.decayBps = 1;
        _fine();
        p.decayBps = 9_999;
        _fine();
        p.dripBps = 0;
        _out("dripBps", 0, 1, 200);
        p.dripBps = 201;
        _out("dripBps", 201, 1, 200);
        p.dripBps = 1;
        _fine();
        p.dripBps = 200;
        _fine();
        p.stakeDripBps = 0;
        _out("stakeDripBps", 0, 1, 500);
        p.stakeDripBps = 501;
        _out("stakeDripBps", 501, 1, 500);
        p.stakeDripBps = 1;
        _fine();
        p.stakeDripBps = 500;
        _fine();
    }

    function test_names_and_contracts() public {
        p.token = stranger;
        vm.expectRevert(abi.encodeWithSelector(ITaskFactory.FactoryNotAContract.selector, "token", stranger));
        factory.check(p);
        p = defaults();
        p.sponsor = address(0);
        vm.expectRevert(ITaskFactory.FactoryNoSponsor.selector);
        factory.check(p);
        p = defaults();
        p.eligibility = stranger;
        vm.expectRevert(abi.encodeWithSelector(ITaskFactory.FactoryNotAContract.selector, "eligibility", stranger));
        factory.check(p);
        p = defaults();
        p.objective = 0;
        vm.expectRevert(ITaskFactory.FactoryNoObjective.selector);
        factory.check(p);
        p = defaults();
        p.guardian = address(0);
        _fine();
        for (uint256 i; i < 3; ++i) {
            ModelDigests memory g = genesisDigests();
            if (i == 0) g.packageDigest = 0;
            if (i == 1) g.weightsDigest = 0;
            if (i == 2) g.manifestDigest = 0;
            vm.expectRevert(ITaskFactory.FactoryZeroGenesis.selector);
            factory.createTask(p, g, 0);
        }
    }

    function test_parts_must_be_contracts() public {
        TaskAddresses memory good = factory.implementations();
        string[4] memory names = ["vault", "registry", "book", "pool"];
        for (uint256 i; i < 4; ++i) {
            TaskAddresses memory bad = TaskAddresses(good.vault, good.registry, good.book, good.pool);
            if (i == 0) bad.vault = stranger;
            if (i == 1) bad.registry = stranger;
            if (i == 2) bad.book = stranger;
            if (i == 3) bad.pool = stranger;
            vm.expectRevert(abi.encodeWithSelector(ITaskFactory.FactoryNotAContract.selector, names[i], stranger));
            this.deployFactory(bad);
        }
        this.deployFactory(good);
    }

    /// @dev Outside, so that a refused constructor shows as this call's own revert.
    function deployFactory(TaskAddresses calldata parts) external {
        bytes memory code = bytes.concat(vm.getCode("TaskFactory.sol:TaskFactory"), abi.encode(parts));
        assembly ("memory-safe") {
            if iszero(create(0, add(code, 32), mload(code))) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    // ---------------------------------------------------------------------------------------------------- creation

    function test_create_makes_what_predict_said() public {
        bytes32 nonce = bytes32(uint256(77));
        TaskAddresses memory expected = factory.predict(ann(), p, nonce);
        bytes32 salt = keccak256(abi.encode(ann(), p, nonce));
        vm.expectEmit(address(factory));
        emit ITaskFactory.TaskCreated(expected.registry, sponsor, expected, p, genesisDigests(), salt);
        vm.prank(ann());
        TaskAddresses memory made = factory.createTask(p, genesisDigests(), nonce);
        vm.assertEq(keccak256(abi.encode(made)), keccak256(abi.encode(expected)));
        vm.assertTrue(factory.isTask(made.registry));
        vm.assertFalse(factory.isTask(made.vault));
        vm.assertFalse(factory.isTask(factory.implementations().registry));
        vm.prank(ann());
        (bool again,) = address(factory).call(abi.encodeCall(ITaskFactory.createTask, (p, genesisDigests(), nonce)));
        vm.assertFalse(again);
        TaskAddresses memory other = factory.createTask(p, genesisDigests(), nonce); // another sender, another task
        vm.assertTrue(other.registry != made.registry);
        use(made);
        vm.assertEq(keccak256(abi.encode(registry.params())), keccak256(abi.encode(p)));
    }

    function ann() private pure returns (address) {
        return person(0);
    }
}
