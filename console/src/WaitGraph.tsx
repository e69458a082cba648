import type { Edge, Graph } from './api';
import { count, plural, range, shortId } from './format';
import { layout } from './layout';
import { toSessions } from './route';

const MOST = 40;
const WIDTH = 190;
const HEIGHT = 46;
const GAP_X = 110;
const GAP_Y = 28;
/** How far above its ends an arrow passes the parties that stand between them. */
const ARCH = HEIGHT / 2 + GAP_Y / 2;
const MOST_WORDS = 12;
/** For arrows within the last column. */
const MARGIN_RIGHT = 60;

/** Who waits for whom: an arrow from who waits to who is in the way, and the same in words. */
export function WaitGraph({ graph }: { graph: Graph }) {
  if (graph.edges.length === 0) {
    return <p class="empty">Nobody waits for anybody.</p>;
  }
  const { placed, edges, columns, rows, hidden } = layout(graph, MOST);
  const width = columns * WIDTH + (columns - 1) * GAP_X;
  const height = rows * (HEIGHT + GAP_Y) - GAP_Y;
  const at = new Map(
    placed.map((p) => [p.party.sessionId, { x: p.column * (WIDTH + GAP_X), y: p.row * (HEIGHT + GAP_Y) }]),
  );
  const owner = new Map(graph.parties.map((p) => [p.sessionId, name(p)]));

  return (
    <div class="graph">
      <div class="scroll">
        <svg
          viewBox={`-4 ${-GAP_Y} ${width + MARGIN_RIGHT} ${height + GAP_Y + 4}`}
          width={width + MARGIN_RIGHT}
          height={height + GAP_Y + 4}
          role="group"
          aria-label="Who waits for whom"
        >
          <defs>
            <marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="12" markerHeight="12" markerUnits="userSpaceOnUse" orient="auto">
              <path d="M0 1L10 5L0 9z" class="arrow-head" />
            </marker>
          </defs>
          {edges.map((edge) => {
            const from = at.get(edge.waiter);
            const to = at.get(edge.blocker);
            if (!from || !to) return null;
            const kind = edge.standby ? 'edge standby' : edge.queued ? 'edge queued' : 'edge';
            return (
              <path
                key={`${edge.waiter} ${edge.blocker}`}
                class={kind}
                data-testid="edge"
                d={curve(from, to)}
                marker-end="url(#arrow)"
                stroke-width={1.5 + Math.min(3, Math.log2(edge.claims))}
              >
                <title>{sentence(edge, owner)}</title>
              </path>
            );
          })}
          {placed.map(({ party }) => {
            const p = at.get(party.sessionId);
            if (!p) return null;
            const waits = edges.some((e) => e.waiter === party.sessionId);
            return (
              <a
                key={party.sessionId}
                href={toSessions(party.owner)}
                class={waits ? 'party waits' : 'party'}
                aria-label={`${name(party)}: holds ${count(party.held)}, waits for ${count(party.waiting)}`}
              >
                <rect x={p.x} y={p.y} width={WIDTH} height={HEIGHT} rx="7" />
                <text x={p.x + 12} y={p.y + 19} class="owner">
                  {clipped(name(party))}
                </text>
                <text x={p.x + 12} y={p.y + 36} class="counts">
                  {`${waits ? 'waits' : 'in the way'} · holds ${count(party.held)}`}
                </text>
              </a>
            );
          })}
        </svg>
      </div>
      <p class="muted">
        {hidden > 0 ? `${plural(hidden, 'more session')} not drawn. ` : ''}
        {graph.complete ? '' : 'More wait than were looked at. '}
        An arrow points to who is in the way; dashed: waits further ahead in the queue; dotted: on standby, asks nobody.
      </p>
      <ul class="sentences">
        {graph.edges.slice(0, MOST_WORDS).map((edge) => (
          <li key={`${edge.waiter} ${edge.blocker}`}>{sentence(edge, owner)}</li>
        ))}
        {graph.edges.length > MOST_WORDS ? <li>and {graph.edges.length - MOST_WORDS} more pairs</li> : null}
      </ul>
    </div>
  );
}

function name(party: { sessionId: string; owner: string }): string {
  return party.owner || (party.sessionId ? shortId(party.sessionId) : 'nobody: lock delay');
}

function clipped(text: string): string {
  return text.length <= 24 ? text : text.slice(0, 23) + '…';
}

function curve(from: { x: number; y: number }, to: { x: number; y: number }): string {
  const y1 = from.y + HEIGHT / 2;
  const y2 = to.y + HEIGHT / 2;
  if (from.x > to.x) {
    const x1 = from.x;
    const x2 = to.x + WIDTH;
    if (x1 - x2 > GAP_X) {
      // A curve of this kind comes three quarters of the way to its control points.
      const up = (ARCH * 4) / 3;
      return `M${x1} ${y1}C${x1 - 60} ${y1 - up} ${x2 + 60} ${y2 - up} ${x2 + 1} ${y2}`;
    }
    const bend = Math.min(60, (x1 - x2) / 2);
    return `M${x1} ${y1}C${x1 - bend} ${y1} ${x2 + bend} ${y2} ${x2 + 1} ${y2}`;
  }
  // In one column, or backwards: around the right side.
  const x1 = from.x + WIDTH;
  const x2 = to.x + WIDTH;
  const out = Math.max(x1, x2) + 50;
  return `M${x1} ${y1}C${out} ${y1} ${out} ${y2} ${x2 + 1} ${y2}`;
}

/** "b waits for a: wants EX of [0 B, 4 KiB), a holds PR of ...". */
export function sentence(edge: Edge, owner: Map<string, string>): string {
  const waiter = owner.get(edge.waiter) ?? edge.waiter;
  const blocker = owner.get(edge.blocker) ?? edge.blocker;
  const more = edge.claims > 1 ? ` (and ${plural(edge.claims - 1, 'pair')} more)` : '';
  const verb = edge.queued ? 'waits ahead for' : 'holds';
  return (
    `${waiter} ${edge.standby ? 'stands by for' : 'waits for'} ${blocker}: wants ${edge.wanted} of ` +
    `${range(edge.wantedStart, edge.wantedEnd)}; ${blocker} ${verb} ${edge.inTheWay} of ` +
    `${range(edge.inTheWayStart, edge.inTheWayEnd)}${more}`
  );
}
