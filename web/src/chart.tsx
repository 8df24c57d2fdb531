// The level over time, drawn by uPlot in the colours of the theme.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { moments } from "./format";
import type { Federation, Point } from "./types";
import { words } from "./words";

const HEIGHT = 240;

/** Two series over one axis of times: a step line of the best level, and points of the others. */
export function series(levels: Federation["levels"]): [number[], (number | null)[], (number | null)[]] {
  const all: [Point, boolean][] = [
    ...levels.best.map((point): [Point, boolean] => [point, true]),
    ...levels.others.map((point): [Point, boolean] => [point, false]),
  ];
  all.sort(([a], [b]) => a[1] - b[1] || a[0] - b[0]);
  const start = all.find(([point]) => point[1] > 0)?.[0][1] ?? 0;
  return [
    all.map(([point]) => point[1] || start),
    all.map(([point, best]) => (best ? point[2] : null)),
    all.map(([point, best]) => (best ? null : point[2])),
  ];
}

export function Levels({ levels }: { levels: Federation["levels"] }) {
  const last = levels.best.at(-1)?.[2] ?? 0;
  return (
    <Plot
      data={series(levels)}
      told={words.federation.levelsTold(levels.best.length - 1, last)}
      axis={words.federation.levelAxis}
      lines={[{ label: words.federation.bestLine, stepped: true }, { label: words.federation.others, dots: true }]}
    />
  );
}

/** How much of the votes found copies in each model. */
export function Doubts({ doubts, down }: { doubts: Federation["doubts"]; down: number }) {
  return (
    <Plot
      data={[doubts.map(([, time]) => time), doubts.map(([, , share]) => 100 * share)]}
      told={words.federation.doubtsTold(doubts.length, down)}
      axis={words.federation.doubtsAxis}
      lines={[{ label: words.federation.doubtsLine, dots: true }]}
    />
  );
}

interface Shape {
  label: string;
  stepped?: boolean;
  dots?: boolean;
}

/** Lines over one axis, of times unless ``counts`` is set. ``told`` says in words what is to be seen. */
export function Plot(wanted: { data: uPlot.AlignedData; told: string; axis: string; lines: Shape[]; counts?: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    let plot: uPlot | null = null;
    const draw = () => {
      plot?.destroy();
      plot = new uPlot(options(element, wanted), wanted.data, element);
    };
    const size = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }));
    draw();
    size.observe(element);
    dark.addEventListener("change", draw);
    return () => {
      size.disconnect();
      dark.removeEventListener("change", draw);
      plot?.destroy();
    };
  }, [JSON.stringify(wanted.data)]);
  return <div ref={place} class="chart" role="img" aria-label={wanted.told} />;
}

function options(element: HTMLElement, wanted: { axis: string; lines: Shape[]; counts?: string }): uPlot.Options {
  const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const times: uPlot.Axis = { ...axis, space: 90, values: (_plot, splits) => moments(splits) };
  const x = wanted.counts ? { ...axis, label: wanted.counts, labelSize: 20 } : times;
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { live: false },
    cursor: { show: false },
    scales: { x: { time: !wanted.counts } },
    axes: [x, { ...axis, label: wanted.axis, labelSize: 20, size: 60 }],
    series: [{}, ...wanted.lines.map((line) => shape(line, colour))],
  };
}

function shape({ label, stepped, dots }: Shape, colour: (name: string) => string): uPlot.Series {
  if (dots)
    return {
      label,
      stroke: colour("--other"),
      paths: () => null,
      points: { show: true, size: 7, fill: colour("--ground"), width: 2 },
    };
  const line = { label, stroke: colour("--accent"), width: 2, spanGaps: true };
  if (!stepped) return { ...line, points: { show: false } };
  return {
    ...line,
    paths: uPlot.paths.stepped!({ align: 1 }),
    points: { show: true, size: 8, fill: colour("--accent") },
  };
}
