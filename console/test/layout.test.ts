import { describe, expect, it } from 'vitest';
import type { Edge, Graph } from '../src/api';
import { layout } from '../src/layout';

const edge = (waiter: string, blocker: string, claims = 1): Edge => ({
  waiter,
  blocker,
  claims,
  queued: false,
  standby: false,
  wanted: 'EX',
  wantedStart: 0,
  wantedEnd: 10,
  inTheWay: 'PR',
  inTheWayStart: 0,
  inTheWayEnd: 10,
});

const graph = (...edges: Edge[]): Graph => ({
  parties: [...new Set(edges.flatMap((e) => [e.waiter, e.blocker]))].map((id) => ({
    sessionId: id,
    owner: id,
    held: 1,
    waiting: 0,
  })),
  edges,
  complete: true,
});

const columns = (g: Graph) =>
  Object.fromEntries(layout(g, 40).placed.map((p) => [p.party.sessionId, p.column]));

describe('the layout of a graph', () => {
  it('has in the first column who waits for nobody, and a queue behind it', () => {
    expect(columns(graph(edge('b', 'a'), edge('c', 'a'), edge('c', 'b')))).toEqual({ a: 0, b: 1, c: 2 });
  });

  it('is no endless walk where two wait for each other', () => {
    const placed = columns(graph(edge('a', 'b'), edge('b', 'a')));
    expect(Object.keys(placed)).toHaveLength(2);
    expect(Math.min(...Object.values(placed))).toBe(0);
  });

  it('puts nobody on top of another', () => {
    const { placed, rows, columns: width } = layout(graph(edge('b', 'a'), edge('c', 'a'), edge('d', 'a')), 40);
    expect(new Set(placed.map((p) => `${p.column} ${p.row}`)).size).toBe(4);
    expect([width, rows]).toEqual([2, 3]);
  });

  it('shows those with the most to do with others, and says how many are missing', () => {
    const l = layout(graph(edge('b', 'a', 9), edge('c', 'a'), edge('d', 'a', 5)), 3);
    expect(l.placed.map((p) => p.party.sessionId).sort()).toEqual(['a', 'b', 'd']);
    expect(l.hidden).toBe(1);
    expect(l.edges).toHaveLength(2);
  });
});
