import { useState } from "preact/hooks";
import { Plot } from "../chart";
import { read } from "../data";
import { bytes, duration, percent, signed } from "../format";
import { Model, Table } from "../parts";
import type { Evaluation, Mine, Pairs } from "../types";
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
      <Doing doing={view.doing} />
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
              <Copies node={view.address} evaluation={evaluation} />
            </li>
          ))}
        </ul>
      </section>
      <Training training={view.training} />
      <NodeParts view={view} />
      <section>
        <h2>{w.evaluations}</h2>
        <Copying found={view.evaluations} />
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
      </section>
      <section>
        <h2>{w.machine}</h2>
        <p>{w.disk(bytes(view.disk.free), bytes(view.disk.total))}</p>
        {view.gpus.length === 0 && <p class="empty">{w.noGpu}</p>}
        <ul>
          {view.gpus.map((gpu) => (
            <li>{w.gpu(gpu.name, bytes(gpu.used), bytes(gpu.total), percent(gpu.busy / 100))}</li>
          ))}
        </ul>
      </section>
    </>
  );
}

/** Memorisation over the models, as this node measured it: no event says it, so only its owner can see it. */
function Copying({ found }: { found: Evaluation[] }) {
  const w = words.mine;
  const known = found.filter((one) => typeof one.parts.novelty === "number").sort((a, b) => a.id - b.id);
  if (known.length < 2) return null;
  const last = known.at(-1)!.parts.novelty!;
  return (
    <Plot
      data={[known.map((one) => one.id), known.map((one) => one.parts.novelty!)]}
      told={w.copyingTold(last.toPrecision(3))}
      axis={w.parts.novelty!}
      lines={[{ label: w.copyingOver, stepped: true }]}
      counts={w.numbers}
    />
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

function Doing({ doing }: { doing: Mine["doing"] }) {
  const w = words.mine;
  if (!doing) return <p class="empty">{w.neverRan}</p>;
  if (doing.still)
    return (
      <p class="alert" role="alert">
        {w.still(duration(doing.silent))}
      </p>
    );
  const told = (w.doing[doing.doing] ?? (() => doing.doing))(doing.number);
  return (
    <p class="verdict" role="status">
      {told}
    </p>
  );
}

function Training({ training }: { training: Mine["training"] }) {
  const w = words.mine;
  const last = training?.curve.at(-1);
  return (
    <section>
      <h2>{w.curve}</h2>
      {!training || !last ? (
        <p class="empty">{w.noCurve}</p>
      ) : (
        <>
          <p class="note">{w.curveAt(training.number, last[0].toLocaleString(), training.total.toLocaleString())}</p>
          <Plot
            data={[training.curve.map(([at]) => at), training.curve.map(([, loss]) => loss)]}
            told={w.curveTold(last[1].toPrecision(3))}
            axis={w.loss}
            lines={[{ label: w.loss }]}
            counts={w.shown}
          />
          <ul class="cards">
            {training.samples.map((strip) => (
              <li key={strip.pictures}>
                <p>{w.pictures(strip.pictures)}</p>
                <img class="samples" src={strip.picture} alt={w.strip(strip.pictures.toLocaleString())} />
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

/** The pairs of one evaluation, drawn when they are asked for, and saved with their pictures. */
function Copies({ node, evaluation }: { node: string; evaluation: Evaluation }) {
  const w = words.mine;
  const [found, show] = useState<Pairs | null>(null);
  const [told, tell] = useState("");
  const draw = async () => {
    tell(w.drawing);
    try {
      show(await read<Pairs>(`mine/pairs/${evaluation.id}`));
      tell("");
    } catch (error) {
      tell(words.failed(error instanceof Error ? error.message : String(error)));
    }
  };
  return (
    <>
      {!found && (
        <button type="button" onClick={draw}>
          {w.showPairs}
        </button>
      )}{" "}
      <button type="button" onClick={() => save(node, evaluation, found)}>
        {w.evidence}
      </button>
      <p role="status">{told}</p>
      <ul class="pairs">
        {found?.pairs.map((pair) => (
          <li key={`${pair.sample}-${pair.train}`}>
            <img class="pixels" src={pair.made} alt={w.made(pair.sample)} />
            <img class="pixels" src={pair.own} alt={w.own(pair.train)} />
            <small>{w.score(pair.score.toFixed(3))}</small>
          </li>
        ))}
      </ul>
    </>
  );
}

function save(node: string, evaluation: Evaluation, pairs: Pairs | null): void {
  const { head, ...drawn } = pairs ?? { head: null };
  const link = document.createElement("a");
  const where = head && { task: head.task, chain: head.chain, block: head.block };
  const text = JSON.stringify({ node, ...where, ...evaluation, ...drawn }, null, 1);
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `evidence-${evaluation.id}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}
