// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";

import {IModelRegistry} from "../../../../../interfaces/IModelRegistry.sol";
import {IStakeVault} from "../../../../../interfaces/IStakeVault.sol";
import {Status} from "../../../../../interfaces/PdfedTypes.sol";
import {ScoreBook} from "../../../../../contracts/ScoreBook.sol";
import {BookConfig} from "../../../../../contracts/libraries/TaskConfig.sol";
import {Vm} from "../support/Vm.sol";

/// @title What symbolic execution proves of nobody_gains_by_void, on the real ScoreBook in a clone
/// @notice This contract stands for registry and vault; it keeps what the book tells the vault. A bond and a fee are of any
///         size in 88 bits, a vote of any kind.
contract VoidProofs {
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    address private constant VOTER = address(0x70);
    uint256 private constant ID = 7;
    uint256 private constant VOTES = 2; // slots of the book: two of EIP712 come first
    uint256 private constant HISTOGRAMS = 3;

    ScoreBook private _book;
    IModelRegistry.Terms private _terms;
    IModelRegistry.Result private _result;
    Status private _became;
    IStakeVault.Settlement private _settled;

    /// @dev A book of these bonds and fees, at a time when the id is due. One basis point of a vote's stake is its bond.
    function _task(uint88 bond, uint88 fee, uint128 minStake) private {
        BookConfig memory c;
        (c.vault, c.registry, c.pool) = (address(this), address(this), address(this));
        (c.submissionBond, c.scoringFee, c.minStake, c.voteBondBps) = (bond, fee, minStake, 1);
        (c.kappaBps, c.quorumFloor, c.minVoters) = (3_400, 3, 3);
        _book = ScoreBook(Clones.cloneWithImmutableArgs(address(new ScoreBook()), abi.encode(c)));
    }

    // ------------------------------------------------------------------------------------------------- the siblings

    function due() external view returns (uint256, IModelRegistry.Terms memory, IModelRegistry.Trend memory) {
        return (ID, _terms, IModelRegistry.Trend(0, 1 << 23, 0));
    }

    function conclude(uint256, Status status, IModelRegistry.Result calldata, IModelRegistry.Trend calldata)
        external
        returns (uint8)
    {
        _became = status;
        return 0;
    }

    function resultOf(uint256) external view returns (IModelRegistry.Terms memory, IModelRegistry.Result memory) {
        return (_terms, _result);
    }

    function unlock(address, uint256, IStakeVault.Settlement calldata s) external {
        _settled = s;
    }

    // -------------------------------------------------------------------------------------------------- the properties

    /// @dev An author put in bond and fee. If its id becomes Void it has back at most these, and nobody else gets any of
    ///      them but the commons: the fee returns; the bond does too unless nothing was submitted.
    function check_the_author_of_a_void_id_gets_no_more_than_it_put_in(
        uint88 bond,
        uint88 fee,
        uint32 weight,
        uint8 votes,
        bool submitted
    ) public {
        _task(bond, fee, 1);
        (_terms.status, _terms.eligible) = (submitted ? Status.Open : Status.Reserved, 100);
        uint256 word = (uint256(votes) << 224) | weight; // all in the lowest bucket
        vm.store(address(_book), keccak256(abi.encode(ID, HISTOGRAMS)), bytes32(word));
        _book.finalize(ID);
        if (_became != Status.Void) return;
        IStakeVault.Settlement memory s = _settled;
        assert(s.paid == fee && s.toCommons == 0 && !s.counts);
        assert(s.released == (submitted ? bond : 0) && s.forfeited == (submitted ? 0 : bond));
    }

    /// @dev A voter put in its bond. Of a Void id it has it back if it opened its vote, and nothing else moves.
    function check_a_voter_on_a_void_id_gets_no_more_than_it_put_in(
        uint88 fee,
        uint80 minStake,
        uint192 commitment,
        uint32 weight,
        uint24 rate,
        bool revealed,
        uint32 revealedWeight,
        int8 median
    ) public {
        _task(0, fee, minStake);
        vm.assume(commitment != 0);
        (_terms.status, _result.revealedWeight, _result.median) = (Status.Void, revealedWeight, median);
        uint256 bond = _vote(commitment, weight, rate, revealed, minStake);
        assert(_settled.paid == 0 && _settled.toCommons == 0);
        assert(_settled.released == (revealed ? bond : 0) && _settled.forfeited == (revealed ? 0 : bond));
    }

    /// @dev Of a Final id. `yes` is the weight above tau, of which a vote above it is a part.
    struct Final {
        uint88 fee;
        uint80 minStake;
        uint32 weight;
        uint32 revealed;
        uint32 yes;
        uint24 rate;
        uint24 q;
        int8 tau;
        int8 median;
        int8 value;
    }

    /// @dev Of a Final id a voter has at most its slices of the fee beside its bond, and loses at most the bond; what the
    ///      slices do not pay is commons. Of one whose median is no measurement nobody is paid or charged.
    function check_a_voter_on_a_final_id_gets_its_slices_at_most(Final calldata c) public {
        vm.assume(c.value >= -8 && c.value <= 23 && c.tau >= -2 && c.tau <= 23 && c.weight != 0);
        unchecked {
            vm.assume(uint256(c.weight) * c.minStake <= type(uint88).max);
            vm.assume(c.yes <= c.revealed && c.weight <= (c.value > c.tau ? c.yes : c.revealed - c.yes));
        }
        _task(0, c.fee, c.minStake);
        (_terms.status, _terms.q, _terms.tau, _result.median) = (Status.Final, c.q, c.tau, c.median);
        (_result.revealedWeight, _result.yesWeight) = (c.revealed, c.yes);
        uint256 bond = _vote(1, c.weight, c.rate, true, c.minStake, c.value);
        IStakeVault.Settlement memory s = _settled;
        unchecked {
            uint256 slices = s.paid + s.toCommons;
            assert(slices == uint256(c.fee) / c.revealed * c.weight);
            assert(s.paid <= slices);
            assert(s.forfeited <= bond);
            assert(s.released + s.forfeited == bond);
            assert(s.paid == 0 || s.forfeited == 0);
            assert(c.median > -7 || (s.paid == 0 && s.forfeited == 0));
        }
    }

    function _vote(uint192 commitment, uint32 weight, uint24 rate, bool revealed, uint256 minStake)
        private
        returns (uint256)
    {
        return _vote(commitment, weight, rate, revealed, minStake, 5);
    }

    /// @dev Puts a vote into its slot and settles it.
    /// @return bond of a basis point of its stake, rounded up
    function _vote(uint192 commitment, uint32 weight, uint24 rate, bool revealed, uint256 minStake, int8 value)
        private
        returns (uint256 bond)
    {
        uint256 state = revealed ? 0x80 | uint8(value + 8) : 0;
        uint256 word = (uint256(commitment) << 64) | (uint256(weight) << 32) | (uint256(rate) << 8) | state;
        bytes32 inner = keccak256(abi.encode(ID, VOTES));
        vm.store(address(_book), keccak256(abi.encode(VOTER, inner)), bytes32(word));
        address[] memory voters = new address[](1);
        voters[0] = VOTER;
        _book.settle(ID, voters);
        unchecked {
            uint256 exact = uint256(weight) * minStake;
            return exact / 10_000 + (exact % 10_000 == 0 ? 0 : 1);
        }
    }
}
