// What the server's views look like; pdfed_sdk/watch/views.py writes them. Amounts are decimal strings of token units.

export interface Head {
  block: number;
  time: number;
  task: string;
  chain: number;
  title: string;
  token: { symbol: string; decimals: number };
  names: Record<string, string>;
  closed: boolean;
  paused_until: number;
  faults: number;
  rules: { kappa: number; least_step: number; lineage: number; voters: number; tau: number };
}
export type Status = "reserved" | "open" | "final" | "voted_down" | "void";
export interface Windows {
  submit_end: number;
  commit_end: number;
  reveal_start: number;
  reveal_end: number;
}
export interface Row {
  id: number;
  author: string;
  status: Status;
  level: number | null;
  gain: number;
  best: boolean;
  sealed: number;
  opened: number;
  reserved_at: number;
  windows: Windows | null;
  picture: boolean;
}
export interface NodeRow {
  address: string;
  roles: string[];
  stake: string;
  locked: string;
  unbonding: string;
  credit: string;
  earned: string;
  lost: string;
  net: string;
  claimed: string;
}
export interface Line {
  block: number;
  time: number | null;
  event: string;
  submission: number | null;
  address: string | null;
  subject: string;
  amount: string | null;
  told: string;
  tx: string;
  sum: string;
}
export type Point = [id: number, time: number, level: number, measured: number];
export interface Graph {
  nodes: Row[];
  edges: { from: number; to: number; share: number }[];
  left_out: number;
}
export interface Federation {
  head: Head;
  best: Row;
  counts: Record<Status | "nodes", number>;
  nodes: (NodeRow & { submissions: number; votes: number })[];
  levels: { best: Point[]; others: Point[] };
  doubts: [id: number, time: number, share: number][];
  open: Row[];
  latest: Row[];
  graph: Graph;
}
export interface Vote {
  voter: string;
  weight: number;
  opened: boolean;
  grains: number | null;
  above: boolean;
  usual: number;
  settled: boolean;
  money: string | null;
}
export interface Histogram {
  grains: number[];
  weights: number[];
  quantile: number | null;
  median: number | null;
}
export interface Package {
  ok: boolean;
  cid: string;
  problem?: string;
  title?: string;
  signer?: string;
  trusted?: boolean;
  wallet?: string;
  size?: number;
  parameters?: number;
  generations?: number;
  training?: Record<string, string>;
}
export interface Submission extends Row {
  head: Head;
  reference: number;
  parents: (Row & { share: number })[];
  children: Row[];
  digests: { package: string; weights: string; manifest: string } | null;
  bond: string;
  fee: string;
  tau: number;
  eligible: number;
  measured: number | null;
  votes: Vote[];
  histogram: Histogram;
  lines: Line[];
  package: Package | null;
}
export interface Money {
  head: Head;
  held: string;
  parts: Record<"funds" | "commons" | "committed" | "escrow" | "stakes" | "credits", string>;
  received: string;
  paid_out: string;
  task: Record<string, string>;
  everyone: Record<string, string>;
  nodes: (NodeRow & { why: Record<string, string> })[];
  accounts: number;
  lines: Line[];
}
export interface Due extends Windows {
  id: number;
  weight: number;
  at_stake: string;
}
export interface NodeView extends NodeRow {
  head: Head;
  why?: Record<string, string>;
  submissions?: Row[];
  due?: Due[];
  earned_over?: [time: number, net: string][];
  lines?: Line[];
}
export interface Evaluation {
  id: number;
  improvement: number | null;
  parts: Record<string, number | null>;
  pairs: { sample: number; train: number; score: number }[];
  copies: number;
}
export interface Mine extends NodeView {
  registered: boolean;
  evaluations: Evaluation[];
  attempts: { number: number; stage: string; pictures: number | null; improvement: number | null }[];
  disk: { free: number; total: number };
  gpus: { name: string; used: number; total: number; busy: number }[];
  doing: { doing: string; number: number; since: number; silent: number; still: boolean } | null;
  training: {
    number: number;
    total: number;
    curve: [pictures: number, loss: number][];
    samples: { pictures: number; picture: string }[];
  } | null;
}
export interface Pairs {
  head: Head;
  node: string;
  id: number;
  record: string;
  seed: string;
  steps: number;
  solver: string;
  samples: number;
  found: number;
  pairs: { sample: number; train: number; score: number; made: string; own: string }[];
}
export interface Audit {
  head: Head;
  ok: boolean;
  block: number;
  packages: boolean;
  seconds: number;
  checks: { name: string; ok: boolean; detail: string }[];
}
export interface Change {
  block?: number;
  time?: number;
  submissions?: number[];
  rewound?: boolean;
  pictures?: number[];
  problem?: string;
  next?: string;
}
