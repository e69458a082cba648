import type { Overview, Volume } from './api';
import { bytes, count } from './format';
import { HealthMark } from './marks';
import { ListHead, Pager } from './parts';
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
  const overview = polled.value;
  const volumes = overview?.volumes ?? [];
  return (
    <section>
      <ListHead title="Volumes" hint="Filter by name" filter={filter} onFilter={onFilter} />
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
