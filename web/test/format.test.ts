import { describe, expect, it } from "vitest";
import { bytes, duration, exact, factors, moments, ofFirst, pieces, short, tokens } from "../src/format";

describe("amounts are never rounded up, and keep their sign", () => {
  const cases: [string, string, string][] = [
    ["0", "0", "0"],
    ["1", "<0.0001", "0.000000000000000001"],
    ["-1", "−<0.0001", "−0.000000000000000001"],
    ["999999999999999999", "0.9999", "0.999999999999999999"],
    ["1000000000000000000", "1", "1"],
    ["-2500000000000000000", "−2.5", "−2.5"],
    ["1234567890000000000000000", "1,234,567.89", "1234567.89"],
    ["123456789012345678901234567890", "123,456,789,012.34", "123456789012.34567890123456789"],
  ];
  it.each(cases)("%s", (units, shown, whole) => {
    expect(tokens(units, 18)).toBe(shown);
    expect(exact(units, 18)).toBe(whole);
  });
  it("tokens without decimals are whole", () => {
    expect(tokens("1234", 0)).toBe("1,234");
    expect(exact("1234", 0)).toBe("1234");
  });
});

it("32 grains halve the error", () => {
  expect([0, 32, 64, -32].map(ofFirst)).toEqual(["100 %", "50 %", "25 %", "200 %"]);
});

it("times have two units at most", () => {
  expect([0, 59, 60, 61, 3600, 3661, 90_061].map(duration)).toEqual([
    "0 s",
    "59 s",
    "1 min",
    "1 min 1 s",
    "1 h",
    "1 h 1 min",
    "1 d 1 h",
  ]);
});

it("sentences are cut at addresses and models only", () => {
  const address = `0x${"aB".repeat(20)}`;
  expect(pieces(`vote of ${address} on #12: <b>0x12</b>`)).toEqual(["vote of ", address, " on ", "#12", ": <b>0x12</b>"]);
  expect(short(address)).toBe("0xaBaB…aBaB");
});

it("arithmetic is cut at its amounts", () => {
  expect(factors("⌊[20] × 3 / 5⌋ − [4]")).toEqual([
    { text: "⌊", units: false },
    { text: "20", units: true },
    { text: " × 3 / 5⌋ − ", units: false },
    { text: "4", units: true },
  ]);
});

it("sizes", () => {
  expect([5, 1500, 2_500_000, 512_000_000].map(bytes)).toEqual(["5 B", "1.5 kB", "2.5 MB", "512 MB"]);
});

it("times on an axis are as exact as their distance asks for", () => {
  const start = Date.UTC(2026, 0, 2, 3, 4, 5) / 1000;
  const shown = (...after: number[]) => moments(after.map((seconds) => start + seconds), "en-GB", "UTC");
  expect(shown(0, 30)).toEqual(["03:04:05", "03:04:35"]);
  expect(shown(0, 3600)).toEqual(["03:04", "04:04"]);
  expect(shown(0, 90_000)).toEqual(["2 Jan, 03:04", "3 Jan, 04:04"]);
  expect(shown(0, 864_000)).toEqual(["2 Jan", "12 Jan"]);
});
