import { bytes, ofFirst, percent, signed } from "../format";
import { Amount, Countdown, Figure, Level, Lines, Model, Name, Rows, Samples, State, Table } from "../parts";
import type { Head, Histogram as Shape, Package, Submission } from "../types";
import { words } from "../words";

export function SubmissionView({ view }: { view: Submission }) {
  const w = words.submission;
  const { head } = view;
  return (
    <>
      <h1>{w.title(view.id)}</h1>
      <p class="lead">
        <State row={view} /> {words.by("")}
        <Name address={view.author} head={head} />
      </p>
      <Samples row={view} large />
      {view.windows && (view.status === "open" || view.status === "reserved") && (
        <Countdown windows={view.windows} row={view} />
      )}
      <section>
        <h2>{w.cameOf}</h2>
        <p>{verdict(view)}</p>
        {view.level !== null && (
          <dl class="figures">
            <Figure name={words.table.level}>
              <Level level={view.level} /> <small>{words.error(ofFirst(view.level))}</small>
            </Figure>
            <Figure name={words.table.gain}>{view.gain ? signed(view.gain) : "–"}</Figure>
          </dl>
        )}
      </section>

      {view.parents.length > 0 && (
        <section>
          <h2>{w.parents}</h2>
          <ul class="cards">
            {view.parents.map((parent) => (
              <li key={parent.id}>
                <h3>
                  <Model id={parent.id} /> <small>{w.share(percent(parent.share))}</small>
                </h3>
                <p>
                  {words.by("")}
                  <Name address={parent.author} head={head} />
                </p>
                <Samples row={parent} />
              </li>
            ))}
          </ul>
        </section>
      )}

      {view.id > 0 && (
        <section>
          <h2>{w.votesTitle}</h2>
          <Histogram shape={view.histogram} head={head} />
          <Votes view={view} />
        </section>
      )}

      {view.id > 0 && (
        <section>
          <h2>{w.money}</h2>
          <Lines lines={view.lines} head={head} label={w.money} empty={w.noLines} />
        </section>
      )}

      <section>
        <h2>{w.package}</h2>
        <Provenance found={view.package} head={head} />
        {view.digests && (
          <details>
            <summary>{w.fingerprints}</summary>
            <dl class="digests">
              {Object.entries(view.digests).map(([name, digest]) => (
                <>
                  <dt>{w.digests[name] ?? name}</dt>
                  <dd>
                    <code>{digest}</code>
                  </dd>
                </>
              ))}
            </dl>
          </details>
        )}
      </section>

      <section>
        <h2>{w.children}</h2>
        {view.children.length ? (
          <Rows rows={view.children} head={head} label={w.children} />
        ) : (
          <p class="empty">{w.noChildren}</p>
        )}
      </section>
    </>
  );
}

function verdict(view: Submission): string {
  const w = words.submission.verdict;
  if (!view.id) return w.first;
  if (view.status === "final") return view.gain ? w.best(view.gain) : w.final;
  return w[view.status];
}

function Votes({ view }: { view: Submission }) {
  const { head, votes } = view;
  const t = words.table;
  if (!votes.length) return <p class="empty">{words.submission.noVotes}</p>;
  const ended = ["final", "voted_down", "void"].includes(view.status);
  return (
    <Table label={words.submission.votesTitle} heads={[t.node, t.vote, t.weight, t.usual, t.pay]}>
      {votes.map((vote) => (
        <tr key={vote.voter}>
          <th scope="row">
            <Name address={vote.voter} head={head} />
          </th>
          <td>
            {vote.opened ? (
              words.level(vote.grains ?? 0).replace(/^-?\d+/, signed(vote.grains ?? 0))
            ) : (
              <em>{ended ? words.submission.neverOpened : words.submission.sealed}</em>
            )}
          </td>
          <td class="number">{vote.weight}</td>
          <td class="number">{percent(vote.usual)}</td>
          <td class="number">{vote.money === null ? "–" : <Amount units={vote.money} head={head} sign />}</td>
        </tr>
      ))}
    </Table>
  );
}

const WIDTH = 640;
const HEIGHT = 150;
const FLOOR = 118;

/** Weight by bucket, with the outcome and the median marked by line, place and word. */
export function Histogram({ shape, head }: { shape: Shape; head: Head }) {
  const w = words.submission;
  if (shape.quantile === null || shape.median === null) return <p class="empty">{w.noOpened}</p>;
  const most = Math.max(...shape.weights);
  const step = WIDTH / shape.weights.length;
  const at = (index: number) => (index + 0.5) * step;
  const grains = (index: number) => signed(shape.grains[index] ?? 0);
  const told = w.histogramTold(grains(shape.quantile), grains(shape.median));
  const mark = (index: number, text: string, kind: string, y: number) => {
    const right = index < shape.weights.length / 2;
    return (
      <g class={`mark ${kind}`}>
        <line x1={at(index)} x2={at(index)} y1={y} y2={FLOOR} />
        <text x={at(index) + (right ? 5 : -5)} y={y + 9} text-anchor={right ? "start" : "end"}>
          {text}: {grains(index)}
        </text>
      </g>
    );
  };
  return (
    <svg class="histogram" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={told}>
      {shape.weights.map((weight, index) =>
        weight ? (
          <rect
            x={index * step + 2}
            width={step - 4}
            y={FLOOR - (78 * weight) / most}
            height={(78 * weight) / most}
            rx="2"
          />
        ) : null,
      )}
      <line class="floor" x1="0" x2={WIDTH} y1={FLOOR} y2={FLOOR} />
      {shape.grains.map((value, index) =>
        index % 4 === 0 || value === 0 ? (
          <text class="tick" x={index ? at(index) : 0} y={FLOOR + 14} text-anchor={index ? "middle" : "start"}>
            {signed(value)}
          </text>
        ) : null,
      )}
      <text class="tick" x={WIDTH / 2} y={HEIGHT - 2} text-anchor="middle">
        {w.grains}
      </text>
      {mark(shape.quantile, w.quantile(percent(head.rules.kappa)), "quantile", 4)}
      {mark(shape.median, w.median, "median", 20)}
    </svg>
  );
}

function Provenance({ found, head }: { found: Package | null; head: Head }) {
  const w = words.submission;
  if (!found) return <p class="empty">{w.packageUnknown}</p>;
  if (!found.ok)
    return (
      <p class="alert" role="alert">
        {w.packageBad}: {found.problem}
      </p>
    );
  const training = Object.entries(found.training ?? {});
  return (
    <>
      <p>
        <span class="tick-good" aria-hidden="true">
          ✓
        </span>{" "}
        {w.packageGood}
      </p>
      <ul>
        <li>{w.signed(found.signer ?? "", found.trusted ?? false)}</li>
        <li>{w.wallet(head.names[found.wallet ?? ""] ?? found.wallet ?? "")}</li>
        <li>{w.size(bytes(found.size ?? 0), (found.parameters ?? 0).toLocaleString())}</li>
        <li>{w.generations(found.generations ?? 0)}</li>
      </ul>
      {training.length > 0 && (
        <details>
          <summary>{w.training}</summary>
          <dl class="digests">
            {training.map(([name, value]) => (
              <>
                <dt>{name.replace("_", " ")}</dt>
                <dd>{value}</dd>
              </>
            ))}
          </dl>
        </details>
      )}
    </>
  );
}
