// Small parts that several views share.
import type { ComponentChildren } from "preact";
import { pictureOf, useNow } from "./data";
import { duration, exact, factors, moment, ofFirst, pieces, short, signed, tokens } from "./format";
import type { Head, Line, Row, Windows } from "./types";
import { words } from "./words";

export function Name({ address, head }: { address: string; head: Head }) {
  if (!address) return <>{words.sponsor}</>;
  return (
    <a href={`#/node/${address}`} title={address}>
      {head.names[address] ?? short(address)}
    </a>
  );
}

export function Model({ id }: { id: number }) {
  return <a href={`#/submission/${id}`}>{words.model(id)}</a>;
}

/** A sentence of the audit, its addresses as names and its models as links. */
export function Told({ text, head }: { text: string; head: Head }) {
  return (
    <>
      {pieces(text).map((piece) => {
        if (/^0x[0-9a-fA-F]{40}$/.test(piece)) return <Name address={piece} head={head} />;
        if (/^#\d+$/.test(piece)) return <a href={`#/submission/${piece.slice(1)}`}>{piece}</a>;
        return piece;
      })}
    </>
  );
}

export function Amount({ units, head, sign = false }: { units: string; head: Head; sign?: boolean }) {
  const { symbol, decimals } = head.token;
  const plus = sign && !units.startsWith("-") && units !== "0" ? "+" : "";
  const tone = !sign || units === "0" ? "" : units.startsWith("-") ? " minus" : " plus";
  return (
    <span class={`amount${tone}`} title={`${exact(units, decimals)} ${symbol}`}>
      {plus}
      {tokens(units, decimals)} <small>{symbol}</small>
    </span>
  );
}

export function State({ row }: { row: Row }) {
  const name = row.id ? words.status[row.status] : words.first;
  return (
    <span class={`status ${row.status}`} title={words.statusTold[row.status]}>
      <span aria-hidden="true">{words.statusSign[row.status]}</span> {name}
      {row.best && <strong class="best"> ★ {words.best}</strong>}
    </span>
  );
}

export function Level({ level }: { level: number | null }) {
  if (level === null) return <>–</>;
  return <span title={words.error(ofFirst(level))}>{words.level(level)}</span>;
}

export function Samples({ row, large = false }: { row: Row; large?: boolean }) {
  if (!row.picture) return null;
  return <img class={large ? "samples large" : "samples"} src={pictureOf(row.id)} alt={words.samplesOf(row.id)} />;
}

/** Which window is running, how long still, and a bar. */
export function Countdown({ windows, row }: { windows: Windows; row: Pick<Row, "status" | "reserved_at"> }) {
  const now = useNow();
  const { submit_end, commit_end, reveal_start, reveal_end } = windows;
  const left = (end: number) => duration(end - now);
  let text: string = words.windows.over;
  if (row.status === "reserved" && now < submit_end) text = words.windows.submit(left(submit_end));
  else if (now < commit_end) text = words.windows.commit(left(commit_end));
  else if (now < reveal_start) text = words.windows.gap(left(reveal_start));
  else if (now < reveal_end) text = words.windows.reveal(left(reveal_end));
  const part = (from: number, to: number) => Math.min(1, Math.max(0, (now - from) / Math.max(1, to - from)));
  return (
    <div class="countdown">
      <span>{text}</span>
      <progress
        aria-label={words.windows.progress}
        value={part(row.reserved_at, reveal_end)}
        max={1}
      />
    </div>
  );
}

/** A table that scrolls sideways by itself on a narrow screen, and can be reached with the keyboard there. */
export function Table({ label, heads, children }: { label: string; heads: string[]; children: ComponentChildren }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {heads.map((head) => (
              <th scope="col">{head}</th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

export function Rows({ rows, head, label }: { rows: Row[]; head: Head; label: string }) {
  const t = words.table;
  return (
    <Table label={label} heads={[t.model, t.author, t.status, t.votes, t.level, t.gain]}>
      {rows.map((row) => (
        <tr key={row.id}>
          <th scope="row">
            <Model id={row.id} />
          </th>
          <td>
            <Name address={row.author} head={head} />
          </td>
          <td>
            <State row={row} />
          </td>
          <td class="number">{row.id ? t.votesOf(row.opened, row.sealed) : "–"}</td>
          <td class="number">
            <Level level={row.level} />
          </td>
          <td class="number">{row.gain ? signed(row.gain) : "–"}</td>
        </tr>
      ))}
    </Table>
  );
}

export function Lines({ lines, head, label, empty }: { lines: Line[]; head: Head; label: string; empty: string }) {
  if (!lines.length) return <p class="empty">{empty}</p>;
  return (
    <ol class="lines" aria-label={label}>
      {lines.map((line) => (
        <li>
          <span class="subject">
            <Told text={line.subject} head={head} />
          </span>
          {line.amount !== null && <Amount units={line.amount} head={head} />}
          <span class="told">
            <Told text={line.told} head={head} />
            {line.sum && line.sum !== "0" && <Sum line={line} head={head} />}
          </span>
          <time title={line.tx}>{moment(line.time, line.block)}</time>
        </li>
      ))}
    </ol>
  );
}

/** The same as arithmetic, to be opened by who wants to check it; all decimals of an amount are in its tooltip. */
function Sum({ line, head }: { line: Line; head: Head }) {
  const { symbol, decimals } = head.token;
  return (
    <details class="sum">
      <summary>{words.arithmetic}</summary>
      <code>
        {factors(line.sum).map(({ text, units }) =>
          units ? <span title={`${exact(text, decimals)} ${symbol}`}>{tokens(text, decimals)}</span> : text,
        )}{" "}
        = <span title={`${exact(line.amount ?? "0", decimals)} ${symbol}`}>{tokens(line.amount ?? "0", decimals)}</span> {symbol}
      </code>
    </details>
  );
}

export function Figure({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Sums by reason, with bars of their size. */
export function Bars({ entries, head, names }: { entries: [string, string][]; head: Head; names: Record<string, string> }) {
  const size = ([, units]: [string, string]) => Math.abs(Number(units));
  const most = Math.max(1, ...entries.map(size));
  return (
    <dl class="bars">
      {entries.map((entry) => (
        <div>
          <dt>{names[entry[0]] ?? entry[0]}</dt>
          <dd>
            <Amount units={entry[1]} head={head} />
          </dd>
          <svg aria-hidden="true" width="100%" height="8">
            <rect width={`${size(entry) && Math.max(0.3, (100 * size(entry)) / most)}%`} height="8" rx="2" />
          </svg>
        </div>
      ))}
    </dl>
  );
}
