package io.terminus.lockmgr.lock;

import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** What there is: sessions, volumes and locks, by what they are called. In the order in which they came. */
final class Registry {

    final Map<String, Session> sessions = new LinkedHashMap<>();
    /** The same by id, for those who turn pages. */
    final NavigableMap<String, Session> sessionsById = new TreeMap<>();

    final Map<String, Volume> volumes = new LinkedHashMap<>();
    final NavigableMap<String, Volume> volumesByName = new TreeMap<>();
    final LongMap<Held> locks = new LongMap<>();
    /** Holds what vanished holders have left, while the lock delay of its volume runs. */
    final Session nobody = new Session("", "", 0);

    private final Set<String> watched = new HashSet<>();

    /** Locks that are held, and parts of requests that wait, over all volumes. */
    int held;

    int waiting;

    /** How many parts of requests started to wait so far; the next one's order. */
    long waitersSoFar;

    /** A lock that this session holds; null if it holds none of this id. */
    @Nullable
    Held lockOf(Session session, long lockId) {
        Held lock = locks.get(lockId);
        return lock == null || lock.session != session ? null : lock;
    }

    /** Returns false if there is one of its id. */
    boolean add(Session session) {
        if (sessions.putIfAbsent(session.id, session) != null) {
            return false;
        }
        sessionsById.put(session.id, session);
        return true;
    }

    void remove(Session session) {
        sessions.remove(session.id);
        sessionsById.remove(session.id);
    }

    Volume addVolume(String name, String uuid) {
        Volume volume = newVolume(name, uuid);
        add(volume);
        return volume;
    }

    /** One that is still to be added, should it be needed. */
    Volume newVolume(String name, String uuid) {
        Volume volume = new Volume(name, uuid);
        volume.watched = watched.contains(name);
        return volume;
    }

    void add(Volume volume) {
        volumes.put(volume.name, volume);
        volumesByName.put(volume.name, volume);
    }

    void removeVolume(String name) {
        volumes.remove(name);
        volumesByName.remove(name);
    }

    void watch(String name, boolean on) {
        if (on) {
            watched.add(name);
        } else {
            watched.remove(name);
        }
        Volume volume = volumes.get(name);
        if (volume != null) {
            volume.watched = on;
        }
    }
}
