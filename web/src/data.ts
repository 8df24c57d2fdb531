// Where views come from: the server, anew after each change it tells of, or the report that this page is part of.
import { useEffect, useState } from "preact/hooks";
import type { Change, Head } from "./types";
import { words } from "./words";

interface Report {
  views: Record<string, unknown>;
  pictures: Record<string, string>;
}

const kept = document.getElementById("report")?.textContent;
export const report: Report | null = kept ? (JSON.parse(kept) as Report) : null;

export type State<T> = { view: T | null; problem: string };
export type Connection = { state: "live" | "stale" | "archived"; problem: string };

const LEAST_PAUSE = 150; // milliseconds between two readings of a view
const TOKEN = "pdfed-token";

/** The token of private views comes in the address once, and is not left there. */
export function takeToken(): void {
  const found = /^#\/mine\?token=([\w-]+)$/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(TOKEN, found[1]!);
    history.replaceState(null, "", "#/mine");
  }
}

export async function read<T>(path: string): Promise<T> {
  if (report) {
    if (path in report.views) return report.views[path] as T;
    throw new Error(words.notInReport);
  }
  const token = sessionStorage.getItem(TOKEN);
  const headers: HeadersInit = /^mine(\/|$)/.test(path) && token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`/api/${path}`, { headers });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.next ? `${body.error} (${body.next})` : String(body.error));
  return body as T;
}

const listeners = new Set<(change: Change) => void>();
const watchers = new Set<(connection: Connection) => void>();
let connection: Connection = { state: report ? "archived" : "stale", problem: "" };

function become(next: Connection): void {
  connection = next;
  for (const watcher of watchers) watcher(next);
}

/** Listen to the server's changes, for as long as the page is open. */
export function connect(): void {
  if (report) return;
  const source = new EventSource("/api/changes");
  source.onmessage = (message) => {
    const change = JSON.parse(message.data as string) as Change;
    become({ state: "live", problem: change.problem ?? (change.pictures ? connection.problem : "") });
    for (const listener of listeners) listener(change);
  };
  source.onerror = () => become({ state: "stale", problem: words.lost });
}

export function useConnection(): Connection {
  const [now, set] = useState(connection);
  useEffect(() => {
    watchers.add(set);
    set(connection);
    return () => void watchers.delete(set);
  }, []);
  return now;
}

/** A view, read now and again whenever something changes; one reading at a time. */
export function useView<T extends { head: Head }>(path: string, live = true): State<T> & { again: () => void } {
  const [state, set] = useState<State<T>>({ view: null, problem: "" });
  const [turn, next] = useState(0);
  useEffect(() => {
    let over = false;
    let busy = false;
    let wanted = false;
    let timer = 0;
    set((old) => (turn ? old : { view: null, problem: "" }));
    const load = async () => {
      if (busy) {
        wanted = true;
        return;
      }
      busy = true;
      wanted = false;
      try {
        const view = await read<T>(path);
        if (!over) {
          clock.set(view.head);
          set({ view, problem: "" });
        }
      } catch (error) {
        if (!over) set((old) => ({ view: old.view, problem: error instanceof Error ? error.message : String(error) }));
      }
      timer = window.setTimeout(() => {
        busy = false;
        if (wanted && !over) void load();
      }, LEAST_PAUSE);
    };
    const listener = () => void load();
    void load();
    if (live) listeners.add(listener);
    return () => {
      over = true;
      window.clearTimeout(timer);
      listeners.delete(listener);
    };
  }, [path, turn, live]);
  return { ...state, again: () => next((value) => value + 1) };
}

/** The chain's clock, carried on by this machine's between two blocks. */
export const clock = {
  time: 0,
  at: 0,
  set(head: Head): void {
    if (head.time !== clock.time) {
      clock.time = head.time;
      clock.at = performance.now();
    }
  },
  now(): number {
    return report ? clock.time : clock.time + (performance.now() - clock.at) / 1000;
  },
};

export function useNow(): number {
  const [now, set] = useState(clock.now());
  useEffect(() => {
    if (report) return;
    const timer = window.setInterval(() => set(clock.now()), 1000);
    return () => window.clearInterval(timer);
  }, []);
  return Math.max(now, clock.time);
}

export function pictureOf(id: number): string {
  return report ? (report.pictures[id] ?? "") : `/api/picture/${id}`;
}
