// The lineage as a graph: laid out by dagre, drawn as SVG whose models are links.
import dagre from "@dagrejs/dagre";
import { useEffect, useMemo, useState } from "preact/hooks";
import { pictureOf } from "./data";
import { short } from "./format";
import type { Graph as Shape, Head, Row } from "./types";
import { words } from "./words";

const WIDTH = 176;
const TEXT = 42;
const PICTURE = 24;

/** A value a moment later: what is quick to draw is on the screen first. */
function useLate<T>(value: T): T | null {
  const [late, set] = useState<T | null>(null);
  useEffect(() => {
    const timer = window.setTimeout(() => set(() => value), 0);
    return () => window.clearTimeout(timer);
  }, [value]);
  return late;
}

/** Places of models and edges; found anew only when there are other ones. */
function placed(graph: Shape) {
  const layout = new dagre.graphlib.Graph();
  layout.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 46, marginx: 8, marginy: 8 });
  layout.setDefaultEdgeLabel(() => ({}));
  for (const row of graph.nodes) layout.setNode(String(row.id), { width: WIDTH, height: heightOf(row) });
  for (const edge of graph.edges) layout.setEdge(String(edge.from), String(edge.to));
  dagre.layout(layout);
  return layout;
}

export function Graph({ graph: newest, head }: { graph: Shape; head: Head }) {
  const graph = useLate(newest);
  const key = graph && JSON.stringify([graph.nodes.map((row) => [row.id, row.picture]), graph.edges]);
  const layout = useMemo(() => graph && placed(graph), [key]);
  if (!graph || !layout) return <p class="empty">{words.loading}</p>;
  const { width = 0, height = 0 } = layout.graph();
  const line = ancestry(graph);
  return (
    <div class="scroll graph" role="region" aria-label={words.federation.lineage} tabIndex={0}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        {graph.edges.map((edge) => {
          const points = layout.edge(String(edge.from), String(edge.to)).points as { x: number; y: number }[];
          const strong = line.has(edge.to) && line.has(edge.from);
          return (
            <path
              class={strong ? "edge strong" : "edge"}
              d={curve(points)}
              stroke-width={1 + 2 * edge.share}
              fill="none"
              aria-hidden="true"
            />
          );
        })}
        {graph.nodes.map((row) => {
          const { x, y } = layout.node(String(row.id)) as { x: number; y: number };
          return <Node row={row} head={head} x={x - WIDTH / 2} y={y - heightOf(row) / 2} />;
        })}
      </svg>
    </div>
  );
}

function heightOf(row: Row): number {
  return TEXT + (row.picture ? PICTURE + 6 : 0);
}

/** The best model and everything it descends from. */
export function ancestry(graph: Shape): Set<number> {
  const found = new Set(graph.nodes.filter((row) => row.best).map((row) => row.id));
  for (const edge of [...graph.edges].sort((a, b) => b.to - a.to)) if (found.has(edge.to)) found.add(edge.from);
  return found;
}

function curve(points: { x: number; y: number }[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  const last = rest.at(-1) ?? first;
  const middle = (first.x + last.x) / 2;
  if (rest.length <= 2) return `M${first.x},${first.y} C${middle},${first.y} ${middle},${last.y} ${last.x},${last.y}`;
  return `M${first.x},${first.y} ` + rest.map((point) => `L${point.x},${point.y}`).join(" ");
}

function Node({ row, head, x, y }: { row: Row; head: Head; x: number; y: number }) {
  const who = row.author ? (head.names[row.author] ?? short(row.author)) : words.sponsor;
  const state = row.id ? words.status[row.status] : words.first;
  const level = row.level === null ? state : words.level(row.level);
  return (
    <a href={`#/submission/${row.id}`} class={`model ${row.status}${row.best ? " best" : ""}`}>
      <rect x={x} y={y} width={WIDTH} height={heightOf(row)} rx="6" />
      <text x={x + 9} y={y + 17} class="title">
        {words.statusSign[row.status]} {row.id ? `#${row.id}` : "#0"}
        {row.best ? ` ★ ${words.best}` : ""}
      </text>
      <text x={x + WIDTH - 9} y={y + 17} text-anchor="end" class="detail">
        {level}
      </text>
      <text x={x + 9} y={y + 33} class="detail">
        {words.by(who.length > 18 ? `${who.slice(0, 17)}…` : who)}
      </text>
      {row.picture && (
        <image x={x + 4} y={y + TEXT} width={WIDTH - 8} height={PICTURE} href={pictureOf(row.id)} class="pixels" aria-hidden="true" />
      )}
    </a>
  );
}
