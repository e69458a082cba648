import { render } from 'preact';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { App } from '../src/App';

/** A lock manager that answers by path, and keeps what it was asked to do. */
const answers = new Map<string, unknown>();
const done: string[] = [];
let root: HTMLElement;

const overview = (mayChange: boolean) => ({
  version: 'test',
  epoch: 3,
  recovering: false,
  sessions: 1,
  mayChange,
  next: null,
  volumes: [{ name: 'demo', uuid: 'u', held: 2, waiting: 1, replication: null }],
});

const session = {
  sessionId: 's-1',
  owner: 'app/1',
  ttlMillis: 6000,
  expiresInMillis: 5000,
  held: 2,
  waiting: 0,
  unacknowledgedLosses: 0,
  attached: true,
};

beforeEach(() => {
  answers.clear();
  done.length = 0;
  localStorage.clear();
  vi.stubGlobal('fetch', async (path: string, init: { method: string }) => {
    const key = path.replace('/api/v1', '').split('?')[0] ?? '';
    if (init.method !== 'GET') {
      done.push(`${init.method} ${key}`);
      return new Response('');
    }
    const answer = answers.get(key);
    return answer === undefined
      ? new Response(JSON.stringify({ detail: `nothing at ${key}` }), { status: 404 })
      : new Response(JSON.stringify(answer));
  });
  root = document.createElement('div');
  document.body.append(root);
});

afterEach(() => {
  render(null, root);
  root.remove();
  vi.unstubAllGlobals();
});

function open(hash: string) {
  location.hash = hash;
  render(<App />, root);
}

const text = () => root.textContent ?? '';
const button = (name: RegExp) => [...root.querySelectorAll('button')].find((b) => name.test(b.textContent ?? ''));

describe('the page', () => {
  it('lists volumes, those that are only locked too', async () => {
    answers.set('/overview', overview(true));

    open('#/volumes');

    await vi.waitFor(() => expect(text()).toContain('demo'));
    expect(text()).toContain('locks only');
    expect(root.querySelector('tbody a')?.getAttribute('href')).toBe('#/volumes/demo');
  });

  it('does nothing without a second word, and says what was done', async () => {
    answers.set('/overview', overview(true));
    answers.set('/sessions', { items: [session], next: null });
    open('#/sessions');
    await vi.waitFor(() => expect(button(/Close…/)).toBeDefined());

    button(/Close…/)?.click();
    await vi.waitFor(() => expect(root.querySelector('dialog')?.textContent).toContain('Close the session of app/1?'));
    button(/Cancel/)?.click();
    await vi.waitFor(() => expect(root.querySelector('dialog')).toBeNull());
    expect(done).toEqual([]);

    button(/Close…/)?.click();
    await vi.waitFor(() => expect(button(/Close session/)).toBeDefined());
    root.querySelector('form')?.dispatchEvent(new Event('submit', { bubbles: true, cancelable: true }));
    await vi.waitFor(() => expect(text()).toContain('The session of app/1 is closed.'));
    expect(done).toEqual(['DELETE /sessions/s-1']);
  });

  it('hides what may not be done', async () => {
    answers.set('/overview', overview(false));
    answers.set('/sessions', { items: [session], next: null });

    open('#/sessions');

    await vi.waitFor(() => expect(text()).toContain('view only'));
    expect(text()).toContain('app/1');
    expect(button(/Close…/)).toBeUndefined();
  });

  it('says in the words of the lock manager why there is nothing to see', async () => {
    answers.set('/overview', overview(true));

    open('#/volumes/gone');

    await vi.waitFor(() => expect(text()).toContain('nothing at /volumes/gone/overview'));
  });

  it('keeps what it knew while the lock manager does not answer, and says so', async () => {
    answers.set('/overview', overview(true));
    open('#/volumes');
    await vi.waitFor(() => expect(text()).toContain('demo'));

    vi.stubGlobal('fetch', async () => {
      throw new TypeError('refused');
    });

    await vi.waitFor(() => expect(root.querySelector('[role=alert]')?.textContent).toContain('does not answer'), 5000);
    expect(text()).toContain('demo');
  });

  it('remembers the colours somebody chose', async () => {
    open('#/volumes');
    const select = root.querySelector('select') as HTMLSelectElement;
    select.value = 'dark';
    select.dispatchEvent(new Event('change', { bubbles: true }));

    await vi.waitFor(() => expect(document.documentElement.dataset['theme']).toBe('dark'));
    expect(localStorage.getItem('terminus.theme')).toBe('dark');
  });
});
