import { useEffect, useState } from 'preact/hooks';
import type { Overview, Volume } from './api';
import { bytes, count } from './format';
import { HealthMark } from './marks';
import type { Polled } from './poll';
import { toVolume } from './route';

interface Props {
  polled: Polled<Overview>;
  filter: string;
  onFilter: (text: string) => void;
  after: string[];
  onAfter: (after: string[]) => void;
}

export function VolumesPage({ polled, filter, onFilter, after, onAfter }: Props) {
  const [typed, setTyped] = useState(filter);
  useEffect(() => {
    const timer = setTimeout(() => {
      if (typed !== filter) onFilter(typed);
    }, 200);
    return () => clearTimeout(timer);
  }, [typed]);
  const overview = polled.value;
  const volumes = overview?.volumes ?? [];
  return (
    <section>
      <div class="head">
        <h1>Volumes</h1>
        <label class="filter">
          <span class="hidden">Name holds</span>
          <input
            type="search"
            placeholder="Filter by name  ( / )"
            value={typed}
            onInput={(e) => setTyped(e.currentTarget.value)}
            data-shortcut="/"
          />
        </label>
      </div>
      <div class="card scroll">
        <table>
          <thead>
            <tr>
              <th>Volume</th>
              <th>Health</th>
              <th>Writer</th>
              <th>In sync</th>
              <th class="number">Lag</th>
              <th class="number">Size</th>
              <th class="number">Locks held</th>
              <th class="number">Waiting</th>
            </tr>
          </thead>
          <tbody>
            {volumes.map((volume) => (
              <Row key={volume.name} volume={volume} />
            ))}
          </tbody>
        </table>
        {overview && volumes.length === 0 ? (
          <p class="empty">
            {filter
              ? `No volume has “${filter}” in its name.`
              : 'There are no volumes yet: terminus volume create NAME, or take a lock.'}
          </p>
        ) : null}
        {!overview ? <p class="empty">{polled.failure ?? 'Looking…'}</p> : null}
      </div>
      <Pager next={overview?.next ?? null} after={after} onAfter={onAfter} />
    </section>
  );
}

function Row({ volume }: { volume: Volume }) {
  const r = volume.replication;
  const inSync = r?.replicas.filter((replica) => replica.inSync).length ?? 0;
  const lag = Math.max(-1, ...(r?.replicas.map((replica) => replica.lagBytes) ?? []));
  return (
    <tr>
      <th scope="row">
        <a href={toVolume(volume.name)}>{volume.name}</a>
      </th>
      <td>
        <HealthMark health={r?.health} />
        {r?.why ? <div class="why">{r.why}</div> : null}
      </td>
      <td>{r ? r.writer || 'none yet' : '—'}</td>
      <td>{r ? `${inSync} of ${r.replicas.length}` : '—'}</td>
      <td class="number">{lag < 0 ? '—' : bytes(lag)}</td>
      <td class="number">{r ? bytes(r.sizeBytes) : '—'}</td>
      <td class="number">{count(volume.held)}</td>
      <td class="number">{volume.waiting > 0 ? <strong>◔ {count(volume.waiting)}</strong> : 0}</td>
    </tr>
  );
}

/** `after` holds the places of the pages before, so that there is a way back. */
export function Pager(props: { next: string | null; after: string[]; onAfter: (after: string[]) => void }) {
  const { next, after, onAfter } = props;
  if (!next && after.length === 0) return null;
  return (
    <nav class="pager" aria-label="Pages">
      <button disabled={after.length === 0} onClick={() => onAfter(after.slice(0, -1))}>
        ← Previous
      </button>
      <span>Page {after.length + 1}</span>
      <button disabled={!next} onClick={() => next && onAfter([...after, next])}>
        Next →
      </button>
    </nav>
  );
}
