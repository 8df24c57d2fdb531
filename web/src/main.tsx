import { type ComponentChildren, render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { connect, report, takeToken, useConnection, useView } from "./data";
import "./style.css";
import type { Audit, Federation, Head, Mine, Money, NodeView, Submission } from "./types";
import { AuditView } from "./views/audit";
import { FederationView } from "./views/federation";
import { MineView } from "./views/mine";
import { MoneyView } from "./views/money";
import { NodeParts, NodeTitle } from "./views/node";
import { SubmissionView } from "./views/submission";
import { words } from "./words";

const TABS: [string, string][] = [
  ["federation", words.nav.federation],
  ["money", words.nav.money],
  ["audit", words.nav.audit],
  ...(report ? [] : ([["mine", words.nav.mine]] as [string, string][])),
];

function path(): string {
  const found = location.hash.replace(/^#\//, "").split("?")[0] ?? "";
  return /^(federation|money|audit|mine|submission\/\d{1,9}|node\/0x[0-9a-fA-F]{40})$/.test(found) ? found : "federation";
}

function Page() {
  const [at, go] = useState(path());
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    const moved = () => {
      takeToken();
      go(path());
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const kind = at.split("/")[0]!;
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {words.skip}
      </a>
      <header>
        <a class="brand" href="#/federation">
          {words.product}
        </a>
        <nav aria-label={words.views}>
          {TABS.map(([name, text]) => (
            <a href={`#/${name}`} aria-current={name === kind ? "page" : undefined}>
              {text}
            </a>
          ))}
        </nav>
      </header>
      <main id="main" ref={main} tabIndex={-1} key={at}>
        {kind === "federation" && <View<Federation> path={at}>{(view) => <FederationView view={view} />}</View>}
        {kind === "money" && <View<Money> path={at}>{(view) => <MoneyView view={view} />}</View>}
        {kind === "submission" && <View<Submission> path={at}>{(view) => <SubmissionView view={view} />}</View>}
        {kind === "node" && (
          <View<NodeView> path={at}>
            {(view) => (
              <>
                <NodeTitle view={view} />
                <NodeParts view={view} />
              </>
            )}
          </View>
        )}
        {kind === "mine" && <View<Mine> path={at}>{(view) => <MineView view={view} />}</View>}
        {kind === "audit" && (
          <View<Audit> path={at} live={false} loading={words.audit.running}>
            {(view, again) => <AuditView view={view} again={again} live={!report} />}
          </View>
        )}
      </main>
    </>
  );
}

interface ViewProps<T> {
  path: string;
  live?: boolean;
  loading?: string;
  children: (view: T, again: () => void) => ComponentChildren;
}

function View<T extends { head: Head }>({ path, live = true, loading = words.loading, children }: ViewProps<T>) {
  const { view, problem, again } = useView<T>(path, live);
  useEffect(() => {
    if (view) document.title = `${view.head.title || words.untitled} – ${words.product}`;
  }, [view?.head.title]);
  if (!view && problem)
    return (
      <div class="alert" role="alert">
        <p>{words.failed(problem)}</p>
        <button type="button" onClick={again}>
          {words.retry}
        </button>
      </div>
    );
  if (!view) return <p class="empty">{loading}</p>;
  return (
    <>
      <Notices head={view.head} problem={problem} />
      {children(view, again)}
      <Footer head={view.head} />
    </>
  );
}

function Notices({ head, problem }: { head: Head; problem: string }) {
  const connection = useConnection();
  const told = connection.state === "stale" ? connection.problem : connection.problem && words.problem(connection.problem);
  return (
    <div aria-live="polite">
      {told && <p class="alert">{told}</p>}
      {problem && <p class="alert">{words.failed(problem)}</p>}
      {head.faults > 0 && <p class="alert">{words.faults(head.faults)}</p>}
      {head.closed && <p class="notice">{words.closed}</p>}
      {head.paused_until > head.time && <p class="notice">{words.paused}</p>}
    </div>
  );
}

function Footer({ head }: { head: Head }) {
  const connection = useConnection();
  return (
    <footer>
      <span class={`connection ${connection.state}`}>{words[connection.state]}</span>
      <span>{words.block(head.block)}</span>
      <span>{words.task(head.task, head.chain)}</span>
    </footer>
  );
}

takeToken();
connect();
render(<Page />, document.getElementById("page")!);
