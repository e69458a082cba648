import { useEffect, useState } from 'preact/hooks';

/** What the address behind # says is to be seen. */
export type Route = { page: 'volumes' } | { page: 'volume'; name: string } | { page: 'sessions'; owner: string };

export function parse(hash: string): Route {
  const [page, argument] = hash.replace(/^#?\/?/, '').split('/');
  if (page === 'volumes' && argument) return { page: 'volume', name: decoded(argument) };
  if (page === 'sessions') return { page: 'sessions', owner: argument ? decoded(argument) : '' };
  return { page: 'volumes' };
}

/** Somebody may have typed it. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function toVolume(name: string): string {
  return `#/volumes/${encodeURIComponent(name)}`;
}

export function toSessions(owner: string): string {
  return `#/sessions/${encodeURIComponent(owner)}`;
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parse(location.hash));
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
