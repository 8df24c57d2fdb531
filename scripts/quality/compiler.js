#!/usr/bin/env node
// A compiler that stays loaded: one JSON request a line on stdin, one JSON answer a line on stdout. Loading solc-js takes
// longer than most compilations, and mutation testing needs hundreds of them.
//
// A request: { sources: [path], replace: { path: text }, optimizer: bool, output: outputSelection }. Sources and imports
// are read from disk once; `replace` holds texts that stand in for files of this request only.
"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");

const root = path.resolve(__dirname, "..", "..");
const solc = require(path.join(root, "node_modules", "solc"));
const texts = new Map();

function read(name) {
  if (!texts.has(name)) {
    const file = [root, path.join(root, "node_modules")].map((base) => path.join(base, name)).find((f) => fs.existsSync(f));
    if (file === undefined) return undefined;
    texts.set(name, fs.readFileSync(file, "utf8"));
  }
  return texts.get(name);
}

function compile({ sources, replace = {}, optimizer, output }) {
  const text = (name) => replace[name] ?? read(name);
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(sources.map((name) => [name, { content: text(name) }])),
    settings: {
      evmVersion: "cancun",
      optimizer: { enabled: optimizer, runs: 10000 },
      metadata: { appendCBOR: false }, // the hash of the sources: without it equal code is equal bytes
      outputSelection: output,
    },
  };
  const found = (name) => (text(name) === undefined ? { error: `not found: ${name}` } : { contents: text(name) });
  const answer = JSON.parse(solc.compile(JSON.stringify(input), { import: found }));
  const errors = (answer.errors ?? []).filter((e) => e.severity === "error").map((e) => e.formattedMessage);
  return { errors, sources: answer.sources ?? {}, contracts: answer.contracts ?? {} };
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(JSON.stringify(compile(JSON.parse(line))) + "\n");
});
