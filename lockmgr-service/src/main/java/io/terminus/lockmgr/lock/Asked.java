package io.terminus.lockmgr.lock;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** What a request has become: it waits, it is a lock, or it is several. A request that comes again finds it. */
sealed interface Asked permits Request, Held, Asked.Together {

    /** The locks that are left of an atomic acquire, by id, which is the order of its parts. */
    record Together(List<Held> locks) implements Asked {

        static Together of(Held first, Held second) {
            Together together = new Together(new ArrayList<>());
            together.add(first);
            together.add(second);
            return together;
        }

        void add(Held lock) {
            locks.add(lock);
            locks.sort(Comparator.comparingLong(held -> held.id));
        }
    }

    /** What is held of it. */
    default List<Held> held() {
        return switch (this) {
            case Request waiting -> List.of();
            case Held lock -> List.of(lock);
            case Together together -> List.copyOf(together.locks);
        };
    }
}
