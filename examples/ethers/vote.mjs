// A validator in JavaScript, with ethers and the ABI files: join, list what is open, seal a vote, open it.
//
//     node vote.mjs join 400          register as a validator and stake 400 whole tokens
//     node vote.mjs list              submissions, and until when they take votes
//     node vote.mjs commit 1 3        seal the vote "bucket 3" on submission 1
//     node vote.mjs reveal 1          open it, in its window
//
// PDFED_RPC, PDFED_TASK, PDFED_KEYSTORE and PDFED_PASSWORD name chain, task and key; openings are kept in PDFED_FOLDER
// (default: here). Needs Node 20 and ethers 6.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { argv, env, exit } from "node:process";
import { Contract, JsonRpcProvider, NonceManager, TypedDataEncoder, Wallet, ZeroAddress, ZeroHash } from "ethers";
import { hexlify, Interface, isError, keccak256, parseUnits, randomBytes } from "ethers";

const VALIDATOR = 2; // bit of a role, see interfaces/PdfedTypes.sol
const OPEN = 2n; // value of a status, see the same file
const VOTE = {
  ScoreVote: [
    { name: "voter", type: "address" },
    { name: "submissionId", type: "uint256" },
    { name: "weightsDigest", type: "bytes32" },
    { name: "improvement", type: "int8" },
    { name: "evidenceRoot", type: "bytes32" },
    { name: "salt", type: "bytes32" },
  ],
};

const abi = (contract) =>
  JSON.parse(readFileSync(new URL(`../../pdfed_sdk/chain/abi/${contract}.json`, import.meta.url))).abi;
const opening = (id) => join(env.PDFED_FOLDER ?? ".", `vote-${id}.json`);

async function connect() {
  const provider = new JsonRpcProvider(env.PDFED_RPC ?? "http://127.0.0.1:8545", undefined, { cacheTimeout: -1 });
  const wallet = await Wallet.fromEncryptedJson(readFileSync(env.PDFED_KEYSTORE, "utf8"), env.PDFED_PASSWORD);
  const signer = new NonceManager(wallet.connect(provider));
  const registry = new Contract(env.PDFED_TASK, abi("ModelRegistry"), signer);
  const [vault, book] = await registry.siblings();
  return {
    provider,
    me: wallet.address,
    signer,
    registry,
    vault: new Contract(vault, abi("StakeVault"), signer),
    book: new Contract(book, abi("ScoreBook"), signer),
  };
}

/** Waits until a transaction is mined; ethers throws if it reverted. */
async function mined(sent) {
  return (await (await sent).wait()).hash;
}

/** The custom error of whichever contract refused, with its values. */
function why(error) {
  for (const contract of ["ScoreBook", "StakeVault", "ModelRegistry", "TestToken"]) {
    const found = error.data && new Interface(abi(contract)).parseError(error.data);
    if (found) return `${found.name}(${found.args.join(", ")})`;
  }
  return error.shortMessage;
}

const verbs = {
  async join({ signer, vault }, stake) {
    const token = new Contract(await vault.token(), abi("TestToken"), signer); // any ERC-20 has these functions
    const amount = parseUnits(stake, await token.decimals());
    await mined(token.approve(vault.target, amount));
    return mined(vault.registerAndDeposit(VALIDATOR, ZeroAddress, ZeroHash, amount));
  },

  async list({ registry }) {
    const found = [];
    for (let id = 1n; id < (await registry.count()); id++) {
      const [is, windows] = await Promise.all([registry.submission(id), registry.windows(id)]);
      found.push({
        id: Number(id),
        author: is.terms.author,
        open: is.terms.status === OPEN,
        record_hash: is.recordHash,
        weights: is.weightsDigest,
        commit_before: Number(windows.commitEnd),
        reveal: [Number(windows.revealStart), Number(windows.revealEnd)],
      });
    }
    return JSON.stringify(found, null, 1);
  },

  /** Seals a vote. What opens it is on disk before the commitment is sent: lost with it goes the bond. */
  async commit({ me, provider, registry, book }, id, improvement) {
    const { recordHash, weightsDigest } = await registry.submission(id);
    if (!existsSync(opening(id))) {
      const evidence = keccak256(randomBytes(32)); // the root of what you measured, salted; here of nothing
      const kept = { improvement: Number(improvement), evidence_root: evidence, salt: hexlify(randomBytes(32)) };
      const file = openSync(opening(id), "wx", 0o600);
      writeSync(file, JSON.stringify(kept));
      fsyncSync(file);
      closeSync(file);
    }
    const kept = JSON.parse(readFileSync(opening(id), "utf8"));
    const { chainId } = await provider.getNetwork();
    const domain = { name: "PDFed", version: "1", chainId, verifyingContract: book.target };
    const commitment = TypedDataEncoder.hash(domain, VOTE, {
      voter: me,
      submissionId: id,
      weightsDigest,
      improvement: kept.improvement,
      evidenceRoot: kept.evidence_root,
      salt: kept.salt,
    });
    return mined(book.commit(me, { submissionId: id, recordHash, commitment }));
  },

  async reveal({ me, book }, id) {
    const kept = JSON.parse(readFileSync(opening(id), "utf8"));
    const { improvement, evidence_root: evidenceRoot, salt } = kept;
    return mined(book.reveal({ voter: me, submissionId: id, improvement, evidenceRoot, salt }));
  },
};

const [verb, ...values] = argv.slice(2);
if (!(verb in verbs) || values.length !== verbs[verb].length - 1) {
  console.error("usage: node vote.mjs join STAKE | list | commit ID BUCKET | reveal ID");
  exit(2);
}
const connected = await connect();
try {
  console.log(await verbs[verb](connected, ...values));
} catch (error) {
  if (!isError(error, "CALL_EXCEPTION")) throw error;
  console.error(`${verb} was refused: ${why(error)}`);
  exit(1);
} finally {
  connected.provider.destroy();
}
