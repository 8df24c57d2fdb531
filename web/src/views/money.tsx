import { tokens } from "../format";
import { Amount, Bars, Lines, Name, Table } from "../parts";
import type { Money } from "../types";
import { words } from "../words";

const FLOWS = Object.keys(words.money.flowNames);

export function MoneyView({ view }: { view: Money }) {
  const w = words.money;
  const { head } = view;
  const sums: Record<string, string> = { ...view.everyone, ...view.task };
  const flows = FLOWS.filter((name) => (sums[name] ?? "0") !== "0").map((name): [string, string] => [name, sums[name]!]);
  const names = Object.fromEntries(
    Object.keys(view.parts).map((name) => [name, `${w.partNames[name]}: ${w.partTold[name]}`]),
  );
  return (
    <>
      <h1>{w.title}</h1>
      <p class="lead">{w.summary(`${tokens(view.held, head.token.decimals)} ${head.token.symbol}`)}</p>
      <section>
        <h2>{w.parts}</h2>
        <Bars entries={Object.entries(view.parts)} head={head} names={names} />
      </section>
      <section>
        <h2>{w.flows}</h2>
        <Bars entries={flows} head={head} names={w.flowNames} />
      </section>
      <section>
        <h2>{w.nodes}</h2>
        <Table
          label={w.nodes}
          heads={[words.table.node, words.table.earned, words.table.lost, words.table.net, words.node.credit]}
        >
          {view.nodes.map((node) => (
            <tr key={node.address}>
              <th scope="row">
                <Name address={node.address} head={head} />
              </th>
              <td class="number">
                <Amount units={node.earned} head={head} />
              </td>
              <td class="number">
                <Amount units={node.lost} head={head} />
              </td>
              <td class="number">
                <Amount units={node.net} head={head} sign />
              </td>
              <td class="number">
                <Amount units={node.credit} head={head} />
              </td>
            </tr>
          ))}
        </Table>
      </section>
      <section>
        <h2>{w.lines}</h2>
        <Lines lines={view.lines} head={head} label={w.lines} empty={w.noLines} />
      </section>
    </>
  );
}
