package io.terminus.agent.volume;

/** What has to be true of a write in q copies before it is acknowledged. FLUSH and FUA always mean {@link #DURABLE}. */
public enum AckLevel {
    /** Checked and published in the writer's own journal; peers follow with a lag. No automatic failover. */
    LOCAL,
    /** Checked and published in the mapped journals: survives the loss of a process anywhere, not of all machines' power. */
    RECEIVED,
    /** Fdatasynced in the journals. */
    DURABLE
}
