package io.terminus.cli.acceptance;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * This test needs these programs on the PATH; {@code python3-libnbd} stands for the system Python with its nbd module.
 * Where one is missing the test is skipped and a line at the end says what to install, unless the environment has
 * TERMINUS_REAL_CLIENTS=required: then it fails.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.METHOD, ElementType.TYPE})
@ExtendWith(ClientCondition.class)
@interface NeedsClients {
    String[] value();
}
