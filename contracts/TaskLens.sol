// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry} from "../interfaces/IModelRegistry.sol";
import {IRewardPool} from "../interfaces/IRewardPool.sol";
import {IScoreBook} from "../interfaces/IScoreBook.sol";
import {ITaskLens} from "../interfaces/ITaskLens.sol";
import {TaskAddresses} from "../interfaces/PdfedTypes.sol";

/// @title TaskLens
contract TaskLens is ITaskLens {
    uint256 private constant MOST = 100;

    /// @inheritdoc ITaskLens
    function task(address registry) external view returns (TaskView memory v) {
        IModelRegistry models = IModelRegistry(registry);
        v.task = _addresses(registry);
        v.params = models.params();
        v.count = models.count();
        (v.bestId, v.bestLevel) = models.best();
        v.nextToFinalize = models.nextToFinalize();
        v.closed = models.closed();
        (v.scoringFee, v.open) = models.feeNow();
        v.trend = models.trend();
        v.balances = IRewardPool(v.task.pool).balances();
        v.now_ = uint40(block.timestamp);
    }

    /// @inheritdoc ITaskLens
    function submissions(address registry, uint256 from, uint256 size)
        external
        view
        returns (SubmissionView[] memory list)
    {
        IModelRegistry models = IModelRegistry(registry);
        TaskAddresses memory t = _addresses(registry);
        uint256 count = models.count();
        if (size > MOST) size = MOST;
        uint256 n = from >= count ? 0 : (count - from < size ? count - from : size);
        list = new SubmissionView[](n);
        for (uint256 i; i < n; ++i) {
            uint256 id = from + i;
            list[i] = SubmissionView({
                id: id,
                submission: models.submission(id),
                windows: models.windows(id),
                parents: models.parents(id),
                tally: IScoreBook(t.book).tally(id),
                pending: IRewardPool(t.pool).pending(id),
                owed: IRewardPool(t.pool).owed(id)
            });
        }
    }

    /// @inheritdoc ITaskLens
    function votes(address registry, uint256 id, address[] calldata voters)
        external
        view
        returns (IScoreBook.Vote[] memory list)
    {
        IScoreBook book = IScoreBook(_addresses(registry).book);
        list = new IScoreBook.Vote[](voters.length);
        for (uint256 i; i < voters.length; ++i) {
            list[i] = book.voteOf(id, voters[i]);
        }
    }

    function _addresses(address registry) private view returns (TaskAddresses memory t) {
        t.registry = registry;
        (t.vault, t.book, t.pool) = IModelRegistry(registry).siblings();
    }
}
