package io.terminus.agent.nbd;

import java.util.List;
import java.util.function.Supplier;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/** The exports as one client sees them: what it may not use is not listed, and refused with the reason. */
record AdmittedExports(Exports all, Admission admission, Supplier<@Nullable SSLSession> client) implements Exports {

    @Override
    public List<Export> list() {
        return all.list().stream()
                .filter(export -> refusal(export.name()) == null)
                .toList();
    }

    @Override
    public Lookup find(String name) {
        Lookup found = all.find(name);
        String refusal = switch (found) {
            case Lookup.Found here -> refusal(here.export().name());
            case Lookup.Elsewhere elsewhere -> refusal(elsewhere.name());
            case Lookup.Unavailable unavailable -> refusal(name);
            case Lookup.Unknown unknown -> refusal(name);
        };
        return refusal == null ? found : new Lookup.Unavailable(refusal);
    }

    @Override
    public String writer(String name) {
        return all.writer(name);
    }

    private @Nullable String refusal(String export) {
        SSLSession session = client.get();
        return session == null ? null : admission.refusal(session, export);
    }
}
