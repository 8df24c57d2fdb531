// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "./IModelRegistry.sol";
import {IScoreBook} from "./IScoreBook.sol";
import {Parent, TaskAddresses, TaskParams} from "./PdfedTypes.sol";

/// @title Paged views for clients; writes nothing
interface ITaskLens {
    struct SubmissionView {
        uint256 id;
        IModelRegistry.Submission submission;
        IModelRegistry.Windows windows;
        Parent[] parents;
        IScoreBook.Tally tally;
        uint256 pending;
        uint256 owed;
    }

    struct TaskView {
        TaskAddresses task;
        TaskParams params;
        uint256 count;
        uint256 bestId;
        int32 bestLevel;
        uint256 nextToFinalize;
        bool closed;
        uint256 pool;
        uint256 allowance;
        uint256 pendingTotal;
        uint40 now_;
    }

    function task(address registry) external view returns (TaskView memory);

    /// @notice Up to `size` (at most 100) submissions from id `from` on.
    function submissions(address registry, uint256 from, uint256 size) external view returns (SubmissionView[] memory);

    /// @notice Votes of the given voters on one id.
    function votes(address registry, uint256 id, address[] calldata voters)
        external
        view
        returns (IScoreBook.Vote[] memory);
}
