import { Doubts, Levels } from "../chart";
import { ofFirst } from "../format";
import { Graph } from "../graph";
import { Amount, Countdown, Figure, Model, Name, Rows, Samples, State, Table } from "../parts";
import type { Federation } from "../types";
import { words } from "../words";

export function FederationView({ view }: { view: Federation }) {
  const w = words.federation;
  const { head, counts, best, graph } = view;
  return (
    <>
      <h1>{head.title || words.untitled}</h1>
      <p class="lead">{w.summary(counts.nodes, counts.final)}</p>
      <section class="hero">
        <div>
          <h2>{w.bestTitle}</h2>
          <p class="large">
            <Model id={best.id} /> {words.by("")}
            <Name address={best.author} head={head} />
          </p>
          <Samples row={best} large />
        </div>
        <dl class="figures">
          <Figure name={w.nodes}>{counts.nodes}</Figure>
          <Figure name={w.models}>{counts.final}</Figure>
          <Figure name={w.openCount}>{counts.open + counts.reserved}</Figure>
          <Figure name={w.inVault}>
            {ofFirst(best.level ?? 0)} <small>{words.level(best.level ?? 0)}</small>
          </Figure>
        </dl>
      </section>
      <p class="note">{words.errorTold}</p>

      <section>
        <h2>{w.openTitle}</h2>
        {view.open.length === 0 && <p class="empty">{w.nothingOpen}</p>}
        <ul class="cards">
          {view.open.map((row) => (
            <li key={row.id}>
              <h3>
                <Model id={row.id} /> <State row={row} />
              </h3>
              <p>
                {words.by("")}
                <Name address={row.author} head={head} />, {words.table.votesOf(row.opened, row.sealed)}
              </p>
              {row.windows && <Countdown windows={row.windows} row={row} />}
            </li>
          ))}
        </ul>
      </section>

      <section>
        <h2>{w.lineage}</h2>
        <p class="note">{w.lineageTold}</p>
        {graph.nodes.length > 1 ? <Graph graph={graph} head={head} /> : <p class="empty">{w.noModels}</p>}
        {graph.left_out > 0 && <Jump count={graph.left_out} />}
      </section>

      {counts.final > 0 && (
        <section>
          <h2>{w.levels}</h2>
          <Levels levels={view.levels} />
        </section>
      )}

      {view.doubts.length > 0 && (
        <section>
          <h2>{w.doubts}</h2>
          <p class="note">{w.doubtsNote}</p>
          <Doubts doubts={view.doubts} down={counts.voted_down} />
        </section>
      )}

      <section>
        <h2>{w.nodes}</h2>
        {view.nodes.length === 0 ? (
          <p class="empty">{w.noNodes}</p>
        ) : (
          <Table
            label={w.nodes}
            heads={[
              words.table.node,
              words.table.roles,
              words.table.submissions,
              words.table.voted,
              words.table.stake,
              words.table.net,
            ]}
          >
            {view.nodes.map((node) => (
              <tr key={node.address}>
                <th scope="row">
                  <Name address={node.address} head={head} />
                </th>
                <td>{node.roles.map((role) => words.roles[role] ?? role).join(", ") || "–"}</td>
                <td class="number">{node.submissions}</td>
                <td class="number">{node.votes}</td>
                <td class="number">
                  <Amount units={node.stake} head={head} />
                </td>
                <td class="number">
                  <Amount units={node.net} head={head} sign />
                </td>
              </tr>
            ))}
          </Table>
        )}
        {counts.nodes > view.nodes.length && <Find count={counts.nodes - view.nodes.length} />}
      </section>

      <section>
        <h2>{w.latest}</h2>
        <Rows rows={view.latest} head={head} label={w.latest} />
      </section>
    </>
  );
}

function Find({ count }: { count: number }) {
  const go = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("address") as HTMLInputElement;
    if (field.value.trim()) location.hash = `#/node/${field.value.trim()}`;
  };
  return (
    <form onSubmit={go} class="jump">
      <label>
        {words.federation.moreNodes(count)} {words.federation.find}{" "}
        <input name="address" pattern="\s*0x[0-9a-fA-F]{40}\s*" aria-label={words.federation.address} />
      </label>{" "}
      <button type="submit">{words.federation.open}</button>
    </form>
  );
}

function Jump({ count }: { count: number }) {
  const go = (event: SubmitEvent) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("number") as HTMLInputElement;
    if (field.value) location.hash = `#/submission/${field.value}`;
  };
  return (
    <form onSubmit={go} class="jump">
      <label>
        {words.federation.leftOut(count)}{" "}
        <input name="number" type="number" min="0" aria-label={words.federation.number} />
      </label>{" "}
      <button type="submit">{words.federation.open}</button>
    </form>
  );
}
