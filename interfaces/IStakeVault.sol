// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The only holder of a task's tokens, and the ledgers of who owns them
/// @notice Nodes register, stake, unbond and claim here. The vault does not know what a model is.
///         WARNING: a plain transfer to the vault belongs to nobody and cannot be taken back.
/// @dev Invariant solvency: balanceOf(this) >= Σ stake + Σ locked + Σ unbonding + Σ credit + escrow + treasury == held, with
///      equality but for plain transfers. Escrow is one base fee of each id not yet settled; the treasury is what
///      RewardPool disposes of: the sponsor's funds, what is committed to models, and the commons. Every move between ledgers
///      is an event of this contract: who adds them up has the ledgers.
interface IStakeVault {
    /// @notice A node's account. What is free and what is locked carry weight together.
    /// @param stake free: may be bonded or unbonded
    /// @param locked bonded to open acts
    /// @param unbonding asked back; carries no weight
    /// @param credit rewards and fees, to be claimed
    /// @param unbondingAt first second at which `unbonding` may be withdrawn
    /// @param since when the weight last changed
    /// @param roles zero: not registered
    /// @param votingKey may commit for the node; zero: none
    struct Account {
        uint128 stake;
        uint128 locked;
        uint128 unbonding;
        uint128 credit;
        uint40 unbondingAt;
        uint40 since;
        uint8 roles;
        address votingKey;
    }

    /// @notice What a commitment freezes of its voter.
    /// @param weight whole minimum stakes
    /// @param yes history: revealed votes above tau
    /// @param seen history: revealed votes
    /// @param bond moved from free to locked stake
    struct VoteLock {
        uint32 weight;
        uint16 yes;
        uint16 seen;
        uint256 bond;
    }

    /// @notice The end of an act: where what it locked and took goes. All of it is named: nothing is left over.
    /// @param released locked -> stake
    /// @param forfeited locked -> treasury, where it belongs to the commons
    /// @param paid escrow -> credit
    /// @param toCommons escrow -> treasury, where it belongs to the commons
    /// @param counts whether it was a vote that enters the node's history
    /// @param yes whether that was above tau
    struct Settlement {
        uint256 released;
        uint256 forfeited;
        uint256 paid;
        uint256 toCommons;
        bool counts;
        bool yes;
    }

    /// @notice A node registered.
    /// @param node its address
    /// @param roles bit set, fixed
    /// @param votingKey hot key; zero for none
    /// @param metadataDigest of what the node says about itself
    event NodeRegistered(address indexed node, uint8 roles, address votingKey, bytes32 metadataDigest);
    /// @notice A node chose another voting key.
    /// @param node its address
    /// @param votingKey hot key; zero for none
    event VotingKeyChanged(address indexed node, address votingKey);
    /// @notice A node announced other metadata.
    /// @param node its address
    /// @param metadataDigest of what the node says about itself
    event MetadataChanged(address indexed node, bytes32 metadataDigest);
    /// @notice A node added to its stake.
    /// @param node its address
    /// @param amount units of the token
    event Deposited(address indexed node, uint256 amount);
    /// @notice A node took stake out of its weight.
    /// @param node its address
    /// @param amount units of the token
    /// @param withdrawableAt first second at which it may be withdrawn
    event UnstakeRequested(address indexed node, uint256 amount, uint40 withdrawableAt);
    /// @notice Unbonded stake was paid out.
    /// @param node whose it was
    /// @param to where it went
    /// @param amount units of the token
    event Withdrawn(address indexed node, address indexed to, uint256 amount);
    /// @notice Credit was paid out.
    /// @param node whose it was
    /// @param to where it went
    /// @param amount units of the token
    event Claimed(address indexed node, address indexed to, uint256 amount);
    /// @notice An author backed a submission.
    /// @param author a trainer
    /// @param id of the submission
    /// @param bond stake -> locked
    /// @param fee stake -> escrow
    /// @param surcharge stake -> treasury, where it belongs to the commons
    event SubmissionBonded(address indexed author, uint256 indexed id, uint256 bond, uint256 fee, uint256 surcharge);
    /// @notice A voter backed a vote.
    /// @param voter a validator
    /// @param id of the submission
    /// @param bond stake -> locked
    event VoteBonded(address indexed voter, uint256 indexed id, uint256 bond);
    /// @notice An act ended: a submission of its author, or a vote of a voter.
    /// @param node whose act
    /// @param id of the submission
    /// @param released locked -> stake
    /// @param forfeited locked -> treasury (commons)
    /// @param paid escrow -> credit
    /// @param toCommons escrow -> treasury (commons)
    event Settled(
        address indexed node, uint256 indexed id, uint256 released, uint256 forfeited, uint256 paid, uint256 toCommons
    );
    /// @notice The sponsor or a payer of royalties paid into the treasury.
    /// @param payer whose tokens
    /// @param amount units of the token
    event TreasuryFunded(address indexed payer, uint256 amount);
    /// @notice The sponsor was paid out of the treasury.
    /// @param to where it went
    /// @param amount units of the token
    event TreasuryPaid(address indexed to, uint256 amount);
    /// @notice An author was paid out of the treasury.
    /// @param author whose credit
    /// @param amount treasury -> credit
    event Credited(address indexed author, uint256 amount);

    /// @notice A node registers once.
    /// @param node its address
    error VaultAlreadyRegistered(address node);
    /// @notice Only registered nodes may do this.
    /// @param node who tried
    error VaultNotRegistered(address node);
    /// @notice Roles are a non-empty subset of TRAINER | VALIDATOR.
    /// @param roles what was given
    error VaultBadRoles(uint8 roles);
    /// @notice The amount is zero.
    error VaultZeroAmount();
    /// @notice Money is not sent to the zero address or to the vault.
    /// @param to what was given
    error VaultBadRecipient(address to);
    /// @notice There is too little free stake.
    /// @param node whose stake
    /// @param available free stake
    /// @param needed what was to be taken of it
    error VaultInsufficientStake(address node, uint256 available, uint256 needed);
    /// @notice One unbonding request at a time.
    /// @param node who asked
    /// @param amount already unbonding
    /// @param withdrawableAt first second at which that may be withdrawn
    error VaultUnbondingPending(address node, uint256 amount, uint40 withdrawableAt);
    /// @notice Nothing is unbonding.
    /// @param node who asked
    error VaultNothingToWithdraw(address node);
    /// @notice Unbonding takes its time.
    /// @param node who asked
    /// @param withdrawableAt first second at which it may be withdrawn
    error VaultStillUnbonding(address node, uint40 withdrawableAt);
    /// @notice There is no credit.
    /// @param node who asked
    error VaultNothingToClaim(address node);
    /// @notice Not exactly what was sent arrived.
    /// @param expected units of the token
    /// @param received units of the token
    error VaultTokenTookFee(uint256 expected, uint256 received);
    /// @notice Only one sibling contract may do this.
    /// @param caller who tried
    error VaultUnauthorized(address caller);
    /// @notice The vault would hold more than its ledgers can count.
    /// @param held it would hold by its own ledgers
    /// @param most 2^88 - 1
    error VaultTooMuch(uint256 held, uint256 most);
    /// @notice All nodes together would weigh more than a histogram can count.
    /// @param weight they would have
    /// @param most 2^32 - 1
    error VaultTooMuchWeight(uint256 weight, uint256 most);
    /// @notice The task's eligibility rule says no, or does not answer.
    /// @param node who wanted to register
    error VaultIneligible(address node);
    /// @notice The eligibility rule must get all of its gas.
    /// @param left gas left
    /// @param needed gas needed at this point
    error VaultGasForHook(uint256 left, uint256 needed);
    /// @notice Only a node or its voting key may vote for it.
    /// @param node whose vote
    /// @param key who tried
    error VaultNotVoter(address node, address key);
    /// @notice Only validators may vote.
    /// @param node who was to vote
    error VaultNotValidator(address node);
    /// @notice Only trainers may reserve.
    /// @param node who tried
    error VaultNotTrainer(address node);

    // --- a node's own journey ---

    /// @notice Register the caller. Roles are a non-empty subset of TRAINER | VALIDATOR and fixed.
    /// @param roles only a TRAINER may reserve; only a VALIDATOR votes, and only its stake has weight
    /// @param votingKey hot key that may commit and reveal for the node; zero for none
    /// @param metadataDigest of what the node says about itself
    function register(uint8 roles, address votingKey, bytes32 metadataDigest) external;

    /// @notice `register` and `deposit` in one transaction: cheaper, and the stake starts to age at once.
    /// @param roles as in `register`
    /// @param votingKey as in `register`
    /// @param metadataDigest as in `register`
    /// @param amount as in `deposit`
    function registerAndDeposit(uint8 roles, address votingKey, bytes32 metadataDigest, uint256 amount) external;

    /// @notice Choose the caller's voting key. Signatures of the old one are worth nothing from here on.
    /// @param votingKey hot key; zero for none
    function setVotingKey(address votingKey) external;

    /// @notice Announce other metadata of the caller; the vault keeps nothing of it.
    /// @param metadataDigest of what the node says about itself
    function setMetadata(bytes32 metadataDigest) external;

    /// @notice Add to the caller's own stake; it counts for ids reserved at least `warmUp` later.
    /// @dev Approve the vault. Nobody can deposit for another: that would reset the other's clock.
    /// @param amount units of the token
    function deposit(uint256 amount) external;

    /// @notice `deposit` after an ERC-2612 permit for exactly this amount, in one transaction.
    /// @dev A permit that someone else sent first does not matter: the allowance is there all the same.
    /// @param amount units of the token
    /// @param deadline of the permit
    /// @param v of the permit's signature
    /// @param r of the permit's signature
    /// @param s of the permit's signature
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Take free stake out of the weight at once and start its unbonding. One request at a time.
    /// @param amount units of the token, at most the free stake
    function requestUnstake(uint256 amount) external;

    /// @notice Pay the caller's unbonded stake to `to`.
    /// @param to any account the token accepts
    /// @return amount units of the token
    function withdraw(address to) external returns (uint256 amount);

    /// @notice Pay the caller's credit (rewards, fees) to `to`.
    /// @param to any account the token accepts
    /// @return amount units of the token
    function claim(address to) external returns (uint256 amount);

    // --- views ---

    /// @notice A node's account.
    /// @param node its address
    /// @return all zero if it is not registered
    function account(address node) external view returns (Account memory);

    /// @notice The ERC-20 of the task.
    /// @return its address
    function token() external view returns (address);

    /// @notice Whole minimum stakes of a validator at `timepoint`: (stake + locked) / minStake, unbonding left out.
    /// @param node its address
    /// @param timepoint seconds since the epoch. WARNING: the present second is not over, the answer may still change
    /// @return its weight
    function weightAt(address node, uint40 timepoint) external view returns (uint32);

    /// @notice Whole minimum stakes of a validator now.
    /// @param node its address
    /// @return its weight; zero for one that is no validator
    function weightNow(address node) external view returns (uint32);

    /// @notice Weight of all validators at `timepoint`.
    /// @param timepoint seconds since the epoch. WARNING: the present second is not over, the answer may still change
    /// @return the sum of their weights
    function totalWeightAt(uint40 timepoint) external view returns (uint32);

    /// @notice Whether `key` may vote for `node`: the node itself or its voting key.
    /// @param node its address
    /// @param key who wants to vote
    /// @return whether it may
    function mayVoteFor(address node, address key) external view returns (bool);

    /// @notice A node's own history for voters' pay: revealed votes, from when they are settled. Votes of at most MISSING are
    ///         left out, and a history of 65,535 votes is
    ///         halved before it grows.
    /// @param node its address
    /// @return yes revealed votes above tau
    /// @return seen revealed votes
    function history(address node) external view returns (uint16 yes, uint16 seen);

    /// @notice Ledgers that belong to no node, and all of them together.
    /// @return held tokens that came in and did not leave by this contract's own doing
    /// @return escrow base fees not yet settled
    /// @return treasury_ what RewardPool disposes of
    function totals() external view returns (uint128 held, uint128 escrow, uint128 treasury_);

    /// @notice What RewardPool disposes of.
    /// @return units of the token
    function treasury() external view returns (uint256);

    /// @notice Hot key of a node.
    /// @param node its address
    /// @return zero for none
    function votingKeyOf(address node) external view returns (address);

    // --- for the siblings: each entry accepts one caller ---

    /// @notice The author's bond from free to locked, the base fee from free into escrow, the surcharge from free to the
    ///         commons. Only ModelRegistry.
    /// @param author a trainer
    /// @param id of the submission
    /// @param bond to be locked
    /// @param fee to be escrowed
    /// @param surcharge what the fee is above the base
    /// @param timepoint stake counts as it was then
    /// @return eligible total weight at `timepoint` without the author's own: who may vote
    function openSubmission(address author, uint256 id, uint256 bond, uint256 fee, uint256 surcharge, uint40 timepoint)
        external
        returns (uint32 eligible);

    /// @notice Freeze a voter's weight and lock its bond. Only ScoreBook.
    /// @param voter the node
    /// @param caller who sent the commit; must be `voter` or its voting key
    /// @param id of the submission
    /// @param timepoint stake counts as it was then
    /// @return lock weight zero if the voter may not vote; then nothing is locked
    function lockVote(address voter, address caller, uint256 id, uint40 timepoint)
        external
        returns (VoteLock memory lock);

    /// @notice End an act of `node`. Only ScoreBook; cannot revert for what was locked and taken.
    /// @param node whose act
    /// @param id of the submission
    /// @param s where everything goes
    function unlock(address node, uint256 id, Settlement calldata s) external;

    /// @notice Take tokens of the sponsor, or of someone who pays a royalty, into the treasury. Only RewardPool.
    /// @param payer who approved the vault
    /// @param amount units of the token
    function fund(address payer, uint256 amount) external;

    /// @notice Pay `amount` of the treasury to `to`. Only RewardPool.
    /// @param to where it goes
    /// @param amount units of the token
    function refund(address to, uint256 amount) external;

    /// @notice Treasury to an author's credit. Only RewardPool; cannot revert for what the treasury holds.
    /// @param author of a model
    /// @param amount units of the token
    function credit(address author, uint256 amount) external;
}
