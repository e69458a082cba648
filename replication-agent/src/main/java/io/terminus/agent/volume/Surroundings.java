package io.terminus.agent.volume;

/** What the parts of one volume on this agent have to do with: each takes of it what it needs. */
record Surroundings(Volume.Settings settings, VolumeAuthority authority, PeerNetwork network, Replica replica) {

    String agent() {
        return settings.agent();
    }
}
