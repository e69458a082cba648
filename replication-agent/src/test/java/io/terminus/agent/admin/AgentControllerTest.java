package io.terminus.agent.admin;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import io.terminus.agent.volume.RefusedException.Why;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Method;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.springframework.core.MethodParameter;
import org.springframework.core.annotation.AnnotatedElementUtils;
import org.springframework.http.ProblemDetail;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestMethod;
import org.springframework.web.method.annotation.MethodArgumentTypeMismatchException;
import org.yaml.snakeyaml.Yaml;

/** What the served description says, and what is there. */
class AgentControllerTest {

    @Test
    void everyVerbIsDescribedAndNoOther() throws IOException {
        TreeSet<String> described = new TreeSet<>();
        try (InputStream file = Objects.requireNonNull(getClass().getResourceAsStream("/static/api/v1/openapi.yaml"))) {
            Map<String, Object> document = new Yaml().load(file);
            ((Map<?, ?>) Objects.requireNonNull(document.get("paths")))
                    .forEach((path, verbs) -> ((Map<?, ?>) verbs)
                            .keySet().stream()
                                    .filter(verb -> !verb.equals("parameters"))
                                    .forEach(verb -> described.add(verb + " " + path)));
        }

        TreeSet<String> there = new TreeSet<>();
        for (Method method : AgentController.class.getDeclaredMethods()) {
            RequestMapping mapping = AnnotatedElementUtils.findMergedAnnotation(method, RequestMapping.class);
            if (mapping != null) {
                for (RequestMethod verb : mapping.method()) {
                    there.add(verb.name().toLowerCase(Locale.ROOT) + " /api/v1" + mapping.path()[0]);
                }
            }
        }

        assertThat(described).isEqualTo(there);
    }

    @Test
    void whatIsNoRequestIsRefusedWithTheValueAndTheRule() throws NoSuchMethodException {
        Method verify = AgentController.class.getMethod("verify", String.class, String.class, boolean.class);

        var mistyped = AgentController.badRequest(new MethodArgumentTypeMismatchException(
                "perhaps", Boolean.class, "repair", new MethodParameter(verify, 2), null));
        var malformed = AgentController.badRequest(
                new InvalidProtocolBufferException("Cannot find field: sizebytes in message CreateVolumeRequest"));

        assertThat(mistyped.getStatusCode().value()).isEqualTo(400);
        assertThat(detail(mistyped)).isEqualTo("parameter repair is \"perhaps\", and not a Boolean");
        assertThat(malformed.getStatusCode().value()).isEqualTo(400);
        assertThat(detail(malformed)).contains("sizebytes");
    }

    @Test
    void whatIsNoJsonIsRefusedInWords() {
        assertThatThrownBy(() -> JsonFormat.parser().merge("{\"name\": ", CreateVolumeRequest.newBuilder()))
                .isInstanceOfSatisfying(
                        InvalidProtocolBufferException.class,
                        e -> assertThat(detail(AgentController.badRequest(e)))
                                .startsWith("the body cannot be read: ")
                                .contains("End of input")
                                .doesNotContain("Exception"));
    }

    private static String detail(ResponseEntity<ProblemDetail> answer) {
        return String.valueOf(Objects.requireNonNull(answer.getBody()).getDetail());
    }

    @ParameterizedTest
    @CsvSource({
        "FENCED,409",
        "UNKNOWN_VOLUME,404",
        "OTHER_SHAPE,400",
        "NEEDS_COPY,409",
        "DIVERGED,409",
        "FAILED,409",
        "NO_SPACE,507",
        "NOT_READY,503",
        "OTHER_CONFIG,409",
        "BAD_MESSAGE,400"
    })
    void eachReasonHasItsCode(Why why, int code) {
        assertThat(AgentController.status(why).value()).isEqualTo(code);
    }
}
