package io.terminus.deploy;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.introspect.Annotated;
import com.fasterxml.jackson.databind.introspect.JacksonAnnotationIntrospector;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import io.fabric8.certmanager.api.model.v1.Certificate;
import io.fabric8.openshift.api.model.monitoring.v1.PrometheusRule;
import io.fabric8.openshift.api.model.monitoring.v1.ServiceMonitor;
import io.kubernetes.client.openapi.JSON;
import java.lang.reflect.InvocationTargetException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Says what a cluster would say of an object: a field that its kind does not have, one that has to be there and is not, a value of
 * another type. Kubernetes' own kinds are held against the models of its own Java client, which are made from its OpenAPI; kinds of
 * the Prometheus operator and of cert-manager against models made from their definitions, which know no required fields.
 */
final class KubernetesSchema {

    private static final String MODELS = "io.kubernetes.client.openapi.models.V1";

    private static final Map<String, String> OWN = Map.of(
            "v1", "ConfigMap Pod Service ServiceAccount",
            "apps/v1", "StatefulSet Deployment",
            "batch/v1", "Job",
            "policy/v1", "PodDisruptionBudget",
            "networking.k8s.io/v1", "NetworkPolicy");

    private static final Map<String, Class<?>> OTHERS = Map.of(
            "monitoring.coreos.com/v1 ServiceMonitor", ServiceMonitor.class,
            "monitoring.coreos.com/v1 PrometheusRule", PrometheusRule.class,
            "cert-manager.io/v1 Certificate", Certificate.class);

    private static final Gson GSON = new Gson();

    /** The models keep what they do not know for whoever does; here that is refused. */
    private static final ObjectMapper STRICT = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .annotationIntrospector(new JacksonAnnotationIntrospector() {
                @Override
                public Boolean hasAnySetter(Annotated a) {
                    return false;
                }
            })
            .build();

    private KubernetesSchema() {}

    /** What is wrong with an object; null if nothing is. */
    static @Nullable String complaint(Tree object) {
        String version = object.text("apiVersion");
        String kind = object.text("kind");
        Class<?> other = OTHERS.get(version + " " + kind);
        if (other != null) {
            return complaintOf(other, object);
        }
        if (!(" " + OWN.getOrDefault(version, "") + " ").contains(" " + kind + " ")) {
            return version + " " + kind + " is not known here";
        }
        try {
            return complaintOfOwn(Class.forName(MODELS + kind), GSON.toJsonTree(object.map()));
        } catch (ClassNotFoundException e) {
            return "no model of " + kind;
        }
    }

    private static @Nullable String complaintOf(Class<?> model, Tree object) {
        try {
            STRICT.readValue(STRICT.writeValueAsString(object.map()), model);
            return null;
        } catch (JsonProcessingException e) {
            return e.getMessage();
        }
    }

    private static @Nullable String complaintOfOwn(Class<?> model, JsonElement json) {
        try {
            model.getMethod("validateJsonElement", JsonElement.class).invoke(null, json);
            Object unused = JSON.getGson().fromJson(json, model);
            return null;
        } catch (InvocationTargetException e) {
            return String.valueOf(e.getCause());
        } catch (JsonParseException | NumberFormatException e) {
            return e.getMessage();
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }
}
