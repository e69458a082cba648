/** The lock manager's REST, as far as the page asks for it. Described in /api/v1/openapi.yaml. */

export type Health = 'WELL' | 'OUT_OF_USE' | 'UNKNOWN' | 'DEGRADED' | 'DOWN';

export interface Progress {
  phase: string;
  doneBytes: number;
  totalBytes: number;
  bytesPerSecond: number;
  remainingSeconds: number;
  differingBlocks: number;
  detail: string;
}

export interface Replica {
  agent: string;
  control: string;
  answers: boolean;
  role: string;
  inSync: boolean;
  connected: boolean;
  received: number;
  durable: number;
  applied: number;
  lagBytes: number;
  differingBlocks: number;
  detail: string;
  copy: Progress | null;
  verify: Progress | null;
}

export interface Replication {
  uuid: string;
  sizeBytes: number;
  term: number;
  writer: string;
  ackLevel: string;
  copies: number;
  minCopies: number;
  failover: string;
  standing: string;
  health: Health;
  why: string;
  detail: string;
  nbdUri: string;
  committed: number;
  replicas: Replica[];
}

export interface Volume {
  name: string;
  uuid: string;
  held: number;
  waiting: number;
  replication: Replication | null;
}

export interface Overview {
  version: string;
  epoch: number;
  recovering: boolean;
  sessions: number;
  mayChange: boolean;
  volumes: Volume[];
  next: string | null;
}

export interface Cells {
  start: number;
  end: number;
  cellBytes: number;
  exact: boolean;
  held: number[];
  writing: number[];
  recalled: number[];
  closing: number[];
  waiting: number[];
  standby: number[];
}

export interface Party {
  sessionId: string;
  owner: string;
  held: number;
  waiting: number;
}

export interface Edge {
  waiter: string;
  blocker: string;
  claims: number;
  queued: boolean;
  standby: boolean;
  wanted: string;
  wantedStart: number;
  wantedEnd: number;
  inTheWay: string;
  inTheWayStart: number;
  inTheWayEnd: number;
}

export interface Graph {
  parties: Party[];
  edges: Edge[];
  complete: boolean;
}

export interface Lock {
  id: string;
  start: number;
  end: number;
  mode: string;
  sessionId: string;
  owner: string;
  token: string;
  revoked: boolean;
  recalled: boolean;
  delayed: boolean;
}

export interface Waiter {
  id: string;
  start: number;
  end: number;
  mode: string;
  sessionId: string;
  owner: string;
  requestId: string;
  standby: boolean;
}

export interface Session {
  sessionId: string;
  owner: string;
  ttlMillis: number;
  expiresInMillis: number;
  held: number;
  waiting: number;
  unacknowledgedLosses: number;
  attached: boolean;
}

export interface Sample {
  atMillis: number;
  writeP50Micros: number | null;
  writeP99Micros: number | null;
  writesPerSecond: number | null;
  readsPerSecond: number | null;
  writtenBytesPerSecond: number | null;
  lagBytes: number | null;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

interface Bucket {
  start: number;
  end: number;
}

/** The lock manager answered, and did not do what was asked; or, with status 0, it did not answer. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function ask<T>(method: string, path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch('/api/v1' + path, { method, ...(signal ? { signal } : {}) });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new Problem(0, 'no answer from the lock manager');
  }
  const text = await response.text();
  if (!response.ok) throw new Problem(response.status, sentence(response, text));
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

function sentence(response: Response, text: string): string {
  try {
    const problem = JSON.parse(text) as { detail?: string };
    if (problem.detail) return problem.detail;
  } catch {
    // Not from the lock manager itself, perhaps from a proxy: its status says more than its page.
  }
  return `${response.status} ${response.statusText}`;
}

const enc = encodeURIComponent;
const of = (volume: string) => `/volumes/${enc(volume)}`;

export const api = {
  overview: (name: string, after: string, limit: number, signal?: AbortSignal) =>
    ask<Overview>('GET', `/overview?name=${enc(name)}&after=${enc(after)}&limit=${limit}`, signal),
  volume: (volume: string, signal?: AbortSignal) => ask<Volume>('GET', `${of(volume)}/overview`, signal),
  rangeMap: (volume: string, start: number, end: number, cells: number, signal?: AbortSignal) =>
    ask<Cells>('GET', `${of(volume)}/range-map?start=${start}&end=${end}&cells=${cells}`, signal),
  graph: (volume: string, signal?: AbortSignal) => ask<Graph>('GET', `${of(volume)}/wait-graph`, signal),
  history: (volume: string, since: number, signal?: AbortSignal) =>
    ask<Sample[]>('GET', `${of(volume)}/history?since=${since}`, signal),
  locks: (volume: string, start: number, end: number, limit: number, signal?: AbortSignal) =>
    ask<Page<Lock>>('GET', `${of(volume)}/locks?start=${start}&end=${end}&limit=${limit}`, signal),
  waiters: (volume: string, start: number, end: number, limit: number, signal?: AbortSignal) =>
    ask<Page<Waiter>>('GET', `${of(volume)}/waiters?start=${start}&end=${end}&limit=${limit}`, signal),
  extent: (volume: string, signal?: AbortSignal) => ask<Bucket[]>('GET', `${of(volume)}/contention?buckets=1`, signal),
  sessions: (owner: string, after: string, limit: number, signal?: AbortSignal) =>
    ask<Page<Session>>('GET', `/sessions?owner=${enc(owner)}&after=${enc(after)}&limit=${limit}`, signal),

  releaseLock: (volume: string, lock: string) => ask<void>('POST', `${of(volume)}/locks/${enc(lock)}/force-release`),
  closeSession: (session: string) => ask<void>('DELETE', `/sessions/${enc(session)}`),
  promote: (volume: string, agent: string, force: boolean, acceptDataLoss: boolean) =>
    ask<{ message: string }>(
      'POST',
      `${of(volume)}/promote?agent=${enc(agent)}&force=${force}&acceptDataLoss=${acceptDataLoss}`,
    ),
  demote: (volume: string) => ask<{ message: string }>('POST', `${of(volume)}/demote`),
  verify: (volume: string, repair: boolean) =>
    ask<{ message: string }>('POST', `${of(volume)}/verify?repair=${repair}`),
  stopVerifying: (volume: string) => ask<{ message: string }>('DELETE', `${of(volume)}/verify`),
};
