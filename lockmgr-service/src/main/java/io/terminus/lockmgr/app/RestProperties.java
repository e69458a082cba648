package io.terminus.lockmgr.app;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/** @param changes false: REST, and with it the console, only shows */
@ConfigurationProperties("lockmgr.rest")
public record RestProperties(@DefaultValue("true") boolean changes) {}
