package io.terminus.agent.admin;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import io.terminus.agent.volume.AckLevel;
import io.terminus.agent.volume.RefusedException;
import io.terminus.agent.volume.Volume;
import io.terminus.agent.volume.Volumes;
import io.terminus.proto.agent.v1.CreateVolumeRequest;
import io.terminus.proto.agent.v1.DeleteVolumeResponse;
import io.terminus.proto.agent.v1.ListVolumesResponse;
import io.terminus.proto.agent.v1.ReplicaAddress;
import java.io.IOException;
import java.time.Duration;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ProblemDetail;
import org.springframework.http.ResponseEntity;
import org.springframework.http.converter.HttpMessageNotReadableException;
import org.springframework.web.bind.annotation.DeleteMapping;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PatchMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.method.annotation.MethodArgumentTypeMismatchException;

/** Admin REST: the control service's messages as JSON. Described in {@code /api/v1/openapi.yaml}. */
@RestController
@RequestMapping(path = "/api/v1", produces = MediaType.APPLICATION_JSON_VALUE)
public class AgentController {

    private static final JsonFormat.Printer JSON = JsonFormat.printer().alwaysPrintFieldsWithNoPresence();

    private static final Duration CHANGE_TIMEOUT = Duration.ofSeconds(20);
    private static final Duration PROMOTE_TIMEOUT = Duration.ofSeconds(60);

    /** How the parser of JSON begins what another one told it. */
    private static final Pattern EXCEPTION = Pattern.compile("^[\\w.$]+(Exception|Error): ");

    private final Volumes volumes;
    private final AgentControlService control;

    public AgentController(Volumes volumes, AgentControlService control) {
        this.volumes = volumes;
        this.control = control;
    }

    /** All volumes with a replica here, and on a writer the state of every peer. */
    @GetMapping("/volumes")
    public String list() throws InvalidProtocolBufferException {
        return JSON.print(ListVolumesResponse.newBuilder()
                .addAllVolumes(volumes.all().stream().map(control::status).toList())
                .build());
    }

    @GetMapping("/volumes/{name}")
    public ResponseEntity<?> volume(@PathVariable String name) throws InvalidProtocolBufferException {
        Volume v = volumes.byName(name);
        if (v == null) {
            return unknown(name);
        }
        return ResponseEntity.ok(JSON.print(control.status(v)));
    }

    /** The replicas of a volume as this agent sees them: its own, and on the writer its peers. */
    @GetMapping("/volumes/{name}/peers")
    public ResponseEntity<?> peers(@PathVariable String name) throws InvalidProtocolBufferException {
        Volume v = volumes.byName(name);
        if (v == null) {
            return unknown(name);
        }
        StringBuilder all = new StringBuilder("[");
        for (var replica : control.status(v).getReplicasList()) {
            all.append(all.length() > 1 ? "," : "").append(JSON.print(replica));
        }
        return ResponseEntity.ok(all.append(']').toString());
    }

    /**
     * Begins to compare replicas with what is here; {@code verify} of the volume's replicas tells how far it is.
     *
     * @param agent whose; empty: all
     */
    @PostMapping("/volumes/{name}/verify")
    @ResponseStatus(HttpStatus.ACCEPTED)
    public String verify(
            @PathVariable String name,
            @RequestParam(defaultValue = "") String agent,
            @RequestParam(defaultValue = "false") boolean repair)
            throws InvalidProtocolBufferException, RefusedException {
        Volume v = find(name);
        v.verify(agent, repair);
        return JSON.print(control.status(v));
    }

    @DeleteMapping("/volumes/{name}/verify")
    public String stopVerifying(@PathVariable String name) throws InvalidProtocolBufferException, RefusedException {
        Volume v = find(name);
        v.stopVerifying();
        return JSON.print(control.status(v));
    }

    /** A CreateVolumeRequest. */
    @PostMapping(path = "/volumes", consumes = MediaType.APPLICATION_JSON_VALUE)
    @ResponseStatus(HttpStatus.CREATED)
    public String create(@RequestBody String volume)
            throws InvalidProtocolBufferException, RefusedException, IOException, InterruptedException {
        CreateVolumeRequest.Builder request = CreateVolumeRequest.newBuilder();
        JsonFormat.parser().merge(volume, request);
        return JSON.print(control.create(request.build()));
    }

    /** Returns when this agent serves it. */
    @PostMapping("/volumes/{name}/promote")
    public String promote(
            @PathVariable String name,
            @RequestParam(defaultValue = "false") boolean force,
            @RequestParam(defaultValue = "false") boolean acceptDataLoss)
            throws InvalidProtocolBufferException, RefusedException, InterruptedException {
        Volume v = find(name);
        v.promote(force, acceptDataLoss, PROMOTE_TIMEOUT, what -> {});
        return JSON.print(control.status(v));
    }

    /** A ReplicaAddress. */
    @PostMapping(path = "/volumes/{name}/peers", consumes = MediaType.APPLICATION_JSON_VALUE)
    public String addPeer(@PathVariable String name, @RequestBody String replica)
            throws InvalidProtocolBufferException, RefusedException, IOException, InterruptedException {
        ReplicaAddress.Builder address = ReplicaAddress.newBuilder();
        JsonFormat.parser().merge(replica, address);
        return JSON.print(control.addReplica(name, address.build()));
    }

    @DeleteMapping("/volumes/{name}/peers/{agent}")
    public ResponseEntity<?> removePeer(@PathVariable String name, @PathVariable String agent)
            throws InvalidProtocolBufferException, RefusedException, InterruptedException {
        Volume v = find(name);
        return v.removeReplica(agent, CHANGE_TIMEOUT)
                ? ResponseEntity.ok(JSON.print(control.status(v)))
                : notFound("No such peer", "agent " + agent + " has no replica of volume " + name);
    }

    /** Throws the replica here away; an empty one takes its place, and is copied to. */
    @PostMapping("/volumes/{name}/resync")
    @ResponseStatus(HttpStatus.ACCEPTED)
    public String resync(@PathVariable String name)
            throws InvalidProtocolBufferException, RefusedException, IOException, InterruptedException {
        return JSON.print(control.status(volumes.recreate(name)));
    }

    @PostMapping("/volumes/{name}/demote")
    public String demote(@PathVariable String name)
            throws InvalidProtocolBufferException, RefusedException, InterruptedException {
        Volume v = find(name);
        v.demote();
        return JSON.print(control.status(v));
    }

    /** What is null stays as it is. */
    record Change(
            @Nullable Long sizeBytes,
            @Nullable AckLevel ackLevel,
            @Nullable Integer copies,
            @Nullable Integer minCopies,
            @Nullable Long copyLimit) {}

    @PatchMapping(path = "/volumes/{name}", consumes = MediaType.APPLICATION_JSON_VALUE)
    public String change(@PathVariable String name, @RequestBody Change change)
            throws InvalidProtocolBufferException, RefusedException, InterruptedException {
        Volume v = find(name);
        Long size = change.sizeBytes();
        // What is refused most is asked first, and what cannot be taken back last.
        if (change.ackLevel() != null || change.copies() != null || change.minCopies() != null) {
            v.set(change.ackLevel(), change.copies(), change.minCopies(), CHANGE_TIMEOUT);
        }
        Long copyLimit = change.copyLimit();
        if (copyLimit != null) {
            v.copyLimit(copyLimit);
        }
        if (size != null) {
            v.resize(size, CHANGE_TIMEOUT);
        }
        return JSON.print(control.status(v));
    }

    @DeleteMapping("/volumes/{name}")
    public String delete(@PathVariable String name, @RequestParam(defaultValue = "false") boolean force)
            throws InvalidProtocolBufferException, RefusedException, IOException, InterruptedException {
        return JSON.print(DeleteVolumeResponse.newBuilder()
                .addAllUnreached(control.delete(find(name), force))
                .build());
    }

    @ExceptionHandler
    ResponseEntity<ProblemDetail> refused(RefusedException e) {
        ProblemDetail problem = ProblemDetail.forStatus(status(e.why()));
        problem.setTitle("Refused");
        problem.setDetail(e.getMessage());
        problem.setProperty("reason", e.why().name());
        return ResponseEntity.of(problem).build();
    }

    /** What is not even a request: the value and the rule, as anywhere else. */
    @ExceptionHandler({
        IllegalArgumentException.class,
        InvalidProtocolBufferException.class,
        HttpMessageNotReadableException.class,
        MethodArgumentTypeMismatchException.class
    })
    ResponseEntity<ProblemDetail> wrong(Exception e) {
        return badRequest(e);
    }

    static ResponseEntity<ProblemDetail> badRequest(Exception e) {
        String detail = switch (e) {
            case MethodArgumentTypeMismatchException m ->
                "parameter " + m.getName() + " is \"" + m.getValue() + "\", and not a "
                        + (m.getRequiredType() == null
                                ? "value of its kind"
                                : m.getRequiredType().getSimpleName());
            case HttpMessageNotReadableException m ->
                "the body cannot be read: " + m.getMostSpecificCause().getMessage();
            case InvalidProtocolBufferException m ->
                "the body cannot be read: " + EXCEPTION.matcher(m.getMessage()).replaceFirst("");
            default -> String.valueOf(e.getMessage());
        };
        ProblemDetail problem = ProblemDetail.forStatus(HttpStatus.BAD_REQUEST);
        problem.setTitle("Wrong request");
        problem.setDetail(detail);
        return ResponseEntity.of(problem).build();
    }

    /** The one place where reasons become HTTP codes. */
    static HttpStatus status(RefusedException.Why why) {
        return switch (why) {
            case UNKNOWN_VOLUME -> HttpStatus.NOT_FOUND;
            case OTHER_SHAPE, BAD_MESSAGE -> HttpStatus.BAD_REQUEST;
            case FENCED, OTHER_CONFIG, OTHER_VERSION, NEEDS_COPY, DIVERGED, FAILED -> HttpStatus.CONFLICT;
            case NO_SPACE -> HttpStatus.INSUFFICIENT_STORAGE;
            case NOT_READY -> HttpStatus.SERVICE_UNAVAILABLE;
        };
    }

    private Volume find(String name) throws RefusedException {
        Volume v = volumes.byName(name);
        if (v == null) {
            throw volumes.absent(name);
        }
        return v;
    }

    private ResponseEntity<ProblemDetail> unknown(String name) {
        return notFound("No such volume", String.valueOf(volumes.absent(name).getMessage()));
    }

    private static ResponseEntity<ProblemDetail> notFound(String title, String detail) {
        ProblemDetail problem = ProblemDetail.forStatus(HttpStatus.NOT_FOUND);
        problem.setTitle(title);
        problem.setDetail(detail);
        return ResponseEntity.of(problem).build();
    }
}
