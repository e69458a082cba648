package io.terminus.deploy;

import com.squareup.wire.schema.Field;
import com.squareup.wire.schema.Location;
import com.squareup.wire.schema.internal.parser.EnumElement;
import com.squareup.wire.schema.internal.parser.FieldElement;
import com.squareup.wire.schema.internal.parser.MessageElement;
import com.squareup.wire.schema.internal.parser.OneOfElement;
import com.squareup.wire.schema.internal.parser.ProtoFileElement;
import com.squareup.wire.schema.internal.parser.ProtoParser;
import com.squareup.wire.schema.internal.parser.RpcElement;
import com.squareup.wire.schema.internal.parser.ServiceElement;
import com.squareup.wire.schema.internal.parser.TypeElement;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** {@code docs/api.md}, out of the contracts: the .proto files of gRPC and the openapi.yaml files of REST. */
final class ApiReference {

    private static final List<String> PROTOS =
            List.of("lock/v1/lock.proto", "agent/v1/agent.proto", "agent/v1/volume_config.proto");

    private static final List<String> SERVICES = List.of("lockmgr-service", "replication-agent");

    private static final Set<String> METHODS = Set.of("get", "put", "post", "patch", "delete");

    private ApiReference() {}

    static String markdown() {
        StringBuilder page = new StringBuilder("""
                # Interfaces

                <!-- Made from the .proto and openapi.yaml files: after a change there, run
                     ./mvnw -pl deploy-tests test -Dtest=ReferencesTest -Dterminus.docs=write -->

                What each call means for a lock or a volume: [lock rules](lock-rules.md), [operations](operations.md). NBD has
                [a page of its own](nbd.md), and so has [the protocol between agents](peer-protocol.md). Both services answer gRPC's
                server reflection, so generic clients need no .proto files.
                """);
        for (String service : SERVICES) {
            rest(page, service);
        }
        for (String proto : PROTOS) {
            grpc(page, Repository.ROOT.resolve("proto/src/main/proto/terminus").resolve(proto));
        }
        return page.toString();
    }

    // ---- REST
    // --------------------------------------------------------------------------------------------------------

    private static void rest(StringBuilder page, String service) {
        Tree api = Tree.one(Repository.read(
                Repository.ROOT.resolve(service).resolve("src/main/resources/static/api/v1/openapi.yaml")));
        page.append("\n## REST: ").append(api.at("info").text("title")).append("\n\n");
        page.append("The whole of it is at `/api/v1/openapi.yaml` of the service.\n\n");
        page.append("| | | Parameters | Answers |\n|---|---|---|---|\n");
        api.at("paths").map().keySet().forEach(path -> {
            Tree operations = api.at("paths", path);
            operations.map().keySet().stream().filter(METHODS::contains).forEach(method -> {
                Tree operation = operations.at(method);
                page.append("| `%s %s` | %s | %s | %s |\n"
                        .formatted(
                                method.toUpperCase(Locale.ROOT),
                                path,
                                operation.value("summary") == null ? "" : cell(operation.text("summary")),
                                String.join(
                                        ", ",
                                        Stream.of(operations, operation)
                                                .flatMap(place -> place.list("parameters").stream())
                                                .map(parameter -> parameter(api, parameter))
                                                .toList()),
                                String.join(
                                        ", ", operation.at("responses").map().keySet())));
            });
        });
    }

    private static String parameter(Tree api, Tree named) {
        String[] reference = named.text("$ref").split("/");
        Tree parameter = reference.length > 1 ? api.at("components", "parameters", reference[3]) : named;
        Tree schema = parameter.at("schema");
        Object standard = schema.value("default");
        return "`" + parameter.text("name") + "`"
                + (standard == null || standard.equals("") ? "" : " (" + standard + ")");
    }

    // ---- gRPC
    // --------------------------------------------------------------------------------------------------------

    private static void grpc(StringBuilder page, Path file) {
        ProtoFileElement proto =
                ProtoParser.Companion.parse(Location.get(file.getFileName().toString()), Repository.read(file));
        String title = proto.getPackageName() + (proto.getServices().isEmpty() ? ", " + file.getFileName() : "");
        page.append("\n## gRPC: ").append(title).append("\n");
        for (ServiceElement service : proto.getServices()) {
            page.append("\n### ").append(service.getName()).append("\n\n");
            words(page, service.getDocumentation());
            page.append("| Call | Takes | Answers | |\n|---|---|---|---|\n");
            for (RpcElement rpc : service.getRpcs()) {
                page.append("| `%s` | %s`%s` | %s`%s` | %s |\n"
                        .formatted(
                                rpc.getName(),
                                rpc.getRequestStreaming() ? "a stream of " : "",
                                rpc.getRequestType(),
                                rpc.getResponseStreaming() ? "a stream of " : "",
                                rpc.getResponseType(),
                                cell(rpc.getDocumentation())));
            }
        }
        for (TypeElement type : proto.getTypes()) {
            type(page, "", type);
        }
    }

    private static void type(StringBuilder page, String outer, TypeElement type) {
        String name = outer + type.getName();
        switch (type) {
            case MessageElement message -> {
                page.append("\n### ").append(name).append("\n\n");
                words(page, message.getDocumentation());
                if (message.getFields().isEmpty() && message.getOneOfs().isEmpty()) {
                    page.append("Empty.\n");
                } else {
                    page.append("| Field | | Type | |\n|---|---|---|---|\n");
                    message.getFields().forEach(field -> field(page, field, ""));
                    for (OneOfElement oneOf : message.getOneOfs()) {
                        oneOf.getFields().forEach(field -> field(page, field, "one of *" + oneOf.getName() + "*. "));
                    }
                }
            }
            case EnumElement choices -> {
                page.append("\n### ").append(name).append("\n\n");
                words(page, choices.getDocumentation());
                page.append("| Value | | |\n|---|---|---|\n");
                choices.getConstants()
                        .forEach(choice -> page.append("| `%s` | %d | %s |\n"
                                .formatted(choice.getName(), choice.getTag(), cell(choice.getDocumentation()))));
            }
            default -> throw new AssertionError("neither message nor enum: " + name);
        }
        type.getNestedTypes().forEach(inner -> type(page, name + ".", inner));
    }

    private static final Map<Field.Label, String> LABELS =
            Map.of(Field.Label.REPEATED, "any number of ", Field.Label.OPTIONAL, "optional ");

    private static void field(StringBuilder page, FieldElement field, String before) {
        Field.Label label = field.getLabel();
        page.append("| `%s` | %d | %s%s | %s%s |\n"
                .formatted(
                        field.getName(),
                        field.getTag(),
                        label == null ? "" : LABELS.getOrDefault(label, ""),
                        field.getType(),
                        before,
                        cell(field.getDocumentation())));
    }

    private static void words(StringBuilder page, String documentation) {
        if (!documentation.isBlank()) {
            page.append(documentation.strip()).append("\n\n");
        }
    }

    /** On one line, and not a line of code. */
    private static String cell(String words) {
        return words.strip().replaceAll("\\s+", " ").replace("|", "\\|").replace("<", "&lt;");
    }
}
