// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ScoreVote} from "../../../../../interfaces/PdfedTypes.sol";
import {ScoreBook} from "../../../../../contracts/ScoreBook.sol";

/// @title What symbolic execution proves of a vote's digest, on the deployed book
contract DigestProofs {
    ScoreBook private _book;

    function setUp() public {
        _book = new ScoreBook();
    }

    /// @dev The book's digest is EIP-712's for every vote: written out here once more, word by word.
    function check_the_digest_is_its_definition(ScoreVote calldata vote) public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("PDFed"),
                keccak256("1"),
                block.chainid,
                address(_book)
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "ScoreVote(address voter,uint256 submissionId,bytes32 weightsDigest,int8 improvement,bytes32 evidenceRoot,bytes32 salt)"
                ),
                vote.voter,
                vote.submissionId,
                vote.weightsDigest,
                vote.improvement,
                vote.evidenceRoot,
                vote.salt
            )
        );
        assert(_book.hashVote(vote) == keccak256(abi.encodePacked(hex"1901", domain, content)));
    }

    /// @dev With keccak taken as injective: no two votes share a digest.
    function check_equal_digests_are_equal_votes(ScoreVote calldata a, ScoreVote calldata b) public view {
        if (_book.hashVote(a) != _book.hashVote(b)) return;
        assert(a.voter == b.voter && a.submissionId == b.submissionId && a.weightsDigest == b.weightsDigest);
        assert(a.improvement == b.improvement && a.evidenceRoot == b.evidenceRoot && a.salt == b.salt);
    }
}
