import { useEffect, useState } from 'preact/hooks';
import { api } from './api';
import type { Deed } from './Confirm';
import { count, plural, seconds } from './format';
import { Mark } from './marks';
import { ActionsHead, ListHead, Pager } from './parts';
import { usePoll } from './poll';

const LIMIT = 50;

interface Props {
  owner: string;
  mayChange: boolean;
  onDeed: (deed: Deed) => void;
}

export function SessionsPage({ owner, mayChange, onDeed }: Props) {
  const [wanted, setWanted] = useState(owner);
  const [after, setAfter] = useState<string[]>([]);
  useEffect(() => filter(owner), [owner]);
  function filter(text: string) {
    setAfter([]);
    setWanted(text);
  }
  const place = after[after.length - 1] ?? '';
  const polled = usePoll(`sessions ${wanted} ${place}`, (signal) => api.sessions(wanted, place, LIMIT, signal));
  const sessions = polled.value?.items ?? [];
  return (
    <section>
      <ListHead title="Sessions" hint="Owner begins with" filter={wanted} onFilter={filter} />
      <div class="card scroll">
        <table>
          <thead>
            <tr>
              <th>Owner</th>
              <th>Session</th>
              <th>Connection</th>
              <th class="number">Lease ends in</th>
              <th class="number">Holds</th>
              <th class="number">Waits for</th>
              <ActionsHead mayChange={mayChange} />
            </tr>
          </thead>
          <tbody>
            {sessions.map((s) => (
              <tr key={s.sessionId}>
                <th scope="row">{s.owner || '—'}</th>
                <td>
                  <code>{s.sessionId}</code>
                </td>
                <td>
                  {s.attached ? (
                    <Mark kind="good" sign="✔">
                      connected
                    </Mark>
                  ) : (
                    <Mark kind="warn" sign="▲">
                      no stream
                    </Mark>
                  )}
                  {s.unacknowledgedLosses > 0 ? (
                    <div class="why">{plural(s.unacknowledgedLosses, 'loss', 'losses')} not acknowledged</div>
                  ) : null}
                </td>
                <td class="number">
                  {/* A lease has a margin, so it may have more than its time. */}
                  {seconds(s.expiresInMillis / 1000)} <span class="muted">(lease {seconds(s.ttlMillis / 1000)})</span>
                </td>
                <td class="number">{count(s.held)}</td>
                <td class="number">{count(s.waiting)}</td>
                {mayChange ? (
                  <td class="action">
                    <button
                      class="danger"
                      aria-label={`Close the session of ${s.owner}`}
                      onClick={() =>
                        onDeed({
                          title: `Close the session of ${s.owner || s.sessionId}?`,
                          consequence:
                            `All it holds (${plural(s.held, 'lock')}) comes free at once. Do so only when its owner is ` +
                            'known to be gone: one that still writes is not waited for, and only what checks tokens stops it.',
                          verb: 'Close session',
                          run: async () => {
                            await api.closeSession(s.sessionId);
                            polled.refresh();
                            return `The session of ${s.owner || s.sessionId} is closed.`;
                          },
                        })
                      }
                    >
                      Close…
                    </button>
                  </td>
                ) : null}
              </tr>
            ))}
          </tbody>
        </table>
        {polled.value && sessions.length === 0 ? <p class="empty">No session.</p> : null}
        {!polled.value ? <p class="empty">{polled.failure ?? 'Looking…'}</p> : null}
      </div>
      <Pager next={polled.value?.next ?? null} after={after} onAfter={setAfter} />
    </section>
  );
}
