package io.terminus.agent.app;

import java.net.URI;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;

/** @param url where browsers find the lock manager's console; none: on the host of its gRPC, at the next port */
@ConfigurationProperties("agent.console")
public record ConsoleProperties(@Nullable URI url) {}
