package io.terminus.cli;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonInclude;
import io.terminus.security.TlsFiles;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What is known about a set between two commands; {@code set.json} in its directory.
 *
 * @param version 1; a directory with a higher one is left alone
 * @param id random, in the command line of every process of the set
 * @param portBase see {@link PortPlan}
 * @param sizeBytes size of the volume that comes with the set
 * @param lockManagers how many; null, as sets of before have it: one
 * @param lockManagerGroups over so many the volumes are spread; null: one
 * @param java the java program that runs the services
 * @param processes by {@link SetMember#title}; one that is not running is gone or has another identity
 * @param tls with which this set's processes are asked; beside them lie their own; null: the set is without TLS
 */
record SetState(
        int version,
        String id,
        int portBase,
        long sizeBytes,
        @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable Integer lockManagers,
        @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable Integer lockManagerGroups,
        String java,
        Map<String, ProcessIdentity> processes,
        @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable TlsFiles tls) {

    static final int VERSION = 1;

    SetState {
        processes = Map.copyOf(processes);
    }

    SetState withTls(@Nullable TlsFiles changed) {
        return new SetState(
                version, id, portBase, sizeBytes, lockManagers, lockManagerGroups, java, processes, changed);
    }

    PortPlan ports() {
        return new PortPlan(portBase, lockManagerCount(), tls);
    }

    @JsonIgnore
    int lockManagerCount() {
        return lockManagers == null ? 1 : lockManagers;
    }

    @JsonIgnore
    int lockManagerGroupCount() {
        return lockManagerGroups == null ? 1 : lockManagerGroups;
    }

    /** In the order in which they are started. */
    List<SetMember> members() {
        return SetMember.of(lockManagerCount());
    }

    Optional<ProcessIdentity> process(SetMember member) {
        return Optional.ofNullable(processes.get(member.title()));
    }

    SetState with(SetMember member, ProcessIdentity identity) {
        Map<String, ProcessIdentity> changed = new TreeMap<>(processes);
        changed.put(member.title(), identity);
        return new SetState(version, id, portBase, sizeBytes, lockManagers, lockManagerGroups, java, changed, tls);
    }

    SetState without(SetMember member) {
        Map<String, ProcessIdentity> changed = new TreeMap<>(processes);
        changed.remove(member.title());
        return new SetState(version, id, portBase, sizeBytes, lockManagers, lockManagerGroups, java, changed, tls);
    }

    SetState withJava(String changed) {
        return new SetState(version, id, portBase, sizeBytes, lockManagers, lockManagerGroups, changed, processes, tls);
    }
}
