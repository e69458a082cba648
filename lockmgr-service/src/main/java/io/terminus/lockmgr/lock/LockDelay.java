package io.terminus.lockmgr.lock;

/** The time for which a lock stays closed after its holder vanished. The deadline ends it. */
final class LockDelay extends Timed {

    final Held lock;

    LockDelay(Held lock) {
        this.lock = lock;
    }
}
