import type { Edge, Graph, Party } from './api';

/** Where the parties of a waits-for graph stand: who waits for nobody in the first column, who waits for them in the next. */
export interface Placed {
  party: Party;
  column: number;
  row: number;
}

export interface Layout {
  placed: Placed[];
  edges: Edge[];
  columns: number;
  rows: number;
  /** Parties that found no place. */
  hidden: number;
}

const MOST_COLUMNS = 5;

/** @param most parties that are shown: those with the most to do with others */
export function layout(graph: Graph, most: number): Layout {
  const degree = new Map<string, number>();
  for (const edge of graph.edges) {
    degree.set(edge.waiter, (degree.get(edge.waiter) ?? 0) + edge.claims);
    degree.set(edge.blocker, (degree.get(edge.blocker) ?? 0) + edge.claims);
  }
  const shown = [...graph.parties]
    .sort((a, b) => (degree.get(b.sessionId) ?? 0) - (degree.get(a.sessionId) ?? 0) || order(a, b))
    .slice(0, most);
  const ids = new Set(shown.map((party) => party.sessionId));
  const edges = graph.edges.filter((e) => ids.has(e.waiter) && ids.has(e.blocker) && e.waiter !== e.blocker);
  const depths = depthsOf(ids, edges);

  const columns: Party[][] = [];
  for (const party of shown.sort(order)) {
    (columns[depths.get(party.sessionId) ?? 0] ??= []).push(party);
  }
  const placed: Placed[] = [];
  columns.forEach((parties, column) => parties.forEach((party, row) => placed.push({ party, column, row })));
  return {
    placed,
    edges,
    columns: columns.length,
    rows: Math.max(0, ...columns.map((parties) => parties?.length ?? 0)),
    hidden: graph.parties.length - shown.length,
  };
}

function order(a: Party, b: Party): number {
  return a.owner.localeCompare(b.owner) || a.sessionId.localeCompare(b.sessionId);
}

/** The longest way to somebody who waits for nobody. A circle, as the one of two that take turns, is not followed for ever. */
function depthsOf(ids: Set<string>, edges: Edge[]): Map<string, number> {
  const depths = new Map([...ids].map((id) => [id, 0]));
  for (let round = 1; round < MOST_COLUMNS; round++) {
    let moved = false;
    for (const edge of edges) {
      const wanted = Math.min(MOST_COLUMNS - 1, (depths.get(edge.blocker) ?? 0) + 1);
      if (wanted > (depths.get(edge.waiter) ?? 0)) {
        depths.set(edge.waiter, wanted);
        moved = true;
      }
    }
    if (!moved) break;
  }
  // Circles leave columns without anybody.
  const used = [...new Set(depths.values())].sort((a, b) => a - b);
  return new Map([...depths].map(([id, depth]) => [id, used.indexOf(depth)]));
}
