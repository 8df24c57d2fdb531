// Numbers and times as people read them. Amounts stay whole numbers until they are text.
import { words } from "./words";

/** Token units as text: whole tokens, rounded towards zero to two decimals (four below one). */
export function tokens(units: string, decimals: number): string {
  const negative = units.startsWith("-");
  const digits = (negative ? units.slice(1) : units).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals) || "0";
  const rest = decimals ? digits.slice(digits.length - decimals) : "";
  const shown = whole === "0" ? 4 : 2;
  const part = rest.slice(0, shown).replace(/0+$/, "");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const text = part ? `${grouped}.${part}` : grouped;
  if (text === "0" && /[1-9]/.test(rest)) return `${negative ? "−" : ""}<0.0001`;
  return negative && text !== "0" ? `−${text}` : text;
}

/** All decimals of an amount, for whoever wants to check. */
export function exact(units: string, decimals: number): string {
  const negative = units.startsWith("-");
  const digits = (negative ? units.slice(1) : units).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals) || "0";
  const rest = decimals ? digits.slice(digits.length - decimals).replace(/0+$/, "") : "";
  return (negative ? "−" : "") + whole + (rest ? `.${rest}` : "");
}

/** What a level means: the objective, in percent of the first model's. */
export function ofFirst(level: number): string {
  const percent = 100 * 2 ** (-level / 32);
  return `${percent >= 10 ? percent.toFixed(0) : percent.toPrecision(2)} %`;
}

export function signed(value: number): string {
  return value > 0 ? `+${value}` : value < 0 ? `−${-value}` : "0";
}

export function percent(part: number): string {
  return `${+(100 * part).toFixed(1)} %`;
}

/** A length of time in two units at most. */
export function duration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const units: [number, string][] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => total >= size);
  if (first < 0) return "0 s";
  const [size, name] = units[first]!;
  const next = units[first + 1];
  const left = total % size;
  const more = next && Math.floor(left / next[0]) ? ` ${Math.floor(left / next[0])} ${next[1]}` : "";
  return `${Math.floor(total / size)} ${name}${more}`;
}

/** A moment in the viewer's zone. */
export function moment(seconds: number | null, block: number): string {
  if (seconds === null) return words.block(block);
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

export function short(address: string): string {
  return address.length > 12 ? `${address.slice(0, 6)}…${address.slice(-4)}` : address;
}

export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let value = count;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${value >= 100 || at === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[at]}`;
}

/** Arithmetic of the audit cut at its amounts, which stand in square brackets. */
export function factors(sum: string): { text: string; units: boolean }[] {
  return sum
    .split(/(\[\d+\])/)
    .filter((piece) => piece !== "")
    .map((piece) => (/^\[\d+\]$/.test(piece) ? { text: piece.slice(1, -1), units: true } : { text: piece, units: false }));
}

/** A sentence cut at its addresses, so that each can become a name or a link. */
export function pieces(text: string): string[] {
  return text.split(/(0x[0-9a-fA-F]{40}|#\d+)/).filter((piece) => piece !== "");
}

/** Times on an axis, in the viewer's zone: as exact as their distance asks for, and the day only where days pass. */
export function moments(seconds: number[], locale?: string, timeZone?: string): string[] {
  const span = (seconds.at(-1) ?? 0) - (seconds[0] ?? 0);
  const clock = { hour: "2-digit", minute: "2-digit" } as const;
  const day = { month: "short", day: "numeric" } as const;
  const shown = span < 600 ? { ...clock, second: "2-digit" as const } : span < 86_400 ? clock : span < 604_800 ? { ...day, ...clock } : day;
  const format = new Intl.DateTimeFormat(locale, { ...shown, timeZone, hourCycle: "h23" });
  return seconds.map((second) => format.format(1000 * second));
}
