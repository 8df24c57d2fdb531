// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "./IModelRegistry.sol";
import {IRewardPool} from "./IRewardPool.sol";
import {IScoreBook} from "./IScoreBook.sol";
import {Parent, TaskAddresses, TaskParams} from "./PdfedTypes.sol";

/// @title Paged views for clients; writes nothing
/// @notice WARNING: the lens asks whatever contract it is pointed at. Check with the factory's `isTask` first.
interface ITaskLens {
    /// @notice A submission and what belongs to it.
    /// @param id its number
    /// @param submission what the registry keeps
    /// @param windows its limits in time
    /// @param parents as declared; empty until submitted
    /// @param tally of the votes opened so far
    /// @param pending what came in for it along references
    /// @param owed what it earned itself and has not shared out
    struct SubmissionView {
        uint256 id;
        IModelRegistry.Submission submission;
        IModelRegistry.Windows windows;
        Parent[] parents;
        IScoreBook.Tally tally;
        uint256 pending;
        uint256 owed;
    }

    /// @notice A task as it stands.
    /// @param task its contracts
    /// @param params frozen at creation
    /// @param count number of ids, genesis included
    /// @param bestId the best model
    /// @param bestLevel its level in grains
    /// @param nextToFinalize head of the queue
    /// @param closed whether new reservations have ended
    /// @param scoringFee what a reservation would pay for scoring now
    /// @param open ids whose reveal window has not ended
    /// @param trend what the task has learnt
    /// @param balances the treasury by owner, drip up to now included
    /// @param now_ time of the block that answered
    struct TaskView {
        TaskAddresses task;
        TaskParams params;
        uint256 count;
        uint256 bestId;
        int40 bestLevel;
        uint256 nextToFinalize;
        bool closed;
        uint256 scoringFee;
        uint256 open;
        IModelRegistry.Trend trend;
        IRewardPool.Balances balances;
        uint40 now_;
    }

    /// @notice A task as it stands.
    /// @param registry names the task
    /// @return what stands there
    function task(address registry) external view returns (TaskView memory);

    /// @notice Up to `size` (at most 100) submissions from id `from` on.
    /// @param registry names the task
    /// @param from first id
    /// @param size most entries wanted
    /// @return in the order of ids; empty beyond the last
    function submissions(address registry, uint256 from, uint256 size) external view returns (SubmissionView[] memory);

    /// @notice Votes of the given voters on one id.
    /// @param registry names the task
    /// @param id of the submission
    /// @param voters whose votes
    /// @return in the order of `voters`; all zero for one that did not commit, or is settled
    function votes(address registry, uint256 id, address[] calldata voters)
        external
        view
        returns (IScoreBook.Vote[] memory);
}
