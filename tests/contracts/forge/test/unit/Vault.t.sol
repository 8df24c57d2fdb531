// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEligibility} from "../../../../../interfaces/IEligibility.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {TaskParams} from "../../../../../interfaces/PdfedTypes.sol";
import {IToken, World} from "../support/World.sol";

interface IMoody {
    function setMood(uint8 mood) external;
}

/// @title StakeVault to the unit: registration, stake, weight over time, unbonding, credit, and who may call what
contract VaultTest is World {
    address private ann = person(0);
    address private bob = person(1);

    function setUp() public {
        deploy();
        create(defaults());
        give(ann, 100 * UNIT);
        give(bob, 100 * UNIT);
    }

    function _register(address who, uint8 roles) private {
        vm.prank(who);
        vault.register(roles, address(0), bytes32(0));
    }

    function _deposit(address who, uint256 amount) private {
        vm.prank(who);
        vault.deposit(amount);
    }

    function _unstake(address who, uint256 amount) private {
        vm.prank(who);
        vault.requestUnstake(amount);
    }

    // ------------------------------------------------------------------------------------------------ registration

    function test_register_keeps_roles_and_key() public {
        vm.expectEmit(address(vault));
        emit IStakeVault.NodeRegistered(ann, 2, bob, bytes32(uint256(9)));
        vm.prank(ann);
        vault.register(2, bob, bytes32(uint256(9)));
        IStakeVault.Account memory a = vault.account(ann);
        vm.assertEq(a.roles, 2);
        vm.assertEq(a.votingKey, bob);
        vm.assertEq(a.since, 0);
        vm.assertEq(vault.votingKeyOf(ann), bob);
        vm.assertTrue(vault.mayVoteFor(ann, ann));
        vm.assertTrue(vault.mayVoteFor(ann, bob));
        vm.assertFalse(vault.mayVoteFor(ann, stranger));
        vm.assertFalse(vault.mayVoteFor(bob, ann));
    }

    function test_no_key_is_not_everybodys_key() public {
        _register(ann, 3);
        vm.assertFalse(vault.mayVoteFor(ann, address(0)));
        vm.assertEq(vault.votingKeyOf(ann), address(0));
    }

    function test_register_once_with_known_roles() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultBadRoles.selector, 0));
        _register(ann, 0);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultBadRoles.selector, 4));
        _register(ann, 4);
        _register(ann, 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultAlreadyRegistered.selector, ann));
        _register(ann, 1);
    }

    function test_keys_and_metadata_change() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotRegistered.selector, ann));
        vm.prank(ann);
        vault.setVotingKey(bob);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotRegistered.selector, ann));
        vm.prank(ann);
        vault.setMetadata(bytes32(uint256(1)));
        _register(ann, 3);
        vm.expectEmit(address(vault));
        emit IStakeVault.VotingKeyChanged(ann, bob);
        vm.prank(ann);
        vault.setVotingKey(bob);
        vm.assertEq(vault.votingKeyOf(ann), bob);
        vm.expectEmit(address(vault));
        emit IStakeVault.MetadataChanged(ann, bytes32(uint256(5)));
        vm.prank(ann);
        vault.setMetadata(bytes32(uint256(5)));
        vm.prank(ann);
        vault.setVotingKey(address(0));
        vm.assertFalse(vault.mayVoteFor(ann, bob));
    }

    function test_the_hook_decides_and_needs_its_gas() public {
        TaskParams memory p = defaults();
        p.eligibility = vm.deployCode("Hooks.sol:TestEligibility");
        create(p);
        vm.expectCall(p.eligibility, abi.encodeCall(IEligibility.isEligible, (ann, 3)), 1);
        _register(ann, 3); // mood 0: yes
        for (uint8 mood = 1; mood < 4; ++mood) {
            IMoody(p.eligibility).setMood(mood);
            vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultIneligible.selector, bob));
            _register(bob, 3);
        }
        IMoody(p.eligibility).setMood(0);
        vm.prank(bob);
        (bool ok, bytes memory why) =
            address(vault).call{gas: 100_000}(abi.encodeCall(IStakeVault.register, (3, address(0), bytes32(0))));
        vm.assertFalse(ok);
        vm.assertEq(bytes32(bytes4(why)), bytes32(IStakeVault.VaultGasForHook.selector));
        uint256 needed = uint256(100_000) * 64 / 63 + 5_000;
        uint256 left;
        assembly {
            left := mload(add(why, 36))
        }
        vm.assertTrue(left < needed && left > 80_000);
        vm.assertEq(why, abi.encodeWithSelector(IStakeVault.VaultGasForHook.selector, left, needed));
        _register(bob, 3);
    }

    // ------------------------------------------------------------------------------------------------------- stake

    function test_deposit_moves_tokens_and_weight() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotRegistered.selector, ann));
        _deposit(ann, 1);
        _register(ann, 3);
        vm.expectRevert(IStakeVault.VaultZeroAmount.selector);
        _deposit(ann, 0);
        vm.expectEmit(address(vault));
        emit IStakeVault.Deposited(ann, 7 * UNIT + 5);
        _deposit(ann, 7 * UNIT + 5);
        holds(ann, 7 * UNIT + 5, 0, 0, 0);
        vm.assertEq(token.balanceOf(address(vault)), 7 * UNIT + 5);
        vm.assertEq(token.balanceOf(ann), 93 * UNIT - 5);
        vm.assertEq(vault.weightNow(ann), 7);
        vm.assertEq(vault.token(), address(token));
        _deposit(ann, UNIT - 6); // one unit short of the next weight
        vm.assertEq(vault.weightNow(ann), 7);
        _deposit(ann, 1);
        vm.assertEq(vault.weightNow(ann), 8);
    }

    function test_register_and_deposit_in_one() public {
        vm.expectEmit(address(vault));
        emit IStakeVault.NodeRegistered(ann, 3, bob, bytes32(uint256(9)));
        vm.expectEmit(address(vault));
        emit IStakeVault.Deposited(ann, 7 * UNIT);
        vm.prank(ann);
        vault.registerAndDeposit(3, bob, bytes32(uint256(9)), 7 * UNIT);
        holds(ann, 7 * UNIT, 0, 0, 0);
        vm.assertEq(vault.votingKeyOf(ann), bob);
        vm.assertEq(vault.weightNow(ann), 7);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultAlreadyRegistered.selector, ann));
        vm.prank(ann);
        vault.registerAndDeposit(3, bob, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultBadRoles.selector, 4));
        vm.prank(bob);
        vault.registerAndDeposit(4, ann, 0, 1);
        vm.expectRevert(IStakeVault.VaultZeroAmount.selector);
        vm.prank(bob);
        vault.registerAndDeposit(3, ann, 0, 0);
    }

    /// @dev A vote of ann's that had no bond is settled.
    function _count(bool yes) private {
        vault.unlock(ann, 1, IStakeVault.Settlement(0, 0, 0, 0, true, yes));
    }

    /// @dev Halved when it is full, before the vote is added. The first 65,532 votes are written into its slot, where the
    ///      highest 32 bits are the history: counting them takes longer than all other tests.
    function test_a_full_history_is_halved() public {
        _register(ann, 3);
        _deposit(ann, 5 * UNIT);
        bytes32 slot = keccak256(abi.encode(ann, uint256(0)));
        uint256 stake = uint256(vm.load(address(vault), slot));
        vm.assertEq(stake >> 224, 0);
        vm.store(address(vault), slot, bytes32(stake | (uint256(21_844) << 224) | (uint256(65_532) << 240)));
        vm.startPrank(address(book));
        for (uint256 i; i < 3; ++i) {
            _count(i == 0);
        }
        (uint16 yes, uint16 seen) = vault.history(ann);
        vm.assertEq(yes, 21_845);
        vm.assertEq(seen, 65_535);
        _count(true);
        (yes, seen) = vault.history(ann);
        vm.assertEq(yes, 10_923);
        vm.assertEq(seen, 32_768);
        _count(false);
        (yes, seen) = vault.history(ann);
        vm.assertEq(yes, 10_923);
        vm.assertEq(seen, 32_769);
        (uint32 bookYes, uint32 bookSeen) = book.history(ann);
        vm.assertEq(bookYes, yes);
        vm.assertEq(bookSeen, seen);
        vm.stopPrank();
        holds(ann, 5 * UNIT, 0, 0, 0); // beside it in the slot
        vm.assertEq(vault.account(ann).roles, 3);
        vm.assertEq(vault.account(ann).since, START);
    }

    function test_a_permit_pays_a_deposit() public {
        _register(ann, 3);
        vm.prank(ann);
        token.approve(address(vault), 0);
        uint256 deadline = time();
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 body = keccak256(abi.encode(kind, ann, address(vault), 3 * UNIT, 0, deadline));
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(keyOf(0), keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), body)));
        vm.prank(ann);
        vault.depositWithPermit(3 * UNIT, deadline, v, r, s);
        holds(ann, 3 * UNIT, 0, 0, 0);
        vm.assertEq(token.nonces(ann), 1);
        vm.assertEq(token.allowance(ann, address(vault)), 0);
        // a permit that somebody else sent first: the allowance is there all the same
        vm.prank(ann);
        token.approve(address(vault), UNIT);
        vm.prank(ann);
        vault.depositWithPermit(UNIT, deadline, v, r, s);
        holds(ann, 4 * UNIT, 0, 0, 0);
        vm.prank(ann);
        (bool ok,) = address(vault).call(abi.encodeCall(IStakeVault.depositWithPermit, (UNIT, deadline, v, r, s)));
        vm.assertFalse(ok); // no allowance left
    }

    function test_unbonding_is_exact_in_time_and_amount() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotRegistered.selector, ann));
        _unstake(ann, 1);
        _register(ann, 3);
        _deposit(ann, 10 * UNIT);
        vm.expectRevert(IStakeVault.VaultZeroAmount.selector);
        _unstake(ann, 0);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeVault.VaultInsufficientStake.selector, ann, 10 * UNIT, 10 * UNIT + 1)
        );
        _unstake(ann, 10 * UNIT + 1);
        uint40 end = START + 2_000;
        vm.expectEmit(address(vault));
        emit IStakeVault.UnstakeRequested(ann, 4 * UNIT, end);
        _unstake(ann, 4 * UNIT);
        holds(ann, 6 * UNIT, 0, 4 * UNIT, 0);
        vm.assertEq(vault.account(ann).unbondingAt, end);
        vm.assertEq(vault.weightNow(ann), 6);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultUnbondingPending.selector, ann, 4 * UNIT, end));
        _unstake(ann, 1);

        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultStillUnbonding.selector, ann, end));
        vm.prank(ann);
        vault.withdraw(bob);
        vm.warp(end);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultUnbondingPending.selector, ann, 4 * UNIT, end));
        _unstake(ann, 1); // matured, but not taken out
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultBadRecipient.selector, address(0)));
        vm.prank(ann);
        vault.withdraw(address(0));
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultBadRecipient.selector, address(vault)));
        vm.prank(ann);
        vault.withdraw(address(vault));
        vm.expectEmit(address(vault));
        emit IStakeVault.Withdrawn(ann, bob, 4 * UNIT);
        vm.prank(ann);
        vm.assertEq(vault.withdraw(bob), 4 * UNIT);
        vm.assertEq(token.balanceOf(bob), 104 * UNIT);
        holds(ann, 6 * UNIT, 0, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNothingToWithdraw.selector, ann));
        vm.prank(ann);
        vault.withdraw(bob);
        _unstake(ann, 6 * UNIT); // again, and everything
        holds(ann, 0, 0, 6 * UNIT, 0);
    }

    /// @dev What is unbonding and what was earned lie in one slot and are two claims.
    function test_claiming_and_withdrawing_leave_each_other_alone() public {
        _register(ann, 3);
        _deposit(ann, 10 * UNIT);
        fund(100);
        vm.prank(address(pool));
        vault.credit(ann, 60);
        _unstake(ann, 4 * UNIT);
        uint256 state = vm.snapshotState();
        vm.prank(ann);
        vm.assertEq(vault.claim(bob), 60);
        holds(ann, 6 * UNIT, 0, 4 * UNIT, 0);
        vm.assertEq(vault.account(ann).unbondingAt, START + 2_000);
        vm.assertTrue(vm.revertToState(state));
        travel(2_000);
        vm.prank(ann);
        vm.assertEq(vault.withdraw(bob), 4 * UNIT);
        holds(ann, 6 * UNIT, 0, 0, 60);
    }

    function test_nothing_to_claim() public {
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNothingToClaim.selector, ann));
        vm.prank(ann);
        vault.claim(ann);
    }

    function test_caps_on_tokens_and_weight() public {
        uint256 most = type(uint88).max;
        TaskParams memory p = defaults();
        p.minStake = type(uint80).max;
        create(p);
        give(ann, most + 1);
        _register(ann, 3);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultTooMuch.selector, most + 1, most));
        _deposit(ann, most + 1);
        _deposit(ann, most);
        holds(ann, most, 0, 0, 0);

        p.minStake = uint128(UNIT / 100);
        p.token = newToken("TestToken.sol:TestToken");
        create(p);
        token = IToken(p.token);
        uint256 unit = UNIT / 100;
        give(ann, unit << 32);
        _register(ann, 3);
        vm.expectRevert(
            abi.encodeWithSelector(IStakeVault.VaultTooMuchWeight.selector, uint256(1) << 32, type(uint32).max)
        );
        _deposit(ann, unit << 32);
        _deposit(ann, (unit << 32) - 1);
        vm.assertEq(vault.weightNow(ann), type(uint32).max);
        vm.assertEq(vault.totalWeightAt(uint40(time())), type(uint32).max);
    }

    /// @notice Attack: tokens sent to the vault without a call.
    function test_what_is_sent_without_a_call_changes_nothing() public {
        _register(ann, 3);
        token.mint(stranger, type(uint88).max);
        vm.prank(stranger);
        token.transfer(address(vault), type(uint88).max);
        _deposit(ann, 5 * UNIT);
        holds(ann, 5 * UNIT, 0, 0, 0);
        (uint128 held, uint128 escrow, uint128 treasury) = vault.totals();
        vm.assertEq(held, 5 * UNIT);
        vm.assertEq(escrow + treasury, 0);
        _unstake(ann, 5 * UNIT);
        travel(2_000);
        vm.prank(ann);
        vault.withdraw(ann);
        (held,,) = vault.totals();
        vm.assertEq(held, 0);
    }

    /// @dev A trainer's stake backs its bonds and has no weight; roles are fixed, so that never changes.
    function test_only_the_stake_of_validators_has_weight() public {
        _register(ann, 1);
        _register(bob, 2);
        _deposit(ann, 5 * UNIT);
        _deposit(bob, 3 * UNIT);
        vm.assertEq(vault.weightNow(ann), 0);
        vm.assertEq(vault.weightNow(bob), 3);
        vm.assertEq(vault.totalWeightAt(uint40(time())), 3);
        _unstake(ann, 2 * UNIT);
        vm.assertEq(vault.totalWeightAt(uint40(time())), 3);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultNotTrainer.selector, bob));
        vm.prank(bob);
        registry.reserve(bytes32(uint256(1)), type(uint256).max);
    }

    function test_a_token_that_takes_a_fee_is_refused() public {
        TaskParams memory p = defaults();
        p.token = vm.deployCode("HostileTokens.sol:FeeToken");
        create(p);
        token = IToken(p.token);
        give(ann, 1_000);
        _register(ann, 3);
        vm.expectRevert(abi.encodeWithSelector(IStakeVault.VaultTokenTookFee.selector, 1_000, 990));
        _deposit(ann, 1_000);
    }

    // ------------------------------------------------------------------------------------------- weight over time

    function test_weight_is_remembered_by_the_second() public {
        _register(ann, 3);
        _register(bob, 3);
        _deposit(ann, 5 * UNIT); // START
        travel(10);
        _deposit(ann, 2 * UNIT); // START + 10: 7
        _deposit(ann, UNIT); // the same second: 8
        _deposit(bob, 3 * UNIT);
        travel(10);
        _unstake(ann, 6 * UNIT); // START + 20: 2
        travel(10);
        uint40[6] memory when = [START - 1, START, START + 9, START + 10, START + 19, START + 20];
        uint8[6] memory anns = [0, 5, 5, 8, 8, 2];
        uint8[6] memory totals = [0, 5, 5, 11, 11, 5];
        for (uint256 i; i < 6; ++i) {
            vm.assertEq(vault.weightAt(ann, when[i]), anns[i], "ann's weight");
            vm.assertEq(vault.totalWeightAt(when[i]), totals[i], "total weight");
        }
        vm.assertEq(vault.weightAt(bob, START + 9), 0);
        vm.assertEq(vault.weightAt(bob, START + 10), 3);
        vm.assertEq(vault.weightNow(ann), 2);
        vm.assertEq(vault.account(ann).since, START + 20);
        _deposit(ann, UNIT - 1); // no change of weight leaves the clock alone
        vm.assertEq(vault.account(ann).since, START + 20);
    }

    // ------------------------------------------------------------------------------------------------- who may call

    function test_ledgers_move_only_at_the_word_of_the_right_sibling() public {
        address[4] memory callers = [stranger, address(registry), address(book), address(pool)];
        for (uint256 i; i < 4; ++i) {
            bytes memory no = abi.encodeWithSelector(IStakeVault.VaultUnauthorized.selector, callers[i]);
            vm.startPrank(callers[i]);
            if (callers[i] != address(registry)) {
                vm.expectRevert(no);
                vault.openSubmission(ann, 1, 1, 1, 0, 1);
            }
            if (callers[i] != address(book)) {
                vm.expectRevert(no);
                vault.lockVote(ann, ann, 1, 1);
                vm.expectRevert(no);
                vault.unlock(ann, 1, IStakeVault.Settlement(0, 0, 0, 0, false, false));
            }
            if (callers[i] != address(pool)) {
                vm.expectRevert(no);
                vault.fund(ann, 1);
                vm.expectRevert(no);
                vault.refund(ann, 1);
                vm.expectRevert(no);
                vault.credit(ann, 1);
            }
            vm.stopPrank();
        }
    }

    function test_implementations_are_locked() public {
        IStakeVault lone = IStakeVault(factory.implementations().vault);
        bytes4 notAClone = bytes4(keccak256("PartNotAClone()"));
        vm.expectRevert(notAClone);
        lone.token();
        vm.expectRevert(notAClone);
        lone.register(3, address(0), bytes32(0)); // reads its configuration
        vm.expectRevert(notAClone);
        lone.credit(ann, 1);
    }
}
