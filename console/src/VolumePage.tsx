import { useEffect, useState } from 'preact/hooks';
import type { Lock, Replication, Sample, Volume, Waiter } from './api';
import { api } from './api';
import type { Deed } from './Confirm';
import { bytes, count, micros, range } from './format';
import { Bar, HealthMark, Mark, SyncMark } from './marks';
import { ActionsHead } from './parts';
import { Plot } from './Plot';
import { joined } from './plot';
import { usePoll } from './poll';
import { RangeMap } from './RangeMap';
import { toSessions } from './route';
import { WaitGraph } from './WaitGraph';
import type { Window } from './window';
import { whole } from './window';

const LISTED = 25;
const LONGEST_MILLIS = 15 * 60_000;
const SHORTEST_MILLIS = 2 * 60_000;
/** Of a volume that is only locked, and of which somebody holds all there can be. */
const LARGE = 2 ** 40;

interface Props {
  name: string;
  mayChange: boolean;
  onDeed: (deed: Deed) => void;
}

export function VolumePage({ name, mayChange, onDeed }: Props) {
  const polled = usePoll(`volume ${name}`, (signal) => api.volume(name, signal));
  const volume = polled.value;
  if (!volume) {
    return (
      <section>
        <div class="head">
          <h1>{name}</h1>
        </div>
        <p class="empty">{polled.failure ?? 'Looking…'}</p>
      </section>
    );
  }
  const r = volume.replication;
  return (
    <section>
      <div class="head">
        <nav class="crumbs" aria-label="Breadcrumb">
          <a href="#/volumes">Volumes</a> /
        </nav>
        <h1>{name}</h1>
        <HealthMark health={r?.health} />
        {polled.failure ? <span class="failure">{polled.failure}</span> : null}
      </div>
      {r?.why ? <p class="why large">{r.why}</p> : null}
      {r ? <Replicas name={name} r={r} mayChange={mayChange} onDeed={onDeed} refresh={polled.refresh} /> : null}
      <Locks volume={volume} mayChange={mayChange} onDeed={onDeed} />
      {r ? <Plots name={name} /> : null}
    </section>
  );
}

function Replicas(props: {
  name: string;
  r: Replication;
  mayChange: boolean;
  onDeed: (deed: Deed) => void;
  refresh: () => void;
}) {
  const { name, r, mayChange, onDeed, refresh } = props;
  const served = r.replicas.some((replica) => replica.role === 'WRITER');
  const verifying = r.replicas.some(
    (replica) => replica.verify && ['WAITING', 'COMPARING', 'ENDING'].includes(replica.verify.phase),
  );
  return (
    <div class="card">
      <div class="card-head">
        <h2>Replicas</h2>
        <span class="grow" />
        {mayChange && served ? (
          <>
            {verifying ? (
              <button
                onClick={() =>
                  onDeed({
                    title: `Stop comparing the replicas of ${name}?`,
                    consequence: 'What was compared so far is forgotten. Nothing is changed.',
                    verb: 'Stop comparing',
                    run: async () => (await api.stopVerifying(name)).message,
                  })
                }
              >
                Stop verifying…
              </button>
            ) : (
              <button onClick={() => onDeed(verify(name))}>Verify…</button>
            )}
            <button class="danger" onClick={() => onDeed(demote(name, refresh))}>
              Demote…
            </button>
          </>
        ) : null}
      </div>
      <dl class="facts">
        <Fact name="Served at">{r.nbdUri ? <code>{r.nbdUri}</code> : 'nowhere'}</Fact>
        <Fact name="Size">{bytes(r.sizeBytes)}</Fact>
        <Fact name="Acknowledged when">
          {r.ackLevel.toLowerCase()} by {r.copies === 0 ? 'all in sync' : r.copies}
        </Fact>
        <Fact name="Fewest copies">{r.minCopies}</Fact>
        <Fact name="Failover">{r.failover.toLowerCase()}</Fact>
        <Fact name="Term">{count(r.term)}</Fact>
        <Fact name="Journal">{r.committed < 0 ? '—' : `${bytes(r.committed)} committed`}</Fact>
      </dl>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Agent</th>
              <th>Role</th>
              <th>Sync</th>
              <th class="number">Lag</th>
              <th class="number">To be synced</th>
              <th class="number">To be applied</th>
              <th>What it says</th>
              <ActionsHead mayChange={mayChange} />
            </tr>
          </thead>
          <tbody>
            {r.replicas.map((replica) => (
              <tr key={replica.agent}>
                <th scope="row">{replica.agent}</th>
                <td>
                  {!replica.answers ? (
                    <Mark kind="bad" sign="✖">
                      silent
                    </Mark>
                  ) : replica.role === 'WRITER' ? (
                    <Mark kind="good" sign="✎">
                      writer
                    </Mark>
                  ) : (
                    replica.role.toLowerCase() || '—'
                  )}
                </td>
                <td>
                  <SyncMark replica={replica} />
                </td>
                <td class="number">{replica.lagBytes < 0 ? '—' : bytes(replica.lagBytes)}</td>
                <td class="number">{gap(replica.received, replica.durable)}</td>
                <td class="number">{gap(replica.received, replica.applied)}</td>
                <td class="detail">
                  {replica.detail}
                  {replica.differingBlocks > 0 ? (
                    <div class="why">{count(replica.differingBlocks)} blocks differ from the writer's</div>
                  ) : null}
                  {replica.copy ? <Bar label="copy" progress={replica.copy} /> : null}
                  {replica.verify ? <Bar label="verify" progress={replica.verify} /> : null}
                </td>
                {mayChange ? (
                  <td class="action">
                    {replica.role !== 'WRITER' && replica.answers && replica.role !== '' ? (
                      <button
                        aria-label={`Promote ${replica.agent}`}
                        onClick={() => onDeed(promote(name, replica.agent, r.writer, refresh))}
                      >
                        Promote…
                      </button>
                    ) : null}
                  </td>
                ) : null}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function gap(from: number, to: number): string {
  return from < 0 || to < 0 ? '—' : bytes(Math.max(0, from - to));
}

function promote(name: string, agent: string, writer: string, refresh: () => void): Deed {
  return {
    title: `Make ${agent} the writer of ${name}?`,
    consequence:
      `${writer || 'The writer'} hands over: it finishes what it has acknowledged, its clients are disconnected and ` +
      `reconnect at ${agent}. Nothing that was acknowledged is lost.`,
    verb: 'Promote',
    typed: name,
    options: [
      {
        key: 'force',
        label: 'By force: take the lock from a writer that does not answer',
        warning: 'It is taken at once, and the writer’s word or the end of its lease waited for.',
      },
      {
        key: 'loss',
        label: 'Accept data loss: go on without replicas that cannot be asked',
        warning: `What only they have acknowledged is given up for good, and ${agent} is the only member then.`,
        typed: true,
      },
    ],
    run: async (chosen) => {
      const { message } = await api.promote(name, agent, chosen.has('force'), chosen.has('loss'));
      refresh();
      return `${name}: ${message}`;
    },
  };
}

function demote(name: string, refresh: () => void): Deed {
  return {
    title: `Stop serving ${name}?`,
    consequence:
      'Its clients are disconnected in good order, and no agent takes over until one is promoted. Nothing is lost.',
    verb: 'Demote',
    run: async () => {
      const { message } = await api.demote(name);
      refresh();
      return `${name}: ${message}`;
    },
  };
}

function verify(name: string): Deed {
  return {
    title: `Compare the replicas of ${name}?`,
    consequence:
      'Every block of every replica is compared with the writer’s while clients go on. It reads both disks from end to end, ' +
      'and yields to clients.',
    verb: 'Verify',
    typed: name,
    options: [
      {
        key: 'repair',
        label: 'Repair: replace what differs by what the writer has',
        warning: 'If it is the writer’s disk that is wrong, the right blocks are overwritten.',
        typed: true,
      },
    ],
    run: async (chosen) => `${name}: ${(await api.verify(name, chosen.has('repair'))).message}`,
  };
}

function Locks({ volume, mayChange, onDeed }: { volume: Volume; mayChange: boolean; onDeed: (deed: Deed) => void }) {
  const { name } = volume;
  const size = useSize(volume);
  const [shown, setShown] = useState<{ name: string; window: Window }>();
  const window = shown && shown.name === name && size && shown.window.end <= size ? shown.window : size && whole(size);
  const graph = usePoll(`graph ${name}`, (signal) => api.graph(name, signal));
  return (
    <>
      <div class="card">
        <div class="card-head">
          <h2>Locks</h2>
          <span class="muted">
            {count(volume.held)} held, {count(volume.waiting)} waiting
          </span>
        </div>
        {window && size ? (
          <>
            <RangeMap
              volume={name}
              size={size}
              window={window}
              onWindow={(w) => setShown({ name, window: w })}
            />
            <Claims name={name} window={window} mayChange={mayChange} onDeed={onDeed} />
          </>
        ) : (
          <p class="empty">Nothing is held or waited for.</p>
        )}
      </div>
      <div class="card" data-testid="graph">
        <div class="card-head">
          <h2>Who waits for whom</h2>
        </div>
        {graph.value ? <WaitGraph graph={graph.value} /> : <p class="empty">{graph.failure ?? 'Looking…'}</p>}
      </div>
    </>
  );
}

/** A replicated volume knows its size; of another one, what is locked says how far it goes at least. */
function useSize(volume: Volume): number | undefined {
  const known = volume.replication?.sizeBytes;
  const extent = usePoll(`extent ${volume.name} ${known !== undefined}`, (signal) =>
    known === undefined ? api.extent(volume.name, signal) : Promise.resolve([]),
  );
  if (known !== undefined) return known;
  const end = extent.value?.[extent.value.length - 1]?.end;
  return end === undefined ? undefined : end > 2 ** 52 ? LARGE : end;
}

function Claims(props: { name: string; window: Window; mayChange: boolean; onDeed: (deed: Deed) => void }) {
  const { name, window, mayChange, onDeed } = props;
  const key = `${name} ${window.start} ${window.end}`;
  const locks = usePoll(`locks ${key}`, (signal) => api.locks(name, window.start, window.end, LISTED, signal));
  const waiters = usePoll(`waiters ${key}`, (signal) => api.waiters(name, window.start, window.end, LISTED, signal));
  const held = locks.value?.items ?? [];
  const waiting = waiters.value?.items ?? [];
  return (
    <div class="scroll">
      <table class="claims">
        <caption>
          Locks and waiters of what is shown, by start
          {locks.value?.next || waiters.value?.next ? `; the first ${LISTED} of each, zoom in for more` : ''}
        </caption>
        <thead>
          <tr>
            <th>State</th>
            <th>Mode</th>
            <th>Range</th>
            <th>Owner</th>
            <th>Token</th>
            <ActionsHead mayChange={mayChange} />
          </tr>
        </thead>
        <tbody>
          {held.map((lock) => (
            <tr key={lock.id}>
              <td>{lockState(lock)}</td>
              <td>
                <code>{lock.mode}</code>
              </td>
              <td>{range(lock.start, lock.end)}</td>
              <td>
                <Owner name={lock.owner} />
              </td>
              <td>
                <code>{lock.token}</code>
              </td>
              {mayChange ? (
                <td class="action">
                  <button
                    class="danger"
                    aria-label={`Release lock of ${lock.owner} at ${range(lock.start, lock.end)}`}
                    onClick={() => onDeed(release(name, lock, locks.refresh))}
                  >
                    Release…
                  </button>
                </td>
              ) : null}
            </tr>
          ))}
          {waiting.map((waiter) => (
            <tr key={`w${waiter.id}`}>
              <td>{waiterState(waiter)}</td>
              <td>
                <code>{waiter.mode}</code>
              </td>
              <td>{range(waiter.start, waiter.end)}</td>
              <td>
                <Owner name={waiter.owner} />
              </td>
              <td>—</td>
              {mayChange ? <td /> : null}
            </tr>
          ))}
        </tbody>
      </table>
      {locks.value && waiters.value && held.length + waiting.length === 0 ? <p class="empty">Nothing here.</p> : null}
    </div>
  );
}

function Owner({ name }: { name: string }) {
  return name ? <a href={toSessions(name)}>{name}</a> : <>—</>;
}

function lockState(lock: Lock) {
  if (lock.delayed) return <Mark kind="idle" sign="✖" children="left behind" />;
  if (lock.revoked) return <Mark kind="bad" sign="✖" children="revoked" />;
  return lock.recalled ? (
    <Mark kind="warn" sign="◆" children="recalled" />
  ) : (
    <Mark kind="good" sign="●" children="held" />
  );
}

function waiterState(waiter: Waiter) {
  return waiter.standby ? (
    <Mark kind="idle" sign="○" children="on standby" />
  ) : (
    <Mark kind="warn" sign="◔" children="waiting" />
  );
}

function release(name: string, lock: Lock, refresh: () => void): Deed {
  return {
    title: `Take ${lock.mode} of ${range(lock.start, lock.end)} from ${lock.owner}?`,
    consequence:
      `${lock.owner} is told that it lost the lock. The range comes free when it has acknowledged that, or when its lease has ` +
      'ended, so nobody else holds it too early.',
    verb: 'Release lock',
    run: async () => {
      await api.releaseLock(name, lock.id);
      refresh();
      return `The lock of ${lock.owner} is revoked.`;
    },
  };
}

function Plots({ name }: { name: string }) {
  const [samples, setSamples] = useState<Sample[]>([]);
  const last = samples[samples.length - 1]?.atMillis ?? 0;
  const polled = usePoll(`history ${name}`, (signal) => api.history(name, last, signal));
  useEffect(() => setSamples([]), [name]);
  useEffect(() => {
    const newer = polled.value;
    if (newer) setSamples((older) => joined(older, newer, LONGEST_MILLIS));
  }, [polled.value]);
  const span = Math.min(LONGEST_MILLIS, Math.max(SHORTEST_MILLIS, last - (samples[0]?.atMillis ?? last)));
  const line = (of: (s: Sample) => number | null) => samples.map((s) => ({ at: s.atMillis, value: of(s) }));
  return (
    <div class="card">
      <div class="card-head">
        <h2>Lately</h2>
        <span class="muted">since somebody began to look, 15 minutes at most</span>
      </div>
      <div class="plots">
        <Plot
          title="Writes take"
          spanMillis={span}
          show={micros}
          lines={[
            { name: 'p50', points: line((s) => s.writeP50Micros), style: 'first' },
            { name: 'p99', points: line((s) => s.writeP99Micros), style: 'second' },
          ]}
        />
        <Plot
          title="Lag"
          binary
          spanMillis={span}
          show={bytes}
          lines={[{ name: 'furthest behind', points: line((s) => s.lagBytes), style: 'first' }]}
        />
        <Plot
          title="Requests a second"
          spanMillis={span}
          show={(v) => count(Math.round(v))}
          lines={[
            { name: 'writes', points: line((s) => s.writesPerSecond), style: 'first' },
            { name: 'reads', points: line((s) => s.readsPerSecond), style: 'second' },
          ]}
        />
        <Plot
          title="Written a second"
          binary
          spanMillis={span}
          show={bytes}
          lines={[{ name: 'payload', points: line((s) => s.writtenBytesPerSecond), style: 'first' }]}
        />
      </div>
    </div>
  );
}
