#!/usr/bin/env node
// Presents npm's solc-js as a native `solc`: --version, and standard JSON from stdin to stdout.
// brownie (through py-solc-x), forge and slither all call it; imports are resolved on disk.
"use strict";

const fs = require("fs");
const path = require("path");

const VERSION = "0.8.37+commit.f401782d.Emscripten.clang";
const args = process.argv.slice(2);

if (args.includes("--version")) {
  // Answered from a string: loading the compiler only to ask for its version would double every build.
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${VERSION}\n`);
  process.exit(0);
}
if (!args.includes("--standard-json")) {
  process.stderr.write("solc.js: only --version and --standard-json are supported\n");
  process.exit(1);
}

const option = (name) => args.flatMap((arg, i) => (arg === name ? [args[i + 1]] : []));
const root = path.resolve(__dirname, "..", "..");
const roots = [...option("--base-path"), ...option("--include-path"), process.cwd(), root, path.join(root, "node_modules")];

function findImport(name) {
  for (const base of roots) {
    const file = path.resolve(base, name);
    if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
  }
  return { error: `File not found: ${name}` };
}

const solc = require("solc");
if (!solc.version().startsWith(VERSION.split("+")[0])) {
  process.stderr.write(`solc.js: node_modules holds solc ${solc.version()}, expected ${VERSION}\n`);
  process.exit(1);
}
const output = JSON.parse(solc.compile(fs.readFileSync(0, "utf8"), { import: findImport }));
// Warnings about code that is not ours are noise; errors always pass.
const theirs = (e) => e.severity === "warning" && (e.sourceLocation?.file ?? "").includes("@openzeppelin/");
if (output.errors) output.errors = output.errors.filter((e) => !theirs(e));
process.stdout.write(JSON.stringify(output));
