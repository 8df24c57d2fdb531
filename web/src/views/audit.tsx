import type { Audit } from "../types";
import { words } from "../words";

export function AuditView({ view, again, live }: { view: Audit; again: () => void; live: boolean }) {
  const w = words.audit;
  const bad = view.checks.filter((check) => !check.ok).length;
  return (
    <>
      <h1>{w.title}</h1>
      <p class="lead">{w.told}</p>
      <p class={bad ? "alert" : "verdict"} role="status">
        {bad ? w.bad(bad) : w.good(view.checks.length)} {w.at(words.block(view.block), view.seconds)}{" "}
        {view.packages ? w.packages : w.noPackages}
      </p>
      {live && (
        <button type="button" onClick={again}>
          {w.again}
        </button>
      )}
      <ol class="checks" key={view.block}>
        {view.checks.map((check) => (
          <li class={check.ok ? "good" : "bad"}>
            <span class="sign" role="img" aria-label={check.ok ? w.holds : w.broken}>
              {check.ok ? "✓" : "✗"}
            </span>
            <span>{check.name}</span>
            <span class="told">{check.detail}</span>
          </li>
        ))}
      </ol>
    </>
  );
}
