import { bytes, signed } from "../format";
import { Model, Table } from "../parts";
import type { Evaluation, Mine } from "../types";
import { words } from "../words";
import { NodeParts, NodeTitle } from "./node";

export function MineView({ view }: { view: Mine }) {
  const w = words.mine;
  const copied = view.evaluations.filter((evaluation) => evaluation.copies > 0);
  return (
    <>
      <NodeTitle view={view} />
      <p class="note">{w.private}</p>
      {!view.registered && <p class="alert">{w.unregistered}</p>}
      <section>
        <h2>{w.copies}</h2>
        <p class="note">{w.copiesTold}</p>
        {copied.length === 0 && <p class="empty">{w.noCopies}</p>}
        <ul class="cards">
          {copied.map((evaluation) => (
            <li key={evaluation.id}>
              <h3>
                <Model id={evaluation.id} /> <span class="minus">{w.found(evaluation.copies)}</span>
              </h3>
              <p>{w.surest(Math.max(...evaluation.pairs.map((pair) => pair.score)).toFixed(3))}</p>
              <button type="button" onClick={() => save(view.address, evaluation)}>
                {w.evidence}
              </button>
            </li>
          ))}
        </ul>
      </section>
      <NodeParts view={view} />
      <section>
        <h2>{w.evaluations}</h2>
        <Evaluations found={view.evaluations} />
      </section>
      <section>
        <h2>{w.attempts}</h2>
        {view.attempts.length === 0 && <p class="empty">{w.noAttempts}</p>}
        <ul>
          {view.attempts.map((attempt) => (
            <li key={attempt.number}>
              {attempt.number}: {w.stages[attempt.stage] ?? attempt.stage}
              {attempt.pictures !== null && `, ${w.pictures(attempt.pictures)}`}
            </li>
          ))}
        </ul>
        <p>{w.disk(bytes(view.disk.free), bytes(view.disk.total))}</p>
      </section>
    </>
  );
}

function Evaluations({ found }: { found: Evaluation[] }) {
  const parts = Object.keys(words.mine.parts);
  if (!found.length) return <p class="empty">{words.mine.noEvaluations}</p>;
  return (
    <Table
      label={words.mine.evaluations}
      heads={[words.table.model, words.table.vote, ...parts.map((part) => words.mine.parts[part]!)]}
    >
      {found.map((evaluation) => (
        <tr key={evaluation.id}>
          <th scope="row">
            <Model id={evaluation.id} />
          </th>
          <td class="number">{evaluation.improvement === null ? "–" : signed(evaluation.improvement)}</td>
          {parts.map((part) => (
            <td class="number">{evaluation.parts[part]?.toPrecision(3) ?? "–"}</td>
          ))}
        </tr>
      ))}
    </Table>
  );
}

function save(node: string, evaluation: Evaluation): void {
  const link = document.createElement("a");
  const text = JSON.stringify({ node, ...evaluation }, null, 1);
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `evidence-${evaluation.id}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}
