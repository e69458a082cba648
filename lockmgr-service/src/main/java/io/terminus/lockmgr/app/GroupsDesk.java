package io.terminus.lockmgr.app;

import io.terminus.lockmgr.admin.AdminDesk;
import io.terminus.proto.lock.Groups;
import java.util.List;

/** What operators ask of a process that takes part in several groups. */
record GroupsDesk(List<GroupNode> groups) implements AdminDesk {

    @Override
    public AdminDesk ofVolume(String volume) {
        return groups.get(Groups.ofVolume(volume, groups.size())).desk();
    }

    @Override
    public AdminDesk ofSession(String sessionId) {
        return groups.get(Math.min(Groups.ofSession(sessionId), groups.size() - 1))
                .desk();
    }

    @Override
    public List<AdminDesk> led() {
        List<AdminDesk> led =
                groups.stream().filter(GroupNode::leads).map(GroupNode::desk).toList();
        return led.isEmpty() ? List.of(groups.getFirst().desk()) : led;
    }

    @Override
    public <T> T ask(Question<T> question) {
        return led().getFirst().ask(question);
    }

    @Override
    public void forceRelease(String who, String volume, long lockId) {
        ofVolume(volume).forceRelease(who, volume, lockId);
    }

    @Override
    public void configureVolume(String who, String volume, long lockDelayMillis) {
        ofVolume(volume).configureVolume(who, volume, lockDelayMillis);
    }

    @Override
    public boolean closeSession(String who, String sessionId) {
        return ofSession(sessionId).closeSession(who, sessionId);
    }
}
