import { Plot } from "../chart";
import { moment, tokens } from "../format";
import { Amount, Bars, Figure, Lines, Model, Rows, Table } from "../parts";
import type { NodeView } from "../types";
import { words } from "../words";

export function NodeTitle({ view }: { view: NodeView }) {
  return (
    <>
      <h1>{view.head.names[view.address] ?? words.node.title}</h1>
      <p class="lead">
        <code>{view.address}</code>
      </p>
    </>
  );
}

export function NodeParts({ view }: { view: NodeView }) {
  const w = words.node;
  const { head } = view;
  const why = Object.entries(view.why ?? {}).filter(([, units]) => units !== "0");
  const due = view.due ?? [];
  const earned = view.earned_over ?? [];
  const submissions = view.submissions ?? [];
  return (
    <>
      <dl class="figures">
        <Figure name={w.net}>
          <Amount units={view.net} head={head} sign />
        </Figure>
        <Figure name={w.credit}>
          <Amount units={view.credit} head={head} />
        </Figure>
        <Figure name={w.stake}>
          <Amount units={view.stake} head={head} />
        </Figure>
        <Figure name={w.locked}>
          <Amount units={view.locked} head={head} />
        </Figure>
      </dl>
      <section>
        <h2>{w.due}</h2>
        {due.length === 0 ? (
          <p class="empty">{w.nothingDue}</p>
        ) : (
          <Table label={w.due} heads={[words.table.model, words.table.atStake, words.table.ends]}>
            {due.map((vote) => (
              <tr key={vote.id}>
                <th scope="row">
                  <Model id={vote.id} />
                </th>
                <td class="number">
                  <Amount units={vote.at_stake} head={head} />
                </td>
                <td>{moment(vote.reveal_end, 0)}</td>
              </tr>
            ))}
          </Table>
        )}
      </section>
      <section>
        <h2>{w.why}</h2>
        {why.length ? <Bars entries={why} head={head} names={words.why} /> : <p class="empty">{w.nothing}</p>}
      </section>
      {earned.length > 1 && (
        <section>
          <h2>{w.earned}</h2>
          <Plot
            data={[earned.map(([time]) => time), earned.map(([, units]) => Number(units) / 10 ** head.token.decimals)]}
            told={w.earnedTold(`${tokens(earned.at(-1)![1], head.token.decimals)} ${head.token.symbol}`)}
            axis={head.token.symbol}
            lines={[{ label: w.net, stepped: true }]}
          />
        </section>
      )}
      <section>
        <h2>{w.models}</h2>
        {submissions.length ? (
          <Rows rows={submissions} head={head} label={w.models} />
        ) : (
          <p class="empty">{w.noModels}</p>
        )}
      </section>
      <section>
        <h2>{w.ledger}</h2>
        <Lines lines={view.lines ?? []} head={head} label={w.ledger} empty={w.nothing} />
      </section>
    </>
  );
}
